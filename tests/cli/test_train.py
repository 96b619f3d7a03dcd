"""`pixref train`: from stored digits to a version, its curve and its measurement; onwards from a version; and what is refused."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from schema.session import Sessions
from service.work.ledger import find_job, list_jobs
from tests.cli.conftest import PIXREF, Pixref, eventually
from tests.factories import one, rows


@pytest.fixture
def digits(pixref: Pixref, door_url: str) -> None:
    """160 digits of the split train, 40 of the split test."""
    for split, count in (("train", "160"), ("test", "40")):
        assert pixref("load", "mnist", "--count", count, "--split", split).code == 0


@pytest.mark.usefixtures("digits")
def test_digits_from_the_store_become_a_version_and_corrected_ones_the_next(
    pixref: Pixref, sessions: Sessions, tmp_path: Path
) -> None:
    curve = tmp_path / "loss.png"
    first = pixref("train", "--name", "digits", "--query", "'mnist' = ANY(tags)", "--epochs", "2", "--seed", "1", "--plot", curve)
    assert first.code == 0, first.err
    head, *epochs, said = first.out.splitlines()
    assert head.split() == ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "seconds"]
    assert [line.split()[0] for line in epochs] == ["1", "2"]
    [(digest, pictures)] = rows(
        sessions, "SELECT digest, pictures FROM catalog.snapshots WHERE selection ->> 'where' IS NOT NULL"
    )
    assert pictures == 200
    assert said == f"digits version 1 is registered, trained on snapshot {digest[:12]}"
    with Image.open(curve) as drawn:
        drawn.load()
        assert drawn.format == "PNG"
    # It was measured by the pictures that it has not seen.
    assert one(sessions, "SELECT pictures FROM catalog.evaluations WHERE model = 'digits' AND version = 1") == 40
    seen = "SELECT count(*) FROM pixref.evaluation"
    assert one(sessions, seen) == 1

    corrected = "UPDATE pixref.image SET label_id = (SELECT id FROM pixref.label WHERE name = '3') WHERE id = (SELECT min(id) FROM pixref.image)"
    with sessions() as session, session.begin():
        session.connection().exec_driver_sql(corrected)
    second = pixref("train", "--name", "digits", "--all", "--epochs", "1", "--from-version", "champion", "--json")
    assert second.code == 0, second.err
    done = json.loads(second.out)
    assert (done["version"], done["from_version"], done["training"] + done["validation"], done["test"]) == (2, 1, 160, 40)
    assert done["snapshot"] != digest


@pytest.mark.usefixtures("digits")
def test_ctrl_c_ends_the_training_and_its_process(
    pixref: Pixref, sessions: Sessions, environment: dict[str, str], tmp_path: Path
) -> None:
    train = [str(PIXREF), "train", "--name", "digits", "--all", "--epochs", "1000"]
    running = subprocess.Popen(
        train, env={**environment, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        eventually(lambda: any((job.message or "").startswith("epoch") for job in list_jobs(sessions).items), within_s=120)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert b"Traceback" not in said
    (job,) = list_jobs(sessions).items
    assert find_job(sessions, job.id).state == "cancelled"
    assert not list(tmp_path.glob("pixref-training-*"))
    assert one(sessions, "SELECT count(*) FROM pixref.model_version") == 0


@pytest.mark.usefixtures("digits", "mnist_model")
def test_train_refuses_what_it_cannot_do(pixref: Pixref, sessions: Sessions) -> None:
    for arguments, said in (
        (["--all"], "--name"),
        (["--name", "digits"], "say which pictures"),
        (["--name", "No Name", "--all"], "name is 1 to 63"),
        (["--name", "digits", "--where", "width >"], "syntax error"),
        (["--name", "digits", "--all", "--from-version", "champion"], "there is no model 'digits'"),
        (["--name", "mnist", "--all", "--from-version", "7"], "with version 7"),
        (["--name", "mnist", "--all", "--from-version", "1", "--size", "28"], "size"),
        (["--name", "digits", "--all", "--epochs", "0"], "--epochs"),
        (["--name", "digits", "--all", "--learning-rate", "0"], "--learning-rate"),
    ):
        result = pixref("train", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert said in result.err
    assert one(sessions, "SELECT count(*) FROM pixref.job") == 0
    # What only the pictures can tell ends the job, in one sentence.
    alike = pixref("train", "--name", "digits", "--label", "3")
    assert (alike.code, alike.out) == (1, "")
    assert "pictures of two labels or more" in alike.err
    unlabelled = pixref("train", "--name", "digits", "--where", "label IS NULL")
    assert (unlabelled.code, unlabelled.out) == (1, "")
    assert "none of these pictures has a label" in unlabelled.err


@pytest.mark.usefixtures("digits")
def test_in_the_background_it_waits_for_the_worker(pixref: Pixref, sessions: Sessions) -> None:
    asked = pixref("train", "--name", "digits", "--all", "--background", "--seed", "5", "--batch-size", "32")
    (job,) = list_jobs(sessions).items
    assert (asked.code, asked.out, job.state) == (0, f"job {job.id} waits for the worker\n", "queued")
    assert (job.parameters["plan"]["seed"], job.parameters["plan"]["batch_size"]) == (5, 32)
