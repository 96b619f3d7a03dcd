"""Every named place in the code, one after the other: the process is killed just there, and nothing is lost or left."""

import io
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from service.accounts.tokens import local_actor
from service.pictures.delete import delete_image
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from tests.factories import add_image, execute, object_key, objects, one, rows, sha256
from tests.faults.inject import failpoints
from tests.faults.invariants import ABSENT, IN_DOUBT, NO_GRACE, PRESENT, violations
from tests.faults.proxy import Fault
from tests.faults.settling import empty, until_quiet
from tests.faults.victim import picture
from tests.faults.world import World

NUMBER = 2
"""A picture whose bytes are in the bucket alone."""
SMALL = 3
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Way:
    """How to get to a place: what is there before, what the victim does, and what its caller may find afterwards."""

    operation: dict[str, Any]
    afterwards: str
    prepare: Callable[[World], None] = lambda world: None


def _keep(world: World) -> int:
    return add_image(world.sessions, world.store, local_actor(world.sessions, "client"), picture(NUMBER))


def _delete(keep: timedelta) -> Callable[[World], None]:
    return lambda world: delete_image(world.sessions, _keep(world), keep=keep)


def _lose(number: int) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        image_id = add_image(world.sessions, world.store, local_actor(world.sessions, "client"), picture(number))
        world.store.delete_object(object_key(world.sessions, image_id))

    return prepare


def _lose_and_notice(world: World) -> None:
    _lose(NUMBER)(world)
    fsck(world.sessions, world.store, repair=True)


def _abandon(world: World) -> None:
    world.run([{"do": "upload", "picture": NUMBER}], "upload.stored=kill")
    execute(world.sessions, "UPDATE pixref.image SET lease_until = now() - interval '1 s' WHERE state = 'PENDING'")


def _stray(world: World) -> None:
    data = b"put by nobody"
    world.store.put_object("images/stray", io.BytesIO(data), size=len(data), sha256=sha256(data), media_type="image/png")


def _refuse(world: World) -> None:
    world.to_minio.fail(Fault("refuse"))


def _lose_model(world: World) -> None:
    _keep(world)
    keys = rows(world.sessions, "SELECT unnest(ARRAY[artifact_key, litert_key]) FROM pixref.model_version WHERE number = 1")
    world.store.delete_objects(key for (key,) in keys)
    assert fsck(world.sessions, world.store, repair=True).models.count == 1


UPLOAD, FSCK = {"do": "upload"}, {"do": "fsck", "deep": True}
# By the longest prefix of the place's name.
WAYS = {
    "upload.": Way(UPLOAD, IN_DOUBT),
    "upload.checked": Way(UPLOAD, ABSENT),
    "upload.begun": Way(UPLOAD, ABSENT),
    "upload.abandoning": Way(UPLOAD, ABSENT, _refuse),
    "upload.stored": Way(UPLOAD, ABSENT),
    "upload.marked": Way(UPLOAD, ABSENT),
    "upload.ready": Way(UPLOAD, PRESENT),
    "bulk.": Way({"do": "bulk", "pictures": [NUMBER, SMALL]}, ABSENT),
    "bulk.ready": Way({"do": "bulk", "pictures": [NUMBER, SMALL]}, PRESENT),
    "delete.marked": Way({"do": "delete"}, PRESENT, _keep),
    "delete.done": Way({"do": "delete"}, ABSENT, _keep),
    "restore.unqueued": Way({"do": "restore"}, ABSENT, _delete(WEEK)),
    "restore.done": Way({"do": "restore"}, PRESENT, _delete(WEEK)),
    "load.": Way({"do": "predict"}, PRESENT, _keep),
    "predict.": Way({"do": "predict"}, PRESENT, _keep),
    "predict_many.": Way({"do": "predict many"}, PRESENT, _keep),
    "register.begun": Way({"do": "register", "order": 1}, PRESENT, _keep),
    "register.stored": Way({"do": "register", "order": 2}, PRESENT, _keep),
    "register.ready": Way({"do": "register", "order": 3}, PRESENT, _keep),
    "direct.": Way({"do": "direct"}, PRESENT),
    "direct.begun": Way({"do": "direct"}, ABSENT),
    "direct.fetched": Way({"do": "direct"}, ABSENT),
    "sweep.": Way({"do": "sweep"}, ABSENT, _delete(timedelta())),
    "sweep.abandoned": Way({"do": "sweep"}, ABSENT, _abandon),
    "sweep.leases": Way({"do": "sweep"}, ABSENT, _abandon),
    "fsck.": Way(FSCK, PRESENT, _keep),
    "fsck.marked": Way(FSCK, PRESENT, _lose(NUMBER)),
    "fsck.quarantin": Way(FSCK | {"grace_s": -60}, ABSENT, _stray),
    "fixity.": Way(FSCK, PRESENT, _lose(NUMBER)),
    "heal.": Way(UPLOAD, PRESENT, _lose_and_notice),
    "heal_model.": Way({"do": "register again"}, PRESENT, _lose_model),
}


def way_to(place: str) -> Way:
    known = [prefix for prefix in WAYS if place.startswith(prefix)]
    assert known, f"say in WAYS how the victim gets to {place}"
    return WAYS[max(known, key=len)]


@pytest.mark.parametrize("place", failpoints())
def test_killed_at(world: World, place: str) -> None:
    empty(world)
    way = way_to(place)
    way.prepare(world)
    operation = {"picture": NUMBER, "key": f"killed-at-{place}", **way.operation}
    status, journal = world.run([operation], f"{place}=kill")
    world.to_minio.heal()
    until_quiet(world)
    assert status == -signal.SIGKILL, f"{operation} does not lead to {place}: {journal}"
    assert [entry for entry in journal if "begins" not in entry] == []

    _let_time_pass(world)
    sweep(world.sessions, world.store)
    # Whatever the upload left, the sweep alone takes away: only what nobody here has put there is fsck's.
    strays = {"images/stray"} if way.prepare is _stray else set()
    assert objects(world.store) == {row[0] for row in rows(world.sessions, NAMED)} | strays
    fsck(world.sessions, world.store, deep=True, repair=True, grace=NO_GRACE)
    _let_time_pass(world, strays=True)
    sweep(world.sessions, world.store)
    assert list(violations(world, {NUMBER: way.afterwards})) == []

    visible = rows(world.sessions, "SELECT image_id FROM catalog.images WHERE sha256 = :s", s=sha256(picture(NUMBER)))
    status, journal = world.run([operation])
    assert status == 0
    assert "result" in journal[-1], f"it cannot be repeated: {journal}"
    if visible and operation["do"] in ("upload", "direct"):
        assert journal[-1]["result"] == {"id": visible[0][0]}
    _let_time_pass(world)
    sweep(world.sessions, world.store)
    assert list(violations(world, {NUMBER: IN_DOUBT})) == []


NAMED = """
    SELECT object_key FROM pixref.image WHERE damage IS DISTINCT FROM 'lost'
    UNION SELECT object_key FROM pixref.direct_upload
    UNION SELECT unnest(ARRAY[artifact_key, litert_key]) FROM pixref.model_version WHERE damage IS DISTINCT FROM 'lost'
"""


def _let_time_pass(world: World, *, strays: bool = False) -> None:
    """Let leases, and what is due at once, come to their end; the trash stays, and quarantine too unless `strays`."""
    execute(world.sessions, "UPDATE pixref.image SET lease_until = now() - interval '1 s' WHERE state = 'PENDING'")
    execute(world.sessions, "UPDATE pixref.direct_upload SET lease_until = now() - interval '1 s'")
    execute(world.sessions, "UPDATE pixref.model_version SET created_at = now() - interval '1 h' WHERE state = 'PENDING'")
    which = "due_at < now() + interval '1 hour'" + (" OR reason = 'no row names it'" if strays else "")
    execute(world.sessions, f"UPDATE pixref.object_deletion SET due_at = now() - interval '1 s' WHERE {which}")


def test_a_killed_registration_moves_no_alias(world: World) -> None:
    champion = "SELECT version FROM catalog.model_versions WHERE 'champion' = ANY (aliases)"
    before = one(world.sessions, champion)
    for order, place in enumerate(("register.begun", "register.stored", "register.ready"), start=11):
        status, _ = world.run([{"do": "register", "order": order}], f"{place}=kill")
        assert status == -signal.SIGKILL
        assert one(world.sessions, champion) == before
