"""Bulk upload keeps the protocol of a single one: refused pictures are passed over, races have one winner, failures leave nothing."""

from collections.abc import Iterator

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import PixrefError, UploadInterrupted
from service.pictures.bulk import Candidate, Loaded, upload_many
from service.pictures.upload import Description
from service.png import PngLimits
from service.upkeep.sweep import sweep
from storage.base import ObjectStore, StoreUnavailable
from tests.factories import (
    StepStore,
    add_image,
    assert_in_step,
    expire_leases,
    make_png,
    one,
    raising,
    rows,
    together,
)


def load(
    sessions: Sessions, store: ObjectStore, actor: Actor, items: Iterator[Candidate] | list[Candidate], size: int = 4
) -> tuple[Loaded, list[str], list[int]]:
    refused: list[str] = []
    progress: list[int] = []

    def refuse(candidate: Candidate, error: PixrefError) -> None:
        refused.append(f"{candidate.description.original_name}: {error.code}")

    done = upload_many(
        sessions,
        store,
        items,
        limits=PngLimits(),
        source="bulk",
        actor=actor,
        refuse=refuse,
        progress=progress.append,
        batch_size=size,
    )
    return done, refused, progress


def candidates(count: int) -> list[Candidate]:
    return [
        Candidate(make_png(), Description(original_name=f"{n}.png", label=str(n % 3), tags=["bulk", f"t{n % 2}"]))
        for n in range(count)
    ]


def test_many_pictures_with_labels_tags_and_thumbnails(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    items = candidates(10)
    items.insert(3, Candidate(b"no picture", Description(original_name="bad.png")))
    items.insert(7, items[0])
    items.insert(1, items[0])
    add_image(sessions, store, actor, items[-1].data, label="mine")
    done, refused, progress = load(sessions, store, actor, items)
    assert (done.added, done.present, done.refused) == (9, 3, 1)
    assert refused == ["bad.png: bad_image"]
    assert progress == [4, 8, 12, 13]
    assert_in_step(sessions, store)
    found = rows(
        sessions,
        "SELECT label, tags FROM catalog.images WHERE original_name IS NOT NULL ORDER BY substring(original_name, '[0-9]+')::int",
    )
    assert found == [(str(n % 3), ["bulk", f"t{n % 2}"]) for n in range(9)]
    assert one(sessions, "SELECT label FROM catalog.images WHERE original_name IS NULL") == "mine"
    assert one(sessions, "SELECT count(*) FROM catalog.label_history WHERE changed_by = 'tester'") == 10
    again, _, _ = load(sessions, store, actor, items)
    assert (again.added, again.present, again.refused) == (0, 12, 1)
    assert_in_step(sessions, store)


def test_a_store_that_fails_leaves_whole_batches(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    items = candidates(8)
    calls = iter(range(9))

    def second_time(step: str) -> None:
        if step == "put_many" and next(calls) == 1:
            raise StoreUnavailable("told to", "bucket", "endpoint")

    with pytest.raises(StoreUnavailable):
        load(sessions, StepStore(store, after=second_time), actor, items)
    assert one(sessions, "SELECT count(*) FROM catalog.images") == 4
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    done, _, _ = load(sessions, store, actor, items)
    assert (done.added, done.present) == (4, 4)
    assert_in_step(sessions, store)


def test_a_kill_between_objects_and_rows_is_swept(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(sessions, StepStore(store, after=raising(KeyboardInterrupt(), at="put_many")), actor, candidates(3))
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'PENDING'") == 3
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 3
    assert_in_step(sessions, store)


def test_racing_loads_of_the_same_pictures_keep_each_once(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    items = candidates(12)
    done = together(3, lambda _: load(sessions, store, actor, items)[0])
    assert sum(each.added for each in done) == 12
    assert all(each.added + each.present == 12 for each in done)
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert one(sessions, "SELECT count(*) FROM catalog.images") == 12


def test_pictures_that_the_sweep_took_are_not_called_present(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    def lease_runs_out(step: str) -> None:
        if step == "put_many":
            expire_leases(sessions)
            sweep(sessions, store)

    items = [Candidate(make_png(seed=seed), Description()) for seed in range(3)]
    with pytest.raises(UploadInterrupted):
        load(sessions, StepStore(store, before=lease_runs_out), actor, items)
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'READY'") == 0
    sweep(sessions, store)
    assert_in_step(sessions, store)
    done, _, _ = load(sessions, store, actor, items)
    assert done.added == 3


def test_a_batch_is_bounded_by_its_bytes_too(
    sessions: Sessions, store: ObjectStore, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [Candidate(make_png(seed=seed), Description()) for seed in range(5)]
    monkeypatch.setattr("service.pictures.bulk.BATCH_BYTES", len(items[0].data) + 1)
    done, _, progress = load(sessions, store, actor, items, size=100)
    assert done.added == 5
    assert progress == [2, 4, 5]
