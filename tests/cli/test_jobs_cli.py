"""`pixref jobs` and `pixref predict`: long work from the terminal, here or by the worker."""

import json
import signal
import subprocess

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.work.ledger import create_job
from tests.cli.conftest import PIXREF, Pixref, eventually
from tests.factories import execute, one, rows


@pytest.mark.usefixtures("mnist_model", "door_url")
def test_the_worker_does_what_was_asked_for_in_the_background(
    pixref: Pixref, environment: dict[str, str], sessions: Sessions
) -> None:
    pixref("load", "mnist", "--count", "20")
    asked = pixref("predict", "--where", "label = '5'", "--background")
    job_id = one(sessions, "SELECT id FROM pixref.job")
    assert (asked.code, asked.out) == (0, f"job {job_id} waits for the worker\n")
    with subprocess.Popen([PIXREF, "work"], env=environment, stderr=subprocess.PIPE, text=True) as worker:
        followed = pixref("jobs", "follow", str(job_id))
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
    assert followed.code == 0, followed.err
    assert followed.out.startswith(f"job {job_id} is done: ")
    wanted = one(sessions, "SELECT count(*) FROM catalog.images WHERE label = '5'")
    assert wanted > 0
    assert one(sessions, "SELECT count(*) FROM catalog.predictions") == wanted
    head, row = pixref("jobs", "list").out.splitlines()
    assert head.split()[:4] == ["id", "task", "state", "progress"]
    assert row.split()[:4] == [str(job_id), "predict", "succeeded", "100%"]
    assert json.loads(pixref("jobs", "show", str(job_id)).out)["result"]["predicted"] == wanted


@pytest.mark.usefixtures("mnist_model")
def test_a_killed_worker_puts_nothing_down_and_the_next_one_takes_it_up(
    pixref: Pixref, environment: dict[str, str], sessions: Sessions, actor: Actor
) -> None:
    """The queue still thinks that somebody is at it; the row knows better."""
    pixref("load", "mnist", "--count", "5")
    assert pixref("predict", "--all", "--background").code == 0
    execute(sessions, "UPDATE pixref.job SET state = 'running', runner = 'dead', heartbeat_at = now() - interval '31 s'")
    with subprocess.Popen([PIXREF, "work"], env=environment, stderr=subprocess.PIPE, text=True) as worker:
        eventually(lambda: one(sessions, "SELECT state FROM pixref.job") == "succeeded")
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
    assert rows(sessions, "SELECT deaths, done FROM pixref.job") == [(1, 5)]


def test_jobs_are_cancelled_and_what_is_not_there_is_said(pixref: Pixref, sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "predict", {}, actor=actor)
    assert pixref("jobs", "cancel", str(job_id)).out == f"job {job_id} is cancelled\n"
    again = pixref("jobs", "cancel", str(job_id))
    assert (again.code, again.out) == (2, "")
    assert "has ended already" in again.err
    ended = pixref("jobs", "follow", str(job_id), "--json")
    assert (ended.code, json.loads(ended.out)["state"]) == (1, "cancelled")
    missing = pixref("jobs", "show", "999")
    assert (missing.code, missing.out) == (2, "")
    assert "there is no job 999" in missing.err
