"""Between two histories: nobody is at work any more, and an empty service to begin with."""

import time

from service.upkeep.sweep import sweep
from tests.factories import execute, one
from tests.faults.world import World

PATIENCE_S = 10


def until_quiet(world: World) -> None:
    """Wait until PostgreSQL is done with what a killed victim has sent: a COMMIT on its way may still happen."""
    deadline = time.monotonic() + PATIENCE_S
    while one(world.sessions, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim'"):
        assert time.monotonic() < deadline, "PostgreSQL is still at the work of a dead client"
        time.sleep(0.002)


def empty(world: World) -> None:
    """Remove every picture, with its object, on the way that a person with SQL would take: a plain DELETE, and the sweep.

    What earlier tests have begun to register goes with them.
    """
    until_quiet(world)
    execute(world.sessions, "DELETE FROM pixref.image")
    execute(world.sessions, "UPDATE pixref.model_version SET created_at = now() - interval '1 h' WHERE state = 'PENDING'")
    execute(world.sessions, "UPDATE pixref.object_deletion SET due_at = now() - interval '1 s'")
    sweep(world.sessions, world.store)
    assert one(world.sessions, "SELECT count(*) FROM pixref.image") == 0
