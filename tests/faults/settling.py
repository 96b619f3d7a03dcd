"""Between two histories: nobody is at work any more, and an empty service to begin with."""

import time

from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from tests.factories import execute, one, rows
from tests.faults.world import World

PATIENCE_S = 10
MODEL_FILES = """
    SELECT artifact_key, artifact_size, damage FROM pixref.model_version WHERE state <> 'PENDING'
    UNION ALL SELECT litert_key, litert_size, damage FROM pixref.model_version WHERE state <> 'PENDING'
"""
NAMED = """
    SELECT object_key FROM pixref.image UNION SELECT object_key FROM pixref.object_deletion UNION SELECT object_key FROM pixref.direct_upload
    UNION SELECT unnest(ARRAY[artifact_key, litert_key]) FROM pixref.model_version
"""


def until_quiet(world: World) -> None:
    """Wait until PostgreSQL is done with what a killed victim has sent: a COMMIT on its way may still happen."""
    deadline = time.monotonic() + PATIENCE_S
    while one(world.sessions, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim'"):
        assert time.monotonic() < deadline, "PostgreSQL is still at the work of a dead client"
        time.sleep(0.002)


def empty(world: World) -> None:
    """Remove every picture, with its object, on the way that a person with SQL would take: a plain DELETE, and the sweep.

    What earlier tests have begun to register goes with them, models that they have harmed are healed, and what no row names is removed.
    """
    until_quiet(world)
    execute(world.sessions, "DELETE FROM pixref.image")
    execute(world.sessions, "UPDATE pixref.model_version SET created_at = now() - interval '1 h' WHERE state = 'PENDING'")
    _clear_outbox(world)
    _make_models_whole(world)
    named = {row[0] for row in rows(world.sessions, NAMED)}
    world.store.delete_objects(info.key for info in list(world.store.list_objects()) if info.key not in named)
    assert one(world.sessions, "SELECT count(*) FROM pixref.image") == 0


def _clear_outbox(world: World) -> None:
    execute(world.sessions, "UPDATE pixref.object_deletion SET due_at = now() - interval '1 s'")
    sweep(world.sessions, world.store)


def _make_models_whole(world: World) -> None:
    """Register damaged versions again, as a person would whom fsck has told of them."""
    stored = {info.key: info.size for info in world.store.list_objects("models/")}
    if all(damage is None and stored.get(key) == size for key, size, damage in rows(world.sessions, MODEL_FILES)):
        return
    fsck(world.sessions, world.store, repair=True, force=True)
    status, journal = world.run([{"do": "register again"}])
    assert (status, "result" in journal[-1]) == (0, True), journal
    _clear_outbox(world)
    assert one(world.sessions, "SELECT count(*) FROM pixref.model_version WHERE damage IS NOT NULL") == 0
