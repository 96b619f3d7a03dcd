"""`pixref sql`."""

import csv
import io
import json
import shutil
import signal
import subprocess
from contextlib import closing

import psycopg2
import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, Pixref, eventually
from tests.factories import add_image, rows


@pytest.fixture
def picture(sessions: Sessions, store: ObjectStore, actor: Actor) -> int:
    return add_image(sessions, store, actor, label="[red]giraffe", tags=["tall", "savanna"], attributes={"place": "Etosha"})


def test_a_table_for_people(pixref: Pixref, picture: int) -> None:
    result = pixref("sql", "select image_id, label, tags, attributes, split from images")
    assert result.code == 0
    head, row, footer = result.out.splitlines()
    assert head.split() == ["image_id", "label", "tags", "attributes", "split"]
    assert row.split() == [str(picture), "[red]giraffe", '["savanna",', '"tall"]', '{"place":', '"Etosha"}']
    assert footer == "(1 row)"


def test_nothing_is_cut_in_a_pipe_and_nothing_commands_the_terminal(pixref: Pixref) -> None:
    result = pixref("sql", r"select repeat('x', 300) as long, E'a\nb\x1b[31m' as odd")
    assert "x" * 300 in result.out
    assert r"a\nb\x1b[31m" in result.out


def test_csv_and_json_for_programs(pixref: Pixref, picture: int) -> None:
    query = "select image_id, tags, attributes, split, 1.5::numeric as n, 'NaN'::float as odd from images"
    assert list(csv.reader(io.StringIO(pixref("sql", query, "--format", "csv").out))) == [
        ["image_id", "tags", "attributes", "split", "n", "odd"],
        [str(picture), '["savanna", "tall"]', '{"place": "Etosha"}', "", "1.5", "NaN"],
    ]
    assert json.loads(pixref("sql", query, "--format", "json").out) == [
        {
            "image_id": picture,
            "tags": ["savanna", "tall"],
            "attributes": {"place": "Etosha"},
            "split": None,
            "n": 1.5,
            "odd": "NaN",
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["selec 1"], ['syntax error at or near "selec"', "LINE 1: selec 1", "^"]),
        (["select lable from images"], ['column "lable" does not exist', "images.label"]),
        (["delete from images"], ["the query was refused"]),
        (["create table t (n int)"], ["the query was refused"]),
        (["select * from pixref.image"], ["permission denied"]),
        (["select 1 as a, 2 as a", "--format", "json"], ["more than one column is named 'a'"]),
        (["set timezone = 'UTC'"], ["ask with SELECT"]),
        ([";"], ["the query was refused"]),
        ([""], ["give a query or --connect"]),
        ([], ["give a query or --connect"]),
        (["select 1", "--connect"], ["give a query or --connect"]),
    ],
)
def test_what_is_refused_is_explained(pixref: Pixref, arguments: list[str], said: list[str]) -> None:
    result = pixref("sql", *arguments)
    assert (result.code, result.out) == (2, "")
    assert all(part in result.err for part in said)


def test_the_connection_line_is_the_readers(pixref: Pixref, picture: int) -> None:
    line = pixref("sql", "--connect").out.strip()
    with closing(psycopg2.connect(line)) as connection, connection.cursor() as cursor:
        cursor.execute("select current_user, image_id from images")
        assert cursor.fetchall() == [("pixref_reader", picture)]
    if psql := shutil.which("psql"):
        command = [psql, line, "--no-psqlrc", "-Atc", "select image_id from images"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{picture}\n"


def test_an_analyst_makes_tables_and_what_is_made_stays(pixref: Pixref, picture: int) -> None:
    made = pixref("sql", "--as", "analyst", "create table jokes (image_id bigint, joke text)")
    assert (made.code, made.out) == (0, "CREATE TABLE\n")
    told = pixref("sql", "--as", "analyst", f"insert into jokes values ({picture}, 'x') returning joke", "--format", "csv")
    assert told.out.split() == ["joke", "x"]
    joined = pixref("sql", "--as", "analyst", "select label, joke from images join jokes using (image_id)", "--format", "json")
    assert json.loads(joined.out) == [{"label": "[red]giraffe", "joke": "x"}]
    assert "pixref_analyst:" in pixref("sql", "--as", "analyst", "--connect").out
    assert "permission denied" in pixref("sql", "select * from scratch.jokes").err
    assert (
        "PIXREF_ANALYST_PASSWORD: is not set" in pixref("sql", "--as", "analyst", "x", env={"PIXREF_ANALYST_PASSWORD": None}).err
    )


def test_trouble_with_the_readers_password(pixref: Pixref) -> None:
    unset = pixref("sql", "select 1", env={"PIXREF_READER_PASSWORD": None})
    assert unset.code == 2
    assert "PIXREF_READER_PASSWORD: is not set" in unset.err
    wrong = pixref("sql", "select 1", env={"PIXREF_READER_PASSWORD": "not-the-password"})
    assert wrong.code == 1
    assert "PIXREF_READER_PASSWORD" in wrong.err


def test_ctrl_c_cancels_the_query(sessions: Sessions, environment: dict[str, str]) -> None:
    query = "select pg_sleep(25)"
    running = "select count(*) from pg_stat_activity where datname = current_database() and usename = 'pixref_reader'"
    with subprocess.Popen([str(PIXREF), "sql", query], env=environment, stderr=subprocess.PIPE, text=True) as child:
        eventually(lambda: rows(sessions, running) == [(1,)])
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=10)
    assert child.returncode == 130
    assert err.strip() == "pixref: interrupted; what was done stays done"
    eventually(lambda: rows(sessions, running) == [(0,)])


def test_a_reader_that_goes_away_is_no_traceback(environment: dict[str, str]) -> None:
    query = "select n, repeat('x', 100) from generate_series(1, 20000) n"
    command = [str(PIXREF), "sql", query, "--format", "csv"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        child.wait(timeout=30)
