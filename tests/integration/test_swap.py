"""An alias that moves: the version before answers until the next one is loaded, nobody waits, and no request fails."""

import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schema.session import Sessions
from service.datasets import mnist
from service.errors import ModelLoading, ModelUnavailable
from service.models import serving, shelf
from service.models.crashes import CrashBook
from service.models.registry import find_version
from service.models.serving import ModelRef, ModelServer
from service.png import PngLimits
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.cli.conftest import eventually
from tests.factories import StepStore, execute, replace_object, together

REF = ModelRef()


class Gate(StepStore):
    """The real store; it holds reads back while it is closed."""

    def __init__(self, store: ObjectStore) -> None:
        self.open = threading.Event()
        self.open.set()
        self.gets = 0
        super().__init__(store, before=self._wait)

    def _wait(self, step: str) -> None:
        if step == "get":
            self.gets += 1
            assert self.open.wait(30)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moved alias is noticed at once, and what failed is tried again soon."""
    monkeypatch.setattr(serving, "ALIAS_CACHE_S", 0.02)
    monkeypatch.setattr(shelf, "PAUSES_S", (0.1,))


@pytest.fixture
def gate(store: ObjectStore) -> Gate:
    return Gate(store)


@pytest.fixture
def server(sessions: Sessions, gate: Gate, tmp_path: Path, mnist_model: int) -> ModelServer:
    return ModelServer(sessions, gate, crashes=CrashBook(tmp_path / "running"))


@pytest.fixture
def second(register_mnist: Callable[[list[str]], int], labels: list[str], mnist_model: int) -> int:
    """A version whose labels are turned round, so that an answer shows which version gave it."""
    return register_mnist(labels[::-1])


def point_at(sessions: Sessions, version: int) -> None:
    execute(
        sessions,
        "UPDATE pixref.model_alias SET model_version_id = (SELECT id FROM pixref.model_version WHERE number = :number)",
        number=version,
    )
    time.sleep(0.03)


def test_the_old_version_answers_while_the_new_one_is_loaded(
    server: ModelServer, gate: Gate, sessions: Sessions, second: int
) -> None:
    assert server.get(REF).artifact.number == 1
    gate.open.clear()
    point_at(sessions, second)
    started = time.monotonic()
    assert [server.get(REF).artifact.number for _ in range(20)] == [1] * 20
    assert time.monotonic() - started < 5
    eventually(lambda: gate.gets == 2)
    # Who asks for the version by its number waits for that one.
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.get, ModelRef(version=second))
        assert server.get(REF).artifact.number == 1
        gate.open.set()
        assert asked.result(30).artifact.number == second
    eventually(lambda: server.get(REF).artifact.number == second)
    assert gate.gets == 2, "loaded more than once"


def test_no_request_fails_while_an_alias_moves_to_and_fro(server: ModelServer, sessions: Sessions, second: int) -> None:
    (digit,) = mnist.pictures(PROJECT_DIR / "samples", "test", count=1)
    expected = {
        version: server.predict_bytes(digit.data, ModelRef(version=version), limits=PngLimits()).label for version in (1, second)
    }
    assert expected[1] != expected[second]
    fresh = ModelServer(sessions, server._store)
    fresh.get(REF)
    ended = threading.Event()

    def ask(_: int) -> set[int]:
        seen = set()
        while not ended.is_set():
            outcome = fresh.predict_bytes(digit.data, REF, limits=PngLimits())
            assert outcome.label == expected[outcome.version]
            seen.add(outcome.version)
        return seen

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, number) for number in range(8)]
        for turn in range(10):
            version = (second, 1)[turn % 2]
            point_at(sessions, version)
            eventually(lambda version=version: fresh.get(REF).artifact.number == version)  # type: ignore[misc]
        ended.set()
        assert all(each.result(30) == {1, second} for each in asking)


def test_a_new_version_that_cannot_be_loaded_is_tried_again_and_the_old_one_goes_on(
    server: ModelServer, store: ObjectStore, sessions: Sessions, second: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.get(REF)
    key = find_version(sessions, "mnist", version=second).runs.key
    data = store.get_object(key)
    replace_object(store, key, data[:-1] + b"!")
    point_at(sessions, second)
    with caplog.at_level(logging.ERROR):
        eventually(lambda: server.get(REF).artifact.number == 1 and caplog.text.count("a model cannot be loaded") >= 2)
    with pytest.raises(Exception, match="altered"):
        server.get(ModelRef(version=second))
    # Rolled back, and forward again when the file is healed.
    point_at(sessions, 1)
    assert server.get(REF).artifact.number == 1
    replace_object(store, key, data)
    point_at(sessions, second)
    eventually(lambda: server.get(REF).artifact.number == second)


def test_who_has_not_asked_for_long_gets_the_new_version_at_once(
    server: ModelServer, store: ObjectStore, sessions: Sessions, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.get(REF)
    monkeypatch.setattr(serving, "RECENT_S", 0.0)
    point_at(sessions, second)
    assert server.get(REF).artifact.number == second
    # And the one before, where it cannot be loaded.
    fresh = ModelServer(sessions, store)
    assert fresh.get(REF).artifact.number == second
    store.delete_object(find_version(sessions, "mnist", version=1).runs.key)
    point_at(sessions, 1)
    assert fresh.get(REF).artifact.number == second


def test_a_herd_waits_for_so_long_and_no_longer(server: ModelServer, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.open.clear()
    server._shelf.patience_s = 0.1

    def ask(_: int) -> str:
        with pytest.raises(ModelLoading, match="mnist version 1 is being loaded"):
            server.get(REF)
        return "told"

    assert together(16, ask) == ["told"] * 16
    gate.open.set()
    eventually(lambda: server._shelf.find(find_version(server._sessions, "mnist")) is not None)
    assert server.get(REF).artifact.number == 1
    assert gate.gets == 1


def test_versions_that_nobody_asks_for_are_let_go(
    server: ModelServer, register_mnist: Callable[[list[str]], int], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = [random.Random(seed).sample(labels, len(labels)) for seed in range(3)]
    versions = [register_mnist(names) for names in shuffled]
    monkeypatch.setattr(shelf, "MOST_VERSIONS", 2)
    for version in (*versions, versions[-2]):
        server.get(ModelRef(version=version))
    kept = {server.get(ModelRef(version=version)).artifact.version_id for version in versions[-2:]}
    server._shelf.tidy()
    assert set(server._shelf._held) == kept
    monkeypatch.setattr(shelf, "IDLE_S", -1)
    server._shelf.tidy()
    assert len(server._shelf._held) == 1, "the one that was asked for last stays"


# A process that loads the champion and dies by a native fault as it runs it for the third time, as a broken kernel would make it.
FAULTY = """
import ctypes, sys
from pathlib import Path
from service.errors import PixrefError
from service.models import runtime
from service.models.crashes import CrashBook
from service.models.serving import ModelRef, ModelServer
from schema.session import Sessions, open_engine
from storage.minio_store import MinioStore

url, endpoint, bucket, user, password, folder = sys.argv[1:]

class Faulty(runtime.Interpreter):
    def invoke(self):
        ctypes.string_at(0)

runtime.Interpreter = Faulty
store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
models = ModelServer(Sessions(open_engine(url)), store, crashes=CrashBook(Path(folder)))
try:
    models.get(ModelRef())
except PixrefError as exc:
    print(exc.code, exc.detail)
"""


def test_a_version_that_kills_its_process_is_put_aside_and_the_one_before_goes_on(
    server: ModelServer, sessions: Sessions, second: int, database_url: str, victim_store: list[str], tmp_path: Path
) -> None:
    server.get(REF)
    point_at(sessions, second)
    argv = [sys.executable, "-c", FAULTY, database_url, *victim_store, str(tmp_path / "running")]
    died = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert died.returncode == -11, died.stderr
    # The process that comes in its place does not walk into it, and says why.
    lives = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert lives.returncode == 0
    assert lives.stdout.startswith("model_unavailable mnist version 2 was running when its process died")
    # Nor does one that has the version before it.
    assert server.get(REF).artifact.number == 1
    eventually(lambda: bool(server._shelf._failures))
    with pytest.raises(ModelUnavailable, match="move the alias"):
        server.get(ModelRef(version=second))
    assert server.get(REF).artifact.number == 1
