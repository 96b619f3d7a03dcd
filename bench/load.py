"""`pixref load mnist --count 1000` as a whole process, against a plain client that only puts the same 1,000 objects into MinIO."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio

from bench.pictures import SAMPLES
from bench.result import Check, Result, Series, ratios
from bench.stack import PIXREF, Stack, running_stack
from bench.wrk import BenchError
from service.datasets.idx import load_split
from service.png.pixels import encode_gray
from service.settings import PROJECT_DIR, child_environment

COUNT = 1_000
SECONDS = "s"
PLAIN = ("8-threads", "one-by-one", "snowball")


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` when a process fails or not every object arrived."""
    rounds = 2 if quick else 7
    taken: dict[str, list[float]] = {name: [] for name in ("pixref load", *PLAIN)}
    with running_stack() as stack:
        folder = stack.folder / "pngs"
        folder.mkdir()
        for index, image in enumerate(load_split(SAMPLES, "train")[0][:COUNT]):
            (folder / f"{index:05d}.png").write_bytes(encode_gray(image))
        order = list(taken)
        for number in range(-1, rounds):  # the first round compiles Python files and warms caches, and is not counted
            for name in order[number % len(order) :] + order[: number % len(order)]:
                seconds = _measure(stack, name, folder)
                if number >= 0:
                    taken[name].append(round(seconds, 3))
        size = sum(file.stat().st_size for file in folder.iterdir())
    names = {
        "pixref load": f"`pixref load mnist --count {COUNT}`",
        "8-threads": "minio-py, 8 threads",
        "one-by-one": "minio-py, one by one",
        "snowball": "minio-py, one tar (Snowball)",
    }
    ours = taken["pixref load"]
    checks = [
        Check("pixref load / minio-py, 8 threads", ratios(ours, taken["8-threads"]), at_most=2),
        Check("pixref load / minio-py, one by one", ratios(ours, taken["one-by-one"])),
        Check("pixref load / minio-py, one tar", ratios(ours, taken["snowball"])),
    ]
    series = [Series(names[name], {SECONDS: values}) for name, values in taken.items()]
    return Result("load", series, checks, {"objects": COUNT, "bytes": size})


def _measure(stack: Stack, name: str, folder: Path) -> float:
    """Run one client on an empty database and bucket, and return the seconds from its start to its end."""
    variables = stack.fresh()
    if name == "pixref load":
        seconds = _timed([PIXREF, "load", "mnist", "--count", str(COUNT)], child_environment(variables))
    else:
        host = urlsplit(variables["S3_ENDPOINT"]).netloc
        argv: list[str | Path] = [
            sys.executable,
            "-m",
            "bench.put_objects",
            name,
            folder,
            host,
            variables["S3_BUCKET"],
            variables["S3_ACCESS_KEY"],
        ]
        seconds = _timed(argv, child_environment({}), secret=variables["S3_SECRET_KEY"])
    _require_objects(variables)
    return seconds


def _timed(argv: list[str | Path], environment: Mapping[str, str], *, secret: str = "") -> float:
    started = time.perf_counter()
    done = subprocess.run(argv, env=dict(environment), cwd=PROJECT_DIR, input=secret, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise BenchError(f"{argv[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return seconds


def _require_objects(variables: Mapping[str, str]) -> None:
    client = Minio(
        endpoint=urlsplit(variables["S3_ENDPOINT"]).netloc,
        access_key=variables["S3_ACCESS_KEY"],
        secret_key=variables["S3_SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )
    found = sum(1 for _ in client.list_objects(bucket_name=variables["S3_BUCKET"], prefix="images/", recursive=True))
    if found != COUNT:
        raise BenchError(f"{found} objects arrived instead of {COUNT}")
