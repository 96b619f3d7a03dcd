"""Real PostgreSQL and real MinIO for every test process; a bucket and an empty database for every test that asks for one.

`PIXREF_TEST_REQUIRE_ALL=1` turns what is skipped for a missing program into a failure; CI sets it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.provision import ensure_database, provision_database
from schema.roles import ANALYST, APP, CLIENT_ROLES, DOOR, READER, ensure_client, prepare_database
from schema.session import Sessions, open_engine
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token, local_actor
from service.app import create_app
from service.embedded.minio import MinioServer, find_minio
from service.embedded.ports import free_port
from service.embedded.postgres import PostgresServer
from service.embedded.versity import VersityServer, find_versity
from service.models.registration import register_model
from service.models.serving import BUILT_IN, ModelServer
from service.models.spec import Preprocessing
from service.models.vetting import VettedModel, vet_model
from service.png import PngLimits
from service.settings import PROJECT_DIR, Settings, door_password
from storage.minio_store import MinioStore
from storage.provision import ensure_bucket
from tests.servers import S3Server, require

PASSWORD = "test-password"
SECRET_KEY = "k" * 40
PASSWORDS = {role.name: PASSWORD for role in CLIENT_ROLES}
(DOOR_ROLE,) = (role for role in CLIENT_ROLES if role.name == DOOR)
ROOT_USER, ROOT_PASSWORD = "root-of-tests", "root-of-tests-secret"
TEMPLATE = "template_pixref"
MODELS = PROJECT_DIR / "models"


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A short folder of this test process for its servers."""
    folder = Path(tempfile.mkdtemp(prefix="pixref-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_dir: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(
        server_dir / "pg", port=free_port(), superuser_password=PASSWORD, log_path=server_dir / "pg.log", durable=False
    )
    with server:
        yield server


@pytest.fixture(scope="session")
def minio(server_dir: Path) -> Iterator[MinioServer]:
    binary = os.environ.get("MINIO_BIN")
    server = MinioServer(
        find_minio(Path(binary) if binary else None, say=print),
        server_dir / "objects",
        port=free_port(),
        root_user=ROOT_USER,
        root_password=ROOT_PASSWORD,
        log_path=server_dir / "minio.log",
    )
    with server:
        yield server


@pytest.fixture(scope="session")
def s3_minio(minio: MinioServer) -> S3Server:
    return S3Server("minio", minio.endpoint, ROOT_USER, ROOT_PASSWORD, unpacks=True)


@pytest.fixture(scope="session")
def s3_versity(server_dir: Path) -> Iterator[S3Server]:
    binary = require(find_versity(), "no versitygw: go install github.com/versity/versitygw/cmd/versitygw@latest")
    with VersityServer(
        binary,
        server_dir / "versity",
        port=free_port(),
        access_key=ROOT_USER,
        secret_key=ROOT_PASSWORD,
        log_path=server_dir / "versity.log",
    ) as server:
        yield S3Server("versity", server.endpoint, ROOT_USER, ROOT_PASSWORD)


@pytest.fixture(scope="session")
def template_database(postgres: PostgresServer) -> str:
    """A database at head, for the others to be copied from."""
    admin = postgres.url("postgres", PASSWORD, TEMPLATE)
    ensure_database(admin)
    provision_database(admin, app_url=postgres.url(APP, PASSWORD, TEMPLATE), passwords=PASSWORDS)
    return TEMPLATE


def run_as_admin(postgres: PostgresServer, statement: str) -> None:
    url = make_url(postgres.superuser_url).set(drivername="postgresql+psycopg2")
    with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def database(postgres: PostgresServer, template_database: str) -> Iterator[str]:
    """The name of an empty database at head, this test's alone. Use cases commit, so a rolled-back savepoint would not do."""
    name = f"t_{uuid4().hex[:12]}"
    run_as_admin(postgres, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    # A copy has the template's contents but not its rights.
    copy = make_url(postgres.url("postgres", PASSWORD, name)).set(drivername="postgresql+psycopg2")
    with create_engine(copy, poolclass=NullPool).begin() as connection:
        prepare_database(connection)
    yield name
    run_as_admin(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: PostgresServer, database: str) -> str:
    return postgres.url(APP, PASSWORD, database)


@pytest.fixture
def reader_url(postgres: PostgresServer, database: str) -> URL:
    return make_url(postgres.url(READER, PASSWORD, database)).set(drivername="postgresql+psycopg2")


@pytest.fixture
def analyst_url(postgres: PostgresServer, database: str) -> URL:
    return make_url(postgres.url(ANALYST, PASSWORD, database)).set(drivername="postgresql+psycopg2")


@pytest.fixture
def door_url(postgres: PostgresServer, database: str, admin_url: URL) -> str:
    """Where the SQL door signs in. Roles are the cluster's, so another test may have given this one another password."""
    password = door_password(SECRET_KEY)
    with create_engine(admin_url, poolclass=NullPool).begin() as connection:
        ensure_client(connection, DOOR_ROLE, password=password, superuser=True)
    return postgres.url(DOOR, password, database)


@pytest.fixture
def admin_url(postgres: PostgresServer, database: str) -> URL:
    return make_url(postgres.url("postgres", PASSWORD, database)).set(drivername="postgresql+psycopg2")


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = open_engine(database_url, application_name="tests")
    yield Sessions(engine)
    engine.dispose()


@pytest.fixture
def bucket(minio: MinioServer) -> str:
    """A bucket of this test's own."""
    name = f"t-{uuid4().hex[:16]}"
    ensure_bucket(minio.endpoint, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, bucket=name)
    return name


@pytest.fixture
def store(minio: MinioServer, bucket: str) -> MinioStore:
    return MinioStore(minio.endpoint, bucket=bucket, access_key=ROOT_USER, secret_key=ROOT_PASSWORD)


@pytest.fixture
def victim_store(minio: MinioServer, bucket: str) -> list[str]:
    """What another process needs to open the same bucket: endpoint, bucket, user, password."""
    return [minio.endpoint, bucket, ROOT_USER, ROOT_PASSWORD]


@pytest.fixture
def settings(database_url: str, bucket: str, minio: MinioServer) -> Settings:
    return Settings(
        database_url=database_url,
        s3_endpoint=minio.endpoint,
        s3_access_key=ROOT_USER,
        s3_secret_key=ROOT_PASSWORD,
        s3_bucket=bucket,
        secret_key=SECRET_KEY,
    )


@pytest.fixture
def limits() -> PngLimits:
    return PngLimits()


@pytest.fixture
def actor(sessions: Sessions) -> Actor:
    return local_actor(sessions, "tester")


@pytest.fixture(scope="session")
def record() -> dict[str, Any]:
    """The training record of the built-in model."""
    content: dict[str, Any] = json.loads((MODELS / "mnist.json").read_text())
    return content


@pytest.fixture(scope="session")
def labels(record: dict[str, Any]) -> list[str]:
    return [str(label) for label in record["labels"]]


@pytest.fixture(scope="session")
def vetted_mnist(record: dict[str, Any], labels: list[str], tmp_path_factory: pytest.TempPathFactory) -> VettedModel:
    """The built-in model, vetted once for each test process: it takes seconds."""
    recipe = Preprocessing.from_json(record["preprocessing"])
    return vet_model(MODELS / "mnist.keras", labels=labels, preprocessing=recipe, work_dir=tmp_path_factory.mktemp("vetting"))


@pytest.fixture
def register_mnist(
    sessions: Sessions, store: MinioStore, actor: Actor, record: dict[str, Any], vetted_mnist: VettedModel
) -> Callable[[list[str]], int]:
    """Registers the built-in model's file with these labels and returns its version number."""

    def register(names: list[str]) -> int:
        return register_model(
            sessions,
            store,
            MODELS / "mnist.keras",
            name=BUILT_IN,
            labels=names,
            preprocessing=Preprocessing.from_json(record["preprocessing"]),
            metrics=record["metrics"],
            actor=actor,
            work_dir=Path(tempfile.gettempdir()),
            vet=lambda *_args, **_kwargs: vetted_mnist,
        )

    return register


@pytest.fixture
def mnist_model(register_mnist: Callable[[list[str]], int], labels: list[str]) -> int:
    """The built-in model, registered; returns its version number."""
    return register_mnist(labels)


@pytest.fixture
def models(sessions: Sessions, store: MinioStore) -> ModelServer:
    return ModelServer(sessions, store)


@pytest.fixture
def app(settings: Settings, sessions: Sessions, store: MinioStore, models: ModelServer) -> Flask:
    return create_app(settings, sessions=sessions, store=store, models=models)


class TokenClient(FlaskClient):
    """A test client that sends a bearer token."""

    token: str | None = None

    def open(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        if self.token:
            kwargs["headers"] = {"Authorization": f"Bearer {self.token}", **dict(kwargs.get("headers") or {})}  # type: ignore[call-overload]
        return super().open(*args, **kwargs)  # type: ignore[arg-type]


def client_with(app: Flask, sessions: Sessions, role: Role | None) -> TokenClient:
    client = TokenClient(app, app.response_class)
    if role is not None:
        client.token = create_token(sessions, name=f"test {role}", role=role)
    return client


@pytest.fixture
def client(app: Flask, sessions: Sessions) -> TokenClient:
    """Signed in as admin, by token."""
    return client_with(app, sessions, Role.ADMIN)


@pytest.fixture
def editor_client(app: Flask, sessions: Sessions) -> TokenClient:
    return client_with(app, sessions, Role.EDITOR)


@pytest.fixture
def viewer_client(app: Flask, sessions: Sessions) -> TokenClient:
    return client_with(app, sessions, Role.VIEWER)


@pytest.fixture
def anonymous_client(app: Flask, sessions: Sessions) -> TokenClient:
    return client_with(app, sessions, None)
