"""Pictures that look alike: found once, whichever comes first, shown by the catalogue, gone with either."""

import io

import pytest
from PIL import Image

from schema.session import Sessions
from service.accounts.actor import Actor
from service.pictures.delete import delete_image
from service.pictures.likeness import LookedAt, alike, look_at_new
from storage.base import ObjectStore
from tests.factories import add_image, execute, one, rows, together
from tests.unit.png.test_perceptual import photo, saved

PAIRS = "SELECT image_id, other_id, label, other_label, split, other_split FROM catalog.duplicates_near ORDER BY 1, 2"


@pytest.fixture
def pictures(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    """A picture, a smaller copy, another picture, and one of one colour."""
    image = photo(1, 200)
    contents = [saved(image), saved(image.resize((150, 150))), saved(photo(2, 200)), saved(Image.new("L", (200, 100), 200))]
    return [
        add_image(sessions, store, actor, data, label=f"label {number}", split="test" if number == 1 else "train")
        for number, data in enumerate(contents)
    ]


def test_copies_are_found_and_shown_from_both_sides(sessions: Sessions, pictures: list[int]) -> None:
    first, copy, other, plain = pictures
    assert look_at_new(sessions) == LookedAt(4, 1)
    assert rows(sessions, PAIRS) == [
        (first, copy, "label 0", "label 1", "train", "test"),
        (copy, first, "label 1", "label 0", "test", "train"),
    ]
    assert [each.image_id for each in alike(sessions, first)] == [copy]
    assert [each.image_id for each in alike(sessions, copy)] == [first]
    assert alike(sessions, other) == alike(sessions, plain) == []
    assert 0.98 <= alike(sessions, first)[0].likeness <= 1
    assert look_at_new(sessions) == LookedAt(0, 0)
    assert one(sessions, "SELECT count(*) FROM pixref.image_likeness WHERE looked_at IS NULL") == 0
    assert one(sessions, "SELECT phash FROM pixref.image_likeness WHERE image_id = :id", id=plain) is None


def test_a_copy_that_comes_later_is_found_as_well(
    sessions: Sessions, store: ObjectStore, actor: Actor, pictures: list[int]
) -> None:
    look_at_new(sessions)
    webp = io.BytesIO()
    photo(2, 200).save(webp, "WEBP", quality=70)
    later = add_image(sessions, store, actor, saved(Image.open(webp).convert("RGB")))
    assert look_at_new(sessions) == LookedAt(1, 1)
    assert [each.image_id for each in alike(sessions, pictures[2])] == [later]


def test_a_picture_that_goes_takes_its_pairs_along(sessions: Sessions, pictures: list[int]) -> None:
    look_at_new(sessions)
    first, copy = pictures[:2]
    delete_image(sessions, copy)
    assert rows(sessions, PAIRS) == []
    assert alike(sessions, first) == []
    execute(sessions, "DELETE FROM pixref.image WHERE id = :id", id=first)


def test_two_that_look_at_once_miss_no_pair(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    for seed in range(10):
        image = photo(seed, 200)
        for side in (200, 150):
            add_image(sessions, store, actor, saved(image.resize((side, side))))
    found = together(4, lambda _: look_at_new(sessions))
    assert sum(each.pictures for each in found) == 20
    assert one(sessions, "SELECT count(*) FROM pixref.near_duplicate") == 10


def test_of_pictures_that_all_look_the_same_some_are_told(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image = photo(3, 80)
    for number in range(60):
        image.putpixel((0, number), (number, 0, 0))
        add_image(sessions, store, actor, saved(image))
    done = look_at_new(sessions)
    assert done.pictures == 60
    assert 60 * 5 <= done.pairs <= 60 * 20
    assert 5 < len(alike(sessions, one(sessions, "SELECT min(id) FROM pixref.image"))) <= 20


def test_people_may_read_pairs_by_the_view_alone(sessions: Sessions, pictures: list[int]) -> None:
    may = "SELECT has_table_privilege('pixref_reader', :what, 'SELECT')"
    assert one(sessions, may, what="pixref.near_duplicate") is False
    assert one(sessions, may, what="catalog.duplicates_near") is True
