"""The checks notice what they are there for: each of these worlds is broken on purpose."""

import io
from collections.abc import Callable, Iterator

import pytest

from service.accounts.tokens import local_actor
from tests.factories import add_image, execute, object_key, replace_object, rows, sha256
from tests.faults.invariants import ABSENT, PRESENT, dangling, reconcile, violations
from tests.faults.settling import empty
from tests.faults.victim import picture
from tests.faults.world import World

BIG, SMALL = 2, 3


@pytest.fixture
def sound(world: World) -> Iterator[World]:
    """A world with two pictures, one of which has its bytes in the bucket alone."""
    empty(world)
    for number in (BIG, SMALL):
        add_image(world.sessions, world.store, local_actor(world.sessions, "client"), picture(number))
    yield world
    world.to_minio.puts.clear()
    empty(world)


def id_of(world: World, number: int) -> int:
    [(image_id,)] = rows(world.sessions, "SELECT image_id FROM catalog.images WHERE sha256 = :s", s=sha256(picture(number)))
    return int(image_id)


def key_of(world: World, number: int) -> str:
    return object_key(world.sessions, id_of(world, number))


def put_a_stray(world: World) -> None:
    world.store.put_object("images/stray", io.BytesIO(b"x"), size=1, sha256=sha256(b"x"), media_type="image/png")


def leave_an_upload(world: World) -> None:
    world.run([{"do": "upload", "picture": 5}], "upload.stored=kill")


def forget_the_thumbnail(world: World) -> None:
    execute(world.sessions, "DELETE FROM pixref.thumbnail WHERE image_id = :id", id=id_of(world, BIG))


def leave_the_outbox(world: World) -> None:
    execute(world.sessions, "INSERT INTO pixref.object_deletion (object_key, reason) VALUES ('images/gone', 'test')")


def doom(world: World) -> None:
    query = "INSERT INTO pixref.object_deletion (object_key, reason, due_at) VALUES (:key, 'test', now() + interval '1 day')"
    execute(world.sessions, query, key=key_of(world, BIG))


def put_again_and_again(world: World) -> None:
    world.to_minio.puts[f"/{world.bucket}/{key_of(world, BIG)}".encode()] = 3


def test_a_sound_world(sound: World) -> None:
    model = {BIG: PRESENT, SMALL: PRESENT, 5: ABSENT}
    assert [*dangling(sound, frozenset()), *violations(sound, model)] == []
    assert reconcile(sound) == []
    assert [*dangling(sound, frozenset()), *violations(sound, model)] == []


def test_what_was_acknowledged_and_is_not_there(sound: World) -> None:
    assert [text[:3] for text in violations(sound, {5: PRESENT})] == ["I1:"]


def test_what_was_deleted_and_is_there(sound: World) -> None:
    assert [text[:3] for text in violations(sound, {BIG: ABSENT})] == ["I6:"]


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda world: world.store.delete_object(key_of(world, BIG)), "I1"),
        (lambda world: replace_object(world.store, key_of(world, BIG), b"x" * len(picture(BIG))), "I1"),
        (put_a_stray, "I3"),
        (leave_an_upload, "I4"),
        (forget_the_thumbnail, "I1"),
        (leave_the_outbox, "I12"),
        (doom, "I2"),
        (put_again_and_again, "I14"),
    ],
    ids=[
        "object gone",
        "object altered",
        "stray",
        "half an upload",
        "no thumbnail",
        "outbox not emptied",
        "outbox names it",
        "put three times",
    ],
)
def test_every_harm_is_noticed(sound: World, harm: Callable[[World], None], expected: str) -> None:
    harm(sound)
    assert expected in {text.partition(":")[0] for text in violations(sound, {})}


def test_what_only_fsck_takes_away_is_noticed(sound: World) -> None:
    put_a_stray(sound)
    assert reconcile(sound) == ["I3: the sweep has left images/stray"]
    assert list(violations(sound, {})) == []


@pytest.mark.parametrize("number", [BIG, SMALL])
def test_an_object_that_is_not_there_is_noticed_unless_it_was_harmed_on_purpose(sound: World, number: int) -> None:
    key = key_of(sound, number)
    sound.store.delete_object(key)
    assert [text[:3] for text in dangling(sound, frozenset())] == ["I2:"]
    assert list(dangling(sound, {key})) == []


def test_a_model_file_that_is_not_there_is_noticed_unless_it_was_harmed_on_purpose(sound: World) -> None:
    [(key, digest)] = rows(sound.sessions, "SELECT litert_key, litert_sha256 FROM pixref.model_version ORDER BY id LIMIT 1")
    data = sound.store.get_object(key)
    sound.store.delete_object(key)
    assert [text[:3] for text in dangling(sound, frozenset())] == ["I2:"]
    assert list(dangling(sound, {key})) == []
    sound.store.put_object(key, io.BytesIO(data), size=len(data), sha256=digest, media_type="application/vnd.tflite")
    assert list(dangling(sound, frozenset())) == []


def test_a_model_without_a_champion_is_noticed(sound: World) -> None:
    [(model_id, version_id)] = rows(sound.sessions, "SELECT model_id, model_version_id FROM pixref.model_alias")
    execute(sound.sessions, "DELETE FROM pixref.model_alias")
    assert "I11" in {text.partition(":")[0] for text in violations(sound, {})}
    query = "INSERT INTO pixref.model_alias (model_id, alias, model_version_id) VALUES (:model, 'champion', :version)"
    execute(sound.sessions, query, model=model_id, version=version_id)
