"""The SQL door by HTTP: answers, links, files, refusals, history, the audit; the whole list of attacks; the page without a browser."""

import csv
import io
import re
import threading
import time
from collections.abc import Iterator
from html import escape, unescape

import pyarrow.parquet as pq
import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.app import create_app
from service.cli.serve import THREADS
from service.settings import Settings
from service.sql import ask, audit
from service.sql.ask import Door
from service.sql.limits import ANSWER
from service.web.pages.sql import cell_text, place_of
from storage.base import ObjectStore
from tests.attacks import ATTACKS, LET_THROUGH, TAKES_TOO_MUCH
from tests.conftest import TokenClient, client_with
from tests.factories import add_image, assert_problem, execute, one, rows
from tests.integration.test_sql_role import state
from tests.web.test_access_matrix import signed_in

SQL = "/api/v1/sql"
HOSTILE = "\"><img src=x onerror=\"alert('x')\"><script>alert('y')</script>"

pytestmark = pytest.mark.usefixtures("door_url")


@pytest.fixture
def admin(admin_url: URL) -> Iterator[Engine]:
    engine = create_engine(admin_url, poolclass=NullPool)
    yield engine
    engine.dispose()


def test_rows_with_links_to_their_pictures(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    image_id = add_image(sessions, store, actor, label="giraffe", tags=["savanna"])
    query = "select image_id, label, tags from images union all select 987654321, 'none', null union all select null, null, null order by 1"
    answer = viewer_client.post(SQL, json={"query": query})
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert set(body) == {"columns", "types", "rows", "truncated", "elapsed_ms", "links"}
    assert (body["columns"], body["types"]) == (["image_id", "label", "tags"], ["bigint", "text", "text[]"])
    assert body["rows"] == [[image_id, "giraffe", ["savanna"]], [987654321, "none", None], [None, None, None]]
    assert body["truncated"] is False
    assert type(body["elapsed_ms"]) is int
    links, missing, nothing = body["links"]
    assert (missing, nothing) == (None, None)
    own = f"/api/v1/images/{image_id}"
    assert links == {"self": own, "file": f"{own}/file", "thumbnail": f"{own}/thumbnail"}
    assert viewer_client.get(links["thumbnail"]).status_code == 200
    assert viewer_client.get(links["file"]).status_code == 302
    assert viewer_client.post(SQL, json={"query": "select 1 as n"}).get_json()["links"] is None
    assert viewer_client.post(SQL, json={"query": "select 'x' as image_id"}).get_json()["links"] == [None]


def test_parameters_and_caps(viewer_client: TokenClient) -> None:
    body = viewer_client.post(SQL, json={"query": "select $1 as a, $2::int + 1 as b", "params": ["'; --", 41]}).get_json()
    assert body["rows"] == [["'; --", 42]]
    many = viewer_client.post(SQL, json={"query": "select g from generate_series(1, 2000) g"}).get_json()
    assert (len(many["rows"]), many["truncated"]) == (1000, True)
    wide = viewer_client.post(SQL, json={"query": "select repeat('é', 10000) from generate_series(1, 2000)"})
    assert wide.get_json()["truncated"] is True
    assert len(wide.data) < 6_000_000


REFUSED = [
    ({"query": "select 1; select 2"}, "query_refused", "query"),
    ({"query": "delete from images"}, "query_refused", "query"),
    ({"query": "select pg_sleep(1)"}, "query_refused", "query"),
    ({"query": "select * from pixref.image"}, "query_refused", "query"),
    ({"query": ""}, "query_refused", "query"),
    ({"query": "select '\0'"}, "query_refused", "query"),
    ({"query": "x" * 20_000}, "query_refused", "query"),
    ({"query": "selec 1"}, "query_error", "query"),
    ({"query": "select nothing from images"}, "query_error", "query"),
    ({"query": "select 1 / 0"}, "query_error", "query"),
    ({"query": "select count(*) from generate_series(1, 9999) a, generate_series(1, 99999) b"}, "query_timeout", "query"),
    ({"query": "select repeat('x', 2000000000)"}, "query_too_large", "query"),
    ({"query": "select distinct repeat(g::text, 300) from generate_series(1, 200000) g"}, "query_too_large", "query"),
    ({"query": "select $1", "params": []}, "invalid_request", "params"),
    ({"query": "select $1", "params": ["\0"]}, "invalid_request", "params"),
    ({"query": "select 1", "params": [1] * 101}, "invalid_request", "params"),
    ({"query": "select 1", "params": "x"}, "invalid_request", "params"),
    ({"query": 1}, "invalid_request", "query"),
    ({}, "invalid_request", "query"),
    ({"query": "select 1", "limit": 5}, "invalid_request", "limit"),
    ([], "invalid_request", "body"),
]


@pytest.mark.parametrize(("body", "code", "field"), REFUSED)
def test_what_cannot_be_asked_is_a_problem_that_names_the_reason(
    viewer_client: TokenClient, body: object, code: str, field: str
) -> None:
    answer = viewer_client.post(SQL, json=body)
    problem = answer.get_json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, code, field), answer.text
    assert problem["retryable"] is False
    for internal in ("Traceback", "psycopg", "sqlalchemy", "DECLARE", "pixref_door", "pixref_app", "/work", "/tmp"):
        assert internal not in answer.text


def test_bodies_that_are_no_json(viewer_client: TokenClient) -> None:
    for data, kind in (
        ("{", "application/json"),
        ("select 1", "text/plain"),
        ('{"query": "\\ud800"}', "application/json"),
        ("[" * 100_000, "application/json"),
    ):
        answer = viewer_client.post(SQL, data=data, content_type=kind)
        assert answer.status_code == 422, answer.text
    assert viewer_client.post(SQL, json={"query": "x" * 2_000_000}).status_code == 413
    assert viewer_client.post(f"{SQL}/csv?escape=perhaps", json={"query": "select 1"}).status_code == 422
    assert viewer_client.post(f"{SQL}/csv?other=1", json={"query": "select 1"}).status_code == 422
    assert (
        viewer_client.post(
            SQL, data='{"query": "select $1::float8", "params": [NaN]}', content_type="application/json"
        ).status_code
        == 422
    )


def test_positions_and_hints_reach_the_client(viewer_client: TokenClient) -> None:
    query = "select 'é😀',\n  lable from images"
    problem = viewer_client.post(SQL, json={"query": query}).get_json()
    assert problem["detail"] == 'column "lable" does not exist'
    assert problem["position"] == query.index("lable") + 1
    assert problem["sqlstate"] == "42703"
    assert "images.label" in problem["hint"]
    refused = viewer_client.post(SQL, json={"query": "select pg_sleep(1)"}).get_json()
    assert (refused["reason"], refused["position"]) == ("function", 8)


def test_files(viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor, label="=1+1", attributes={"a": 1})
    query = {"query": "select image_id, label, created_at, attributes from images"}
    table = viewer_client.post(f"{SQL}/csv", json=query)
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert table.headers["Content-Disposition"] == 'attachment; filename="pixref.csv"'
    assert (table.headers["X-Pixref-Truncated"], table.headers["X-Content-Type-Options"]) == ("false", "nosniff")
    head, row = csv.reader(io.StringIO(table.text, newline=""))
    assert (head, row[:2]) == (["image_id", "label", "created_at", "attributes"], [str(image_id), "'=1+1"])
    assert "'=1+1" not in viewer_client.post(f"{SQL}/csv?escape=false", json=query).text
    parquet = viewer_client.post(f"{SQL}/parquet", json=query)
    assert parquet.mimetype == "application/vnd.apache.parquet"
    (found,) = pq.read_table(io.BytesIO(parquet.data)).to_pylist()
    assert (found["image_id"], found["label"], found["attributes"]) == (image_id, "=1+1", '{"a": 1}')
    more = viewer_client.post(f"{SQL}/csv", json={"query": "select g from generate_series(1, 60000) g"})
    assert (more.headers["X-Pixref-Truncated"], more.text.count("\r\n")) == ("true", 50_001)
    twins = viewer_client.post(f"{SQL}/parquet", json={"query": "select 1 as a, 2 as a"})
    assert_problem(twins, 422, "invalid_request", field="query")


def test_the_schema_for_clients(viewer_client: TokenClient) -> None:
    body = viewer_client.get(f"{SQL}/schema").get_json()
    found = {view["name"]: view for view in body["views"]}
    assert {"images", "labels", "tags", "image_tags", "predictions", "models", "label_history"} <= set(found)
    assert found["images"]["columns"][0] == {
        "name": "image_id",
        "type": "bigint",
        "comment": "The picture: /images/<image_id> is its page.",
    }
    assert all(column["comment"] for view in body["views"] for column in view["columns"])
    assert "lower" in body["functions"]
    assert "pg_read_file" not in body["functions"]


def test_every_question_is_kept_with_what_came_of_it(app: Flask, sessions: Sessions, viewer_client: TokenClient) -> None:
    asked = [
        ({"query": "select 1"}, "ok", 1),
        ({"query": "select g from generate_series(1, 5000) g"}, "truncated", 1000),
        ({"query": "select $1::int", "params": [7]}, "ok", 1),
        ({"query": "select pg_sleep(1)"}, "query_refused", None),
        ({"query": "select nothing"}, "query_error", None),
        ({"query": "select repeat('x', 2000000000)"}, "query_too_large", None),
        ({"query": "select $1", "params": []}, "invalid_request", None),
        ({"query": "select '\0'", "params": ["\0"]}, "query_refused", None),
    ]
    for body, _, _ in asked:
        viewer_client.post(SQL, json=body)
    viewer_client.post(f"{SQL}/csv", json={"query": "select 2"})
    kept = rows(
        sessions,
        "SELECT query, parameters, rows, outcome, a.name FROM pixref.audit_event e JOIN pixref.account a ON a.id = account_id ORDER BY e.id",
    )
    assert [(outcome, count) for _, _, count, outcome, _ in kept] == [(outcome, count) for _, outcome, count in asked] + [
        ("ok", 1)
    ]
    assert {name for *_, name in kept} == {"test viewer"}
    assert kept[2][:2] == ("select $1::int", [7])
    assert kept[7][:2] == ("select '\N{REPLACEMENT CHARACTER}'", None)
    times = "SELECT count(*) FROM pixref.audit_event WHERE started_at > now() - interval '1 min' AND started_at <= now() AND duration_ms >= 0"
    assert one(sessions, times) == len(kept)
    mine = viewer_client.get(f"{SQL}/history?limit=4").get_json()
    assert [item["query"] for item in mine["items"]][:2] == ["select 2", "select '\N{REPLACEMENT CHARACTER}'"]
    older = viewer_client.get(f"{SQL}/history?limit=100&after={mine['next']}").get_json()
    assert len(mine["items"]) + len(older["items"]) == len(kept)
    assert older["next"] is None
    # Nobody sees what others have asked.
    assert client_with(app, sessions, Role.ADMIN).get(f"{SQL}/history").get_json() == {"items": [], "next": None}
    for query in ("?limit=0", "?limit=501", "?after=0", "?after=x", f"?after={2**63}", "?other=1"):
        assert viewer_client.get(f"{SQL}/history{query}").status_code == 422


def test_the_application_can_only_add_to_what_is_kept(sessions: Sessions, viewer_client: TokenClient) -> None:
    viewer_client.post(SQL, json={"query": "select 1"})
    for statement in (
        "UPDATE pixref.audit_event SET query = 'x'",
        "DELETE FROM pixref.audit_event",
        "TRUNCATE pixref.audit_event",
    ):
        with pytest.raises(Exception, match="permission denied"):
            execute(sessions, statement)
    execute(
        sessions,
        "INSERT INTO pixref.audit_event (query, started_at, duration_ms, outcome) VALUES ('old', now() - interval '91 days', 1, 'ok')",
    )
    with sessions() as session, session.begin():
        assert audit.forget_old(session) == 1
        assert audit.forget_old(session) == 0
    assert [query for (query,) in rows(sessions, "SELECT query FROM pixref.audit_event")] == ["select 1"]


def test_no_answer_without_a_trace(viewer_client: TokenClient, admin: Engine) -> None:
    with admin.begin() as connection:
        connection.exec_driver_sql("REVOKE INSERT ON pixref.audit_event FROM pixref_app")
    answer = viewer_client.post(SQL, json={"query": "select 42 as secret"})
    assert answer.status_code == 500
    assert "42" not in answer.get_json()["detail"]


def test_every_attack_at_the_whole_door(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor, admin: Engine
) -> None:
    add_image(sessions, store, actor, label="giraffe")
    secret = str(one(sessions, "SELECT token_sha256 FROM pixref.api_token"))
    key = str(one(sessions, "SELECT object_key FROM pixref.image"))
    before = state(admin)
    answered = []
    for attack in ATTACKS:
        if attack in TAKES_TOO_MUCH[6:]:
            continue  # each takes its two seconds; the next test has them all
        answer = viewer_client.post(SQL, json={"query": attack.replace("{pid}", "1")})
        assert answer.status_code in (200, 422), (attack, answer.text)
        assert secret not in answer.text, attack
        assert key not in answer.text, attack
        if answer.status_code == 200:
            answered.append(attack)
    assert set(answered) <= {"SELECT 1; -- a comment", LET_THROUGH[-1]}
    assert state(admin) == before
    assert one(sessions, "SELECT count(*) FROM pixref.audit_event") >= 300


def test_what_takes_too_much_is_stopped_or_cut_short(viewer_client: TokenClient) -> None:
    for query in TAKES_TOO_MUCH:
        started = time.monotonic()
        answer = viewer_client.post(SQL, json={"query": query})
        assert time.monotonic() - started < ANSWER.time_s + 6, query
        if answer.status_code == 200:
            assert len(answer.data) < 6_000_000, query
        elif answer.status_code != 503:
            # 503 where one that PostgreSQL has not noticed yet still holds its place.
            assert answer.get_json()["code"] in ("query_timeout", "query_too_large", "query_error"), (query, answer.text)


# When something else is at fault


def with_door(settings: Settings, sessions: Sessions, store: ObjectStore, door: Door) -> TokenClient:
    return client_with(create_app(settings, sessions=sessions, store=store, door=door), sessions, Role.VIEWER)


def test_a_door_without_a_way_in_says_so_and_the_lists_go_on(
    settings: Settings, sessions: Sessions, store: ObjectStore, door_url: str
) -> None:
    wrong = door_url.replace(door_url.split(":")[2].split("@")[0], "wrong")
    client = with_door(settings, sessions, store, Door(wrong, ask.places(2)))
    problem = assert_problem(client.post(SQL, json={"query": "select 1"}), 503, "sql_unavailable")
    assert problem["retryable"] is False
    assert "pixref init" in problem["detail"]
    assert client.get("/api/v1/images").status_code == 200
    assert client.get(f"{SQL}/schema").status_code == 200
    assert one(sessions, "SELECT outcome FROM pixref.audit_event") == "sql_unavailable"
    assert "wrong" not in repr(Door(wrong, ask.places(2)))


def test_a_database_that_is_down(settings: Settings, sessions: Sessions, store: ObjectStore, door_url: str) -> None:
    nowhere = re.sub(r":\d+/", ":1/", door_url)
    client = with_door(settings, sessions, store, Door(nowhere, ask.places(2)))
    assert_problem(client.post(SQL, json={"query": "select 1"}), 503, "database_unavailable")


def test_questions_do_not_take_every_thread(app: Flask, sessions: Sessions, viewer_client: TokenClient) -> None:
    assert THREADS > ask.AT_ONCE // 2 + ask.WAITING
    slow = "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"
    statuses: list[int] = []

    def ask_slowly() -> None:
        client = TokenClient(app, app.response_class)
        client.token = viewer_client.token
        statuses.append(client.post(SQL, json={"query": slow}).status_code)

    threads = [threading.Thread(target=ask_slowly) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    assert viewer_client.get("/api/v1/images").status_code == 200
    assert time.monotonic() - started < 1
    refused = viewer_client.post(SQL, json={"query": "select 1"})
    assert_problem(refused, 503, "busy")
    assert refused.headers["Retry-After"]
    for thread in threads:
        thread.join()
    assert set(statuses) <= {422, 503}
    assert statuses.count(422) >= 2
    assert viewer_client.post(SQL, json={"query": "select 1"}).status_code == 200


# The page


@pytest.fixture
def browser(app: Flask, sessions: Sessions) -> TokenClient:
    return client_with(app, sessions, Role.VIEWER)


def test_the_page_shows_what_there_is_and_asks(
    browser: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    image_id = add_image(sessions, store, actor, label=HOSTILE, attributes={HOSTILE: 1})
    page = browser.get("/sql").text
    assert 'href="/sql"' in page
    for view in ("images", "label_history", "predictions"):
        assert f"<code>{view}</code>" in page
    assert "The picture: /images/&lt;image_id&gt; is its page." in page
    query = "select image_id, label, attributes, null as n from images"
    answer = browser.post("/sql", data={"query": query})
    assert answer.status_code == 200
    assert f'src="/api/v1/images/{image_id}/thumbnail"' in answer.text
    assert f'href="/images/{image_id}"' in answer.text
    assert "1 row in" in answer.text
    assert escape(HOSTILE) in answer.text.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
    assert HOSTILE not in answer.text
    assert "<script>alert" not in answer.text
    assert query in browser.get("/sql").text  # the history
    prefilled = browser.get("/sql", query_string={"query": "select 7", "params": "[1]"}).text
    assert ">select 7</textarea>" in prefilled
    assert one(sessions, "SELECT count(*) FROM pixref.audit_event") == 1


def test_the_page_marks_errors_and_keeps_what_was_typed(browser: TokenClient) -> None:
    answer = browser.post("/sql", data={"query": "select 1,\r\n  <b>lable</b> from images"})
    assert answer.status_code == 422
    assert "<mark>&lt;</mark>" in answer.text
    assert "&lt;b&gt;lable&lt;/b&gt; from images</textarea>" in answer.text
    for params in ("{", "7", "[" + ",".join("1" * 101) + "]"):
        answer = browser.post("/sql", data={"query": "select $1", "params": params})
        assert answer.status_code == 422
        assert "JSON list" in answer.text
    assert browser.post("/sql", data={"query": "select $1::int", "params": "[7]"}).status_code == 200
    assert browser.post("/sql", data={}).status_code == 422
    many = browser.post("/sql", data={"query": "select g from generate_series(1, 2000) g"})
    assert "There is more" in many.text
    assert "No rows" in browser.post("/sql", data={"query": "select 1 where false"}).text


def test_an_answer_has_an_address_that_asks_again(browser: TokenClient) -> None:
    found = re.search(
        r'id="link" href="([^"]+)"', browser.post("/sql", data={"query": "select $1::text || 'é&'", "params": '["<a>"]'}).text
    )
    assert found is not None
    address = unescape(found[1])
    opened = {"none": True, "same-origin": True, "same-site": False, "cross-site": False, None: False}
    for site, runs in opened.items():
        page = browser.get(address, headers={"Sec-Fetch-Site": site} if site else {}).text
        assert ("&lt;a&gt;é&amp;" in page) is runs, site
        assert ("then press Run" in page) is not runs, site
        assert "select $1::text || &#39;é&amp;&#39;" in page
    ahead = browser.get(address, headers={"Sec-Fetch-Site": "none", "Sec-Purpose": "prefetch;prerender"}).text
    assert "then press Run" in ahead
    wrong = browser.get("/sql?query=select+nothing&run=1", headers={"Sec-Fetch-Site": "none"})
    assert wrong.status_code == 422
    assert "then press Run" not in browser.get("/sql?query=select+1", headers={"Sec-Fetch-Site": "none"}).text


def test_a_long_question_has_no_address(browser: TokenClient) -> None:
    assert 'id="link"' in browser.post("/sql", data={"query": "select 1 -- " + "x" * 7_900}).text
    assert 'id="link"' not in browser.post("/sql", data={"query": "select 1 -- " + "é" * 2_000}).text


def test_downloads_of_the_page(browser: TokenClient) -> None:
    answer = browser.post("/sql/download?format=csv", data={"query": "select 1 as n"})
    assert (answer.text, answer.headers["Content-Disposition"]) == ("n\r\n1\r\n", 'attachment; filename="pixref.csv"')
    assert browser.post("/sql/download?format=parquet", data={"query": "select 1 as n"}).data[:4] == b"PAR1"
    refused = browser.post("/sql/download?format=csv", data={"query": "select pg_sleep(1)"})
    assert (refused.status_code, refused.mimetype) == (422, "text/html")
    assert "pg_sleep" in refused.text
    assert browser.get("/sql/download").status_code == 303
    assert browser.post("/sql/download?format=exe", data={"query": "select 1"}).status_code == 303


def test_the_page_needs_its_forms_token(app: Flask, sessions: Sessions) -> None:
    visitor = signed_in(app, sessions, Role.VIEWER)
    for path in ("/sql", "/sql/download?format=csv"):
        answer = visitor.post(path, data={"query": "select 1"}, headers={"Accept": "application/json"})
        assert_problem(answer, 400, "csrf_failed")
    found = re.search(r'name="csrf_token" value="([^"]+)"', visitor.get("/sql").text)
    assert found
    assert visitor.post("/sql", data={"query": "select 1", "csrf_token": found[1]}).status_code == 200


def test_places_and_cells() -> None:
    query = "select é,\n  pg_sleep(1)\nfrom x"
    found = place_of(query, query.index("pg_sleep") + 1)
    assert found is not None
    assert (found.line, found.before, found.at, found.after) == (2, "  ", "pg_sleep", "(1)")
    for position in range(1, len(query) + 1):
        place = place_of(query, position)
        assert place is not None
        assert len(place.at) >= 1
    assert [place_of(query, position) for position in (None, 0, -1, len(query) + 1)] == [None] * 4
    assert [cell_text(value) for value in (None, True, 1.5, "x", ["a", None])] == [None, "true", "1.5", "x", '["a", null]']
    assert cell_text("x" * 1000) == "x" * 300 + "…"
