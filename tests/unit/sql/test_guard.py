"""The guard alone: no database, no role, no limits. What it lets through is one SELECT of listed parts."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pglast import ast

from service.errors import PixrefError, QueryError, QueryRefused
from service.sql.allowed import CLOCK, FUNCTIONS, NODES, TYPES
from service.sql.guard import MAX_DEPTH, MAX_LENGTH, MAX_WORDS, check
from tests.attacks import ATTACKS, LET_THROUGH, REFUSED, TAKES_TOO_MUCH


def test_the_list_of_attacks_is_long_and_has_no_repeats() -> None:
    assert len(REFUSED) >= 300
    assert len(set(ATTACKS)) == len(ATTACKS)


@pytest.mark.parametrize("attack", REFUSED)
def test_an_attack_is_refused(attack: str) -> None:
    with pytest.raises((QueryRefused, QueryError)) as caught:
        check(attack.replace("{pid}", "1"))
    assert caught.value.status == 422
    position = caught.value.extra.get("position")
    assert position is None or 1 <= position <= len(attack) + 1


def test_what_is_greedy_or_innocent_is_left_to_the_other_layers() -> None:
    for query in TAKES_TOO_MUCH + LET_THROUGH:
        check(query)


REASONS = [
    ("", "empty"),
    (" \n\t ", "empty"),
    ("-- nothing", "empty"),
    (";", "empty"),
    ("select 1; select 2", "not_one_statement"),
    ("delete from images", "not_select"),
    ("explain select 1", "not_select"),
    ("with d as (delete from images returning *) select * from d", "not_select"),
    ("select 1 into t", "into"),
    ("select * from images for update", "locking"),
    ("select pg_sleep(1)", "function"),
    ("select public.lower('x')", "function"),
    ("select current_user", "function"),
    ("select 'x'::regclass", "type"),
    ("select 'x'::pixref.image", "type"),
    ("select * from pixref.image", "schema"),
    ("select * from other.catalog.images", "schema"),
    ("select * from pg_class", "relation"),
    ('select * from "pg_class"', "relation"),
    ("select * from U&\"pg!005fclass\" uescape '!'", "relation"),
    ("select * from images tablesample system (1)", "construct"),
    ("select xmlelement(name a)", "construct"),
    ("select 1 operator(public.+) 1", "operator"),
    ("select * from images order by 1 using operator(public.<)", "operator"),
    ("select 1 = any (select 1)", None),
    ("select 'x' collate public.mine", "collation"),
    ("select $101", "parameter"),
    ("select '\0'", "characters"),
    ("select '\ud800'", "characters"),
    ("select " + "(" * 70 + "1" + ")" * 70, "too_deep"),
    ("select " + "1," * MAX_WORDS + "1", "too_long"),
    ("select '" + "x" * MAX_LENGTH + "'", "too_long"),
]


@pytest.mark.parametrize(("query", "reason"), REASONS)
def test_the_reason_is_a_stable_word(query: str, reason: str | None) -> None:
    if reason is None:
        check(query)
        return
    with pytest.raises(QueryRefused) as caught:
        check(query)
    assert caught.value.reason == reason


def test_positions_count_characters_of_what_was_given() -> None:
    text = "\n  select 'é😀', pg_sleep(1)"
    with pytest.raises(QueryRefused) as refused:
        check(text)
    assert refused.value.position == text.index("pg_sleep") + 1
    text = "select 'é😀' fro m images"
    with pytest.raises(QueryError) as wrong:
        check(text)
    assert wrong.value.position == text.index(" m images") + 2
    text = "select 1 ;\n -- é\n drop view images"
    with pytest.raises(QueryRefused) as second:
        check(text)
    assert second.value.position == text.index("drop") + 1 or second.value.position == text.index("--") + 1


def test_the_statement_is_handed_on_without_what_surrounds_it() -> None:
    question = check("/* é😀 */ select $2, $1 ; -- x")
    assert (question.text, question.offset, question.parameters) == ("select $2, $1 ", 9, 2)
    assert check("table images;;").text == "table images"


def _nested(count: int) -> list[str]:
    return [
        "select " + "(" * count + "1" + ")" * count,
        "select " + "(select " * count + "1" + ")" * count,
        "select " + "lower(" * count + "'x'" + ")" * count,
        "select array" + "[" * count + "1" + "]" * count,
        "select " + "case when true then " * count + "1" + " end" * count,
        "select * from " + "(select * from " * count + "images" + ") x" * count,
        "select " + "not " * count + "true",
        "select " + "+ " * count + "a from images",
        "select 1" + " isnull" * count,
        "select 1" + "+1" * count,
        "select 1" + "::int" * count,
        "select 1" + " union select 1" * count,
        "select" + " union select" * count,
        "select * from images" + " cross join images" * count,
        "select true" + " and true" * count,
        "with recursive " + "a as (with recursive " * count + "select 1" + ") select 1" * count,
        "select 1 where " + "exists (select 1 where " * count + "true" + ")" * count,
    ]


def in_a_thread(stack_kib: int, work: Callable[[], None]) -> None:
    """Run something on a stack of this size, and raise what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:
            raised.append(exc)

    before = threading.stack_size(stack_kib * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if raised:
        raise raised[0]


@pytest.mark.parametrize("count", [100, 650, 1_990, 4_900, 10_000, 100_000])
def test_nesting_ends_in_an_answer_and_not_in_a_crash(count: int) -> None:
    """Half the stack that a thread of the web server has: a query that got past the limits on words would end the process."""

    def work() -> None:
        for query in _nested(count):
            try:
                check(query)
            except PixrefError as error:
                assert error.status == 422

    in_a_thread(1_024, work)


def test_the_deepest_that_is_allowed_is_deep_enough() -> None:
    check("select " + "(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1))
    check("select image_id from images where image_id in (" + ",".join(map(str, range(900))) + ")")


ALLOWED = """
select * from images
table catalog.images
values (1, 'a'), (2, 'b')
with a as (select 1), b as materialized (table a) select * from b
with recursive t (n) as (values (1) union all select n + 1 from t where n < 5) search depth first by n set o select * from t
select distinct on (label) label, image_id from images order by label, image_id desc nulls last
select label, count(*) filter (where width > 28), string_agg(distinct split, ',' order by split) from images group by label having count(*) > 1
select grouping(label, split), count(*) from images group by grouping sets ((label), (split), ()), cube (label), rollup (split)
select rank() over w, sum(byte_size) over (partition by label order by image_id rows between 1 preceding and current row exclude ties)
 from images window w as (order by created_at desc)
select percentile_cont(0.5) within group (order by score), mode() within group (order by label) from predictions
select * from images i left join predictions p using (image_id) cross join lateral unnest(i.tags) with ordinality as t (tag, place) natural join tags
select image_id from images except all select image_id from predictions intersect select 1 union all (select 2 limit 1)
 order by 1 offset 1 fetch first 2 rows with ties
select case width when 28 then 'a' else 'b' end, nullif(1, 2), greatest(1, 2), coalesce(label, '-') from images
select extract(year from created_at), date_trunc('day', created_at) at time zone 'Europe/Berlin', created_at::date, age(created_at) from images
select current_date, current_timestamp(0), localtimestamp, interval '1 day 2 hours', timestamp with time zone '2026-01-01 00:00+00'
select position('a' in label), substring(label from 1 for 2), trim(both 'x' from label), overlay(label placing 'x' from 1),
 normalize(label, nfc) from images
select label like 'a%' escape '!', label ilike '%a', label similar to 'a|b', label ~* '^a', label not in ('a', 'b') from images
select attributes -> 'a' ->> 'b', attributes #>> '{a,b}', attributes @> '{"a": 1}', attributes ? 'a', attributes['a'] from images
select jsonb_path_query(attributes, '$.a[*] ? (@ > 1)'), json_value(attributes, '$.a' returning int default 0 on empty) from images
select json_object('a': 1, 'b': label), json_array(1, 2), json_arrayagg(label), json_objectagg(label: width),
 label is json object from images group by label, width
select * from json_table('[{"a": 1}]', '$[*]' columns (n for ordinality, a int path '$.a', nested path '$.b[*]' columns (c text path '$'))) t
select * from json_to_recordset('[{"a": 1}]') as x (a int, b text)
select scores ->> label, score::numeric(6, 4), width_bucket(score, 0, 1, 10) from predictions
select array_length(tags, 1), 'a' = any (tags), tags && array['a', 'b'], tags[1:2], array(select tag from tags) from images
select (row(1, 2)).f1, row(1, 2) = row(1, 2), (1, 2) in (select 1, 2), (now(), now()) overlaps (now(), now())
select not true is not false, 1 is distinct from null, label is null, true is unknown, 1 between symmetric 3 and 1 from images
select $1::text, $2::int[], exists (select from images where label = $1), 1 = all (array[1])
select to_tsvector('english', original_name) @@ websearch_to_tsquery('english', 'cat') from images
select int4range(1, 5) * '[2,3]'::int4range, '2026-01-01'::date <@ daterange('2025-01-01', null), range_agg(int4range(1, 2))
select corr(width, height), regr_slope(width, height), stddev(score), bit_and(width), bool_or(true), any_value(label) from images, predictions
select generate_series(1, 3), generate_series('2026-01-01'::timestamptz, '2026-01-02', '1 hour'), gen_random_uuid(), random(1, 6), md5('x')
select pg_catalog.lower('X'), pg_typeof(1), pg_size_pretty(1024::bigint), format('%I %s', 'a', 1), 'x' collate "C", 1::pg_catalog.int4
select x'ff'::bit(8), b'101'::varbit, 'a'::char(3), '1 2'::point is null, '10.0.0.0/8'::cidr >>= '10.1.1.1'::inet
""".strip().replace("\n ", " ").splitlines()  # fmt: skip


@pytest.mark.parametrize("query", ALLOWED)
def test_what_people_ask_is_let_through(query: str) -> None:
    assert check(query).text == query


def test_the_lists_know_nothing_that_reads_or_changes_the_world() -> None:
    suspicious = (
        "pg_read",
        "pg_ls",
        "lo_",
        "set_config",
        "current_setting",
        "advisory",
        "sleep",
        "nextval",
        "setval",
        "to_xml",
        "xml",
    )
    assert not [name for name in FUNCTIONS if name.startswith(suspicious) or "advisory" in name or "_xml" in name]
    known = {"pg_column_size", "pg_input_is_valid", "pg_size_bytes", "pg_size_pretty", "pg_typeof"}
    assert {name for name in FUNCTIONS if name.startswith("pg_")} == known
    assert not FUNCTIONS & {"ts_stat", "ts_rewrite", "version", "dblink", "query_to_xml", "setseed", "currval", "lastval"}
    assert not [
        name for name in TYPES if name.startswith(("reg", "pg_", "xid", "txid")) or name in ("oid", "xml", "refcursor", "record")
    ]
    assert not [name for name in CLOCK if "USER" in name or "ROLE" in name or "SCHEMA" in name or "CATALOG" in name]


def test_every_listed_part_is_one_of_the_parsers() -> None:
    assert [name for name in NODES if not hasattr(ast, name)] == []
    statements = [name for name in NODES if name.endswith("Stmt")]
    assert sorted(statements) == ["RawStmt", "SelectStmt"]


PIECES = st.sampled_from(
    [
        *"()[]{},;:.*$'\"\\-+/ \n\té😀\0",
        "select ",
        "from ",
        "images ",
        "--",
        "/*",
        "*/",
        "$$",
        "E'",
        "U&'",
        "with ",
        "pg_sleep",
        "::",
        "1",
        "a ",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join)))
def test_whatever_is_sent_there_is_an_answer(text: str) -> None:
    try:
        question = check(text)
    except PixrefError as error:
        assert error.code in ("query_refused", "query_error")
        assert error.detail
    else:
        assert text[question.offset : question.offset + len(question.text)] == question.text


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(REFUSED), st.lists(st.tuples(st.integers(0, 200), PIECES), max_size=3))
def test_an_attack_that_was_bent_a_little_is_refused_or_harmless(attack: str, bends: list[tuple[int, str]]) -> None:
    text = attack.replace("{pid}", "1")
    for place, piece in bends:
        text = text[: place % (len(text) + 1)] + piece + text[place % (len(text) + 1) :]
    try:
        question = check(text)
    except PixrefError:
        return
    # Then it is one SELECT, of listed functions over unqualified or catalogue names: asked once more, it says so again.
    assert check(question.text).text == question.text
