"""Real servers for measurements: PostgreSQL, MinIO and `pixref serve`, in a temporary folder and on free ports."""

import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import click
import psycopg2

from schema.roles import APP
from service.embedded.child import Child
from service.embedded.minio import MinioServer, find_minio
from service.embedded.ports import answers_http, free_port
from service.embedded.postgres import PostgresServer
from service.settings import LocalSettings, child_environment
from storage.provision import ensure_bucket, ensure_scoped_key

PIXREF = Path(sys.executable).with_name("pixref")
DATABASE = "pixref"
BUCKET = "pixref"


@dataclass(frozen=True, slots=True)
class Stack:
    """Running servers, with a database and a bucket that `pixref init` has made ready."""

    folder: Path
    postgres: PostgresServer
    minio: MinioServer
    password: str
    token: str

    def variables(self, *, database: str = DATABASE, bucket: str = BUCKET, port: int = 1) -> dict[str, str]:
        """Return the settings by which Pixref reaches its servers."""
        return {
            "DATABASE_URL": self.postgres.url(APP, self.password, database),
            "S3_ENDPOINT": self.minio.endpoint,
            "S3_PUBLIC_ENDPOINT": self.minio.endpoint,
            "S3_ACCESS_KEY": f"key-{bucket}",
            "S3_SECRET_KEY": self.password,
            "S3_BUCKET": bucket,
            "PIXREF_SECRET_KEY": self.password,
            "PIXREF_HOST": "127.0.0.1",
            "PIXREF_PORT": str(port),
            "PIXREF_WEB_WORKERS": "2",
            # Should this process die, nothing of the user's own installation may be found by what it has started.
            "PIXREF_STATE_DIR": str(self.folder),
        }

    def pixref(self, *arguments: str, variables: Mapping[str, str], privileged: bool = False) -> None:
        """Run one command to its end. Raises `ChildDied`."""
        environment = child_environment(variables, privileged=privileged)
        name = f"pixref-{arguments[0]}"
        child = Child(name, [PIXREF, *arguments], env=environment, log_path=self.folder / f"{name}.log")
        with child:
            if child.wait() != 0:
                raise child.died()

    def serve(self) -> tuple[Child, int]:
        """Describe the web server and return it with its port; it is not started."""
        port = free_port()
        child = Child(
            "pixref-serve",
            [PIXREF, "serve"],
            env=child_environment(self.variables(port=port)),
            log_path=self.folder / "pixref-serve.log",
            ready=lambda: answers_http(port, "/readyz"),
            stop_timeout_s=35,
        )
        return child, port

    def fresh(self) -> dict[str, str]:
        """Make another database, at head and empty but for the model, and another bucket; return the settings for them."""
        name = f"fresh-{uuid4().hex[:12]}"
        self.as_superuser(f'CREATE DATABASE "{name}" TEMPLATE {DATABASE}')
        self._make_bucket(name)
        return self.variables(database=name, bucket=name)

    def _make_bucket(self, name: str) -> None:
        root = {"user": "bench-root", "password": self.password}
        ensure_bucket(self.minio.endpoint, access_key=root["user"], secret_key=root["password"], bucket=name)
        ensure_scoped_key(
            self.minio.endpoint,
            root_access_key=root["user"],
            root_secret_key=root["password"],
            access_key=f"key-{name}",
            secret_key=self.password,
            bucket=name,
        )

    def as_superuser(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement outside a transaction."""
        connection = psycopg2.connect(self.postgres.url("postgres", self.password, database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Start PostgreSQL and MinIO, run `pixref init`, and stop everything in the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pixref-bench-")))
        password = secrets.token_hex(20)
        postgres = PostgresServer(
            folder / "postgres", port=free_port(), superuser_password=password, log_path=folder / "postgres.log"
        )
        minio = MinioServer(
            find_minio(LocalSettings.load().minio_bin, say=lambda text: click.echo(text, err=True)),
            folder / "objects",
            port=free_port(),
            root_user="bench-root",
            root_password=password,
            log_path=folder / "minio.log",
        )
        stack.enter_context(postgres)
        stack.enter_context(minio)
        running = Stack(folder, postgres, minio, password, secrets.token_hex(20))
        privileged = {
            "DATABASE_ADMIN_URL": postgres.url("postgres", password, DATABASE),
            "MINIO_ROOT_USER": "bench-root",
            "MINIO_ROOT_PASSWORD": password,
            "PIXREF_ADMIN_TOKEN": running.token,
        }
        running.pixref("init", variables=running.variables() | privileged, privileged=True)
        yield running
