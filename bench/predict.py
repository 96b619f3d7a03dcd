"""One picture a request at 32 clients: Pixref and the naive app, with and without a stored row, and a bare Flask route as the ceiling.

Also how much memory Pixref's web workers hold after that, and how long they take to be ready.
"""

import json
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psycopg2

from bench import servers
from bench.boot import boot_s
from bench.pictures import Digits, test_digits, write_many
from bench.processes import Memory, children, memory, wait_for_rest
from bench.result import Check, Result, Series, ratios
from bench.stack import DATABASE, Stack, running_stack
from bench.wrk import BenchError, Load, Request, multipart, require_wrk, run_wrk, write_requests
from service.cli.serve import THREADS
from service.embedded.child import Child
from service.embedded.ports import LOOPBACK, free_port
from service.settings import child_environment

CLIENTS = 32
ANSWERS_COMPARED = 100
# What the model gets right of the test pictures is 0.995; a naive app that prepares pictures wrongly would show here.
LEAST_ACCURACY = 0.97
PER_SECOND, P50, P99 = "requests/s", "p50 ms", "p99 ms"


@dataclass(slots=True)
class Contender:
    """A server with what it is asked. `rows` counts what its answers have committed, None where nothing is stored."""

    name: str
    child: Child
    port: int
    requests: Sequence[Request]
    file: Path
    empty: Callable[[], None] | None = None
    rows: Callable[[], int] | None = None
    loads: list[Load] = field(default_factory=list)

    def measure(self, duration_s: int) -> Load:
        """Load the server once, from rest."""
        wait_for_rest(self.child.pid)
        if self.empty is not None:
            self.empty()
        load = run_wrk(self.port, self.file, clients=CLIENTS, duration_s=duration_s)
        # wrk's two threads walk through the pictures from two places: the busier one alone accounts for half of the answers.
        if self.rows is not None and self.rows() < min(load.requests / 2, len(self.requests)):
            raise BenchError(f"{self.name}: {load.requests} answers, but only {self.rows()} rows")
        return load

    def series(self) -> Series:
        """Return what was measured."""
        loads = self.loads
        samples = {PER_SECOND: [x.per_second for x in loads], P50: [x.p50_ms for x in loads], P99: [x.p99_ms for x in loads]}
        return Series(self.name, {metric: [round(value, 2) for value in values] for metric, values in samples.items()})


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` where wrk or gunicorn is missing, an answer is wrong or a request fails."""
    require_wrk()
    rounds, duration_s, copies, starts = (2, 2, 1, 2) if quick else (5, 4, 10, 7)
    with ExitStack() as stack:
        running = stack.enter_context(running_stack())
        digits = write_many(running.folder / "idx", copies)
        running.pixref("load", "mnist", "--from", str(running.folder / "idx"), variables=running.variables())
        boots = _boots(running, starts)
        contenders = _contenders(running, digits, stack)
        naive, pixref, naive_stored, pixref_stored, bare = contenders
        _compare_answers(naive, pixref, naive_stored, pixref_stored, test_digits())
        for contender in contenders:
            contender.measure(1)
        for number in range(rounds):
            for contender in contenders[number % len(contenders) :] + contenders[: number % len(contenders)]:
                contender.loads.append(contender.measure(duration_s))
        workers = memory(children(pixref.child.pid))
        naive_workers = memory(children(naive.child.pid))
    rate = {contender.name: [load.per_second for load in contender.loads] for contender in contenders}
    checks = [
        Check("prediction: Pixref / naive", ratios(rate[pixref.name], rate[naive.name]), at_least=60),
        Check("stored prediction: Pixref / naive", ratios(rate[pixref_stored.name], rate[naive_stored.name]), at_least=25),
        Check(
            "stored prediction / naive prediction without a row", ratios(rate[pixref_stored.name], rate[naive.name]), at_least=25
        ),
        Check("prediction: Pixref / bare Flask route", ratios(rate[pixref.name], rate[bare.name])),
        Check("stored prediction: Pixref / bare Flask route", ratios(rate[pixref_stored.name], rate[bare.name])),
        Check("start of `pixref serve` until /readyz answers 200", boots, "s", at_most=1),
        Check("largest web worker after the load, resident", [max(each.rss_mib for each in workers)], "MiB", at_most=150),
    ]
    return Result("predict", [each.series() for each in contenders], checks, _facts(duration_s, digits, workers, naive_workers))


def _boots(stack: Stack, count: int) -> list[float]:
    """Return the seconds of `count` starts. The one before them is not counted: it may compile Python files."""
    found = []
    for _ in range(count + 1):
        port = free_port()
        found.append(round(boot_s(child_environment(stack.variables(port=port)), port), 3))
    return found[1:]


def _contenders(stack: Stack, digits: Digits, exits: ExitStack) -> list[Contender]:
    pixref, pixref_port = stack.serve()
    naive, naive_port = servers.naive(stack, digits.pngs, digits.labels)
    bare, bare_port = servers.bare(stack.folder)
    for child in (pixref, naive, bare):
        exits.enter_context(child)
    bodies = [multipart(png) for png in test_digits().pngs]
    single = [Request("/api/v1/predict", body, kind, stack.token) for body, kind in bodies]
    choice = b'{"model": "mnist"}'
    ids = _column(stack, DATABASE, "SELECT id FROM pixref.image WHERE state = 'READY' ORDER BY id")
    contenders = [
        Contender(
            "naive",
            naive,
            naive_port,
            [Request("/predict", body, kind) for body, kind in bodies],
            stack.folder / "naive.requests",
        ),
        Contender("Pixref", pixref, pixref_port, single, stack.folder / "pixref.requests"),
        Contender(
            "naive, stored",
            naive,
            naive_port,
            [Request(f"/images/{number}/predictions", b"", "text/plain") for number in range(1, len(digits.pngs) + 1)],
            stack.folder / "naive-stored.requests",
            *_rows(stack, servers.NAIVE_DATABASE, "predictions"),
        ),
        Contender(
            "Pixref, stored",
            pixref,
            pixref_port,
            [Request(f"/api/v1/images/{number}/predictions", choice, "application/json", stack.token) for number in ids],
            stack.folder / "pixref-stored.requests",
            *_rows(stack, DATABASE, "pixref.prediction"),
        ),
        Contender("bare Flask route", bare, bare_port, [Request("/", b"", "text/plain")], stack.folder / "bare.requests"),
    ]
    for contender in contenders:
        write_requests(contender.file, contender.requests, f"{LOOPBACK}:{contender.port}")
    return contenders


def _rows(stack: Stack, database: str, table: str) -> tuple[Callable[[], None], Callable[[], int]]:
    """Return how to empty a table, so that every round inserts, and how to count its rows."""
    return (
        lambda: stack.as_superuser(f"TRUNCATE {table}", database=database),
        lambda: _column(stack, database, f"SELECT count(*) FROM {table}")[0],  # noqa: S608  (our own names)
    )


def _column(stack: Stack, database: str, query: str) -> list[int]:
    connection = psycopg2.connect(stack.postgres.url("postgres", stack.password, database))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


def _compare_answers(
    naive: Contender, pixref: Contender, naive_stored: Contender, pixref_stored: Contender, tests: Digits
) -> None:
    """Compare Pixref's answers with those of Keras in the naive app, and these with what the pictures show."""
    keras = _labels(naive)
    right = sum(a == b for a, b in zip(keras, tests.labels, strict=False)) / len(keras)
    if right < LEAST_ACCURACY:
        raise BenchError(f"the naive app is right on only {right:.1%} of the test pictures")
    for ours, theirs in ((_labels(pixref), keras), (_labels(pixref_stored), _labels(naive_stored))):
        if ours != theirs:
            raise BenchError(
                f"{sum(a != b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} answers differ from Keras's"
            )


def _labels(contender: Contender) -> list[str]:
    labels = []
    for asked in islice(contender.requests, ANSWERS_COMPARED):
        headers = {"Content-Type": asked.content_type} | ({"Authorization": f"Bearer {asked.token}"} if asked.token else {})
        url = f"http://{LOOPBACK}:{contender.port}{asked.path}"
        with urllib.request.urlopen(urllib.request.Request(url, asked.body, headers), timeout=30) as answer:
            labels.append(str(json.load(answer)["label"]))
    return labels


def _facts(duration_s: int, digits: Digits, workers: list[Memory], naive_workers: list[Memory]) -> dict[str, object]:
    return {
        "clients": CLIENTS,
        "seconds_per_measurement": duration_s,
        "stored_pictures": len(digits.pngs),
        "web_workers": servers.WORKERS,
        "web_threads": THREADS,
        "answers_compared_with_keras": 2 * ANSWERS_COMPARED,
        "worker_rss_mib": [each.rss_mib for each in workers],
        "worker_pss_mib": [each.pss_mib for each in workers],
        "naive_worker_rss_mib": [each.rss_mib for each in naive_workers],
        "naive_worker_pss_mib": [each.pss_mib for each in naive_workers],
    }
