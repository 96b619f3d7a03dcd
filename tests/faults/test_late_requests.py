"""A request that arrives when nobody waits for it any more: after its sender's patience, after the sweep, after everything."""

from datetime import timedelta
from typing import Literal

import pytest

from service.errors import NotFound
from service.pictures.delete import list_trash, restore_image
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from tests.factories import execute, objects, one
from tests.faults.invariants import ABSENT, PRESENT, violations
from tests.faults.proxy import Fault
from tests.faults.settling import empty
from tests.faults.victim import picture
from tests.faults.world import World

NUMBER = 2
HEAD = 1_500
"""Bytes: less than the request that puts the picture, head and body."""


def test_a_put_that_lands_after_the_sweep_is_nobodys_picture_and_goes(world: World) -> None:
    empty(world)
    assert len(picture(NUMBER)) > HEAD
    world.to_minio.fail(Fault("late", HEAD))
    _, journal = world.run([{"do": "upload", "picture": NUMBER}])
    assert journal[-1]["error"] == "storage_timeout"
    execute(world.sessions, "UPDATE pixref.object_deletion SET due_at = now() - interval '1 s'")
    assert sweep(world.sessions, world.store).deleted == 1
    assert objects(world.store) == models(world)

    world.to_minio.heal()
    strays = objects(world.store) - models(world)
    assert len(strays) == 1
    assert one(world.sessions, "SELECT count(*) FROM catalog.images") == 0
    # While it is young, it may be of an upload that has just begun.
    assert fsck(world.sessions, world.store, repair=True).quarantined == 0
    assert fsck(world.sessions, world.store, repair=True, grace=timedelta(minutes=-1)).quarantined == 1
    sweep(world.sessions, world.store)
    assert strays < objects(world.store)
    execute(world.sessions, "UPDATE pixref.object_deletion SET due_at = due_at - interval '7 days'")
    sweep(world.sessions, world.store)
    assert list(violations(world, {NUMBER: ABSENT})) == []


def test_a_put_whose_answer_was_lost_is_sent_again_and_is_one_picture(world: World) -> None:
    empty(world)
    world.to_minio.fail(Fault("cut-down", 0, once=True))
    _, journal = world.run([{"do": "upload", "picture": NUMBER}])
    world.to_minio.heal()
    assert "result" in journal[-1], journal
    assert list(violations(world, {NUMBER: PRESENT})) == []


@pytest.mark.parametrize("mode", ["cut-up", "cut-down"])
def test_what_the_sweep_has_tried_to_remove_is_not_restored(world: World, mode: Literal["cut-up", "cut-down"]) -> None:
    """Whether the store has heard of it is not known: what is restored could be without its object."""
    empty(world)
    world.run([{"do": "upload", "picture": NUMBER}, {"do": "purge", "picture": NUMBER}])
    world.to_minio.fail(Fault(mode))
    world.run([{"do": "sweep"}])
    world.to_minio.heal()
    assert one(world.sessions, "SELECT attempts FROM pixref.object_deletion WHERE due_at > now()") == 1
    assert list_trash(world.sessions) == []
    image_id = one(world.sessions, "SELECT id FROM pixref.image")
    with pytest.raises(NotFound):
        restore_image(world.sessions, image_id)


def models(world: World) -> set[str]:
    query = "SELECT artifact_key || ' ' || litert_key FROM pixref.model_version"
    with world.sessions() as session:
        return {key for (pair,) in session.connection().exec_driver_sql(query) for key in pair.split()}
