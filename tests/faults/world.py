"""Servers that may be killed, proxies before them, and the process that is killed beside them."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin

from schema.provision import ensure_database, provision_database
from schema.roles import APP, READER
from schema.session import Sessions, open_engine
from service.accounts.tokens import local_actor
from service.embedded.minio import MinioServer, find_minio
from service.embedded.ports import free_port
from service.embedded.postgres import PostgresServer
from service.models.registration import register_model
from service.models.serving import BUILT_IN
from service.models.spec import Preprocessing
from service.models.vetting import VettedModel, vet_model
from service.settings import PROJECT_DIR
from storage.minio_store import MinioStore
from storage.provision import ensure_bucket
from storage.transport import new_pool
from tests.faults.proxy import Proxy

PASSWORD = "fault-password"
ROOT = "root-of-faults"
READ_ONLY = "reader-of-faults"


@dataclass(slots=True)
class World:
    """Everything an injection touches. `sessions` and `store` go straight to the servers, the victim through the proxies."""

    folder: Path
    postgres: PostgresServer
    minio: MinioServer
    to_postgres: Proxy
    to_minio: Proxy
    sessions: Sessions
    store: MinioStore
    bucket: str
    settings: dict[str, Any]
    victim: subprocess.Popen[str]
    may_write: bool = True
    """False gives the victim a key that may only read the bucket."""

    def run(self, operations: Sequence[dict[str, Any]], failpoints: str = "") -> tuple[int, list[dict[str, Any]]]:
        """Let the victim do these operations; return its exit status (negative: the signal that ended it) and its journal."""
        journal = self.folder / f"journal-{uuid4().hex}"
        settings = self.settings if self.may_write else self.settings | {"access_key": READ_ONLY}
        job = {"settings": settings, "failpoints": failpoints, "operations": list(operations), "journal": str(journal)}
        assert self.victim.stdin is not None
        assert self.victim.stdout is not None
        self.victim.stdin.write(json.dumps(job) + "\n")
        self.victim.stdin.flush()
        status = int(self.victim.stdout.readline())
        entries = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
        journal.unlink(missing_ok=True)
        return status, entries

    def crash_postgres(self) -> None:
        """Kill PostgreSQL with all its processes, and start it again: it recovers from its log."""
        self.postgres.kill()
        self.postgres.stop()
        self.postgres.start()
        self.sessions.engine.dispose()

    def kill_minio(self) -> None:
        """Kill MinIO and start it again."""
        self.minio.kill()
        self.minio.stop()
        self.minio.start()


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Start the servers with a database, a bucket and the built-in model. PostgreSQL is durable here: it is going to be killed."""
    with ExitStack() as stack:
        postgres = stack.enter_context(
            PostgresServer(folder / "pg", port=free_port(), superuser_password=PASSWORD, log_path=folder / "pg.log")
        )
        binary = os.environ.get("MINIO_BIN")
        minio = stack.enter_context(
            MinioServer(
                find_minio(Path(binary) if binary else None, say=print),
                folder / "objects",
                port=free_port(),
                root_user=ROOT,
                root_password=PASSWORD,
                log_path=folder / "minio.log",
            )
        )
        admin_url, app_url = postgres.url("postgres", PASSWORD, "faults"), postgres.url(APP, PASSWORD, "faults")
        ensure_database(admin_url)
        provision_database(admin_url, app_url=app_url, passwords={READER: PASSWORD})
        ensure_bucket(minio.endpoint, access_key=ROOT, secret_key=PASSWORD, bucket="faults")
        _make_read_only_key(minio, "faults")
        to_postgres, to_minio = stack.enter_context(Proxy(postgres.port)), stack.enter_context(Proxy(minio.port))
        sessions = Sessions(open_engine(app_url, application_name="faults"))
        stack.callback(sessions.engine.dispose)
        store = MinioStore(minio.endpoint, bucket="faults", access_key=ROOT, secret_key=PASSWORD)
        vetted = folder / "vetted"
        _register(sessions, store, vetted)
        settings = {
            "database_url": app_url.replace(f":{postgres.port}/", f":{to_postgres.port}/"),
            "s3_endpoint": f"http://127.0.0.1:{to_minio.port}",
            "bucket": "faults",
            "access_key": ROOT,
            "secret_key": PASSWORD,
            "account_id": local_actor(sessions, "victim").account_id,
            "vetted": str(vetted),
        }
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim"],
            cwd=PROJECT_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(_end, victim)
        yield World(folder, postgres, minio, to_postgres, to_minio, sessions, store, "faults", settings, victim)


def _make_read_only_key(minio: MinioServer, bucket: str) -> None:
    admin = MinioAdmin(
        endpoint=minio.endpoint.removeprefix("http://"),
        credentials=StaticProvider(ROOT, PASSWORD),
        secure=False,
        http_client=new_pool(max_connections=1),
    )
    reads = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"]}
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": [reads | {"Resource": resources}]}
    admin.policy_add(policy_name=READ_ONLY, policy=policy)
    admin.user_add(access_key=READ_ONLY, secret_key=PASSWORD)
    admin.policy_set(policy_name=READ_ONLY, user=READ_ONLY)


def _register(sessions: Sessions, store: MinioStore, vetted: Path) -> None:
    """Register the built-in model, and keep what vetting found: it takes seconds, and the victim registers it again and again."""
    models = PROJECT_DIR / "models"
    record = json.loads((models / "mnist.json").read_text())

    def vet_and_keep(path: Path, **known: Any) -> VettedModel:
        found = vet_model(path, **known)
        vetted.write_bytes(pickle.dumps(found))
        return found

    register_model(
        sessions,
        store,
        models / "mnist.keras",
        name=BUILT_IN,
        labels=record["labels"],
        preprocessing=Preprocessing.from_json(record["preprocessing"]),
        metrics=record["metrics"],
        actor=local_actor(sessions, "faults"),
        work_dir=vetted.parent,
        vet=vet_and_keep,
    )


def _end(victim: subprocess.Popen[str]) -> None:
    assert victim.stdin is not None
    assert victim.stdout is not None
    victim.stdin.close()
    victim.wait(20)
    victim.stdout.close()
