"""`pixref dev` (`make run`): one terminal, everything in it, and nothing left when it ends."""

import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg2
import pytest

from service.embedded.minio import MinioServer
from service.embedded.ports import free_port
from service.embedded.postgres import PostgresServer
from service.settings import PROJECT_DIR

PIXREF = Path(sys.executable).with_name("pixref")
OURS = ("PIXREF_", "S3_", "MINIO_ROOT", "DATABASE_", "DB_PORT")
FIRST_START_S = 120.0
# Five seconds on a machine that has nothing else to do; tests share theirs.
SECOND_START_S = 30.0
READY = re.compile(r"^Pixref is ready: (http://127\.0\.0\.1:\d+)/sign-in\?token=(\w+)$", re.MULTILINE)
GIRAFFE = PROJECT_DIR / "samples" / "photos" / "giraffe.png"

pytestmark = pytest.mark.timeout(240)


@dataclass
class Home:
    """A state folder with three ports: what one installation is made of."""

    folder: Path
    web: int
    store: int
    database: int

    def environment(self, **changes: str) -> dict[str, str]:
        ours = {
            "PIXREF_STATE_DIR": str(self.folder / "var"),
            "PIXREF_PORT": str(self.web),
            "S3_PORT": str(self.store),
            "DB_PORT": str(self.database),
            "PIXREF_WEB_WORKERS": "1",
        }
        return {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | ours | changes

    def pixref(self, *arguments: str) -> str:
        """Run another command beside the one that runs, as a second terminal would."""
        return subprocess.run([PIXREF, *arguments], env=self.environment(), capture_output=True, text=True, check=True).stdout


def new_home(folder: Path) -> Home:
    folder.mkdir(exist_ok=True)
    return Home(folder, free_port(), free_port(), free_port())


class Dev:
    """A `pixref dev` that runs."""

    def __init__(self, home: Home, **changes: str) -> None:
        self.home = home
        self._written = home.folder / f"dev-{uuid4().hex}.out"
        with self._written.open("w") as out:
            self.process = subprocess.Popen(
                [PIXREF, "dev"], env=home.environment(**changes), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._written.read_text()

    def await_ready(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not READY.search(self.output):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    @property
    def url(self) -> str:
        found = READY.search(self.output)
        assert found is not None
        return found[1]

    @property
    def token(self) -> str:
        found = READY.search(self.output)
        assert found is not None
        return found[2]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            content: dict[str, object] = json.load(answer)
        return content


@contextmanager
def running(home: Home, changes: Mapping[str, str] = {}, *, within_s: float = SECOND_START_S) -> Iterator[Dev]:
    dev = Dev(home, **changes)
    try:
        dev.await_ready(within_s)
        yield dev
    finally:
        if dev.process.poll() is None:
            dev.process.send_signal(signal.SIGTERM)
        dev.process.wait(60)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, dict[str, object]]]:
    """An installation that was started once, used, and stopped by SIGTERM; with what was seen of it."""
    home = new_home(tmp_path_factory.mktemp("dev"))
    with running(home, within_s=FIRST_START_S) as dev:
        seen: dict[str, object] = {"output": dev.output, "sign-in": sign_in(dev)}
        seen["prediction"] = dev.call("POST", "/api/v1/images/1/predictions", {"model": "mnist"})
        seen["images"] = home.pixref("sql", "--format", "csv", "select count(*), count(distinct label) from images")
        seen["models"] = home.pixref("sql", "--format", "csv", "select model, version, aliases, state from model_versions")
        seen["predictions"] = home.pixref("sql", "--format", "csv", "select image_id, model, version, label from predictions")
        seen["predict"] = home.pixref("predict", "--all")
        seen["doctor"] = home.pixref("doctor")
        family = dev.family()
        dev.process.send_signal(signal.SIGTERM)
        seen["code"] = dev.process.wait(60)
        seen["left"] = psutil.wait_procs(family, timeout=5)[1]
    yield home, seen
    shutil.rmtree(home.folder, ignore_errors=True)


def sign_in(dev: Dev) -> list[int]:
    """Open the printed link as a browser does; return the statuses on the way."""
    statuses = []

    class Watching(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            statuses.append(code)
            assert newurl == f"{dev.url}/"
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), Watching())
    with browser.open(f"{dev.url}/sign-in?token={dev.token}") as answer:
        assert answer.read().count(b"/images/") > 10
        statuses.append(answer.status)
    return statuses


def test_the_first_start_makes_everything_ready_to_use(first: tuple[Home, dict[str, object]]) -> None:
    _, seen = first
    assert "loading the first 1,000 pictures" in str(seen["output"])
    assert seen["sign-in"] in ([302, 200], [303, 200])
    assert str(seen["images"]).split() == ["count,count", "1000,10"]
    assert str(seen["models"]).split() == ["model,version,aliases,state", 'mnist,1,"[""champion""]",ready']
    prediction = seen["prediction"]
    assert isinstance(prediction, dict)
    assert (prediction["image_id"], prediction["model"], prediction["label"]) == (1, "mnist", "5")
    assert str(seen["predictions"]).split() == ["image_id,model,version,label", "1,mnist,1,5"]
    assert seen["predict"] == "999 predicted by mnist version 1, 0 failed\n"
    assert "broken" not in str(seen["doctor"])


def test_sigterm_ends_every_child(first: tuple[Home, dict[str, object]]) -> None:
    _, seen = first
    assert seen["code"] == 0
    assert seen["left"] == []


def test_the_second_start_is_quick_and_finds_the_state_and_ctrl_c_ends_it(
    first: tuple[Home, dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    home, _ = first
    began = time.monotonic()
    with running(home) as dev:
        took_s = time.monotonic() - began
        with capsys.disabled():
            sys.stdout.write(f" [second start: {took_s:.1f} s] ")
        assert "loading" not in dev.output
        assert home.pixref("sql", "--format", "csv", "select count(*) from predictions").split() == ["count", "1000"]
        family = dev.family()
        os.killpg(dev.process.pid, signal.SIGINT)
        assert dev.process.wait(60) == 0
        assert psutil.wait_procs(family, timeout=5)[1] == []
    assert "Traceback" not in dev.output
    stopped = subprocess.run([PIXREF, "token", "list"], env=home.environment(), capture_output=True, text=True, check=False)
    assert stopped.returncode == 2
    assert "`make run`" in stopped.stderr


def test_a_killed_child_ends_everything_with_one_sentence(first: tuple[Home, dict[str, object]]) -> None:
    home, _ = first
    with running(home) as dev:
        family = dev.family()
        (web,) = (child for child in family if child.ppid() == dev.process.pid and child.cmdline()[-1] == "serve")
        web.kill()
        assert dev.process.wait(60) == 1
        assert psutil.wait_procs(family, timeout=5)[1] == []
    assert re.fullmatch(r"pixref: web was killed by SIGKILL; its log is \S+web\.log", dev.output.splitlines()[-1])


def test_a_key_of_the_users_own_holds_for_every_command(first: tuple[Home, dict[str, object]]) -> None:
    home, _ = first
    own = {"S3_ACCESS_KEY": "own-key-of-a-user", "S3_SECRET_KEY": "own-secret-of-a-user"}
    with running(home, own):
        done = subprocess.run([PIXREF, "doctor"], env=home.environment(**own), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def refused(home: Home, **changes: str) -> tuple[int, str]:
    """Start it where it cannot run; return exit code and last line, having seen that nothing is left."""
    dev = Dev(home, **changes)
    family: dict[int, psutil.Process] = {}
    deadline = time.monotonic() + 60
    while dev.process.poll() is None:
        assert time.monotonic() < deadline, dev.output
        with suppress(psutil.NoSuchProcess):
            family |= {child.pid: child for child in dev.family()}
        time.sleep(0.1)
    assert psutil.wait_procs(list(family.values()), timeout=5)[1] == []
    assert "Traceback" not in dev.output
    said = [line for line in dev.output.splitlines() if line.startswith("pixref: ")]
    assert len(said) == 1, dev.output
    assert dev.output.splitlines()[-1] == said[0]
    return dev.process.returncode, said[0]


@pytest.mark.parametrize("setting", ["PIXREF_PORT", "S3_PORT", "DB_PORT"])
def test_a_taken_port(first: tuple[Home, dict[str, object]], postgres: PostgresServer, setting: str) -> None:
    home, _ = first
    code, said = refused(home, **{setting: str(postgres.port)})
    assert code == 2
    assert f"port {postgres.port} is taken by postgres" in said
    assert f"set {setting} to a free one" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MINIO_BIN": "/bin/ls"}, "MINIO_BIN names /bin/ls, which is not a MinIO server"),
        ({"PIXREF_STATE_DIR": "/dev/null/x"}, "set PIXREF_STATE_DIR to a folder of yours"),
        ({"PIXREF_PORT": "many"}, "PIXREF_PORT: "),
        ({"S3_ENDPOINT": "http://127.0.0.1:9000"}, "S3_ACCESS_KEY and S3_SECRET_KEY must be set too"),
    ],
)
def test_a_wrong_setting(first: tuple[Home, dict[str, object]], changes: dict[str, str], said: str) -> None:
    home, _ = first
    code, message = refused(home, **changes)
    assert code == 2
    assert said in message


@pytest.mark.parametrize("fault", ["closed port", "wrong password"])
def test_a_wrong_database_url(first: tuple[Home, dict[str, object]], postgres: PostgresServer, fault: str) -> None:
    home, _ = first
    url = {
        "closed port": f"postgresql://postgres:hidden-password@127.0.0.1:{free_port()}/pixref",
        "wrong password": postgres.url("postgres", "hidden-password", "pixref"),
    }
    code, said = refused(home, DATABASE_URL=url[fault])
    assert code == 1
    assert said.startswith("pixref: the database cannot be used (")
    assert "check DATABASE_URL" in said
    assert "hidden-password" not in said


def test_a_wrong_key_of_a_store_of_the_users_own(first: tuple[Home, dict[str, object]], minio: MinioServer) -> None:
    home, _ = first
    code, said = refused(home, S3_ENDPOINT=minio.endpoint, S3_ACCESS_KEY="nobody", S3_SECRET_KEY="wrong-secret")
    assert code == 1
    assert "check S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET" in said


def test_a_second_one_in_the_same_folder(first: tuple[Home, dict[str, object]]) -> None:
    home, _ = first
    with running(home) as dev:
        code, said = refused(Home(home.folder, free_port(), free_port(), free_port()))
        assert code == 2
        assert f"in use by process {dev.process.pid}" in said
        with closing(psycopg2.connect(home.pixref("sql", "--connect").strip())) as connection:
            assert connection.status == psycopg2.extensions.STATUS_READY
