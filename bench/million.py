"""Lists over a million pictures: each filter's first page, page 1 against row 900,000, facets, links, and a naive list beside them."""

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import cycle
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2
import psycopg2.extensions
from minio import Minio
from sqlalchemy import event

from bench import servers
from bench.million_rows import FIRST, SPAN, fill
from bench.processes import wait_for_rest
from bench.result import Check, Result, Series, ratios
from bench.stack import BUCKET, DATABASE, Stack, running_stack
from bench.wrk import BenchError, Load, Request, get, require_wrk, run_wrk, write_requests
from schema.roles import APP
from schema.session import Sessions, open_engine
from service.embedded.child import Child
from service.embedded.ports import LOOPBACK
from service.pictures.cursors import Cursor, encode_cursor
from service.pictures.search import ImageFilter, Sort, list_images

COUNT = 1_000_000
DEEP = 0.9
CLIENTS = 8
LINKS = 1_000
ANYWHERE = 50_000
CHANGES = 20
CHANGING = f"Pixref, page 1, {CHANGES} changes a second"
PAGE_MS, PER_SECOND, P50, P99 = "ms in the database", "requests/s", "p50 ms", "p99 ms"

# What matches much and little, near and far, and nothing: the last of these is where lists usually break.
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "a label": {"label": "7"},
    "a rare label": {"label": "rare"},
    "a label that nothing has": {"label": "nobody"},
    "unlabelled": {"unlabelled": True},
    "a tag of half": {"tag": ["half"]},
    "a rare tag": {"tag": ["rare"]},
    "two tags": {"tag": ["half", "tenth"]},
    "two tags that never meet": {"tag": ["half", "rare"]},
    "any of two tags": {"any_tag": ["thousandth", "rare"]},
    "none of a tag of half": {"no_tag": ["half"]},
    "none of a tag of 98 %": {"no_tag": ["most"]},
    "untagged": {"untagged": True},
    "a split": {"split": "train"},
    "a rare split": {"split": "holdout"},
    "a split that nothing has": {"split": "other"},
    "width, only among the oldest": {"min_width": 1_000},
    "width, nothing": {"min_width": 600, "max_width": 900},
    "height, only among the oldest": {"min_height": 2_000},
    "height, few": {"max_height": 20},
    "byte size, only among the oldest": {"min_byte_size": 1_000_000},
    "byte size, nothing": {"max_byte_size": 10},
    "channels, only among the oldest": {"channels": 3},
    "channels, nothing": {"channels": 4},
    "bit depth, rare": {"bit_depth": 16},
    "uploaded, only the oldest": {"created_to": FIRST + SPAN / 3},
    "uploaded on one day": {"created_from": FIRST + SPAN / 2, "created_to": FIRST + SPAN / 2 + timedelta(days=1)},
    "uploaded, nothing": {"created_from": FIRST + 2 * SPAN},
    "taken, only among the oldest": {"taken_from": FIRST - SPAN},
    "taken, only long ago": {"taken_to": FIRST},
    "taken, nothing": {"taken_from": FIRST + 2 * SPAN},
    "part of a name": {"name": "scan"},
    "part of a name, only among the oldest": {"name": "img_"},
    "part of a name, rare": {"name": "giraffe"},
    "part of a name, nothing": {"name": "zebra"},
    "beginning of a name, only among the oldest": {"name_prefix": "IMG"},
    "beginning of a name, nothing": {"name_prefix": "zebra"},
    "attributes": {"attributes": {"camera": "M3"}},
    "attributes, rare": {"attributes": {"rare": True}},
    "attributes, only one old batch": {"attributes": {"batch": 3}},
    "attributes, nothing": {"attributes": {"colour": "red"}},
    "EXIF, only among the oldest": {"exif": {"Model": "M3"}},
    "EXIF, nothing": {"exif": {"Model": "none"}},
    "PNG": {"png": {"gamma": 0.45455}},
    "predicted": {"predicted": "7"},
    "predicted by a version": {"predicted": "7", "model": "mnist", "version": 1},
    "predicted, nothing": {"predicted": "rare"},
    "a model": {"model": "mnist"},
    "a low score": {"max_score": 0.3},
    "a high score": {"min_score": 0.99},
    "a score, nothing": {"max_score": 0.1},
    "agrees": {"agrees": True},
    "disagrees": {"agrees": False},
    "damaged": {"damaged": True},
}
SORTS = [sort for sort in Sort if sort is not Sort.NEWEST]


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` where wrk or gunicorn is missing, a request fails or an answer is wrong."""
    require_wrk()
    servers.require_gunicorn()
    count, rounds, duration_s = (20_000, 2, 2) if quick else (COUNT, 5, 4)
    with ExitStack() as stack:
        running = stack.enter_context(running_stack())
        started = time.perf_counter()
        fill(running.postgres.url("postgres", running.password, DATABASE), count)
        filled_s = round(time.perf_counter() - started, 1)
        by_filter = _first_pages(running, rounds)
        pixref, port = running.serve()
        naive, naive_port = servers.naive_list(running)
        for child in (pixref, naive):
            stack.enter_context(child)
        _compare_links(running, port, count)
        facets = _facets(running, port, rounds)
        loads = _loads(running, {"pixref": (pixref, port), "naive": (naive, naive_port)}, count, rounds, duration_s)
        size = _scalar(running, "SELECT pg_database_size(current_database())")
    rate = {name: [load.per_second for load in each] for name, each in loads.items()}
    first, deep, naive_deep = rate["Pixref, page 1"], rate["Pixref, at 90 %"], rate["naive, at 90 %"]
    slowest = max(by_filter, key=lambda name: median(by_filter[name]))
    checks = [
        Check(f"slowest filter's first page ({slowest})", by_filter[slowest], "ms", at_most=20),
        Check("page 1 / page at 90 % of the rows, requests/s", ratios(first, deep), at_most=1.2),
        Check("list requests, page 1", first, "requests/s", at_least=1_200),
        Check("list requests at 90 % of the rows", deep, "requests/s", at_least=1_200),
        Check("list requests, no page twice", rate["Pixref, no page twice"], "requests/s"),
        Check(f"list requests, page 1, {CHANGES} changes of it a second", rate[CHANGING], "requests/s"),
        Check("no page twice / naive at 90 % of the rows", ratios(rate["Pixref, no page twice"], naive_deep)),
        Check("at 90 % of the rows: Pixref / naive", ratios(deep, naive_deep), at_least=None if quick else 300),
        Check("page 1: Pixref / naive", ratios(first, rate["naive, page 1"])),
        Check("facets of everything, kept", facets["kept"], "ms", at_most=150),
        Check("facets of everything, counted anew", facets["counted"], "ms"),
        Check("presigned links over HTTP", [value * LINKS for value in rate["Pixref, links"]], "links/s", at_least=30_000),
    ]
    series = [Series(name, {PAGE_MS: values}) for name, values in by_filter.items()]
    series += [Series(name, _samples(each)) for name, each in loads.items()]
    facts = {
        "pictures": count,
        "clients": CLIENTS,
        "links_a_request": LINKS,
        "seconds_to_fill": filled_s,
        "database_mib": round(size / 2**20),
        "oldest_kept_facets_s": facets["age"],
    }
    return Result("million", series, checks, facts)


def _samples(loads: Sequence[Load]) -> dict[str, list[float]]:
    samples = {PER_SECOND: [x.per_second for x in loads], P50: [x.p50_ms for x in loads], P99: [x.p99_ms for x in loads]}
    return {metric: [round(value, 2) for value in values] for metric, values in samples.items()}


def _first_pages(running: Stack, rounds: int) -> dict[str, list[float]]:
    """Return what the statements of each first page take, planning and way there and back included, in milliseconds by round."""
    spent: list[float] = []

    class Timed(psycopg2.extensions.cursor):
        """Takes down how long each statement takes."""

        def execute(self, query: Any, vars: Any = None) -> None:
            began = time.perf_counter()
            super().execute(query, vars)
            spent.append(time.perf_counter() - began)

    engine = open_engine(running.postgres.url(APP, running.password, DATABASE))

    @event.listens_for(engine, "connect")
    def take_time(connection: Any, _record: Any) -> None:
        connection.cursor_factory = Timed

    sessions = Sessions(engine)
    asked = {name: (ImageFilter(**parts), Sort.NEWEST) for name, parts in FILTERS.items()}
    asked |= {f"none, sort={sort}": (ImageFilter(model="mnist" if sort.by == "score" else None), sort) for sort in SORTS}
    found: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(-1, rounds):  # the first round fills caches and prepares statements, and is not counted
        for name, (wanted, sort) in asked.items():
            spent.clear()
            list_images(sessions, wanted, sort=sort)
            if number >= 0:
                found[name].append(round(sum(spent) * 1_000, 3))
    engine.dispose()
    return found


def _loads(
    running: Stack, children: Mapping[str, tuple[Child, int]], count: int, rounds: int, duration_s: int
) -> dict[str, list[Load]]:
    chance = random.Random(1)  # noqa: S311
    depths = [int(count * DEEP) + chance.randrange(count // 100) for _ in range(200)]
    cursors = [encode_cursor(Sort.NEWEST, Cursor(count - depth)) for depth in depths]
    bodies = [json.dumps({"ids": chance.sample(range(1, count + 1), LINKS)}).encode() for _ in range(50)]
    anywhere = [
        encode_cursor(Sort.NEWEST, Cursor(number)) for number in chance.sample(range(51, count + 1), min(ANYWHERE, count // 2))
    ]
    token = running.token
    asked: dict[str, tuple[str, list[Request]]] = {
        "naive, page 1": ("naive", [get("/images?limit=50")]),
        "naive, at 90 %": ("naive", [get(f"/images?limit=50&offset={depth}") for depth in depths]),
        "Pixref, page 1": ("pixref", [get("/api/v1/images?limit=50", token)]),
        "Pixref, at 90 %": ("pixref", [get(f"/api/v1/images?limit=50&after={cursor}", token) for cursor in cursors]),
        "Pixref, no page twice": ("pixref", [get(f"/api/v1/images?limit=50&after={cursor}", token) for cursor in anywhere]),
        CHANGING: ("pixref", [get("/api/v1/images?limit=50", token)]),
        "Pixref, one label": ("pixref", [get(f"/api/v1/images?limit=50&label={digit}", token) for digit in range(10)]),
        "Pixref, links": ("pixref", [Request("/api/v1/images/urls", body, "application/json", token) for body in bodies]),
    }
    files = {}
    for number, (name, (server, requests)) in enumerate(asked.items()):
        files[name] = running.folder / f"million-{number}.requests"
        write_requests(files[name], requests, f"{LOOPBACK}:{children[server][1]}")
    loads: dict[str, list[Load]] = {name: [] for name in asked}
    order = list(asked)
    for number in range(-1, rounds):  # the first round is not counted
        for name in order[number % len(order) :] + order[: number % len(order)]:
            child, port = children[asked[name][0]]
            wait_for_rest(child.pid)
            # The naive list answers a deep page in seconds; too short a time would see none of its answers.
            patience = 4 if name.startswith("naive") else 1
            with _labelling(running, count) if name == CHANGING else nullcontext():
                load = run_wrk(port, files[name], clients=CLIENTS, duration_s=duration_s * patience)
            if number >= 0:
                loads[name].append(load)
    return loads


@contextmanager
def _labelling(running: Stack, count: int) -> Iterator[None]:
    """Change pictures of the first page meanwhile, `CHANGES` times a second."""
    done = threading.Event()

    def change() -> None:
        connection = psycopg2.connect(running.postgres.url(APP, running.password, DATABASE))
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            for number in cycle(range(count - 49, count + 1)):
                if done.wait(1 / CHANGES):
                    return
                cursor.execute(
                    "UPDATE pixref.image SET attributes = jsonb_build_object('looked_at', now()) WHERE id = %s", (number,)
                )

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        try:
            yield
        finally:
            done.set()
            changing.result()


def _facets(running: Stack, port: int, rounds: int) -> dict[str, list[float]]:
    """Ask for the facets: of as many filters that nobody has asked for yet, and of everything again and again."""
    counted, kept, ages = [], [], []
    for number in range(rounds):
        # A bound that leaves nothing out is another filter that matches everything.
        answer, seconds = _timed(running, port, f"/api/v1/images/facets?max_width={2**31 - 1 - number}")
        counted.append(round(seconds * 1_000, 1))
    _timed(running, port, "/api/v1/images/facets")
    _timed(running, port, "/api/v1/images/facets")  # there are two processes
    for _ in range(rounds * 20):
        answer, seconds = _timed(running, port, "/api/v1/images/facets")
        kept.append(round(seconds * 1_000, 2))
        ages.append((datetime.now(UTC) - datetime.fromisoformat(answer["as_of"])).total_seconds())
    return {"counted": counted, "kept": [median(kept[start::rounds]) for start in range(rounds)], "age": [round(max(ages), 1)]}


def _timed(running: Stack, port: int, path: str, body: bytes | None = None) -> tuple[Any, float]:
    headers = {"Authorization": f"Bearer {running.token}"} | ({"Content-Type": "application/json"} if body else {})
    started = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(f"http://{LOOPBACK}:{port}{path}", body, headers), timeout=60) as answer:
        return json.load(answer), time.perf_counter() - started


def _compare_links(running: Stack, port: int, count: int) -> None:
    """Compare links that came over HTTP with minio-py's for the same moment: of plain names, and of names with spaces and letters of all sorts."""
    numbers = [*range(1, 20), *range(1_005, min(count, 20_000), 1_000), *range(count // 50, count, max(1, count // 25))][:LINKS]
    body = json.dumps({"ids": numbers}).encode()
    answer, _ = _timed(running, port, "/api/v1/images/urls", body)
    host = urlsplit(running.minio.endpoint).netloc
    client = Minio(endpoint=host, access_key=f"key-{BUCKET}", secret_key=running.password, secure=False, region="us-east-1")
    for item in answer["items"]:
        parts = urlsplit(item["url"])
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        when = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        theirs = client.presigned_get_object(
            bucket_name=BUCKET,
            object_name=parts.path.removeprefix(f"/{BUCKET}/"),
            expires=timedelta(seconds=int(query["X-Amz-Expires"])),
            response_headers={name: value for name, value in query.items() if name.startswith("response-")},
            request_date=when,
        )
        if theirs != item["url"]:
            raise BenchError(f"the link of picture {item['id']} differs from minio-py's")
    if len(answer["items"]) != len(set(numbers)) or not any("Gr%25C3%25B6" in item["url"] for item in answer["items"]):
        raise BenchError("not every picture has got a link, or none has a name with other letters")


def _scalar(running: Stack, query: str) -> Any:
    connection = psycopg2.connect(running.postgres.url("postgres", running.password, DATABASE))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]  # type: ignore[index]
    finally:
        connection.close()
