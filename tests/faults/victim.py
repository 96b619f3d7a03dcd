"""The process that is killed. `python -m tests.faults.victim` imports everything once, then forks a child for every job on its standard input.

A job is one line of JSON: settings, failpoints, operations and a journal. The child writes a line into the journal before each operation and one
after it, so that whoever killed it knows what was acknowledged and what was in doubt. When it is gone, its exit status goes to standard output.
"""

import json
import os
import pickle
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3

from schema.session import Sessions, open_engine
from service import failpoints
from service.accounts.actor import Actor, Role
from service.errors import PixrefError, StorageUnavailable
from service.faults import translate
from service.models.predicting import request_predictions
from service.models.registration import register_model
from service.models.selection import Selection
from service.models.serving import BUILT_IN, ModelRef, ModelServer
from service.models.vetting import VettedModel
from service.pictures.bulk import Candidate, upload_many
from service.pictures.delete import delete_image, restore_image
from service.pictures.direct import begin_direct_upload, complete_direct_upload
from service.pictures.labels import set_label, set_tags
from service.pictures.upload import Description, upload_image
from service.png import PngLimits
from service.settings import PROJECT_DIR
from service.sql.ask import Door, places
from service.tasks import Parts as WorkParts
from service.tasks import do_job
from service.upkeep.fixity import verify_due
from service.upkeep.fsck import GRACE, fsck
from service.upkeep.sweep import sweep
from service.work.ledger import find_job
from storage.minio_store import MinioStore
from tests.factories import BIG, make_png, sha256
from tests.factories import rows as select_rows

# A child that does not end by itself is ended, with an exit status that says so.
PATIENCE_S = 30
HUNG = -signal.SIGABRT
WEEK = timedelta(days=7)
PUT_TIMEOUT_S = 0.7


def picture(number: int) -> bytes:
    """Return the bytes of picture `number`: even ones are larger than a thumbnail, so that their bytes are in the bucket alone."""
    side = BIG if number % 2 == 0 else 28
    return make_png(side, side, seed=number)


@dataclass(frozen=True, slots=True)
class Parts:
    """What operations work with."""

    sessions: Sessions
    store: MinioStore
    actor: Actor
    vetted: Path

    def visible(self, number: int) -> int | None:
        """Return the id of a picture by its number."""
        query = "SELECT id FROM pixref.image WHERE sha256 = :sha256 AND state = 'READY'"
        found = select_rows(self.sessions, query, sha256=sha256(picture(number)))
        return int(found[0][0]) if found else None

    def trashed(self, number: int) -> int | None:
        """Return the id of the picture of this number that was deleted last."""
        query = "SELECT max(id) FROM pixref.image WHERE sha256 = :sha256 AND state = 'DELETING' AND ready_at IS NOT NULL"
        return select_rows(self.sessions, query, sha256=sha256(picture(number)))[0][0]


def open_parts(settings: dict[str, Any]) -> Parts:
    """Connect as a web process does, with less patience."""
    store = MinioStore(
        settings["s3_endpoint"],
        bucket=settings["bucket"],
        access_key=settings["access_key"],
        secret_key=settings["secret_key"],
        connect_timeout_s=0.3,
        read_timeout_s=0.7,
        total_s=2.0,
    )
    sessions = Sessions(open_engine(settings["database_url"], application_name="victim"))
    return Parts(sessions, store, Actor(settings["account_id"], "victim", Role.EDITOR), Path(settings["vetted"]))


def perform(parts: Parts, operation: dict[str, Any]) -> dict[str, Any]:
    """Do one operation and return what its caller would be told."""
    sessions, store = parts.sessions, parts.store
    number = operation.get("picture", 0)
    match operation["do"]:
        case "upload":
            done = upload_image(
                sessions,
                store,
                picture(number),
                Description(label=operation.get("label"), tags=["fault"]),
                limits=PngLimits(),
                source="fault",
                actor=parts.actor,
                idempotency_key=operation.get("key"),
            )
            return {"id": done.image_id}
        case "upload nonsense":
            upload_image(
                sessions, store, picture(number)[:-7], Description(), limits=PngLimits(), source="fault", actor=parts.actor
            )
            return {}
        case "direct":
            return {"id": _put_directly(parts, picture(number), Description(label=operation.get("label")))}
        case "bulk":
            candidates = [Candidate(picture(n), Description()) for n in operation["pictures"]]
            loaded = upload_many(
                sessions,
                store,
                candidates,
                limits=PngLimits(),
                source="fault",
                actor=parts.actor,
                refuse=lambda _candidate, error: _raise(error),
            )
            return {"added": loaded.added}
        case "delete" | "purge" as kind:
            if (image_id := parts.visible(number)) is not None:
                delete_image(sessions, image_id, keep=WEEK if kind == "delete" else timedelta())
            return {"id": image_id}
        case "restore":
            if (image_id := parts.trashed(number)) is not None:
                restore_image(sessions, image_id)
            return {"id": image_id}
        case "label":
            if (image_id := parts.visible(number)) is not None:
                set_label(sessions, image_id, operation["label"], actor=parts.actor)
                set_tags(sessions, image_id, [operation["label"], "fault"])
            return {"id": image_id}
        case "predict":
            if (image_id := parts.visible(number)) is not None:
                ModelServer(sessions, store).predict_image(image_id, ModelRef(), actor=parts.actor)
            return {"id": image_id}
        case "predict many":
            job_id = request_predictions(sessions, Selection(), actor=parts.actor)
            do_job(WorkParts(sessions, store, Door("", places(1))), job_id)
            return {"state": find_job(sessions, job_id).state}
        case "sweep":
            return asdict(sweep(sessions, store))
        case "fsck":
            grace = timedelta(seconds=operation["grace_s"]) if "grace_s" in operation else GRACE
            return {"clean": fsck(sessions, store, deep=operation["deep"], repair=True, grace=grace).clean}
        case "verify":
            return asdict(verify_due(sessions, store))
        case "register":
            return {"version": _register(parts, shuffled(operation["order"]))}
        case "register again":
            damaged = select_rows(sessions, _LABELS_OF_DAMAGED)
            return {"versions": [_register(parts, names) for (names,) in damaged]}
    raise ValueError(operation["do"])


def _put_directly(parts: Parts, data: bytes, description: Description) -> int:
    """Be the client of a direct upload: begin, put the bytes into the bucket, complete."""
    sessions, store, actor, now = parts.sessions, parts.store, parts.actor, datetime.now(UTC)
    begun = begin_direct_upload(sessions, store, sha256(data), len(data), description, limits=PngLimits(), actor=actor, now=now)
    if isinstance(begun, int):
        return begun
    try:
        fields = {**begun.form.fields, "file": ("picture.png", data)}
        urllib3.request("POST", begun.form.url, fields=fields, timeout=PUT_TIMEOUT_S, retries=False)
    except urllib3.exceptions.HTTPError:
        raise StorageUnavailable("the client could not put the bytes") from None
    return complete_direct_upload(sessions, store, begun.upload_id, limits=PngLimits(), actor=actor).image_id


def shuffled(order: int) -> list[str]:
    """Return the built-in model's labels in another order, which makes another version."""
    names = [str(digit) for digit in range(10)]
    random.Random(order).shuffle(names)
    return names


_LABELS_OF_DAMAGED = """
    SELECT (SELECT array_agg(l.name ORDER BY c.position) FROM pixref.model_class c JOIN pixref.label l ON l.id = c.label_id
            WHERE c.model_version_id = v.id)
    FROM pixref.model_version v WHERE v.damage IS NOT NULL ORDER BY v.id
"""


def _register(parts: Parts, names: list[str]) -> int:
    """Register the built-in model with these labels. It was vetted before, which takes seconds."""
    vetted: VettedModel = pickle.loads(parts.vetted.read_bytes())  # noqa: S301 - written by ourselves
    return register_model(
        parts.sessions,
        parts.store,
        PROJECT_DIR / "models" / "mnist.keras",
        name=BUILT_IN,
        labels=names,
        preprocessing=vetted.preprocessing,
        metrics={},
        actor=parts.actor,
        work_dir=parts.vetted.parent,
        vet=lambda *_args, **_kwargs: vetted,
    )


def _raise(error: PixrefError) -> None:
    raise error


def _run(job: dict[str, Any]) -> None:
    failpoints.arm(job["failpoints"])
    journal = os.open(job["journal"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(entry: dict[str, Any]) -> None:
        os.write(journal, json.dumps(entry).encode() + b"\n")

    parts = open_parts(job["settings"])
    for number, operation in enumerate(job["operations"]):
        note({"n": number, "begins": operation})
        try:
            result = perform(parts, operation)
        except Exception as exc:
            error = translate(exc)
            # Not in the catalogue: an answer of 500, which is a violation by itself.
            note({"n": number, "error": error.code if error else f"bug: {exc!r}", "status": error.status if error else 500})
        else:
            note({"n": number, "result": result})


def main() -> None:
    """Serve jobs until standard input ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                _run(json.loads(line))
            finally:
                os._exit(0)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGABRT)
            time.sleep(0.002)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
