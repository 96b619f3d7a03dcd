"""Uploads, lists, labels, tags and deletions, over real HTTP against the real application."""

import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pixref import BadImage, Client, Conflict, Image, Invalid, NotFound
from schema.session import Sessions
from service.accounts.actor import Role
from service.errors import Invalid as Refused
from service.pictures.upload import Description
from storage.base import ObjectStore
from tests.client.conftest import Connect, Requests
from tests.factories import BIG, assert_in_step, make_png, one, sha256

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_upload_returns_the_picture_with_all_that_was_said(api: Client, sessions: Sessions, store: ObjectStore) -> None:
    data = make_png(40, 30)
    image = api.upload(
        data, label="giraffe", tags=["b", "a"], split="train", attributes={"camera": "M3", "n": [1, None]}, name="giraffe.png"
    )
    assert image.created is True
    assert (image.sha256, image.byte_size, image.width, image.height) == (sha256(data), len(data), 40, 30)
    assert (image.channels, image.bit_depth, image.damage) == (1, 8, None)
    assert (image.label, image.tags, image.split) == ("giraffe", ["a", "b"], "train")
    assert (image.attributes, image.original_name) == ({"camera": "M3", "n": [1, None]}, "giraffe.png")
    assert abs(datetime.now(UTC) - image.created_at) < timedelta(minutes=1)
    assert image.extra["links"]["file"] == f"/api/v1/images/{image.id}/file"
    assert api.image(image.id) == image
    assert len({image, api.image(image.id)}) == 1
    assert_in_step(sessions, store)


def test_the_same_bytes_are_the_same_picture(api: Client) -> None:
    data = make_png()
    first, second = api.upload(data, label="a"), api.upload(data, label="b")
    assert (first.id, second.id) == (second.id, first.id)
    assert (second.created, second.label) == (False, "a")
    assert api.image(first.id).created is None


def test_paths_files_bytes_and_arrays_are_uploaded(api: Client, tmp_path: Path) -> None:
    path = tmp_path / "a name.png"
    path.write_bytes(make_png())
    by_path = api.upload(path)
    assert (by_path.original_name, by_path.sha256) == ("a name.png", sha256(path.read_bytes()))
    assert api.upload(str(path)) == by_path
    with path.open("rb") as file:
        assert api.upload(file) == by_path
    with path.open("wb") as file:
        file.write(make_png())
    with path.open("rb") as file:
        assert api.upload(file).original_name == "a name.png"
    for nameless in (make_png(), bytearray(make_png()), memoryview(make_png()), io.BytesIO(make_png())):
        assert api.upload(nameless).original_name is None
    assert api.upload(path, name="other.png").original_name == "a name.png", "it is here already, and left as it was"
    assert api.upload(make_png(), name="other.png").original_name == "other.png"


def test_a_file_whose_name_is_no_text_is_uploaded(api: Client, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.png")
    path.write_bytes(make_png())
    assert api.upload(path).original_name == "\ufffd\ufffd.png"


def test_numbers_of_numpy_are_numbers(api: Client) -> None:
    data = {api.upload(picture).id: picture for picture in (make_png(20, 10), make_png(30, 10))}
    assert [content for _, content in api.fetch_many(np.array([2, 1]))] == [data[2], data[1]]
    assert api.fetch(np.int64(1)) == data[1]  # type: ignore[arg-type]
    assert api.label(np.int32(1), "7").label == "7"  # type: ignore[arg-type]
    assert [image.id for image in api.images(min_width=np.int64(25))] == [2]
    with pytest.raises(TypeError, match="integer"):
        api.image("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="integer"):
        api.fetch(1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "kind", "channels", "depth"),
    [
        ((5, 7), np.uint8, 1, 8),
        ((5, 7, 1), np.uint8, 1, 8),
        ((5, 7, 2), np.uint8, 2, 8),
        ((5, 7, 3), np.uint8, 3, 8),
        ((5, 7, 4), np.uint8, 4, 8),
        ((5, 7), np.uint16, 1, 16),
        ((5, 7), np.bool_, 1, 1),
    ],
)
def test_arrays_are_kept_without_loss(api: Client, shape: tuple[int, ...], kind: Any, channels: int, depth: int) -> None:
    array = np.random.default_rng(1).integers(0, 2 if kind is np.bool_ else np.iinfo(kind).max, shape).astype(kind)
    image = api.upload(array)
    assert (image.height, image.width, image.channels, image.bit_depth) == (5, 7, channels, depth)
    back = np.asarray(Pillow.open(io.BytesIO(api.fetch(image))))
    assert np.array_equal(back, array.reshape(back.shape))
    assert api.upload(np.asfortranarray(array)).id == image.id


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint8), np.zeros((0, 3), np.uint8), np.zeros(4, np.uint8)]
)
def test_arrays_that_are_no_pictures_are_refused_unsent(api: Client, requests: Requests, array: Any) -> None:
    with pytest.raises(ValueError, match=r"give uint8 of \(H, W\)"):
        api.upload(array)
    assert requests.seen == []


@pytest.mark.parametrize(("source", "says"), [(17, "a int cannot"), (io.StringIO("x"), "mode 'rb'")])
def test_what_cannot_be_uploaded_is_refused_unsent(api: Client, requests: Requests, source: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        api.upload(source)
    with pytest.raises(TypeError, match="give a list"):
        api.upload(make_png(), tags="giraffe")
    with pytest.raises(FileNotFoundError):
        api.upload("/nowhere/x.png")
    assert requests.seen == []


def test_a_bad_picture_is_refused_with_its_reason(api: Client) -> None:
    with pytest.raises(BadImage) as caught:
        api.upload(make_png()[:-20])
    assert (caught.value.status, caught.value.code, caught.value.field) == (422, "bad_image", "file")
    assert caught.value.reason == "truncated"
    assert isinstance(caught.value.offset, int)


def test_direct_uploads_go_to_the_bucket(api: Client, sessions: Sessions, store: ObjectStore, requests: Requests) -> None:
    data = make_png(BIG, BIG)
    image = api.upload(data, label="a", tags=["x"], attributes={"é": 1}, name='a "b".png', direct=True)
    assert (image.created, image.sha256, image.label, image.tags) == (True, sha256(data), "a", ["x"])
    assert (image.attributes, image.original_name) == ({"é": 1}, 'a "b".png')
    assert [line.split()[0:2] for line in requests.seen] == [["POST", "uploads"], ["POST", "uploads/1/complete"]]
    assert api.upload(data, direct=True).created is False
    with pytest.raises(BadImage):
        api.upload(data[:-12], direct=True)
    with pytest.raises(Invalid) as caught:
        api.upload(make_png(), direct=True, label="\x00")
    assert caught.value.field == "label"
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'READY'") == 1


def test_label_tags_delete_and_restore(api: Client, sessions: Sessions) -> None:
    image = api.upload(make_png(), label="6", tags=["x"])
    assert api.label(image.id, "7").label == "7"
    assert api.label(image, None).label is None
    assert api.tags(image.id, ["b", "a"]).tags == ["a", "b"]
    assert api.tags(image, []).tags == []
    api.delete(image.id)
    with pytest.raises(NotFound):
        api.image(image.id)
    assert api.restore(image.id).id == image.id
    api.delete(image)
    again = api.upload(api_bytes := make_png(seed=99))
    api.delete(again, purge=True)
    with pytest.raises(NotFound):
        api.restore(again)
    assert api.upload(api_bytes).created is True
    with pytest.raises(TypeError, match="give a list"):
        api.tags(image, "ab")


def test_a_restore_that_came_too_late_is_a_conflict(api: Client) -> None:
    data = make_png()
    image = api.upload(data)
    api.delete(image)
    api.upload(data)
    with pytest.raises(Conflict) as caught:
        api.restore(image)
    assert caught.value.status == 409


def test_images_walks_over_all_pages_while_pictures_come(api: Client, requests: Requests) -> None:
    ids = [api.upload(make_png()).id for _ in range(11)]
    seen = []
    for image in api.images(page_size=3):
        seen.append(image.id)
        if len(seen) % 3 == 1:
            api.upload(make_png())
    assert seen == ids[::-1]
    assert requests.count("GET images ") == 4
    newest = [image.id for image in api.images(limit=5, page_size=3)]
    assert (len(newest), newest[4]) == (5, ids[-1]), "four have come meanwhile"
    assert list(api.images(limit=0)) == []


def test_images_asks_for_no_more_than_is_taken(api: Client, requests: Requests) -> None:
    for _ in range(4):
        api.upload(make_png())
    walk = api.images(page_size=2)
    assert requests.count("GET images ") == 0
    next(walk)
    assert requests.count("GET images ") == 1
    assert len(list(api.images(limit=3))) == 3
    assert requests.count("GET images ") == 2


def test_images_passes_every_filter_on(api: Client) -> None:
    both = api.upload(make_png(20, 30), label="a", tags=["x", "y"], split="train")
    api.upload(make_png(20, 20), label="a", tags=["x"], split="test")
    api.upload(make_png(40, 30), label="b", tags=["y"])
    assert [image.id for image in api.images(tag=["x", "y"])] == [both.id]
    assert len(list(api.images(tag="x"))) == 2
    assert [image.id for image in api.images(label="a", min_height=25, max_width=20, split=None)] == [both.id]
    assert [image.id for image in api.images(page_size=1, label="a", split="train")] == [both.id]
    with pytest.raises(Invalid) as caught:
        next(api.images(colour="red"))
    assert (caught.value.status, caught.value.field) == (422, "colour")
    with pytest.raises(ValueError, match="moment has no time zone"):
        next(api.images(moment=datetime(2026, 1, 1)))  # noqa: DTZ001
    with pytest.raises(ValueError, match="label has half of a surrogate pair"):
        next(api.images(label="\ud800"))
    with pytest.raises(TypeError, match="thing is a object"):
        next(api.images(thing=object()))


def test_viewers_read(address: str, api: Client, connect: Connect) -> None:
    image = api.upload(make_png())
    viewer = connect(address, Role.VIEWER)
    assert list(viewer.images()) == [image]
    assert sha256(viewer.fetch(image.id)) == image.sha256


NAMES = st.text(min_size=1, max_size=60) | st.sampled_from(
    [
        'a"b.png',
        "50%22.png",
        "%.png",
        "a\\b.png",
        "é\u0301 👩‍🔬.png",
        "\x7f\x85.png",
        "-",
        "..",
        " a  b ",
        "a\r\nb.png",
        "x" * 300 + ".png",
    ]
)
# The API refuses control characters and blanks in words; tests/web/test_bad_input.py says so for each field.
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(str.strip)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@RELAXED
@example(
    name='50%22 "x" \\ é.png', label="İ ß", tags=["a,b", 'q"q', "%2C"], attributes={"": {"é": ["\u2028", 0.1]}}, direct=False
)
@given(
    name=NAMES,
    label=st.none() | WORDS,
    tags=st.lists(WORDS, max_size=4),
    attributes=st.dictionaries(st.text(max_size=10), VALUES, max_size=3),
    direct=st.booleans(),
)
def test_names_in_any_script_come_back_as_the_service_keeps_them(
    api: Client, name: str, label: str | None, tags: list[str], attributes: dict[str, Any], direct: bool
) -> None:
    """The rule for names is applied here by the service's own functions: what the client sends must arrive to the letter."""
    try:
        kept = Description(original_name=name, label=label, tags=tags, attributes=attributes)
    except Refused:
        with pytest.raises(Invalid) as caught:
            api.upload(make_png(), name=name, label=label, tags=tags, attributes=attributes, direct=direct)
        assert str(caught.value.field).partition(".")[0] in (
            "label",
            "tags",
            "attributes",
        )  # where two are at fault, either may be named
        return
    image = api.upload(make_png(), name=name, label=label, tags=tags, attributes=attributes, direct=direct)
    assert (image.original_name, image.label, image.tags) == (kept.original_name, kept.label, list(kept.tags))
    assert image.attributes == kept.attributes
    found: list[Image] = list(api.images(label=label, tag=tags, limit=1)) if label or tags else [image]
    assert found == [image]


def test_splits_are_those_of_the_service(api: Client) -> None:
    assert api.upload(make_png(), split="validation").split == "validation"
    with pytest.raises(Invalid) as caught:
        api.upload(make_png(), split="Not a split")
    assert (caught.value.field, caught.value.retryable) == ("split", False)
    assert caught.value.request_id
