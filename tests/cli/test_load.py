"""`pixref load`."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from schema.session import Sessions
from service.datasets.idx import write_idx
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, Pixref, eventually
from tests.factories import rows


def write_split(folder: Path, count: int, *, side: int = 28, split: str = "train") -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (count, side, side), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    write_idx(folder / f"{split}-images-idx3-ubyte", pixels)
    write_idx(folder / f"{split}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint64).astype(np.uint8) % 10)


def count_images(sessions: Sessions) -> int:
    ((count,),) = rows(sessions, "select count(*) from catalog.images")
    return int(count)


def test_mnist_is_loaded_once(pixref: Pixref, sessions: Sessions, store: ObjectStore) -> None:
    first = pixref("load", "mnist", "--count", "20")
    assert (first.code, first.out, first.err) == (0, "20 added, 0 already here, 0 refused\n", "")
    again = pixref("load", "mnist", "--count", "25", "--json")
    assert json.loads(again.out) == {"added": 5, "present": 20, "refused": 0}
    found = rows(sessions, "select label, split, tags, width, height, channels from catalog.images order by image_id limit 2")
    assert found == [("5", "train", ["mnist"], 28, 28, 1), ("0", "train", ["mnist"], 28, 28, 1)]
    assert len(list(store.list_objects("images/"))) == 25


def test_both_splits(pixref: Pixref, sessions: Sessions) -> None:
    assert pixref("load", "mnist", "--split", "test", "--split", "train", "--split", "test", "--count", "3").code == 0
    assert rows(sessions, "select split, count(*) from catalog.images group by split order by split") == [
        ("test", 3),
        ("train", 3),
    ]


def test_a_folder_of_the_users_own(pixref: Pixref, sessions: Sessions, tmp_path: Path) -> None:
    write_split(tmp_path / "full", 30)
    result = pixref("load", "mnist", "--from", tmp_path / "full", "--count", "40")
    assert (result.code, result.out) == (0, "30 added, 0 already here, 0 refused\n")
    assert "has 30 pictures of train, not 40" in result.err
    assert count_images(sessions) == 30


def test_refused_pictures_are_named_and_the_rest_is_kept(pixref: Pixref, tmp_path: Path) -> None:
    write_split(tmp_path / "full", 2, side=40)
    result = pixref("load", "mnist", "--from", tmp_path / "full", env={"PIXREF_MAX_PIXELS": "1000"})
    assert (result.code, result.out) == (3, "0 added, 0 already here, 2 refused\n")
    assert result.err.startswith("mnist-train-00000.png: ")


@pytest.mark.parametrize("fault", ["missing", "empty", "damaged", "a file"])
def test_an_unusable_folder(pixref: Pixref, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "full"
    if fault == "a file":
        folder.write_text("")
    elif fault != "missing":
        write_split(folder, 3)
        images = folder / "train-images-idx3-ubyte"
        images.unlink() if fault == "empty" else images.write_bytes(b"\x1f\x8bnot really gzip")
    result = pixref("load", "mnist", "--from", folder)
    assert (result.code, result.out) == (2, "")
    assert str(folder) in result.err


def test_ctrl_c_loses_nothing(pixref: Pixref, sessions: Sessions, environment: dict[str, str], tmp_path: Path) -> None:
    write_split(tmp_path / "full", 3_000)
    command = [str(PIXREF), "load", "mnist", "--from", str(tmp_path / "full")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        eventually(lambda: count_images(sessions) > 0)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert err.strip() == "pixref: interrupted; what was done stays done"
    before = count_images(sessions)
    assert 0 < before < 3_000
    assert json.loads(pixref("load", "mnist", "--from", tmp_path / "full", "--json").out) == {
        "added": 3_000 - before,
        "present": before,
        "refused": 0,
    }


def test_the_bar_is_for_terminals_only(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [PIXREF, "load", "mnist", "--count", "5"],
        env=environment | {"TERM": "xterm", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert "loading MNIST" in shown
    assert "5/5" in shown
    assert done.stdout == b"5 added, 0 already here, 0 refused\n"
