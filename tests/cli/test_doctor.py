"""`pixref doctor`."""

import json
import socket

import pytest
from sqlalchemy import make_url

from service.embedded.postgres import PostgresServer
from tests.cli.conftest import Pixref
from tests.conftest import PASSWORD
from tests.servers import http_answer, read_request, tcp_server

PARTS = ["database", "schema", "bucket", "signing host", "clock", "model", "sandbox"]


def findings(pixref: Pixref, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
    result = pixref("doctor", "--json", env=env)
    listed = json.loads(result.out)
    assert [item["part"] for item in listed] == PARTS
    return result.code, {item["part"]: (item["state"], item["what_to_do"]) for item in listed}


@pytest.mark.usefixtures("mnist_model")
def test_everything_works(pixref: Pixref) -> None:
    result = pixref("doctor")
    assert result.code == 0
    assert [line.rsplit(maxsplit=1) for line in result.out.splitlines()] == [[part, "ok"] for part in PARTS]


@pytest.mark.usefixtures("mnist_model")
def test_a_broken_part_is_named_with_its_mend(pixref: Pixref, postgres: PostgresServer, variables: dict[str, str]) -> None:
    closed = make_url(variables["DATABASE_URL"]).set(port=1).render_as_string(hide_password=False)
    elsewhere = "http://127.0.0.1:1"
    for env, broken, said in (
        ({"DATABASE_URL": closed}, "database", "check DATABASE_URL"),
        ({"DATABASE_URL": postgres.url("postgres", PASSWORD, "postgres")}, "schema", "run `pixref init`"),
        ({"S3_ENDPOINT": elsewhere}, "bucket", "check S3_ENDPOINT"),
        ({"S3_SECRET_KEY": "not-the-secret"}, "bucket", "S3_SECRET_KEY"),
        ({"S3_BUCKET": "no-such-bucket"}, "bucket", "S3_BUCKET"),
        ({"S3_PUBLIC_ENDPOINT": elsewhere}, "signing host", "set S3_PUBLIC_ENDPOINT"),
    ):
        code, found = findings(pixref, **env)
        assert code == 1
        state, what_to_do = found[broken]
        assert state == "broken"
        assert said in what_to_do


def test_a_missing_model_is_named(pixref: Pixref) -> None:
    code, found = findings(pixref)
    assert code == 1
    assert found["model"] == ("broken", "the built-in model is not registered: run `pixref init`")


def test_a_part_that_needs_a_broken_one_is_left_open(pixref: Pixref, variables: dict[str, str]) -> None:
    closed = make_url(variables["DATABASE_URL"]).set(port=1).render_as_string(hide_password=False)
    _, found = findings(pixref, DATABASE_URL=closed)
    assert {part: found[part][0] for part in PARTS} == {
        "database": "broken",
        "schema": "unknown",
        "bucket": "ok",
        "signing host": "ok",
        "clock": "unknown",
        "model": "unknown",
        "sandbox": "ok",
    }
    assert found["model"][1] == "mend first: schema"


def test_a_clock_that_is_off_is_named(pixref: Pixref) -> None:
    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http_answer(403, headers={"Date": "Sat, 01 Jan 2000 00:00:00 GMT"}))

    with tcp_server(answer) as endpoint:
        _, found = findings(pixref, S3_ENDPOINT=endpoint)
    assert found["clock"][0] == "broken"
    assert "the clock of the store and ours differ" in found["clock"][1]


def test_wrong_settings_are_named_first(pixref: Pixref) -> None:
    result = pixref("doctor", env={"S3_ENDPOINT": "nonsense"})
    assert (result.code, result.out) == (2, "")
    assert "S3_ENDPOINT" in result.err
