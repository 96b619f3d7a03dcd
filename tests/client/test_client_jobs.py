"""Jobs by the client, over real HTTP against the real application."""

import threading

import pytest

from pixref import Client, Conflict, Job, JobFailed, NotFound
from schema.session import Sessions
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from storage.base import ObjectStore
from tests.factories import execute, make_png, rows

pytestmark = pytest.mark.usefixtures("mnist_model")


def test_many_are_predicted_and_waited_for(api: Client, sessions: Sessions, store: ObjectStore, door_url: str) -> None:
    ids = [api.upload(make_png(28, 28), tags=["a"] if place else []).id for place in range(3)]
    job = api.predict_many(tag="a")
    assert (job.task, job.state, job.ended, job.progress) == ("predict", "queued", False, 0.0)
    parts = Parts(sessions, store, Door(door_url, places(1)))
    worker = threading.Timer(0.3, do_job, (parts, job.id))
    worker.start()
    looks: list[Job] = []
    done = api.wait(job, timeout_s=60, watch=looks.append)
    worker.join()
    assert (done.state, done.done, done.failed, (done.result or {})["predicted"]) == ("succeeded", 2, 0, 2)
    assert looks[-1] == done
    assert looks[0].state == "queued"
    assert [row[0] for row in rows(sessions, "SELECT image_id FROM catalog.predictions ORDER BY 1")] == ids[1:]
    assert api.predict_many(ids[:1]).extra["parameters"]["ids"] == ids[:1]
    assert api.predict_many(where="width = 28", version=1, again=True).extra["parameters"]["where"] == "width = 28"
    assert "filter" not in api.predict_many().extra["parameters"]


def test_what_fails_is_raised(api: Client, sessions: Sessions) -> None:
    job = api.predict_many()
    with pytest.raises(TimeoutError, match="is queued after"):
        api.wait(job.id, timeout_s=0.1)
    assert api.cancel(job).state == "cancelled"
    with pytest.raises(JobFailed) as cancelled:
        api.wait(job)
    assert (cancelled.value.code, cancelled.value.extra) == ("cancelled", {"job": job.id})
    with pytest.raises(Conflict):
        api.cancel(job)
    execute(sessions, """UPDATE pixref.job SET state = 'failed', error = '{"code": "storage_full", "detail": "no space"}'""")
    with pytest.raises(JobFailed, match="no space") as failed:
        api.wait(job)
    assert failed.value.code == "storage_full"
    with pytest.raises(NotFound):
        api.job(job.id + 1)
