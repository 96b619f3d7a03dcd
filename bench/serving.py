"""The model on its way to an answer: in one process against `model.predict`, over HTTP against the naive app, and while its alias moves.

Also how much memory a web worker holds with as many versions loaded as it keeps.
"""

import json
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import IO

from bench import servers
from bench.pictures import test_digits
from bench.predict import CLIENTS, Contender
from bench.processes import children, memory
from bench.result import Check, Result, Series, ratios
from bench.stack import DATABASE, Stack, running_stack
from bench.wrk import BenchError, Request, multipart, require_wrk, write_requests
from schema.session import Sessions, open_engine
from service.accounts.tokens import local_actor
from service.embedded.ports import LOOPBACK
from service.models.preprocessing import to_model_input
from service.models.registration import register_model
from service.models.serving import BUILT_IN, Loaded, ModelRef, ModelServer
from service.models.shelf import MOST_VERSIONS
from service.models.vetting import vet_model
from service.png.pixels import decode_stored
from service.settings import PROJECT_DIR, child_environment
from storage.minio_store import MinioStore

MICROSECONDS = "us a picture"
# More than the two seconds after which a process looks at an alias again, so that each of its versions is loaded under load.
MOVE_EVERY_S = 2.5
MOVES = 3
VERSIONS = MOST_VERSIONS + 2
"""More than a process keeps: going through all of them, each is loaded anew."""
_POINT = """
    UPDATE pixref.model_alias SET model_version_id = (SELECT v.id FROM pixref.model_version v WHERE v.number = {number})
    WHERE alias = 'champion'
"""


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` where wrk or gunicorn is missing, or a request fails, while an alias moves as well."""
    require_wrk()
    rounds, duration_s, ours_count, naive_count = (2, 2, 2_000, 10) if quick else (5, 4, 20_000, 60)
    with ExitStack() as exits:
        stack = exits.enter_context(running_stack())
        loaded = _many_versions(stack)
        ours_us, predict_us = _in_process(loaded, rounds, ours_count, naive_count)
        pixref, naive, moving = _contenders(stack, exits)
        for contender in (pixref, naive):
            contender.measure(1)
        seen: set[int] = set()
        moves = 0
        for _ in range(rounds):
            pixref.loads.append(pixref.measure(duration_s))
            naive.loads.append(naive.measure(duration_s))
            with _moving(stack, moving, moves) as moved:
                moving.loads.append(moving.measure(ceil(MOVES * MOVE_EVERY_S)))
            seen |= moved.versions
            moves += moved.count
        if len(seen) < min(VERSIONS, moves) - 1:
            raise BenchError(f"the alias has moved {moves} times, but only versions {sorted(seen)} have answered")
        workers = memory(children(pixref.child.pid))
    rates = [[load.per_second for load in each.loads] for each in (pixref, naive)]
    checks = [
        Check("one picture in process: model.predict / Pixref", ratios(predict_us, ours_us), at_least=500),
        Check(f"{CLIENTS} clients over HTTP: Pixref / naive", ratios(*rates), at_least=80),
        Check(f"p99 at {CLIENTS} clients", [load.p99_ms for load in pixref.loads], "ms", at_most=25),
        Check(f"p99 at {CLIENTS} clients while the alias moves", [load.p99_ms for load in moving.loads], "ms"),
        # A request that fails ends the measurement.
        Check("failed requests while the alias moves", [0.0], "requests", at_most=0),
        Check(
            f"largest web worker with {MOST_VERSIONS} versions, resident",
            [max(each.rss_mib for each in workers)],
            "MiB",
            at_most=150,
        ),
    ]
    series = [
        Series("Pixref, in process", {MICROSECONDS: ours_us}),
        Series("model.predict, in process", {MICROSECONDS: predict_us}),
        *(each.series() for each in (pixref, naive, moving)),
    ]
    facts = {
        "clients": CLIENTS,
        "seconds_per_measurement": duration_s,
        "web_workers": servers.WORKERS,
        "alias_moved": moves,
        "requests_while_it_moved": sum(load.requests for load in moving.loads),
    }
    return Result("serving", series, checks, facts)


def _many_versions(stack: Stack) -> Loaded:
    """Register the built-in model again and again, its labels in other orders, and return the first version, loaded here."""
    variables = stack.variables()
    sessions = Sessions(open_engine(variables["DATABASE_URL"]))
    store = MinioStore(
        variables["S3_ENDPOINT"],
        bucket=variables["S3_BUCKET"],
        access_key=variables["S3_ACCESS_KEY"],
        secret_key=variables["S3_SECRET_KEY"],
    )
    loaded = ModelServer(sessions, store).get(ModelRef())
    with tempfile.TemporaryDirectory() as folder:
        vetted = vet_model(servers.MODEL, labels=None, preprocessing=loaded.artifact.recipe, work_dir=Path(folder))
        for turn in range(1, VERSIONS):
            register_model(
                sessions,
                store,
                servers.MODEL,
                name=BUILT_IN,
                labels=[*loaded.artifact.labels[turn:], *loaded.artifact.labels[:turn]],
                preprocessing=loaded.artifact.recipe,
                metrics={},
                actor=local_actor(sessions, "bench"),
                work_dir=Path(folder),
                vet=lambda *_args, **_kwargs: vetted,
            )
    sessions.engine.dispose()
    return loaded


def _in_process(loaded: Loaded, rounds: int, ours_count: int, naive_count: int) -> tuple[list[float], list[float]]:
    """Return microseconds for one prepared picture: through our runtime with its queue, and by `model.predict` in a process of its own."""
    picture = to_model_input(decode_stored(test_digits().pngs[0]), loaded.artifact.spec, loaded.artifact.recipe)
    ours: list[float] = []
    theirs: list[float] = []
    environment = child_environment({}) | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    argv = [sys.executable, "-m", "bench.plain_predict", str(servers.MODEL)]
    with subprocess.Popen(
        argv, env=dict(environment), cwd=PROJECT_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(-1, rounds):  # the first round warms both up, and is not counted
            started = perf_counter()
            for _ in range(ours_count):
                loaded.runtime.answer(picture)
            taken = (perf_counter() - started) * 1e6 / ours_count
            naive = _asked(child.stdin, child.stdout, naive_count)
            if number >= 0:
                ours.append(round(taken, 2))
                theirs.append(round(naive, 1))
        child.stdin.close()
    return ours, theirs


def _asked(questions: IO[str], answers: IO[str], count: int) -> float:
    questions.write(f"{count}\n")
    questions.flush()
    line = answers.readline()
    if not line:
        raise BenchError("the process that runs `model.predict` has died")
    return float(line)


def _contenders(stack: Stack, exits: ExitStack) -> tuple[Contender, Contender, Contender]:
    digits = test_digits()
    pixref, pixref_port = stack.serve()
    naive, naive_port = servers.naive(stack, digits.pngs, digits.labels)
    for child in (pixref, naive):
        exits.enter_context(child)
    bodies = [multipart(png) for png in digits.pngs]
    ours = [Request("/api/v1/predict", body, kind, stack.token) for body, kind in bodies]
    theirs = [Request("/predict", body, kind) for body, kind in bodies]
    contenders = (
        Contender("Pixref", pixref, pixref_port, ours, stack.folder / "pixref.requests"),
        Contender("naive", naive, naive_port, theirs, stack.folder / "naive.requests"),
        Contender("Pixref, while the alias moves", pixref, pixref_port, ours, stack.folder / "pixref.requests"),
    )
    for contender in contenders:
        write_requests(contender.file, contender.requests, f"{LOOPBACK}:{contender.port}")
    return contenders


class _Moved:
    """How often the alias has moved, and which versions were seen to answer."""

    def __init__(self) -> None:
        self.count = 0
        self.versions: set[int] = set()


@contextmanager
def _moving(stack: Stack, contender: Contender, before: int) -> Iterator[_Moved]:
    """Move the alias from version to version, after `before` moves, and ask each time who answers."""
    moved, ended = _Moved(), threading.Event()
    failed: list[Exception] = []

    def move() -> None:
        try:
            while not ended.is_set():
                moved.count += 1
                stack.as_superuser(_POINT.format(number=1 + (before + moved.count) % VERSIONS), database=DATABASE)
                ended.wait(MOVE_EVERY_S)
                moved.versions.add(int(_asked_once(contender)["version"]))
        except Exception as exc:
            failed.append(exc)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield moved
    finally:
        ended.set()
        thread.join()
    if failed:
        raise BenchError(f"while the alias moved: {failed[0]}")


def _asked_once(contender: Contender) -> Mapping[str, float]:
    asked = contender.requests[0]
    headers = {"Content-Type": asked.content_type, "Authorization": f"Bearer {asked.token}"}
    url = f"http://{LOOPBACK}:{contender.port}{asked.path}"
    with urllib.request.urlopen(urllib.request.Request(url, asked.body, headers), timeout=30) as answer:
        found: Mapping[str, float] = json.load(answer)
    return found
