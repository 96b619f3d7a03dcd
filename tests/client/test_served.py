"""The client before `pixref serve` itself, its threads on connections that stay open."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pixref import BadImage, Client
from schema.session import Sessions
from service.accounts.actor import Role
from service.embedded.ports import LOOPBACK, answers_http, free_port
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, eventually
from tests.client.conftest import Connect
from tests.factories import BIG, assert_in_step, make_png

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def served_url(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen([PIXREF, "serve"], env=environment | {"PIXREF_PORT": str(port)}, stdout=log, stderr=log)
    try:
        eventually(lambda: answers_http(port, "/livez"))
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_hundreds_of_pictures_there_and_back(served_url: str, connect: Connect, sessions: Sessions, store: ObjectStore) -> None:
    api = connect(served_url)
    data = [make_png() for _ in range(150)] + [make_png(BIG, BIG) for _ in range(50)]
    done = list(api.upload_many(data, workers=8, split="train"))
    assert [result.error for result in done] == [None] * 200
    images = [result.image for result in done if result.image]
    assert [content for _, content in api.fetch_many(images)] == data
    assert sum(array.size for _, array in api.arrays(split="train", mode="L")) == 150 * 28 * 28 + 50 * BIG * BIG
    assert {result.image.created for result in api.upload_many(data, workers=8) if result.image} == {False}
    assert_in_step(sessions, store)


def test_large_uploads_wait_their_turn(served_url: str, connect: Connect, sessions: Sessions, store: ObjectStore) -> None:
    """More at once than the service takes: it answers 503 before it reads a body, and the client tries again."""
    api = connect(served_url)
    large = np.random.default_rng(5).integers(0, 255, (8, 1500, 1500), np.uint8)
    done = list(api.upload_many([*large, make_png()[:-4]], workers=8))
    assert [type(result.error) for result in done] == [type(None)] * 8 + [BadImage]
    assert len({result.image.id for result in done if result.image}) == 8
    assert_in_step(sessions, store)


def test_a_role_of_its_own_for_each_client(served_url: str, connect: Connect) -> None:
    image = connect(served_url).upload(make_png())
    viewer: Client = connect(served_url, Role.VIEWER)
    assert viewer.image(image.id) == image
