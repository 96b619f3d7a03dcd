"""The views of schema `catalog`: only what is READY, true for what they say, and quick where many pictures are."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from storage.base import ObjectStore
from tests.docs.known_store import photo
from tests.factories import add_image, execute, rows
from tests.pngs import exif_block, png

COUNT = 20_000
GENERATED = f"""
INSERT INTO pixref.label (name) SELECT g::text FROM generate_series(0, 9) g UNION ALL VALUES ('giraffe');
INSERT INTO pixref.tag (name) SELECT 'tag' || g FROM generate_series(1, 50) g;
INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, label_id, split, source,
                          attributes, created_at, ready_at, lease_until)
SELECT encode(sha256(g::text::bytea), 'hex'), 'images/' || g, 300, CASE WHEN g % 1000 = 0 THEN 'DELETING' ELSE 'READY' END, 28, 28, 1, 8, 0,
       CASE WHEN g % 100 = 7 THEN NULL ELSE 1 + g % 10 END, CASE WHEN g % 5 = 0 THEN 'test' ELSE 'train' END, 'test',
       jsonb_build_object('camera', 'M' || g % 500), now(), now(), NULL
FROM generate_series(1, {COUNT}) g;
INSERT INTO pixref.image_tag SELECT id, 1 + id % 50 FROM pixref.image;
INSERT INTO pixref.model (name) VALUES ('mnist');
INSERT INTO pixref.model_version (model_id, number, state, artifact_key, artifact_sha256, artifact_size, litert_key, litert_sha256, litert_size,
                                  input_spec, preprocessing)
SELECT 1, n, 'READY', 'm' || n, repeat('a', 64), 1, 'l' || n, repeat('b', 64), 1, '{{}}', '{{}}' FROM generate_series(1, 2) n;
INSERT INTO pixref.model_class SELECT v, p, p + 1 FROM generate_series(1, 2) v, generate_series(0, 9) p;
INSERT INTO pixref.model_alias (model_id, alias, model_version_id) VALUES (1, 'champion', 2);
INSERT INTO pixref.prediction (image_id, model_version_id, label_id, score, scores)
SELECT id, v, 1 + (id + (id % 200 = 3)::int) % 10, 0.5, '{{0.5,0.3,0.2}}' FROM pixref.image, generate_series(1, 2) v;
"""


@pytest.fixture
def admin(admin_url: URL) -> Iterator[Connection]:
    with create_engine(admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


@pytest.fixture
def reader(reader_url: URL) -> Iterator[Connection]:
    with create_engine(reader_url, poolclass=NullPool).connect() as connection:
        yield connection


@pytest.fixture
def many(admin: Connection) -> None:
    admin.exec_driver_sql(GENERATED.replace("%", "%%"))
    admin.exec_driver_sql("VACUUM ANALYZE")


# What finds its rows by an index, however many pictures there are.
QUICK = [
    "SELECT * FROM images WHERE image_id = 5",
    "SELECT * FROM images WHERE label = '7' ORDER BY image_id DESC LIMIT 50",
    "SELECT * FROM images WHERE split = 'test' ORDER BY image_id LIMIT 50",
    "SELECT * FROM images WHERE sha256 = repeat('a', 64)",
    """SELECT * FROM images WHERE attributes @> '{"camera": "M3"}' LIMIT 50""",
    "SELECT * FROM images WHERE image_id > 15000 ORDER BY image_id LIMIT 50",
    "SELECT i.* FROM images i JOIN image_tags t USING (image_id) WHERE t.tag = 'tag3' ORDER BY image_id DESC LIMIT 50",
    "SELECT * FROM image_metadata WHERE image_id = 5",
    "SELECT * FROM image_tags WHERE image_id = 5",
    "SELECT * FROM label_history WHERE image_id = 5",
    "SELECT * FROM labels WHERE label = '7'",
    "SELECT * FROM tags WHERE tag = 'tag3'",
    "SELECT * FROM predictions WHERE image_id = 5",
    "SELECT * FROM predictions WHERE model = 'mnist' AND version = 1 AND image_id BETWEEN 100 AND 120",
    "SELECT * FROM champion_predictions WHERE image_id = 5",
    "SELECT * FROM champion_predictions WHERE model = 'mnist' AND image_id BETWEEN 100 AND 120",
    "SELECT * FROM disagreements WHERE image_id = 203",
    "SELECT * FROM unlabelled ORDER BY image_id DESC LIMIT 50",
    "SELECT * FROM uncertain WHERE image_id = 5",
    "SELECT * FROM storage_use WHERE kind = 'trash'",
]
LONG_TABLES = {"image", "image_tag", "prediction", "label_event", "thumbnail"}


def scanned_whole(plan: object) -> set[str]:
    """Return the tables that a plan reads from end to end."""
    if isinstance(plan, list):
        return {name for part in plan for name in scanned_whole(part)}
    if not isinstance(plan, dict):
        return set()
    own = {plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set()
    return own | {name for part in plan.values() for name in scanned_whole(part)}


def filters_find_their_rows_by_an_index(admin: Connection, reader: Connection) -> None:
    admin.exec_driver_sql("SET search_path = catalog")
    for query in QUICK:
        reader.exec_driver_sql(query.replace("%", "%%"))
        (plan,) = admin.exec_driver_sql(f"EXPLAIN (FORMAT json) {query}").one()
        read = scanned_whole(plan) & LONG_TABLES
        assert not read, f"{query} reads {read}:\n{json.dumps(plan, indent=1)}"
    (plan,) = admin.exec_driver_sql("EXPLAIN (FORMAT json) SELECT count(*) FROM images WHERE width > 30").one()
    assert scanned_whole(plan) == {"image"}


def counts_are_those_of_what_is_ready(reader: Connection) -> None:
    ready = COUNT - COUNT // 1000
    assert reader.scalar(text("SELECT count(*) FROM images")) == ready
    assert reader.scalar(text("SELECT sum(images) FROM tags")) == ready
    assert reader.scalar(text("SELECT sum(images) FROM labels")) + reader.scalar(text("SELECT count(*) FROM unlabelled")) == ready
    counted = "SELECT tag, count(*) AS images FROM image_tags GROUP BY tag"
    assert reader.execute(text(f"(SELECT tag, images FROM tags) EXCEPT ({counted})")).all() == []
    labelled = "SELECT count(*) FROM images WHERE label IS NOT NULL"
    for version in (1, 2):
        which = f"WHERE model = 'mnist' AND version = {version}"
        assert reader.scalar(text(f"SELECT sum(images) FROM confusion {which}")) == reader.scalar(text(labelled))
        wrong = reader.scalar(text(f"SELECT sum(images) FROM confusion {which} AND label <> predicted"))
        assert wrong == reader.scalar(text(f"SELECT count(*) FROM disagreements {which}")) > 0
    assert reader.execute(text("SELECT DISTINCT version, champion FROM confusion ORDER BY 1")).all() == [(1, False), (2, True)]
    assert reader.execute(text("SELECT model, champion, versions, newest FROM models")).all() == [("mnist", 2, 2, 2)]


@pytest.mark.usefixtures("many")
def test_many_pictures(admin: Connection, reader: Connection) -> None:
    # One test: the rows take longer to make than to ask.
    filters_find_their_rows_by_an_index(admin, reader)
    counts_are_those_of_what_is_ready(reader)


def test_only_ready_pictures_are_in_any_view(
    sessions: Sessions, store: ObjectStore, actor: Actor, admin: Connection, reader: Connection
) -> None:
    admin.exec_driver_sql(GENERATED.replace("%", "%%").replace(str(COUNT), "40"))
    of_pictures = reader.scalars(
        text("SELECT table_name FROM information_schema.columns WHERE table_schema = 'catalog' AND column_name = 'image_id'")
    ).all()
    assert len(of_pictures) == 12
    admin.exec_driver_sql("UPDATE pixref.image SET label_id = NULL WHERE id = 3")
    admin.exec_driver_sql("UPDATE pixref.image SET label_id = 6 WHERE id = 4")
    for picture in (3, 4):
        seen = {view for view in of_pictures if reader.scalar(text(f"SELECT count(*) FROM {view} WHERE image_id = {picture}"))}
        assert {"images", "image_metadata", "image_tags", "predictions", "champion_predictions", "uncertain"} <= seen
        assert ("unlabelled" in seen) == (picture == 3)
        assert ("disagreements" in seen) == (picture == 4)
    for state in ("'DELETING', lease_until = NULL", "'PENDING', lease_until = now()"):
        admin.exec_driver_sql(f"UPDATE pixref.image SET state = {state} WHERE id IN (3, 4)")
        reader.rollback()
        for view in of_pictures:
            assert reader.scalar(text(f"SELECT count(*) FROM {view} WHERE image_id IN (3, 4)")) == 0, (view, state)


def test_no_view_shows_keys_or_secrets(admin: Connection) -> None:
    found = admin.scalars(text("SELECT pg_get_viewdef(c.oid) FROM pg_class c WHERE relnamespace = 'catalog'::regnamespace")).all()
    assert len(found) == 25
    for definition in found:
        for secret in ("object_key", "artifact_key", "litert_key", "token", "idempotency", "args", "thumbnail.data,"):
            assert secret not in definition


def test_metadata_are_typed(sessions: Sessions, store: ObjectStore, actor: Actor, reader: Connection) -> None:
    plain, taken = add_image(sessions, store, actor), add_image(sessions, store, actor, photo())
    row = reader.execute(text("SELECT * FROM image_metadata WHERE image_id = :id"), {"id": taken}).one()._mapping
    assert {name: row[name] for name in ("color_type", "interlaced", "animated", "gamma", "pixel_aspect", "text")} == {
        "color_type": "rgb",
        "interlaced": True,
        "animated": False,
        "gamma": 0.45455,
        "pixel_aspect": None,
        "text": {"Title": "Lion at dawn", "Author": "Ana"},
    }
    assert row["dpi_x"] == pytest.approx(300, abs=0.01)
    assert row["taken_at"] == datetime(2025, 8, 14, 4, 30, tzinfo=UTC)
    assert (row["camera_make"], row["camera_model"], row["orientation"], row["iso"], row["exposure_s"]) == (
        "Acme",
        "Acme M3",
        6,
        400,
        0.004,
    )
    bare = reader.execute(text("SELECT * FROM image_metadata WHERE image_id = :id"), {"id": plain}).one()._mapping
    assert {name for name, value in bare.items() if value is not None} == {
        "image_id",
        "color_type",
        "interlaced",
        "animated",
        "text",
        "exif",
    }


@pytest.mark.parametrize(
    ("date", "offset", "expected"),
    [
        ("2025:08:14 06:30:00", "+02:00", "2025-08-14T04:30:00+00:00"),
        ("2025:08:14 06:30:00", "-05:30", "2025-08-14T12:00:00+00:00"),
        ("2025:08:14 06:30:00", "+23:59", "2025-08-13T06:31:00+00:00"),
        ("2025:08:14 06:30:00", "", "2025-08-14T06:30:00+00:00"),
        ("0002:01:01 00:00:00", "", "0002-01-01T00:00:00+00:00"),
        ("9998:12:31 23:59:59", "-23:59", "9999-01-01T23:58:59+00:00"),
    ],
)
def test_no_date_in_a_file_breaks_the_view_for_everybody(
    sessions: Sessions, store: ObjectStore, actor: Actor, reader: Connection, date: str, offset: str, expected: str
) -> None:
    def word(value: str) -> tuple[int, int, bytes]:
        return 2, len(value) + 1, value.encode() + b"\0"

    sub = {0x9004: word(date), **({0x9012: word(offset)} if offset else {})}
    data = png(seed=3, middle=[(b"eXIf", exif_block({}, sub=sub)), (b"tIME", bytes((0, 1, 1, 1, 0, 0, 60)))])
    add_image(sessions, store, actor, data)
    shown = reader.execute(text("SELECT digitized_at::text, modified_at::text FROM image_metadata")).one()
    assert shown.digitized_at == expected.replace("T", " ").removesuffix(":00")
    assert shown.modified_at == "0001-01-01 00:00:59+00"


def test_uncertainty_is_that_of_the_scores(sessions: Sessions, admin: Connection) -> None:
    admin.exec_driver_sql(GENERATED.replace("%", "%%").replace(str(COUNT), "3"))
    execute(sessions, "UPDATE pixref.prediction SET scores = '{0.7,0.2,0.1}', score = 0.7 WHERE image_id = 1")
    execute(sessions, "UPDATE pixref.prediction SET scores = '{1,0,0}', score = 1 WHERE image_id = 2")
    execute(sessions, "UPDATE pixref.prediction SET scores = '{0.5,0.5}', score = 0.5 WHERE image_id = 3")
    found = rows(sessions, "SELECT margin, entropy FROM catalog.uncertain ORDER BY image_id")
    assert found == [pytest.approx((0.5, 0.801819)), pytest.approx((1, 0)), pytest.approx((0, 0.693147))]
