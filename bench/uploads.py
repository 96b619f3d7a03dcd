"""100 large pictures sent at once to two workers, while somebody looks at the list: nobody dies, memory is bounded, the list stays quick.

Each client sends its own 20 MiB of noise until it is kept: told to come again later (503 and Retry-After), it does.
"""

import os
import random
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from select import select
from statistics import quantiles

import psutil

from bench.processes import MIB, children
from bench.result import Check, Result, Series
from bench.stack import Stack, running_stack
from bench.wrk import BenchError, multipart
from service.embedded.ports import LOOPBACK

CLIENTS = 100
SIDE = 2_630  # of RGB noise, which does not compress: 19.8 MiB
POLL_S = 0.05
SAMPLE_S = 0.1
CHUNK = 256 * 1024
PATIENCE_S = 600.0


@dataclass(slots=True)
class Watched:
    """What was seen of the server meanwhile."""

    list_s: list[float] = field(default_factory=list)
    peak_mib: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Answers:
    """What the clients were told; `other` are answers that they must not get, or none at all."""

    kept: int = 0
    later: int = 0
    other: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` when the clients are not served in time."""
    clients, side = (24, SIDE) if quick else (CLIENTS, SIDE)
    rounds = 1 if quick else 3
    seconds, answers, watched, deaths = [], [], [], []
    with running_stack() as stack:
        child, port = stack.serve()
        with child:
            for number in range(rounds):
                before = children(child.pid)
                started = time.perf_counter()
                answer, seen = _round(stack, child.pid, port, clients, _Picture(side, number))
                seconds.append(round(time.perf_counter() - started, 2))
                deaths.append(float(sum(not process.is_running() for process in before)))
                answers.append(answer)
                watched.append(seen)
    p99 = [_p99_ms(seen.list_s) for seen in watched]
    peak = [max(seen.peak_mib.values()) for seen in watched]
    other = [reason for answer in answers for reason in answer.other]
    series = Series(
        f"{clients} clients, {len(_Picture(side, 0).rest) / MIB:.1f} MiB each",
        {
            "s": seconds,
            "uploads/s": [round(clients / each, 2) for each in seconds],
            "asked to come later": [float(answer.later) for answer in answers],
        },
    )
    checks = [
        Check("answers other than 201 and 503 with Retry-After", [float(len(answer.other)) for answer in answers], "", at_most=0),
        Check("workers that died", deaths, "", at_most=0),
        Check("largest web worker, resident", peak, "MiB", at_most=400),
        Check("the list meanwhile, p99", p99, "ms", at_most=1000),
    ]
    return Result(
        "uploads", [series], checks, {"clients": clients, "polls": [len(s.list_s) for s in watched], "other": other[:20]}
    )


class _Picture:
    """A PNG of noise in two parts: what all clients share, and a text chunk that makes each one's bytes its own."""

    def __init__(self, side: int, seed: int) -> None:
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        noise = random.Random(seed).randbytes(3 * side)  # noqa: S311
        rows = b"".join(b"\0" + noise[turn:] + noise[:turn] for turn in (3 * (row % side) for row in range(side)))
        self._begin = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        self.rest = chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")

    def head(self) -> bytes:
        """Return the part before `rest`, another one at every call."""
        return self._begin + chunk(b"tEXt", b"Comment\0" + os.urandom(16).hex().encode())


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _round(stack: Stack, pid: int, port: int, clients: int, picture: _Picture) -> tuple[Answers, Watched]:
    answers, watched, done = Answers(), Watched(), threading.Event()
    with ThreadPoolExecutor(clients + 2) as pool:
        watchers = [pool.submit(_poll_list, port, stack.token, watched, done), pool.submit(_watch_memory, pid, watched, done)]
        try:
            uploads = [pool.submit(_upload, port, stack.token, picture, answers) for _ in range(clients)]
            for upload in uploads:
                upload.result()
        finally:
            done.set()
        for watcher in watchers:
            watcher.result()
    return answers, watched


def _poll_list(port: int, token: str, watched: Watched, done: threading.Event) -> None:
    while not done.wait(POLL_S):
        started = time.perf_counter()
        connection = HTTPConnection(LOOPBACK, port, timeout=30)
        connection.request("GET", "/api/v1/images", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise BenchError(f"the list was answered with {answer.status}")
        watched.list_s.append(time.perf_counter() - started)


def _watch_memory(pid: int, watched: Watched, done: threading.Event) -> None:
    while not done.wait(SAMPLE_S):
        for process in children(pid):
            with suppress(psutil.NoSuchProcess):
                rss = round(process.memory_info().rss / MIB, 1)
                watched.peak_mib[process.pid] = max(rss, watched.peak_mib.get(process.pid, 0.0))


def _upload(port: int, token: str, picture: _Picture, answers: Answers) -> None:
    deadline = time.monotonic() + PATIENCE_S
    head = picture.head()
    while time.monotonic() < deadline:
        try:
            status, retry_after = _send(port, token, head, picture.rest)
        except (OSError, HTTPException) as exc:
            status, retry_after = 0, repr(exc)
        with answers.lock:
            if status == 201:
                answers.kept += 1
                return
            if status != 503 or not retry_after:
                answers.other.append(f"{status} {retry_after}")
                return
            answers.later += 1
        time.sleep(int(retry_after) * random.uniform(1, 2))  # noqa: S311
    raise BenchError(f"an upload was not kept within {PATIENCE_S:g} s")


def _send(port: int, token: str, head: bytes, rest: bytes) -> tuple[int, str | None]:
    """Send one upload, and stop in its middle when the answer is there before: return status and Retry-After."""
    form, kind = multipart(b"")
    begin, _, end = form.partition(b"\r\n\r\n")
    begin += b"\r\n\r\n" + head
    length = len(begin) + len(rest) + len(end)
    lines = [
        "POST /api/v1/images HTTP/1.1",
        f"Host: {LOOPBACK}:{port}",
        f"Authorization: Bearer {token}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
    ]
    with socket.create_connection((LOOPBACK, port), 120) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + begin)
        whole, sent = memoryview(rest), 0
        # The server may hang up on a body that it does not want; its answer is there to be read all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < len(whole):
                readable, writable, _ = select([connection], [connection], [], 120)
                if readable:
                    break
                if writable:
                    sent += connection.send(whole[sent : sent + CHUNK])
            else:
                connection.sendall(end)
        answer = HTTPResponse(connection, method="POST")
        answer.begin()
        answer.read()
        return answer.status, answer.headers.get("Retry-After")


def _p99_ms(seconds: list[float]) -> float:
    return round(quantiles(seconds, n=100)[98] * 1000, 1)
