"""Many files at once: in order, only those that are not here, and no file's fault stops the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pixref import BadImage, Client, Forbidden, Invalid, Unreachable
from schema.session import Sessions
from service.accounts.actor import Role
from service.embedded.ports import free_port
from storage.base import ObjectStore
from tests.client.conftest import Connect, Requests
from tests.factories import BIG, assert_in_step, execute, make_png, object_key, sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"{number:02}.png").write_bytes(make_png())
    return tmp_path


def test_all_are_uploaded_in_order_and_what_is_here_is_not_sent_again(
    api: Client, folder: Path, sessions: Sessions, store: ObjectStore, requests: Requests
) -> None:
    paths = sorted(folder.iterdir())
    before = api.upload(paths[3], label="old")
    done = list(api.upload_many(paths, workers=3, label="new", tags=["x"]))
    assert [result.source for result in done] == paths
    assert [result.error for result in done] == [None] * 12
    images = [result.image for result in done if result.image]
    assert [image.sha256 for image in images] == [sha256(path.read_bytes()) for path in paths]
    assert [image.created for image in images] == [index != 3 for index in range(12)]
    assert images[3] == before
    assert {(image.label, tuple(image.tags)) for image in images if image != before} == {("new", ("x",))}
    assert requests.count("POST images ") == 12
    again = list(api.upload_many(paths))
    assert [result.image for result in again] == images
    assert not any(result.image.created for result in again if result.image)
    assert requests.count("POST images ") == 12, "nothing was sent twice"
    assert_in_step(sessions, store)


def test_describe_says_what_is_true_of_one(api: Client, tmp_path: Path) -> None:
    for name in ("giraffe", "lion"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(make_png())
    paths = sorted(tmp_path.glob("*/*.png"))
    done = api.upload_many(paths, split="train", label="?", describe=lambda path: {"label": path.parent.name})
    assert [(result.image.label, result.image.split) for result in done if result.image] == [
        ("giraffe", "train"),
        ("lion", "train"),
    ]


def test_a_bad_file_is_told_and_the_others_go_on(api: Client, folder: Path, store: ObjectStore, sessions: Sessions) -> None:
    paths: list[Path | bytes] = [*sorted(folder.iterdir())[:3], folder / "missing.png", b"no picture", make_png(), folder]
    done = list(api.upload_many(paths, workers=2))
    assert [result.image is not None for result in done] == [True, True, True, False, False, True, False]
    assert isinstance(done[3].error, FileNotFoundError)
    assert isinstance(done[4].error, BadImage)
    assert done[4].error.reason == "not_png"
    assert isinstance(done[6].error, IsADirectoryError)
    assert_in_step(sessions, store)


def test_a_damaged_picture_is_sent_and_healed(api: Client, sessions: Sessions, store: ObjectStore) -> None:
    data = make_png(BIG, BIG)
    image = api.upload(data)
    store.delete_object(object_key(sessions, image.id))
    execute(sessions, "UPDATE pixref.image SET damage = 'lost', damaged_at = now()")
    assert api.image(image.id).damage == "lost"
    [result] = api.upload_many([data])
    assert result.image is not None
    assert (result.image.id, result.image.damage) == (image.id, None)
    assert api.fetch(image.id) == data


def test_the_same_bytes_twice_in_one_call_are_one_picture(api: Client) -> None:
    data = make_png()
    done = list(api.upload_many([data, data, make_png()], workers=3))
    assert len({result.image.id for result in done if result.image}) == 2
    assert sum(bool(result.image and result.image.created) for result in done) == 2


def test_direct_uploads_of_many(api: Client, requests: Requests, sessions: Sessions, store: ObjectStore) -> None:
    done = list(api.upload_many([make_png(BIG, BIG) for _ in range(5)], workers=2, direct=True))
    assert all(result.image and result.image.created for result in done)
    assert requests.count("POST images ") == 0


def test_what_would_befall_every_file_ends_it(
    address: str, connect: Connect, folder: Path, requests: Requests, sessions: Sessions
) -> None:
    viewer = connect(address, Role.VIEWER)
    with pytest.raises(Forbidden):
        list(viewer.upload_many(sorted(folder.iterdir()), workers=2))
    assert requests.count("POST images ") <= 6, "what was under way, and no more"
    nobody = connect(f"http://127.0.0.1:{free_port()}", retries=0)
    with pytest.raises(Unreachable):
        list(nobody.upload_many(sorted(folder.iterdir())))


def test_a_field_that_is_not_valid_is_told_for_every_file(api: Client, folder: Path) -> None:
    done = list(api.upload_many(sorted(folder.iterdir()), split="NO"))
    assert {(type(result.error), getattr(result.error, "field", None)) for result in done} == {(Invalid, "split")}
    with pytest.raises(TypeError, match="'lable' is not known"):
        api.upload_many([], lable="7")
    with pytest.raises(TypeError, match="'lable' is not known"):
        list(api.upload_many([make_png()], describe=lambda _: {"lable": "7"}))


def test_sources_are_taken_as_they_are_needed(api: Client, requests: Requests) -> None:
    taken = 0

    def sources() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield make_png()

    walk = api.upload_many(sources(), workers=2)
    assert (taken, requests.seen) == (0, [])
    for _ in range(3):
        assert next(walk).error is None
    assert taken == 64, "one batch of the hash check"
    walk.close()  # type: ignore[attr-defined]
    assert requests.count("POST images ") <= 3 + 2 * 2
