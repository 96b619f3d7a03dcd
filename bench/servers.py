"""The servers that Pixref is compared with, each as a child process on a port of its own."""

import importlib.util
import os
import sys
from pathlib import Path

import psycopg2

from bench.stack import DATABASE, Stack
from bench.wrk import BenchError
from service.cli.serve import THREADS
from service.embedded.child import Child
from service.embedded.ports import LOOPBACK, answers_http, free_port
from service.settings import PROJECT_DIR

WORKERS = 2
MODEL = PROJECT_DIR / "models" / "mnist.keras"
NAIVE_DATABASE = "naive"


def require_gunicorn() -> None:
    """Raise `BenchError` where the naive servers cannot run."""
    if importlib.util.find_spec("gunicorn") is None:
        raise BenchError("gunicorn, which runs the naive server, is not installed: pip install -r requirements-dev.txt")


def naive(stack: Stack, pngs: list[bytes], labels: list[str]) -> tuple[Child, int]:
    """Make the naive app's database with these pictures as rows 1, 2, ...; describe its server, and return it with its port."""
    require_gunicorn()
    fill(stack, pngs, labels)
    url = stack.postgres.url("postgres", stack.password, NAIVE_DATABASE)
    port = free_port()
    argv = [
        *(sys.executable, "-m", "gunicorn", f"bench.naive:create_app({str(MODEL)!r}, {url!r})"),
        *("--bind", f"{LOOPBACK}:{port}", "--workers", str(WORKERS), "--worker-class", "sync", "--timeout", "120"),
        *("--pythonpath", str(PROJECT_DIR), "--no-control-socket"),
    ]
    return _child(stack.folder, "naive", argv, port), port


def naive_list(stack: Stack) -> tuple[Child, int]:
    """Describe the naive list of the same database's pictures, and return it with its port."""
    url = stack.postgres.url("postgres", stack.password, DATABASE)
    port = free_port()
    argv = [
        *(sys.executable, "-m", "gunicorn", f"bench.naive_list:create_app({url!r})", "--bind", f"{LOOPBACK}:{port}"),
        *("--workers", str(WORKERS), "--worker-class", "sync", "--timeout", "120", "--pythonpath", str(PROJECT_DIR)),
        "--no-control-socket",
    ]
    return _child(stack.folder, "naive-list", argv, port), port


def bare(folder: Path) -> tuple[Child, int]:
    """Describe a bare Flask route under granian with Pixref's workers and threads, and return it with its port."""
    port = free_port()
    argv = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--workers", str(WORKERS)),
        *("--blocking-threads", str(THREADS), "--host", LOOPBACK, "--port", str(port), "--no-log"),
        *("--working-dir", str(PROJECT_DIR), "bench.bare:app"),
    ]
    return _child(folder, "bare", argv, port), port


def _child(folder: Path, name: str, argv: list[str], port: int) -> Child:
    return Child(
        name,
        argv,
        env=dict(os.environ) | {"TF_CPP_MIN_LOG_LEVEL": "2"},  # noqa: TID251  (a child's environment is ours and a little more)
        log_path=folder / f"{name}.log",
        # No route answers GET, which is answer enough.
        ready=lambda: answers_http(port, "/", statuses=range(200, 500)),
        stop_timeout_s=20,
    )


def fill(stack: Stack, pngs: list[bytes], labels: list[str]) -> None:
    """Make the naive app's database with these pictures as rows 1, 2, ..."""
    stack.as_superuser(f"CREATE DATABASE {NAIVE_DATABASE}")
    connection = psycopg2.connect(stack.postgres.url("postgres", stack.password, NAIVE_DATABASE))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE images (id serial PRIMARY KEY, label text NOT NULL, data bytea NOT NULL)")
            cursor.execute(
                "CREATE TABLE predictions (id serial PRIMARY KEY, image_id integer NOT NULL REFERENCES images (id), "
                "label text NOT NULL, score double precision NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"
            )
            cursor.executemany("INSERT INTO images (label, data) VALUES (%s, %s)", list(zip(labels, pngs, strict=True)))
    finally:
        connection.close()
