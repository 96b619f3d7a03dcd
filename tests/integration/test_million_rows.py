"""The rows of `python -m bench million`, a few thousand of them: as the application would have written them, and found by every filter."""

import time
from dataclasses import fields
from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from bench.million import FILTERS
from bench.million_rows import RARE, fill
from schema.session import Sessions
from schema.tables import Image
from service.pictures import facets
from service.pictures.facets import FRESH_S, FacetCounter, Facets
from service.pictures.search import ImageFilter, apply_filter, list_images, list_tiles
from tests.factories import execute, one, rows
from tests.integration.shelf import CHAMPION_ROW, VERSION_ROW

COUNT = 6_000


INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'pixref' ORDER BY indexname"


@pytest.fixture
def filled(sessions: Sessions, admin_url: URL) -> None:
    execute(sessions, "INSERT INTO pixref.model (name) VALUES ('mnist')")
    execute(sessions, VERSION_ROW, model="mnist", number=1, key="1", digest="0" * 64)
    execute(sessions, CHAMPION_ROW, version=one(sessions, "SELECT id FROM pixref.model_version"))
    indexes = rows(sessions, INDEXES)
    fill(admin_url.set(drivername="postgresql").render_as_string(hide_password=False), COUNT)
    assert rows(sessions, INDEXES) == indexes  # they were dropped meanwhile


def test_every_part_of_a_filter_is_measured() -> None:
    measured = {name for parts in FILTERS.values() for name in parts}
    assert measured == {each.name for each in fields(ImageFilter)}


def test_rows_are_whole_and_every_filter_finds_what_it_should(sessions: Sessions, filled: None) -> None:
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'READY'") == COUNT
    assert one(sessions, "SELECT count(*) FROM pixref.thumbnail t JOIN pixref.image i ON i.id = t.image_id") == COUNT
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE split = 'holdout'") == RARE
    same = """
        SELECT count(*) FROM pixref.image i JOIN pixref.image_facts f ON f.image_id = i.id
        WHERE (i.width, i.height, i.byte_size, i.channels, i.bit_depth, i.created_at) =
              (f.width, f.height, f.byte_size, f.channels, f.bit_depth, f.created_at)
          AND f.taken_at IS NOT DISTINCT FROM i.taken_at AND f.name IS NOT DISTINCT FROM lower(i.original_name)
          AND f.parts = pixref.search_parts(i.id >> 12, i.original_name, i.attributes, i.exif, i.png)"""
    assert one(sessions, same) == COUNT
    empty = set()
    for name, parts in FILTERS.items():
        wanted = ImageFilter(**parts)
        query = apply_filter(select(Image.id).where(Image.state == "READY"), wanted).order_by(Image.id.desc()).limit(50)
        with sessions() as session:
            expected = list(session.scalars(query))
        assert [item.id for item in list_images(sessions, wanted).items] == expected, name
        if not expected:
            empty.add(name)
    nothing = {name for name in FILTERS if name.endswith(("nothing", "nothing has", "never meet"))} | {"damaged"}
    assert empty == nothing
    assert len(list_tiles(sessions, ImageFilter(), limit=60).items) == 60
    following = """
        INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, source)
        VALUES (repeat('a', 64), 'images/k', 1, 'PENDING', 1, 1, 1, 8, 0, 'test') RETURNING id"""
    assert one(sessions, following) == COUNT + 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_counts_that_took_long_are_kept_and_say_when_they_were_made(
    sessions: Sessions, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    counter = FacetCounter(sessions, clock=clock)
    quick = counter.count(ImageFilter())
    assert quick.total == COUNT
    assert counter.count(ImageFilter()).as_of > quick.as_of  # it took no time: counted anew
    real = facets.count_facets

    def slow(*args: object) -> facets.Facets:
        clock.now += 1
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(facets, "count_facets", slow)
    kept = counter.count(ImageFilter())
    execute(sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE id = 1")
    assert counter.count(ImageFilter()) is kept
    assert counter.count(ImageFilter(split="train")) is not kept
    clock.now += FRESH_S + 1
    assert counter.count(ImageFilter()) is kept  # and renewed behind the answer
    assert _renewed(counter, kept.as_of).total == COUNT - 1
    clock.now += facets.KEPT_S + 1
    execute(sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE id = 2")
    assert counter.count(ImageFilter()).total == COUNT - 2


def _renewed(counter: FacetCounter, before: datetime) -> Facets:
    for _ in range(500):
        found = counter.count(ImageFilter())
        if found.as_of > before:
            return found
        time.sleep(0.01)
    raise AssertionError("the counts were not renewed")
