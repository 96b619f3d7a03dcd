"""Pages as JSON: the same as the pages of rows, and never older than what the database holds."""

import json
from datetime import datetime
from itertools import count, product
from typing import Any

import pytest
from sqlalchemy import event, text

from schema.session import Sessions, single
from service.pictures import json_pages
from service.pictures.json_pages import JsonPage, JsonPages
from service.pictures.paging import Place
from service.pictures.prepared_pages import KEPT, prepared_json
from service.pictures.rows import ADDRESS as ADDRESS_VALUE
from service.pictures.search import ImageFilter, ImageInfo, Page, Sort, list_images
from tests.factories import execute, together
from tests.integration.shelf import TAGS, Shelf

ADDRESS = "https://example.org/p/images"


@pytest.fixture
def shelf(sessions: Sessions) -> Shelf:
    return Shelf(sessions, seed=1, count=130)


@pytest.fixture
def pages(sessions: Sessions) -> JsonPages:
    return JsonPages(sessions)


def read(page: JsonPage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(f"[{page.items}]")
    return found


def first(pages: JsonPages, **wanted: Any) -> JsonPage:
    return pages.page(ImageFilter(**wanted), address=ADDRESS)


WANTED = [
    ImageFilter(),
    ImageFilter(label="cat"),
    ImageFilter(tag=("red",)),
    ImageFilter(unlabelled=True),
    ImageFilter(label="nobody's"),
]


def test_pages_are_those_of_rows(sessions: Sessions, shelf: Shelf, pages: JsonPages) -> None:
    for wanted, sort, limit in product(
        [*WANTED, ImageFilter(split="train")], [Sort.NEWEST, Sort.OLDEST, Sort.LATEST], [50, 60, 7]
    ):
        walk(sessions, pages, wanted, sort, limit)


def walk(sessions: Sessions, pages: JsonPages, wanted: ImageFilter, sort: Sort, limit: int) -> None:
    """Go to the end and back."""
    rows = compare(sessions, pages, wanted, limit=limit, sort=sort)
    forward = 0
    while rows.next:
        forward += 1
        rows = compare(sessions, pages, wanted, limit=limit, sort=sort, after=rows.next)
    backward = 0
    while rows.prev:
        backward += 1
        rows = compare(sessions, pages, wanted, limit=limit, sort=sort, before=rows.prev)
    assert forward == backward


def compare(sessions: Sessions, pages: JsonPages, wanted: ImageFilter, **place: Any) -> Page[ImageInfo]:
    rows = list_images(sessions, wanted, **place)
    page = pages.page(wanted, address=ADDRESS, **place)
    assert pages.page(wanted, address=ADDRESS, **place) == page, "the second is one that was kept"
    assert (page.next, page.prev) == (rows.next, rows.prev)
    for item, info in zip(read(page), rows.items, strict=True):
        link = f"{ADDRESS}/{info.id}"
        assert item.pop("links") == {"self": link, "file": f"{link}/file", "thumbnail": f"{link}/thumbnail"}
        item["created_at"] = datetime.fromisoformat(item["created_at"])
        assert item == info._asdict()
    return rows


def test_a_page_is_kept_while_nothing_changes(sessions: Sessions, shelf: Shelf, pages: JsonPages) -> None:
    page = first(pages)
    with sessions() as session:  # reading changes nothing
        session.execute(text("SELECT count(*) FROM pixref.image"))
    assert first(pages) is page
    assert first(pages, label="cat") is first(pages, label="cat")
    assert pages.page(ImageFilter(), address="/other") is not page


def test_nothing_is_read_for_a_page_that_is_here(sessions: Sessions, shelf: Shelf) -> None:
    statement, values = prepared_json(ImageFilter(), Place())  # type: ignore[misc]
    call, order, constants = statement._call
    with single(sessions) as connection:
        row = statement.one_or_none(connection, {**values, ADDRESS_VALUE: ADDRESS, KEPT: ""})
        given = {**constants, **values, ADDRESS_VALUE: ADDRESS, KEPT: row.snapshot}
        explain = f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) {call}"
        plan = connection.exec_driver_sql(explain, tuple(given[name] for name in order)).scalars().all()
    nodes = [line for line in plan if "->" in line]
    assert len(nodes) > 5
    assert all("(never executed)" in line for line in nodes)


CHANGES = [
    "UPDATE pixref.image SET label_id = (SELECT id FROM pixref.label WHERE name = 'dog') WHERE id = :id",
    "UPDATE pixref.image SET attributes = '{\"new\": true}' WHERE id = :id",
    "UPDATE pixref.image SET damage = 'corrupt', damaged_at = now() WHERE id = :id",
    "INSERT INTO pixref.image_tag (image_id, tag_id) SELECT :id, id FROM pixref.tag WHERE name = 'never'",
    "UPDATE pixref.tag SET name = 'other' WHERE name = 'red' AND :id > 0",
    "UPDATE pixref.label SET name = 'other' WHERE name = 'cat' AND :id > 0",
    "DELETE FROM pixref.image WHERE id = :id",
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_every_change_is_seen_at_once(sessions: Sessions, shelf: Shelf, pages: JsonPages, change: str) -> None:
    book = max(
        (book for book in shelf.books if book.label == "cat" and TAGS[0] in book.tags and book.damage is None), key=lambda b: b.id
    )
    before = {label: first(pages, **({"label": label} if label else {})) for label in (None, "cat")}
    with sessions() as session:
        session.execute(text(change), {"id": book.id})
        assert first(pages) == before[None], "nobody else sees what is not committed"
        session.commit()
    after = {
        label: JsonPages(sessions).page(ImageFilter(label=label) if label else ImageFilter(), address=ADDRESS) for label in before
    }
    assert first(pages) == after[None] != before[None]
    assert first(pages, label="cat") == after["cat"]


def test_a_writer_sees_what_it_wrote_beside_other_writers(sessions: Sessions, shelf: Shelf, pages: JsonPages) -> None:
    ids = [book.id for book in shelf.books[-6:]]

    def write(index: int) -> int:
        for number in range(40):
            mark = f'{{"mark": "{index}-{number}"}}'
            execute(
                sessions, "UPDATE pixref.image SET attributes = CAST(:mark AS jsonb) WHERE id = :id", mark=mark, id=ids[index]
            )
            found = {item["id"]: item for item in read(first(pages))}
            assert found[ids[index]]["attributes"] == json.loads(mark)
        return number

    assert together(len(ids), write) == [39] * len(ids)


def test_a_new_connection_forgets(sessions: Sessions, shelf: Shelf, pages: JsonPages) -> None:
    """Behind it may be a server that has recovered, whose snapshots mean something else."""
    page = first(pages)
    with single(sessions) as connection:
        connection.invalidate()
    again = first(pages)
    assert again == page
    assert again is not page
    assert first(pages) is again


def test_what_a_lost_server_said_is_not_kept(sessions: Sessions, shelf: Shelf, pages: JsonPages) -> None:
    reconnected = count()

    def reconnect(*_: Any) -> None:
        if next(reconnected) == 0:  # while the answer is on its way, another thread finds the server gone and connects anew
            pages._forget()

    event.listen(sessions.engine, "checkin", reconnect)
    page = first(pages)
    assert first(pages) is not page


def test_they_take_no_more_memory_than_said(sessions: Sessions, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pages, "KEPT_BYTES", 100_000)
    pages = JsonPages(sessions)
    largest = pages.page(ImageFilter(), address=ADDRESS, limit=100)
    assert pages.page(ImageFilter(), address=ADDRESS, limit=100) is not largest, "one page never takes the place of all others"
    for number in range(100):
        first(pages, label=f"nobody {number}")
        pages.page(ImageFilter(label="cat"), address=f"/{number}")
    assert 50_000 < pages._kept.currsize <= 100_000
