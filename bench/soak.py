"""Requests of every kind for a long time: memory, descriptors and connections have to come to rest."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from threading import Lock

import numpy as np
import psutil
import psycopg2

from bench.pictures import test_digits
from bench.processes import MIB, children
from bench.result import Check, Result, Series
from bench.stack import DATABASE, Stack, running_stack
from bench.uploads import chunk
from bench.wrk import BenchError, multipart
from service.embedded.ports import LOOPBACK

REQUESTS = 200_000
CLIENTS = 8
SAMPLES = 50
# Caches fill and pools open their connections at first; what comes after has to be level.
WARM_UP = 0.2


@dataclass(slots=True)
class Sample:
    """The server at one moment: of its largest worker, of all its workers, and of its database."""

    requests: int
    rss_mib: float
    descriptors: int
    connections: int


@dataclass(slots=True)
class Soak:
    """What all clients share."""

    port: int
    token: str
    pngs: Sequence[bytes]
    total: int
    ids: list[int] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    lock: Lock = field(default_factory=Lock)
    done: int = 0
    statuses: dict[str, int] = field(default_factory=dict)


Act = Callable[[HTTPConnection, Soak, random.Random], None]


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` for an answer that is not the expected one."""
    total = 5_000 if quick else REQUESTS
    with running_stack() as stack:
        child, port = stack.serve()
        with child:
            soak = Soak(port, stack.token, test_digits().pngs, total)
            workers = children(child.pid)
            started = time.perf_counter()
            samples = _measure(soak, stack, child.pid)
            seconds = time.perf_counter() - started
            deaths = sum(not process.is_running() for process in workers)
    level = samples[int(len(samples) * WARM_UP) :]
    slope = float(np.polyfit([each.requests for each in level], [each.rss_mib for each in level], 1)[0]) * 10_000
    series = Series(
        f"{total:,} requests of {CLIENTS} clients",
        {
            "requests/s": [round(total / seconds, 1)],
            "first MiB": [level[0].rss_mib],
            "last MiB": [level[-1].rss_mib],
            "descriptors": [float(level[-1].descriptors)],
            "connections": [float(level[-1].connections)],
        },
    )
    checks = [
        # A few thousand requests are too few to tell growth from noise.
        Check("largest worker grows, each 10,000 requests", [round(slope, 3)], "MiB", at_most=None if quick else 1),
        Check("more descriptors at the end", [float(level[-1].descriptors - level[0].descriptors)], "", at_most=CLIENTS),
        Check("more connections to PostgreSQL at the end", [float(level[-1].connections - level[0].connections)], "", at_most=2),
        Check("workers that died", [float(deaths)], "", at_most=0),
    ]
    return Result("soak", [series], checks, {"answers": soak.statuses, "samples": [list(_row(each)) for each in samples]})


def _row(sample: Sample) -> tuple[int, float, int, int]:
    return sample.requests, sample.rss_mib, sample.descriptors, sample.connections


def _measure(soak: Soak, stack: Stack, pid: int) -> list[Sample]:
    samples: list[Sample] = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_client, soak, seed) for seed in range(CLIENTS)]
        while not all(client.done() for client in clients):
            if soak.done >= len(samples) * soak.total / SAMPLES:
                samples.append(_sample(soak.done, stack, pid))
            time.sleep(0.02)
        for client in clients:
            client.result()
    samples.append(_sample(soak.done, stack, pid))
    return samples


def _sample(done: int, stack: Stack, pid: int) -> Sample:
    processes: list[psutil.Process] = children(pid)
    connection = psycopg2.connect(stack.postgres.url("postgres", stack.password, "postgres"))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [DATABASE])
            (connections,) = cursor.fetchone() or (0,)
    finally:
        connection.close()
    rss = max(process.memory_info().rss for process in processes) / MIB
    return Sample(done, round(rss, 2), sum(process.num_fds() for process in processes), connections)


def _client(soak: Soak, seed: int) -> None:
    choice = random.Random(seed)  # noqa: S311  (what is asked next, not a secret)
    connection = HTTPConnection(LOOPBACK, soak.port, timeout=30)
    kinds: list[tuple[Act, int]] = [
        (_upload, 12),
        (_predict_file, 16),
        (_predict, 20),
        (_label, 8),
        (_delete, 6),
        *((_getter(path), 8) for path in ("", "?limit=100", "/{}", "/{}/thumbnail", "/{}/file")),
    ]
    acts, weights = zip(*kinds, strict=True)
    while True:
        with soak.lock:
            if soak.done >= soak.total:
                break
            soak.done += 1
        act = _upload if not soak.ids else choice.choices(acts, weights)[0]
        act(connection, soak, choice)
    connection.close()


def _call(
    connection: HTTPConnection, soak: Soak, method: str, path: str, body: bytes = b"", kind: str = "application/json"
) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {soak.token}"} | ({"Content-Type": kind} if body else {})
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    content = answer.read()
    name = f"{method} {answer.status}"
    with soak.lock:
        soak.statuses[name] = soak.statuses.get(name, 0) + 1
    # Another client may have deleted the picture in the meantime, and a picture is deleted once.
    if answer.status >= 400 and answer.status != 404:
        raise BenchError(f"{method} {path} was answered with {answer.status}: {content[:300].decode(errors='replace')}")
    return answer.status, content


def _picture(soak: Soak) -> bytes:
    """Return a picture that nobody has sent yet: a digit with a number in a text chunk."""
    number = next(soak.numbers)
    png = soak.pngs[number % len(soak.pngs)]
    after_header = 8 + 25
    return png[:after_header] + chunk(b"tEXt", b"Comment\0%d" % number) + png[after_header:]


def _upload(connection: HTTPConnection, soak: Soak, _: random.Random) -> None:
    status, content = _call(connection, soak, "POST", "/api/v1/images", *multipart(_picture(soak)))
    if status == 201:
        with soak.lock:
            soak.ids.append(json.loads(content)["id"])


def _predict_file(connection: HTTPConnection, soak: Soak, choice: random.Random) -> None:
    _call(connection, soak, "POST", "/api/v1/predict", *multipart(choice.choice(soak.pngs)))


def _predict(connection: HTTPConnection, soak: Soak, choice: random.Random) -> None:
    _call(connection, soak, "POST", f"/api/v1/images/{choice.choice(soak.ids)}/predictions", b"{}")


def _label(connection: HTTPConnection, soak: Soak, choice: random.Random) -> None:
    body = json.dumps({"label": str(choice.randrange(10))}).encode()
    _call(connection, soak, "PUT", f"/api/v1/images/{choice.choice(soak.ids)}/label", body)


def _delete(connection: HTTPConnection, soak: Soak, choice: random.Random) -> None:
    with soak.lock:
        if len(soak.ids) < 2:
            return
        image_id = soak.ids.pop(choice.randrange(len(soak.ids)))
    _call(connection, soak, "DELETE", f"/api/v1/images/{image_id}")


def _getter(path: str) -> Act:
    def get(connection: HTTPConnection, soak: Soak, choice: random.Random) -> None:
        _call(connection, soak, "GET", "/api/v1/images" + path.format(choice.choice(soak.ids)))

    return get
