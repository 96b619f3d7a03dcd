"""Lists against a model in plain Python: every filter, every order, forward and backward, while pictures come and go."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from schema.session import Sessions
from schema.tables import Image
from service.errors import Invalid
from service.pictures import paging
from service.pictures.cursors import BIGINT_MAX, Cursor, decode_cursor, encode_cursor
from service.pictures.facets import count_facets
from service.pictures.search import ImageFilter, Page, Sort, apply_filter, get_image, list_images, neighbours
from tests.factories import execute
from tests.integration.shelf import FIRST, LABELS, NAMES, OBJECTS, SCORES, SPLITS, STEP, TAGS, Shelf

RELAXED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

tags = st.lists(st.sampled_from([*TAGS, "nobody's"]), max_size=2, unique=True)
sides = st.sampled_from([1, 10, 11, 28, 2_000, 2**31 - 1])
times = st.integers(-1, 7).map(lambda day: FIRST + timedelta(days=day))
objects = st.sampled_from([each for each in OBJECTS if each] + [{"n": 2}, {"list": [2]}, {"deep": {}}, {"deep": {"a": False}}])
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "label": st.sampled_from([*LABELS, "nobody's"]),
    "unlabelled": st.booleans(),
    "tag": tags,
    "any_tag": tags,
    "no_tag": tags,
    "untagged": st.booleans(),
    "split": st.sampled_from([*SPLITS, "other"]),
    "min_width": sides,
    "max_width": sides,
    "min_height": sides,
    "max_height": sides,
    "min_byte_size": st.sampled_from([0, 1, 500, 2**41]),
    "max_byte_size": st.sampled_from([0, 1, 500, 2**63 - 1]),
    "channels": st.integers(1, 4),
    "bit_depth": st.sampled_from([1, 2, 8, 16]),
    "created_from": times,
    "created_to": times,
    "taken_from": times,
    "taken_to": times,
    "name": st.sampled_from(["img_", "RÖSS", "größe", "%_a", "a_b", ".png", "zebra"]),
    "name_prefix": st.sampled_from(["i", "IMG", "gR", "100%", "a_", "\\", "zebra"]),
    "attributes": objects,
    "exif": objects,
    "png": objects,
    "predicted": st.sampled_from([*LABELS, "nobody's"]),
    "model": st.sampled_from(["one", "two", "three"]),
    "min_score": st.sampled_from(SCORES),
    "max_score": st.sampled_from(SCORES),
    "agrees": st.booleans(),
    "damaged": st.booleans(),
}


@st.composite
def filters(draw: st.DrawFn, most: int = 3) -> ImageFilter:
    names = draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=most, unique=True))
    parts = {name: draw(PARTS[name]) for name in names}
    if "model" in parts and draw(st.booleans()):
        parts["version"] = draw(st.integers(1, 3))
    for one, others in (("label", ["unlabelled"]), ("untagged", ["tag", "any_tag"])):
        if parts.get(one) and any(parts.get(other) for other in others):
            del parts[one]
    return ImageFilter(**parts)


@pytest.fixture
def shelf(sessions: Sessions) -> Shelf:
    return Shelf(sessions, seed=1, count=40)


@pytest.fixture(params=[False, True], ids=["whole", "narrow"])
def nearby(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without more pictures than what a search looks at one by one."""
    if request.param:
        monkeypatch.setattr(paging, "NEAR", 7)
        monkeypatch.setattr(paging, "GLANCE", 3)


def ids(page: Page[Any]) -> list[int]:
    return [item.id for item in page.items]


def forward(sessions: Sessions, wanted: ImageFilter, sort: Sort, limit: int) -> list[Page[Any]]:
    pages = [list_images(sessions, wanted, limit=limit, sort=sort)]
    while pages[-1].next:
        pages.append(list_images(sessions, wanted, limit=limit, sort=sort, after=pages[-1].next))
    return pages


@RELAXED
@given(wanted=filters(), sort=st.sampled_from(list(Sort)), limit=st.integers(1, 50))
@example(ImageFilter(model="one"), Sort.MOST_UNCERTAIN, 3)
@example(ImageFilter(predicted="cat"), Sort.NEWEST, 4)
@example(ImageFilter(any_tag=["red", "blue"]), Sort.OLDEST, 5)
def test_pages_are_those_of_the_model_in_both_directions(
    sessions: Sessions, shelf: Shelf, nearby: None, wanted: ImageFilter, sort: Sort, limit: int
) -> None:
    if sort.by == "score" and not wanted.model:
        with pytest.raises(Invalid, match="give model too") as refused:
            list_images(sessions, wanted, sort=sort)
        assert refused.value.field == "model"
        wanted = replace(wanted, model="one")
    pages = forward(sessions, wanted, sort, limit)
    assert [number for page in pages for number in ids(page)] == shelf.found(wanted, sort)
    assert all(len(page.items) == limit for page in pages[:-1])
    assert pages[0].prev is None
    for before, after in pairwise(pages):
        back = list_images(sessions, wanted, limit=limit, sort=sort, before=after.prev)
        assert ids(back) == ids(before)
        assert back.next == before.next
        assert (back.prev is None) == (before is pages[0])


@RELAXED
@given(wanted=filters(), sort=st.sampled_from(list(Sort)), data=st.data())
def test_neighbours_are_those_of_the_list(
    sessions: Sessions, shelf: Shelf, nearby: None, wanted: ImageFilter, sort: Sort, data: st.DataObject
) -> None:
    if sort.by == "score":
        wanted = replace(wanted, model=wanted.model or "one")
    found = shelf.found(wanted, sort)
    for place in sorted(data.draw(st.sets(st.integers(0, len(found) - 1), max_size=3))) if found else ():
        around = neighbours(sessions, wanted, get_image(sessions, found[place]), sort=sort)
        assert around.previous == (found[place - 1] if place else None)
        assert around.next == (found[place + 1] if place + 1 < len(found) else None)


def test_a_picture_that_does_not_match_any_more_has_neighbours(sessions: Sessions, shelf: Shelf) -> None:
    wanted = ImageFilter(label=LABELS[0])
    found = shelf.found(wanted)
    other = next(number for number in shelf.found(ImageFilter()) if found[-1] < number < found[0] and number not in found)
    around = neighbours(sessions, wanted, get_image(sessions, other))
    assert around.previous == min(number for number in found if number > other)
    assert around.next == max(number for number in found if number < other)
    unseen = next(n for n in shelf.found(ImageFilter()) if n not in shelf.found(ImageFilter(model="one"), Sort.SUREST))
    by_score = neighbours(sessions, ImageFilter(model="one"), get_image(sessions, unseen), sort=Sort.SUREST)
    assert (by_score.previous, by_score.next) == (None, None)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_each_part_alone_in_every_order(sessions: Sessions, shelf: Shelf, nearby: None, name: str) -> None:
    chance = random.Random(name)
    for _ in range(2):
        value = _some(name, chance)
        for sort in Sort:
            wanted = ImageFilter(**{name: value})
            if sort.by == "score":
                wanted = replace(wanted, model=wanted.model or "two")
            found = [number for page in forward(sessions, wanted, sort, 15) for number in ids(page)]
            assert found == shelf.found(wanted, sort), (name, value, sort)
        wanted = ImageFilter(**{name: value})
        with sessions() as session:
            matching = set(session.scalars(apply_filter(select(Image.id).where(Image.state == "READY"), wanted)))
        assert matching == set(shelf.found(wanted)), (name, value)


def _some(name: str, chance: random.Random) -> Any:
    choices: dict[str, list[Any]] = {
        "label": [*LABELS],
        "tag": [["red"], ["red", "odd"], ["never"]],
        "any_tag": [["red"], ["red", "odd"], ["never"]],
        "no_tag": [["red"], ["red", "odd"], ["never"]],
        "split": [*SPLITS],
        "channels": [1, 2, 3, 4],
        "bit_depth": [1, 8, 16],
        "name": ["img_", "RÖSS", "%_a", "a_b"],
        "name_prefix": ["i", "gR", "100%"],
        "predicted": [*LABELS],
        "model": ["one", "two"],
    }
    if name in choices:
        return chance.choice(choices[name])
    if name in ("unlabelled", "untagged", "agrees", "damaged"):
        return chance.choice([True, False])
    if name.endswith("score"):
        return chance.choice(SCORES)
    if name in ("attributes", "exif", "png"):
        return chance.choice([each for each in OBJECTS if each])
    if name.endswith(("_from", "_to")):
        return FIRST + timedelta(days=chance.randrange(6))
    return chance.choice([1, 10, 28, 500])


@RELAXED
@given(
    sort=st.sampled_from(list(Sort)),
    wanted=st.sampled_from([ImageFilter(), ImageFilter(tag=["red"]), ImageFilter(min_width=10), ImageFilter(name=".png")]),
    limit=st.integers(1, 7),
    seed=st.integers(0, 2**32),
)
def test_nothing_is_lost_or_seen_twice_while_pictures_come_and_go(
    sessions: Sessions, nearby: None, shelf: Shelf, sort: Sort, wanted: ImageFilter, limit: int, seed: int
) -> None:
    chance = random.Random(seed)
    if sort.by == "score":
        wanted = replace(wanted, model="one")
    there = shelf.found(wanted, sort)
    backward = chance.random() < 0.5
    pages = forward(sessions, wanted, sort, limit)
    if backward and len(pages) > 1:
        page = pages[-1]
        there = [number for number in there if number not in ids(page)]
        cursor = page.prev
    else:
        backward, page, cursor = False, pages[0], pages[0].next
    seen = [] if backward else ids(page)
    while cursor:
        if len(shelf.books) > 30 and chance.random() < 0.7:
            # Among them the very ones that cursors name.
            candidates = [book for book in shelf.books if book.id in (seen[-1:] or (page and ids(page)))] or shelf.books
            shelf.remove(chance.choice(candidates if chance.random() < 0.5 else shelf.books))
        for _ in range(chance.randrange(3)):
            if len(shelf.books) < 60:
                shelf.add()
        page = list_images(
            sessions,
            wanted,
            limit=limit,
            sort=sort,
            **{"before" if backward else "after": cursor},  # type: ignore[arg-type]
        )
        seen = [*ids(page), *seen] if backward else [*seen, *ids(page)]
        cursor = page.prev if backward else page.next
    assert len(seen) == len(set(seen))
    left = {book.id for book in shelf.books}
    order = [number for number in seen if number in there]
    assert [number for number in there if number in left] == [number for number in order if number in left]


def test_behind_the_last_one_leads_back(sessions: Sessions, shelf: Shelf) -> None:
    everything = shelf.found(ImageFilter())
    for sort, last in ((Sort.NEWEST, everything[-1]), (Sort.OLDEST, everything[0])):
        page = list_images(sessions, ImageFilter(), sort=sort, limit=5, after=encode_cursor(sort, Cursor(last)))
        assert (page.items, page.next) == ([], None)
        back = list_images(sessions, ImageFilter(), sort=sort, limit=5, before=page.prev)
        assert ids(back)[-1] == last


def test_facts_follow_their_picture(sessions: Sessions, shelf: Shelf) -> None:
    book = shelf.books[5]
    execute(
        sessions,
        "UPDATE pixref.image SET original_name = 'Renamed.png', width = 77, attributes = '{\"new\": 1}' WHERE id = :id",
        id=book.id,
    )
    for wanted in (
        ImageFilter(name="renamed"),
        ImageFilter(name_prefix="RENAMED"),
        ImageFilter(min_width=77, max_width=77),
        ImageFilter(attributes={"new": 1}),
    ):
        assert ids(list_images(sessions, wanted)) == [book.id], wanted
    execute(sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE id = :id", id=book.id)
    assert ids(list_images(sessions, ImageFilter(name="renamed"))) == []
    execute(sessions, "DELETE FROM pixref.image WHERE id = :id", id=book.id)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == len(shelf.books) - 1


cursors = st.builds(Cursor, st.integers(0, BIGINT_MAX))
dated = st.builds(Cursor, st.integers(0, BIGINT_MAX), st.datetimes(timezones=st.just(FIRST.tzinfo)))  # type: ignore[arg-type]
scored = st.builds(Cursor, st.integers(0, BIGINT_MAX), st.floats(0, 1))


@given(st.sampled_from(list(Sort)), cursors, dated, scored)
def test_cursors_come_back_as_they_were(sort: Sort, by_id: Cursor, by_date: Cursor, by_score: Cursor) -> None:
    cursor = {"id": by_id, "date": by_date, "score": by_score}[sort.by]
    assert decode_cursor(encode_cursor(sort, cursor), sort, field="after") == cursor


@given(st.sampled_from(list(Sort)), st.sampled_from(list(Sort)), cursors, dated, scored, st.data())
def test_cursors_that_were_altered_are_refused(
    sort: Sort, other: Sort, by_id: Cursor, by_date: Cursor, by_score: Cursor, data: st.DataObject
) -> None:
    text = encode_cursor(sort, {"id": by_id, "date": by_date, "score": by_score}[sort.by])
    if other is not sort:
        with pytest.raises(Invalid, match=f"sort={sort}"):
            decode_cursor(text, other, field="before")
    place = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from("ABCabc019-_=%é"))
    altered = text[:place] + char + text[place + 1 :]
    for broken in {altered, text[:place], text + char, text[1:], f"{text}=", text.swapcase()} - {text}:
        with pytest.raises(Invalid, match="after is"):
            decode_cursor(broken, sort, field="after")


@pytest.mark.parametrize(
    "cursor", [Cursor(-1), Cursor(1, -0.5), Cursor(1, 1.5), Cursor(1, float("nan")), Cursor(1, float("inf"))]
)
def test_cursors_of_places_that_there_are_not(cursor: Cursor) -> None:
    sort = Sort.NEWEST if cursor.key is None else Sort.SUREST
    with pytest.raises(Invalid, match="not a cursor"):
        decode_cursor(encode_cursor(sort, cursor), sort, field="after")


def test_a_cursor_beyond_all_pictures(sessions: Sessions, shelf: Shelf) -> None:
    for wanted in (ImageFilter(), ImageFilter(min_width=1), ImageFilter(name=".png")):
        everything = shelf.found(wanted)
        for number, expected in ((BIGINT_MAX, everything), (0, [])):
            page = list_images(sessions, wanted, after=encode_cursor(Sort.NEWEST, Cursor(number)))
            assert ids(page) == expected
        page = list_images(sessions, wanted, sort=Sort.OLDEST, after=encode_cursor(Sort.OLDEST, Cursor(0)))
        assert ids(page) == everything[::-1]


@RELAXED
@given(wanted=filters(most=2))
def test_facets_count_what_the_list_has(sessions: Sessions, shelf: Shelf, wanted: ImageFilter) -> None:
    found = set(shelf.found(wanted))
    books = [book for book in shelf.books if book.id in found]
    facets = count_facets(sessions, wanted)
    assert facets.total == len(books)

    def counted(values: list[Any]) -> dict[Any, int]:
        return {value: values.count(value) for value in set(values)}

    assert dict(facets.labels) == counted([book.label for book in books])
    assert dict(facets.splits) == counted([book.split for book in books])
    assert dict(facets.tags) == counted([tag for book in books for tag in book.tags])
    versions = [
        version
        for version in {("one", 1), ("one", 2), ("two", 1)}
        if wanted.model in (None, version[0])
        and (version[1] == wanted.version if wanted.version is not None else version in {("one", 2), ("two", 1)})
    ]
    predicted = [(version[0], result[0]) for book in books for version in versions if (result := book.predictions.get(version))]
    assert {(model, label): count for model, label, count in facets.predicted} == counted(predicted)
    for part in (facets.labels, facets.tags, facets.splits):
        assert [count for *_, count in part] == sorted((count for *_, count in part), reverse=True)


def test_names_are_of_the_shelf() -> None:
    assert len({name for name in NAMES if name}) == len(NAMES) - 1
    assert STEP * 40 > 4 * 2**12
