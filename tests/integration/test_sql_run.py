"""Asking: values, parameters, errors; and each of the limits and caps alone, without the guard and as a role that may do everything."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from schema.session import Sessions
from service.errors import (
    Busy,
    DatabaseUnavailable,
    Invalid,
    PixrefError,
    QueryError,
    QueryRefused,
    QueryTimeout,
    QueryTooLarge,
    SqlUnavailable,
)
from service.sql.guard import Question, check
from service.sql.limits import FILE, Limits
from service.sql.result import Result, json_value, moment, number
from service.sql.run import PATIENCE_S, run
from tests.attacks import REFUSED
from tests.conftest import DOOR_ROLE
from tests.factories import one
from tests.faults.proxy import Fault, Proxy

MIB = 2**20


def raw(query: str, parameters: int = 0) -> Question:
    """A question that no guard has seen."""
    return Question(query, 0, parameters)


@pytest.fixture
def ask(door_url: str) -> Callable[..., Result]:
    return lambda query, *params: run(door_url, check(query), params)


@pytest.fixture
def superuser(admin_url: URL) -> str:
    """A role without any limit of its own."""
    return admin_url.set(drivername="postgresql").render_as_string(hide_password=False)


VALUES = [
    ("true", "boolean", True),
    ("null", "text", None),
    ("1::smallint", "smallint", 1),
    ("9223372036854775807", "bigint", 2**63 - 1),
    ("1.5::numeric", "numeric", 1.5),
    ("3.00::numeric", "numeric", 3.0),
    ("9223372036854775808::numeric", "numeric", 9223372036854775808.0),
    ("'1e400'::numeric", "numeric", "1" + "0" * 400),
    ("'nan'::numeric", "numeric", "NaN"),
    ("'-infinity'::float8", "double precision", "-Infinity"),
    ("0.1::real", "real", 0.1),
    ("'é😀'::text", "text", "é😀"),
    ("'2026-01-02 03:04:05.6+01'::timestamptz", "timestamp with time zone", "2026-01-02T02:04:05.6Z"),
    ("'2026-01-02 03:04:05'::timestamp", "timestamp without time zone", "2026-01-02T03:04:05"),
    ("'infinity'::timestamptz", "timestamp with time zone", "infinity"),
    ("'0044-03-15 BC'::timestamptz", "timestamp with time zone", "0044-03-15 00:00:00+00 BC"),
    ("'20000-01-01'::date", "date", "20000-01-01"),
    ("'24:00'::time", "time without time zone", "24:00:00"),
    ("interval '1 mon 2 days 03:04:05'", "interval", "1 mon 2 days 03:04:05"),
    ('\'{"a": [1, 2.5, null, "x"], "b": 1e400}\'::jsonb', "jsonb", {"a": [1, 2.5, None, "x"], "b": "1" + "0" * 400}),
    ("'[1, 1e999]'::json", "json", [1, "1e999"]),
    ("array['a', null, 'b\"c,d']", "text[]", ["a", None, 'b"c,d']),
    ("array[[1, 2], [3, 4]]", "integer[]", [[1, 2], [3, 4]]),
    ("'[0:1]={1,2}'::int[]", "integer[]", [1, 2]),
    ("array['2026-01-01'::timestamptz]", "timestamp with time zone[]", ["2026-01-01T00:00:00Z"]),
    ("array[1.5::numeric, 'nan']", "numeric[]", [1.5, "NaN"]),
    ("'\\x00ff'::bytea", "bytea", "\\x00ff"),
    ("'[1,3)'::int4range", "int4range", "[1,3)"),
    ("row(1, 'a', null)", "record", "(1,a,)"),
    ("'10.0.0.1'::inet", "inet", "10.0.0.1"),
    ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("'a'::\"char\"", '"char"', "a"),
    ("'(1,2)'::point", "point", "(1,2)"),
    ("pg_typeof(1)", "regtype", "integer"),
    ("b'101'", "bit", "101"),
]


def test_every_value_has_a_form_in_json(ask: Callable[..., Result]) -> None:
    result = ask("select " + ", ".join(expression for expression, _, _ in VALUES))
    assert [column.type for column in result.columns] == [kind for _, kind, _ in VALUES]
    assert result.rows == [[value for _, _, value in VALUES]]
    json.dumps(result.rows, allow_nan=False)


def test_json_nested_beyond_measure_is_its_text(ask: Callable[..., Result]) -> None:
    deep = "[" * 5000 + "]" * 5000
    assert ask("select repeat('[', 5000) || repeat(']', 5000)").rows == [[deep]]
    assert json_value(deep) == deep
    assert json_value('["' + "[" * 500 + '"]') == ["[" * 500]
    assert ask("select (repeat('[', 90) || repeat(']', 90))::jsonb").rows[0][0] != []


def test_numbers_and_times_alone() -> None:
    assert [number(text) for text in ("0", "-5", "1.50", "NaN", "1e400", "-9223372036854775808")] == [
        0,
        -5,
        1.5,
        "NaN",
        "1e400",
        -(2**63),
    ]
    assert moment("2026-01-01 00:00:00+00") == "2026-01-01T00:00:00Z"
    assert moment("-infinity") == "-infinity"


def test_parameters_are_bound_by_the_server(ask: Callable[..., Result]) -> None:
    hostile = "'; drop view images; --"
    result = ask(
        "select $1, $2 + 1, $3::jsonb -> 'a', $4::text[], $5::jsonb, $6, $7::bool, $8::float8, $9::int[], $10 = any ($4)",
        hostile, 41, {"a": [1]}, ["a", None, 'b"\\', ""], [1, {"x": None}], None, True, 0.25, [[1, 2], [3, 4]], "a",
    )  # fmt: skip
    assert result.rows == [
        [hostile, 42, [1], ["a", None, 'b"\\', ""], [1, {"x": None}], None, True, 0.25, [[1, 2], [3, 4]], True]
    ]
    assert ask("select label from images where label = $1 and image_id = $2", hostile, 1).rows == []
    assert ask("select $1::bigint", 2**63 - 1).rows == [[2**63 - 1]]


BAD_PARAMETERS = [
    ("select $1", [], "names 1 parameters"),
    ("select 1", [1], "names 0 parameters"),
    ("select $1", ["\0"], "NUL"),
    ("select $1", ["\ud800"], "surrogate"),
    ("select $1", [float("nan")], "NaN"),
    ("select $1::float8[]", [[float("inf")]], "NaN"),
    ("select $1::jsonb", [{"a": float("nan")}], "digits"),
    ("select $1", ["x" * 200_000], "100000 bytes"),
    ("select $1::int[]", [[[[[[[[1]]]]]]]], "more than 6 deep"),
]


@pytest.mark.parametrize(("query", "params", "reason"), BAD_PARAMETERS)
def test_parameters_that_do_not_fit_are_refused(ask: Callable[..., Result], query: str, params: list[Any], reason: str) -> None:
    with pytest.raises(Invalid, match=reason) as caught:
        ask(query, *params)
    assert caught.value.field == "params"
    assert type(caught.value) is Invalid


def test_a_parameter_of_the_wrong_type_is_postgresqls_to_refuse(ask: Callable[..., Result]) -> None:
    for query, value in (
        ("select $1::int", "abc"),
        ("select $1::int", 2**70),
        ("select $1::date", "tomorrowish"),
        ("select $1::int[]", {"a": 1}),
    ):
        with pytest.raises(QueryError):
            ask(query, value)


def test_errors_carry_postgresqls_message_and_the_place_in_what_was_given(ask: Callable[..., Result]) -> None:
    query = "  -- é😀\n  select 'é😀', labl from images ; -- x"
    with pytest.raises(QueryError) as caught:
        ask(query)
    assert caught.value.detail == 'column "labl" does not exist'
    assert caught.value.extra == {
        "position": query.index("labl") + 1,
        "sqlstate": "42703",
        "hint": 'Perhaps you meant to reference the column "images.label".',
    }
    for query, message in (
        ("select 1 / 0", "division by zero"),
        ("select 'x'::int", 'invalid input syntax for type integer: "x"'),
        ("select * from nothing", 'relation "nothing" does not exist'),
        ("select image_id from images group by label", "must appear in the GROUP BY"),
        ("select from images", "returns no columns"),
        ("select lower(1, 2)", "function lower(integer, integer) does not exist"),
        ("select '{'::jsonb", "invalid input syntax for type json"),
    ):
        with pytest.raises(QueryError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
            ask(query)
        assert "c0" not in str(caught.value.extra)
        assert "DECLARE" not in caught.value.detail


def test_rows_come_in_the_order_that_was_asked_for(ask: Callable[..., Result]) -> None:
    assert [row[0] for row in ask("select g from generate_series(1, 3000) g order by g desc").rows] == list(range(3000, 2000, -1))
    result = ask("select 1 as a, 2 as a, 3")
    assert ([column.name for column in result.columns], result.rows) == (["a", "a", "?column?"], [[1, 2, 3]])
    assert ask("values (1, 'x'), (2, 'y')").rows == [[1, "x"], [2, "y"]]
    assert ask("select random() = x from (select random() as x) y").rows == [[False]]
    assert (ask("select 1 where false").rows, ask("select 1 where false").truncated) == ([], False)


def test_a_volatile_question_is_evaluated_once(ask: Callable[..., Result]) -> None:
    ((first, second),) = ask("with r as materialized (select gen_random_uuid() as u) select a.u, b.u from r a, r b").rows
    assert first == second


# The caps alone: no guard, a superuser, minutes of time.
PATIENT = Limits(time_s=60)


def growth(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what work returns, and by how many bytes this process was larger at its largest."""
    process = psutil.Process()
    before = process.memory_info().rss
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        return work(), max(peak, process.memory_info().rss) - before
    finally:
        done.set()
        thread.join()


def test_caps_alone_no_more_rows_and_bytes_than_may_be(superuser: str) -> None:
    run(superuser, raw("select 1"))
    many, grown = growth(
        lambda: run(superuser, raw("select g, repeat('x', 1000) from generate_series(1, 1000000) g"), limits=PATIENT)
    )
    assert (len(many.rows), many.truncated) == (1000, True)
    assert grown < 64 * MIB
    long, grown = growth(
        lambda: run(superuser, raw("select repeat('x', 100000) from generate_series(1, 1000) g"), limits=PATIENT)
    )
    assert (len(long.rows), long.truncated) == (49, True)
    assert grown < 64 * MIB
    exact = run(superuser, raw("select g from generate_series(1, 1000) g"), limits=PATIENT)
    assert (len(exact.rows), exact.truncated) == (1000, False)
    file, grown = growth(
        lambda: run(
            superuser, raw("select g, 'abc' from generate_series(1, 1000000) g"), limits=Limits(60, FILE.rows, FILE.bytes)
        )
    )
    assert (len(file.rows), file.truncated) == (FILE.rows, True)
    assert grown < 128 * MIB


def test_caps_alone_a_huge_cell_does_not_reach_this_process(superuser: str) -> None:
    run(superuser, raw("select 1"))
    # Beyond a certain size the server's own limit on a session's memory comes first.
    for query, reason in (
        ("select repeat('x', 10000000)", "first row alone"),
        ("select repeat('x', 200000000)", "first row alone|more memory"),
        ("select array_agg(10::numeric ^ 100000) from generate_series(1, 200)", "first row alone|more memory"),
    ):

        def work(query: str = query, reason: str = reason) -> None:
            with pytest.raises(QueryTooLarge, match=reason):
                run(superuser, raw(query), limits=PATIENT)

        _, grown = growth(work)
        assert grown < 32 * MIB, query
    query = "select g, case when g = 5 then repeat('x', 10000000) end from generate_series(1, 10) g"
    some, grown = growth(lambda: run(superuser, raw(query), limits=PATIENT))
    assert ([row[0] for row in some.rows], some.truncated) == ([1, 2, 3, 4], True)
    assert grown < 32 * MIB


# The transaction alone: no guard, a superuser.
SLOW = [
    "select pg_sleep(30)",
    "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b",
    "with recursive t as (select 1 as n union all select n from t) select count(*) from t",
    "select set_config('statement_timeout', '0', false), pg_sleep(30)",
    "select set_config('statement_timeout', '0', true), pg_sleep(30)",
    "select pg_sleep(0.5) from generate_series(1, 100)",
]


@pytest.mark.parametrize("query", SLOW)
def test_limits_alone_what_takes_long_is_stopped(superuser: str, query: str) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTimeout):
        run(superuser, raw(query), limits=Limits(time_s=0.5))
    assert time.monotonic() - started < 0.5 + PATIENCE_S + 2


def test_limits_alone_a_lock_is_not_waited_for(superuser: str, sessions: Sessions) -> None:
    with sessions() as session, session.begin():
        session.execute(text("select pg_advisory_xact_lock(7)"))
        started = time.monotonic()
        with pytest.raises(QueryTimeout):
            run(superuser, raw("select pg_advisory_xact_lock(7)"), limits=Limits(time_s=10))
        assert time.monotonic() - started < 4


WRITES = [
    "with t as (insert into pixref.tag (name) values ('x') returning *) select * from t",
    "select nextval('pixref.image_id_seq')",
    "select setval('pixref.image_id_seq', 7)",
    "select lo_create(0)",
    "select * from pixref.image for update",
    "delete from pixref.tag",
    "drop schema pixref cascade",
    "select 1; drop schema pixref cascade",
    "select 1) as q) as u; drop schema pixref cascade; --",
    "commit",
    "set transaction read write",
    "do $$ begin delete from pixref.tag; end $$",
    "create table public.mine (id int)",
    "copy (select 1) to '/tmp/pixref-attack'",
    "copy (select 1) to program 'touch /tmp/pixref-attack'",
    "explain analyze delete from pixref.tag",
    "table pixref.tag; table pixref.image",
]


@pytest.mark.parametrize("query", WRITES)
def test_limits_alone_nothing_is_written(superuser: str, sessions: Sessions, query: str) -> None:
    with pytest.raises((QueryRefused, QueryError)):
        run(superuser, raw(query))
    assert one(sessions, "select count(*) from pixref.tag") == 0
    assert one(sessions, "select count(*) from pg_largeobject_metadata") == 0
    assert one(sessions, "select coalesce(to_regclass('public.mine')::text, '')") == ""


def test_limits_alone_nothing_is_left_behind(superuser: str, door_url: str) -> None:
    run(
        superuser,
        raw(
            "select set_config('pixref.poison', 'left', false), set_config('search_path', 'pixref', false), pg_advisory_lock(11)"
        ),
    )
    found = run(
        superuser, raw("select current_setting('pixref.poison', true), current_setting('search_path'), pg_try_advisory_lock(11)")
    )
    assert found.rows == [[None, "catalog", True]]


def test_every_attack_without_the_guard_ends_within_its_time(door_url: str) -> None:
    """The role, the transaction and the frame, without the guard: each is refused, or answers from the system catalogue."""
    for attack in REFUSED:
        started = time.monotonic()
        try:
            run(door_url, raw(attack.replace("{pid}", "1")), limits=Limits(time_s=0.5))
        except PixrefError as error:
            assert error.status == 422, (attack, error.code, error.detail)
        assert time.monotonic() - started < 0.5 + PATIENCE_S + CONNECT_S


CONNECT_S = 4


def test_as_many_at_once_as_the_role_may_and_the_others_are_told(door_url: str) -> None:
    outcomes: list[str] = []

    def slow() -> None:
        try:
            run(
                door_url,
                check("select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"),
                limits=Limits(time_s=1),
            )
        except PixrefError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=slow) for _ in range(DOOR_ROLE.connections + 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {"query_timeout", "busy"}
    assert outcomes.count("query_timeout") >= DOOR_ROLE.connections
    assert run(door_url, check("select 1")).rows == [[1]]


def test_no_way_in_is_said_in_one_sentence(door_url: str, sessions: Sessions) -> None:
    question = check("select 1")
    wrong = door_url.replace(door_url.split(":")[2].split("@")[0], "wrong")
    for url in (wrong, door_url.replace("pixref_door", "nobody_at_all"), door_url + "_not"):
        with pytest.raises(SqlUnavailable, match="pixref init") as caught:
            run(url, question)
        assert not caught.value.retryable
    with pytest.raises(DatabaseUnavailable):
        run("postgresql://pixref_door:x@127.0.0.1:1/pixref", question)
    assert Busy.status == 503


def test_a_server_that_falls_silent_is_not_waited_for(door_url: str) -> None:
    port = int(door_url.rsplit(":", 1)[1].split("/")[0])
    with Proxy(port) as proxy:
        url = door_url.replace(f":{port}/", f":{proxy.port}/")
        assert run(url, check("select 1")).rows == [[1]]
        for after in (0, 300, 600, 900, 1200):
            proxy.fail(Fault("mute", after=after))
            started = time.monotonic()
            with pytest.raises((DatabaseUnavailable, QueryTimeout)):
                run(url, check("select repeat('x', 5000)"), limits=Limits(time_s=0.5))
            assert time.monotonic() - started < 4
        proxy.fail(Fault("refuse"))
        with pytest.raises(DatabaseUnavailable):
            run(url, check("select 1"))
