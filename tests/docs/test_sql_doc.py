"""docs/sql.md: every question gives the answer that is shown, the views are as described, the snippets and the script work as they stand.

After a change of a view or a question, `PIXREF_REFRESH_DOCS=1 .venv/bin/pytest tests/docs/test_sql_doc.py` writes views and answers anew; read the
difference before you commit it.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from flask import Flask
from sqlalchemy.engine import URL
from werkzeug.serving import make_server

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.embedded.postgres import find_binaries
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.docs.known_store import GIRAFFE, fill
from tests.factories import add_image

FILE = PROJECT_DIR / "docs" / "sql.md"
TEXT = FILE.read_text()
REFRESH = "PIXREF_REFRESH_DOCS" in os.environ
SHORT = {"timestamp with time zone": "timestamptz"}

# A code block with the answer that stands below it.
ANSWERED = re.compile(
    r"^```(?P<language>sql|python|sh)\n(?P<code>[^`]+?)^```\n\n^```\n(?P<answer>.*?)^```$", re.DOTALL | re.MULTILINE
)
ANALYSTS = "### With tables of your own"


def section(title: str) -> str:
    """Return what stands below a heading of the second level."""
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


QUESTIONS = list(ANSWERED.finditer(section("Questions")))
SNIPPETS = list(ANSWERED.finditer(section("Connect")))


def line_of(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def reader(reader_url: URL) -> Iterator[psycopg2.extensions.connection]:
    with closing(psycopg2.connect(line_of(reader_url))) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def known(sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int, admin_url: URL, database_url: str) -> None:
    fill(sessions, store, actor, admin_url, database_url, mnist_model)


def run(command: list[str | Path], line: str, given: str = "") -> str:
    """Run a client as the document tells its reader to, and return what it prints."""
    path = f"{find_binaries()}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PIXREF_SQL": line, "PATH": path, "PGTZ": "UTC"}
    done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    # psql pads its columns; editors take such spaces away.
    return "".join(f"{text.rstrip()}\n" for text in done.stdout.rstrip().splitlines())


def replace_answers(answers: dict[str, str]) -> None:
    """Write the answers of these blocks into the document."""
    text = FILE.read_text()
    for code, answer in answers.items():
        block = re.compile(r"(```\w+\n" + re.escape(code) + r"```\n\n```\n).*?(^```$)", re.DOTALL | re.MULTILINE)
        text, count = block.subn(lambda found, answer=answer: found[1] + answer + found[2], text)
        assert count == 1, code
    FILE.write_text(text)


@pytest.mark.usefixtures("known")
def test_every_question_gives_the_answer_that_is_shown(reader_url: URL, analyst_url: URL) -> None:
    assert len(QUESTIONS) >= 40
    start_of_analysts = section("Questions").index(ANALYSTS)
    answers, wrong = {}, []
    for question in QUESTIONS:
        url = reader_url if question.start() < start_of_analysts else analyst_url
        answer = run(["psql", line_of(url), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"], line_of(url), question["code"])
        answers[question["code"]] = answer
        if answer != question["answer"]:
            wrong.append(f"{question['code']}\n{answer}")
    if REFRESH:
        replace_answers(answers)
    else:
        assert not wrong, "\n".join(wrong)


def test_no_question_is_without_an_answer() -> None:
    blocks = re.findall(r"^```sql$", TEXT, re.MULTILINE)
    assert len(blocks) == len([each for each in QUESTIONS if each["language"] == "sql"])
    assert all(each["answer"].strip() for each in (*QUESTIONS, *SNIPPETS)) or REFRESH


@pytest.mark.usefixtures("known")
def test_every_client_connects_as_it_is_told(reader_url: URL, analyst_url: URL, tmp_path: Path) -> None:
    assert [each["language"] for each in SNIPPETS] == ["sh", "python", "python", "python", "python"]
    answers = {}
    for place, snippet in enumerate(SNIPPETS):
        line = line_of(analyst_url if "to_sql" in snippet["code"] else reader_url)
        program = tmp_path / f"snippet{place}.py"
        program.write_text(snippet["code"])
        command: list[str | Path] = [sys.executable, program] if snippet["language"] == "python" else ["sh", program]
        answers[snippet["code"]] = answer = run(command, line)
        assert answer == snippet["answer"] or REFRESH, f"{snippet['code']}\n{answer}"
    if REFRESH:
        replace_answers(answers)


def test_giraffes_are_found_by_label_and_by_tag(
    sessions: Sessions, store: ObjectStore, actor: Actor, reader: psycopg2.extensions.connection
) -> None:
    add_image(sessions, store, actor, label="lion", tags=["savanna"])
    giraffe = add_image(sessions, store, actor, GIRAFFE, label="giraffe", tags=["giraffe", "savanna"])
    for question in QUESTIONS[:3]:
        with reader.cursor() as cursor:
            cursor.execute(question["code"])
            assert [row[0] for row in cursor.fetchall()] == [giraffe]


def described(connection: psycopg2.extensions.connection) -> str:
    """Write the section of the views as the database tells it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            select c.relname, obj_description(c.oid), a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
            from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = 'catalog'::regnamespace and a.attnum > 0
            order by c.relname, a.attnum
            """
        )
        found = cursor.fetchall()
    written, before = [], None
    for view, about, column, kind, text in found:
        if view != before:
            written.append(f"\n### `{view}`\n\n{about}\n\n| column | type | |\n|---|---|---|")
            before = view
        written.append(f"| `{column}` | {SHORT.get(kind, kind)} | {text} |")
    return "\n".join(written)


def test_the_views_are_as_described(reader: psycopg2.extensions.connection) -> None:
    told = described(reader)
    introduction, _, rest = section("The views").partition("\n### ")
    if REFRESH:
        text = FILE.read_text()
        start = text.index("\n## The views\n") + len("\n## The views\n") + len(introduction)
        FILE.write_text(
            text[:start].replace("@@VIEWS@@\n", "").rstrip() + "\n" + told + "\n" + text[text.index("\n## Questions\n") :]
        )
    else:
        assert f"\n### {rest}".rstrip() == told


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
    giraffe = add_image(sessions, store, actor, GIRAFFE, label="giraffe")
    add_image(sessions, store, actor, label="lion")
    (script,) = re.findall(r"^```python\n(.+?)^```", section("A script of your own"), flags=re.DOTALL | re.MULTILINE)
    program = tmp_path / "my_script.py"
    program.write_text(script)
    with served(app) as url:
        environment = {
            **os.environ,
            "PIXREF_SQL": line_of(reader_url),
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
