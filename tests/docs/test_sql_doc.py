"""docs/sql.md: every query runs as `pixref_reader` and finds something, the views are as described, the script works as it stands."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import psycopg2
import pytest
from flask import Flask
from sqlalchemy.engine import URL
from werkzeug.serving import make_server

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.datasets.mnist import pictures
from service.models.bulk import batches_unpredicted, predict_batch
from service.models.registry import find_version
from service.models.serving import load
from service.pictures.bulk import upload_many
from service.pictures.labels import set_label
from service.png import PngLimits
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.factories import add_image

TEXT = (PROJECT_DIR / "docs" / "sql.md").read_text()
QUERIES = re.findall(r"^```sql\n(.+?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
SCRIPTS = re.findall(r"^```python\n(.+?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
PHOTOS = PROJECT_DIR / "samples" / "photos"
GIRAFFE = (PHOTOS / "giraffe.png").read_bytes()
DIGITS = 60
SHORT = {"timestamptz": "timestamp with time zone"}


@pytest.fixture
def reader(reader_url: URL) -> Iterator[psycopg2.extensions.connection]:
    line = reader_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(line)) as connection:
        connection.autocommit = True
        yield connection


def add_giraffe(sessions: Sessions, store: ObjectStore, actor: Actor) -> int:
    return add_image(
        sessions,
        store,
        actor,
        GIRAFFE,
        original_name="giraffe.png",
        label="giraffe",
        tags=["giraffe", "savanna"],
        attributes={"camera": "M3", "place": "Etosha"},
    )


@pytest.fixture
def filled(sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int) -> None:
    """Digits, one of them relabelled, a giraffe, a picture without a label, and one that came after the predictions."""
    upload_many(
        sessions,
        store,
        islice(pictures(PROJECT_DIR / "samples", "train"), DIGITS),
        limits=PngLimits(),
        source="mnist",
        actor=actor,
        refuse=lambda candidate, error: pytest.fail(error.detail),
    )
    add_giraffe(sessions, store, actor)
    add_image(sessions, store, actor, (PHOTOS / "plot.png").read_bytes())
    set_label(sessions, 1, "giraffe", actor=actor)
    loaded = load(sessions, store, find_version(sessions, "mnist", version=mnist_model))
    for ids in batches_unpredicted(sessions, loaded.artifact.version_id):
        predict_batch(sessions, store, loaded, ids, actor=actor)
    add_image(sessions, store, actor, (PHOTOS / "badge.png").read_bytes())


@pytest.mark.usefixtures("filled")
def test_every_query_runs_and_finds_something(reader: psycopg2.extensions.connection) -> None:
    assert len(QUERIES) >= 12
    for query in QUERIES:
        with reader.cursor() as cursor:
            cursor.execute(query)
            assert cursor.fetchall(), f"this finds nothing:\n{query}"


def test_giraffes_are_found_by_label_and_by_tag(
    sessions: Sessions, store: ObjectStore, actor: Actor, reader: psycopg2.extensions.connection
) -> None:
    add_image(sessions, store, actor, label="lion", tags=["savanna"])
    giraffe = add_giraffe(sessions, store, actor)
    by_label, by_tag, by_both_tags = QUERIES[:3]
    for query in (by_label, by_tag, by_both_tags):
        with reader.cursor() as cursor:
            cursor.execute(query)
            assert [row[0] for row in cursor.fetchall()] == [giraffe]


def test_the_views_are_as_described(reader: psycopg2.extensions.connection) -> None:
    with reader.cursor() as cursor:
        cursor.execute(
            """
            select c.relname, obj_description(c.oid), a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
            from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = 'catalog'::regnamespace and a.attnum > 0
            order by c.relname, a.attnum
            """
        )
        in_database = cursor.fetchall()
    described = []
    sections = re.findall(r"^### `(\w+)`\n\n(.+?)\n\n(.+?)\n\n", TEXT, flags=re.DOTALL | re.MULTILINE)
    for view, about, table in sorted(sections):
        for column, kind, text in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", table, flags=re.MULTILINE):
            described.append((view, about, column, SHORT.get(kind, kind), text))
    assert described == in_database


@contextmanager
def served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_script_fetches_what_was_uploaded(
    app: Flask, sessions: Sessions, store: ObjectStore, actor: Actor, reader_url: URL, tmp_path: Path
) -> None:
    giraffe = add_giraffe(sessions, store, actor)
    add_image(sessions, store, actor, label="lion")
    (script,) = SCRIPTS
    program = tmp_path / "my_script.py"
    program.write_text(script)
    with served(app) as url:
        environment = {
            **os.environ,
            "PIXREF_SQL": reader_url.set(drivername="postgresql").render_as_string(hide_password=False),
            "PIXREF_TOKEN": create_token(sessions, name="my script", role=Role.VIEWER),
            "PIXREF_URL": url,
        }
        done = subprocess.run(
            [sys.executable, program, "giraffe", "pictures"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()} == {f"{giraffe}.png": GIRAFFE}
