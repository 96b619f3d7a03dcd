"""`pixref fsck` over 100,000 rows and objects: how long, how much memory, and that a second run finds nothing left to do.

The objects are small and are not read: a comparison reads rows and the bucket's listing only. `--deep` is a matter of the store's bandwidth.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from bench.result import Check, Result, Series
from bench.stack import PIXREF, Stack, running_stack
from bench.wrk import BenchError
from service.settings import PROJECT_DIR, child_environment
from storage.base import ObjectUpload
from storage.keys import new_image_key
from storage.minio_store import MinioStore

COUNT = 100_000
STRAYS = 50
LOST = 50
SECONDS, PEAK = "s", "peak MiB"

_ROW = """
    INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, source, ready_at, lease_until)
    VALUES %s
"""


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    peak_mib: float
    report: Mapping[str, Any]


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` when a check finds something else than was hidden for it."""
    count, rounds = (2_000, 2) if quick else (COUNT, 3)
    with running_stack() as stack:
        small = stack.fresh()
        _fill(stack, small, count // 10)
        large = stack.fresh()
        _fill(stack, large, count)
        runs = {"a tenth": [_fsck(small) for _ in range(rounds)], "all": [_fsck(large) for _ in range(rounds)]}
        for each in runs["all"]:
            _require(each.report, lost=LOST, astray=0)  # strays are younger than the grace period
        repaired = _fsck(large, "--repair")
        again = _fsck(large, "--repair")
    if repaired.report["marked"] != LOST or again.report["marked"] or again.report["quarantined"]:
        raise BenchError(f"repaired {repaired.report['marked']} of {LOST}, and {again.report['marked']} more in a second run")
    series = [
        Series(f"{count // 10:,} rows and objects", _samples(runs["a tenth"])),
        Series(f"{count:,} rows and objects", _samples(runs["all"])),
        Series("the same with --repair", _samples([repaired, again])),
    ]
    grown = [large.peak_mib - small.peak_mib for large, small in zip(runs["all"], runs["a tenth"], strict=True)]
    checks = [
        Check(f"fsck of {count:,} rows and objects", [each.seconds for each in runs["all"]], SECONDS, at_most=120),
        Check("peak memory over that of a tenth of them", [round(value, 1) for value in grown], "MiB", at_most=16),
    ]
    return Result("fsck", series, checks, {"rows": count, "lost": LOST, "strays": STRAYS})


def _samples(runs: list[_Run]) -> dict[str, list[float]]:
    return {SECONDS: [each.seconds for each in runs], PEAK: [each.peak_mib for each in runs]}


def _fill(stack: Stack, variables: Mapping[str, str], count: int) -> None:
    """Make pictures that are rows and objects, a few objects without rows, and a few rows without objects."""
    store = MinioStore(
        variables["S3_ENDPOINT"],
        bucket=variables["S3_BUCKET"],
        access_key=variables["S3_ACCESS_KEY"],
        secret_key=variables["S3_SECRET_KEY"],
    )
    rows: list[tuple[object, ...]] = []
    uploads = []
    for number in range(count + STRAYS):
        data = f"picture {number}".encode()
        digest = sha256(data).hexdigest()
        key = new_image_key(digest)
        if number < count:
            rows.append((digest, key, len(data), "READY", 28, 28, 1, 8, 0, "bench", "now()", None))
        if not count - LOST <= number < count:
            uploads.append(ObjectUpload(key, data, digest, "image/png"))
    store.put_objects(uploads)
    connection = psycopg2.connect(variables["DATABASE_URL"])
    try:
        with connection, connection.cursor() as cursor:
            execute_values(cursor, _ROW, rows, page_size=2_000)
    finally:
        connection.close()


def _fsck(variables: Mapping[str, str], *arguments: str) -> _Run:
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            [PIXREF, "fsck", "--json", *arguments],
            env=child_environment(variables),
            cwd=PROJECT_DIR,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stderr is not None
        error = process.stderr.read()
        process.stderr.close()
        if process.returncode not in (0, 1) or error:
            raise BenchError(f"pixref fsck ended with {process.returncode}: {error.strip()}")
        out.seek(0)
        return _Run(round(seconds, 2), round(usage.ru_maxrss / 1024, 1), json.load(out))


def _require(report: Mapping[str, Any], *, lost: int, astray: int) -> None:
    found = report["lost"]["count"], report["astray"]["count"]
    if found != (lost, astray):
        raise BenchError(f"{found[0]} lost and {found[1]} astray were found instead of {lost} and {astray}")
