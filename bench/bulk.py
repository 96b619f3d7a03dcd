"""Stored pictures predicted by the thousand: `pixref predict`, against a plain script with Keras and the ORM, and against fetching alone.

Small pictures come from their rows, larger ones from MinIO.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psycopg2
from PIL import Image as Pillow

from bench import servers
from bench.pictures import Digits, write_many
from bench.result import Check, Result, Series, ratios
from bench.stack import DATABASE, PIXREF, Stack, running_stack
from bench.wrk import BenchError
from schema.session import Sessions, open_engine
from service.accounts.tokens import local_actor
from service.models.predicting import processors
from service.pictures.bulk import Candidate, upload_many
from service.pictures.upload import Description
from service.png import PngLimits
from service.settings import PROJECT_DIR, child_environment
from storage.minio_store import MinioStore

PER_SECOND = "pictures/s"
SMALL, LARGE = "train", "large"
"""The splits that the pictures are in."""
SIDE = 100
"""Of the larger pictures, in pixels: beyond what is its own thumbnail."""
# What both models make of the same pictures may differ where two classes are as good as equal.
LEAST_EQUAL = 0.999
Measure = Callable[[], float]


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` when a process fails, a row is missing or the answers differ."""
    rounds, copies, plain_count, large_count = (2, 10, 5_000, 4_000) if quick else (5, 80, 20_000, 20_000)
    with running_stack() as stack:
        digits = _different(write_many(stack.folder / "idx", copies))
        _load_large(stack.variables(), digits, large_count)
        stack.pixref("load", "mnist", "--from", str(stack.folder / "idx"), variables=stack.variables())
        servers.fill(stack, digits.pngs, digits.labels)
        whole: list[float] = []
        contenders: dict[str, Measure] = {
            "Pixref": lambda: _predict(stack, SMALL, whole),
            "plain script": lambda: _plain(stack, plain_count),
            "Pixref, from the bucket": lambda: _predict(stack, LARGE, []),
            "fetching alone": lambda: _fetch(stack.variables(), large_count),
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        order = list(contenders)
        for number in range(-1, rounds):  # the first round warms caches, and is not counted
            for name in order[number % len(order) :] + order[: number % len(order)]:
                rate = contenders[name]()
                if number >= 0:
                    rates[name].append(round(rate, 1))
                elif name == "plain script":
                    _compare(stack)
            if number < 0:
                whole.clear()
        stored = len(digits.pngs)
    ours, plain, bucket, fetching = (rates[name] for name in contenders)
    checks = [
        Check("predicted from reference to committed row", ours, PER_SECOND, at_least=10_000),
        Check("Pixref / plain script", ratios(ours, plain), at_least=3),
        Check("from the bucket / fetching alone", ratios(bucket, fetching), at_least=0.7),
        Check("the whole process of `pixref predict`, its start included", whole, PER_SECOND),
    ]
    facts = {
        "pictures": stored,
        "pictures_of_the_plain_script": plain_count,
        "pictures_in_the_bucket": large_count,
        "side_in_the_bucket": SIDE,
        "processes": processors(),
    }
    return Result("bulk", [Series(name, {PER_SECOND: values}) for name, values in rates.items()], checks, facts)


def _different(digits: Digits) -> Digits:
    """Leave out what is there twice, as Pixref does."""
    labels = dict(zip(digits.pngs, digits.labels, strict=True))
    return Digits(list(labels), list(labels.values()))


def _load_large(variables: Mapping[str, str], digits: Digits, count: int) -> None:
    """Keep the first digits as pictures of `SIDE` x `SIDE` pixels, as Pillow writes them."""

    def drawn(png: bytes) -> bytes:
        out = BytesIO()
        with Pillow.open(BytesIO(png)) as digit:
            digit.resize((SIDE, SIDE), Pillow.Resampling.BICUBIC).save(out, "PNG")
        return out.getvalue()

    def refuse(candidate: Candidate, error: Exception) -> None:
        raise error

    sessions = Sessions(open_engine(variables["DATABASE_URL"]))
    store = MinioStore(
        variables["S3_ENDPOINT"],
        bucket=variables["S3_BUCKET"],
        access_key=variables["S3_ACCESS_KEY"],
        secret_key=variables["S3_SECRET_KEY"],
    )
    candidates = (Candidate(drawn(png), Description(split=LARGE)) for png in digits.pngs[:count])
    kept = upload_many(
        sessions, store, candidates, limits=PngLimits(), source="bench", actor=local_actor(sessions, "bench"), refuse=refuse
    )
    sessions.engine.dispose()
    if kept.added != count:
        raise BenchError(f"{kept.added} of {count} larger pictures are there")


def _run(argv: list[str | Path], environment: Mapping[str, str], *, stdin: str = "") -> Any:
    done = subprocess.run(argv, env=dict(environment), cwd=PROJECT_DIR, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{argv[1]} failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def _predict(stack: Stack, split: str, whole: list[float]) -> float:
    """Predict a split into an empty table; the rate is that of the job, from its first look at the pictures to its last commit."""
    stack.as_superuser("TRUNCATE pixref.prediction", database=DATABASE)
    started = perf_counter()
    result = _run([PIXREF, "predict", "--split", split, "--json"], child_environment(stack.variables()))
    whole.append(round(result["predicted"] / (perf_counter() - started), 1))
    stored = _one(stack, DATABASE, "SELECT count(*) FROM pixref.prediction WHERE error IS NULL")
    wanted = _one(stack, DATABASE, f"SELECT count(*) FROM pixref.image WHERE split = '{split}'")  # noqa: S608  (our own word)
    if result["failed"] or not result["predicted"] == stored == wanted:
        raise BenchError(f"{stored} rows: {result}")
    return float(result["predicted"] / result["seconds"])


def _plain(stack: Stack, count: int) -> float:
    stack.as_superuser("TRUNCATE predictions", database=servers.NAIVE_DATABASE)
    url = stack.postgres.url("postgres", stack.password, servers.NAIVE_DATABASE).replace(
        "postgresql://", "postgresql+psycopg2://"
    )
    argv: list[str | Path] = [sys.executable, "-m", "bench.plain_bulk", servers.MODEL, str(count)]
    result = _run(argv, child_environment({}) | {"TF_CPP_MIN_LOG_LEVEL": "2"}, stdin=url)
    if not result["pictures"] == count == _one(stack, servers.NAIVE_DATABASE, "SELECT count(*) FROM predictions"):
        raise BenchError(f"the plain script has not predicted {count} pictures: {result}")
    return float(count / result["seconds"])


def _fetch(variables: Mapping[str, str], count: int) -> float:
    result = _run([sys.executable, "-m", "bench.fetch_only", LARGE], child_environment(variables))
    if result["pictures"] != count:
        raise BenchError(f"{result['pictures']} of {count} pictures were fetched")
    return float(count / result["seconds"])


def _compare(stack: Stack) -> None:
    """Compare our answers with those of Keras for the pictures that both have predicted, which they hold in the same order."""
    ours = _column(
        stack,
        DATABASE,
        "SELECT l.name FROM pixref.prediction p JOIN pixref.label l ON l.id = p.label_id ORDER BY p.image_id",
    )
    theirs = _column(stack, servers.NAIVE_DATABASE, "SELECT label FROM predictions ORDER BY image_id")
    equal = float(np.mean([a == b for a, b in zip(ours, theirs, strict=False)]))
    if equal < LEAST_EQUAL:
        raise BenchError(f"only {equal:.2%} of the answers are those of Keras")


def _one(stack: Stack, database: str, query: str) -> Any:
    return _column(stack, database, query)[0]


def _column(stack: Stack, database: str, query: str) -> list[Any]:
    connection = psycopg2.connect(stack.postgres.url("postgres", stack.password, database))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()
