"""Web processes that are killed while they predict: others come in their place, what was acknowledged is stored whole, and nothing is half."""

import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.embedded.ports import LOOPBACK, answers_http, free_port
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, eventually
from tests.factories import add_image, rows

pytestmark = pytest.mark.timeout(180)

WORKERS = 2
CLIENTS = 4


class Server:
    """A running `pixref serve` with two workers, and clients that predict without a pause."""

    def __init__(self, environment: dict[str, str], folder: Path, token: str, image_ids: list[int]) -> None:
        self.port, self._token, self._ids = free_port(), token, image_ids
        self.answers: list[tuple[int, int, str]] = []
        """Of each request: picture, status, code of the error."""
        self._ended = threading.Event()
        with (folder / "serve.log").open("w") as out:
            self.process = subprocess.Popen(
                [PIXREF, "serve"],
                env=environment | {"PIXREF_PORT": str(self.port), "PIXREF_WEB_WORKERS": str(WORKERS)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: answers_http(self.port, "/readyz"))
        self._clients = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def _ask(self, number: int) -> None:
        turn = number
        while not self._ended.is_set():
            turn += 1
            image_id = self._ids[turn % len(self._ids)]
            try:
                with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)) as connection:
                    headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
                    connection.request("POST", f"/api/v1/images/{image_id}/predictions", b"{}", headers)
                    answer = connection.getresponse()
                    body = json.load(answer)
                    self.answers.append((image_id, answer.status, body.get("code", "")))
            except (OSError, http.client.HTTPException):
                self.answers.append((image_id, 0, "cut off"))

    def workers(self) -> set[int]:
        """Return the processes that answer."""
        found = set()
        for child in psutil.Process(self.process.pid).children():
            # One that was just killed may be gone, or not yet taken leave of.
            with suppress(psutil.Error):
                if "resource_tracker" not in " ".join(child.cmdline()):
                    found.add(child.pid)
        return found

    def answered(self, count: int) -> bool:
        """Whether the last `count` requests were answered well."""
        last = self.answers[-count:]
        return len(last) == count and {status for _, status, _ in last} == {201}

    def stop(self) -> int:
        self._ended.set()
        for client in self._clients:
            client.join(60)
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def server(
    environment: dict[str, str], sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int, tmp_path: Path
) -> Iterator[Server]:
    ids = [add_image(sessions, store, actor) for _ in range(50)]
    running = Server(environment, tmp_path, create_token(sessions, name="tester", role=Role.EDITOR), ids)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_server_goes_on_and_no_row_is_half(server: Server, sessions: Sessions, number: signal.Signals) -> None:
    eventually(lambda: server.answered(100))
    for victim in sorted(server.workers()):
        before = server.workers()
        os.kill(victim, number)
        eventually(lambda before=before, victim=victim: len(server.workers() - {victim}) == len(before))  # type: ignore[misc]
        # Where it was just running the model, it is put aside for six seconds in the process that comes.
        eventually(lambda: server.answered(100), within_s=60)
    assert server.process.poll() is None
    told = {(status, code) for _, status, code in server.answers}
    assert told <= {(201, ""), (0, "cut off"), (503, "model_unavailable")}, told
    assert server.stop() == 0
    acknowledged = {image_id for image_id, status, _ in server.answers if status == 201}
    stored = rows(sessions, "SELECT image_id, score, label_id, scores, error FROM pixref.prediction")
    assert {row[0] for row in stored} >= acknowledged
    assert len({row[0] for row in stored}) == len(stored)
    for _, score, label_id, scores, error in stored:
        assert error is None
        assert label_id is not None
        assert len(scores) == 10
        assert sum(scores) == pytest.approx(1, abs=1e-4)
        assert max(scores) == pytest.approx(score, abs=1e-6)
