"""The models folder: what lies there is registered once, and a file that does not do stops nothing."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import BadModel
from service.models.aliases import move_alias, retire
from service.models.folder import InFolder, register_folder
from service.models.registry import list_versions
from service.models.vetting import VettedModel
from service.settings import PROJECT_DIR
from storage.base import ObjectStore, StoreUnavailable
from tests.factories import StepStore, assert_in_step, one, raising, sha256

KERAS = (PROJECT_DIR / "models" / "mnist.keras").read_bytes()


class Folder:
    """A models folder, whose files are vetted as the built-in one was."""

    def __init__(self, path: Path, sessions: Sessions, store: ObjectStore, actor: Actor, vetted: VettedModel) -> None:
        self.path, self.sessions, self.store, self.actor, self.vetted = path, sessions, store, actor, vetted
        self.vettings: list[str] = []

    def put(self, name: str, record: Any = None, *, variant: int = 0) -> None:
        (self.path / f"{name}.keras").write_bytes(KERAS + bytes(variant))
        if record is not None:
            text = record if isinstance(record, str) else json.dumps(record)
            (self.path / f"{name}.json").write_text(text)

    def register(self, store: ObjectStore | None = None) -> list[InFolder]:
        def vet(path: Path, **_: Any) -> VettedModel:
            self.vettings.append(path.stem)
            data = path.read_bytes()
            if path.stem == "refused":
                raise BadModel("not_keras", "this is no .keras file")
            return dataclasses.replace(self.vetted, sha256=sha256(data), byte_size=len(data))

        made = register_folder(self.sessions, store or self.store, self.path, actor=self.actor, work_dir=self.path, vet=vet)
        return list(made)


@pytest.fixture
def folder(sessions: Sessions, store: ObjectStore, actor: Actor, vetted_mnist: VettedModel, tmp_path: Path) -> Folder:
    return Folder(tmp_path, sessions, store, actor, vetted_mnist)


def test_each_file_becomes_a_version_once(
    folder: Folder, sessions: Sessions, store: ObjectStore, record: dict[str, Any], labels: list[str]
) -> None:
    folder.put("mnist", record)
    folder.put("plain", {"labels": labels})
    (folder.path / "notes.txt").write_text("not a model")
    (folder.path / "folder.keras").mkdir()
    assert folder.register() == [InFolder("mnist", 1), InFolder("plain", 1)]
    assert folder.vettings == ["mnist", "plain"]
    by_name = {version.model: version for version in list_versions(sessions)}
    assert by_name["mnist"].aliases == by_name["plain"].aliases == ["champion"]
    assert by_name["mnist"].metrics["test_accuracy"] == record["metrics"]["test_accuracy"]
    assert folder.register() == [InFolder("mnist", 1), InFolder("plain", 1)]
    assert len(folder.vettings) == 2
    # Another file, or the same with other labels, is the next version, and champion stays what it is.
    folder.put("plain", variant=1)
    folder.put("mnist", {**record, "labels": labels[::-1]})
    assert folder.register() == [InFolder("mnist", 2), InFolder("plain", 2)]
    assert [(version.version, version.aliases) for version in list_versions(sessions, model="plain")] == [
        (2, []),
        (1, ["champion"]),
    ]
    assert_in_step(sessions, store)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (None, "bad.json is missing"),
        ("{", "bad.json is not JSON"),
        ("[" * 100_000, "bad.json is not JSON"),
        ("\ud800".encode("utf-8", "surrogatepass"), "control characters"),
        ([], "bad.json is not a JSON object"),
        ({}, "bad.json: labels is a list of texts"),
        ({"labels": "0123456789"}, "labels is a list of texts"),
        ({"labels": [1, 2]}, "labels is a list of texts"),
        ({"labels": ["a", " a"]}, "same label"),
        ({"labels": ["a", "\x00"]}, "control characters"),
        ({"labels": ["a"], "metrics": []}, "metrics must be a JSON object"),
        ({"labels": ["a"], "metrics": {"loss": float("nan")}}, "NaN"),
        ({"labels": ["a"], "preprocessing": {"color_mode": "blue"}}, "preprocessing.color_mode"),
        ({"labels": ["a"], "preprocessing": 7}, "preprocessing"),
        ({"labels": ["a"], "sha256": "0" * 64}, "bad.json is about another file"),
    ],
)
def test_a_bad_record_is_said_and_stops_nothing(
    folder: Folder, sessions: Sessions, beside: Any, words: str, labels: list[str]
) -> None:
    folder.put("bad", None if isinstance(beside, bytes) else beside)
    if isinstance(beside, bytes):
        (folder.path / "bad.json").write_bytes(b'{"labels": ["' + beside + b'"]}')
    folder.put("good", {"labels": labels})
    bad, good = folder.register()
    assert (bad.name, bad.version) == ("bad", None)
    assert words in (bad.error or "")
    assert good == InFolder("good", 1)
    assert one(sessions, "SELECT count(*) FROM pixref.model") == 1


def test_a_file_that_is_refused_or_unreadable_stops_nothing(folder: Folder, sessions: Sessions, labels: list[str]) -> None:
    record = {"labels": labels}
    folder.put("Big Name", record)
    folder.put("refused", record)
    folder.put("zoo", record)
    (folder.path / "dangling.keras").symlink_to(folder.path / "nowhere")
    found = {each.name: each for each in folder.register()}
    assert set(found) == {"Big Name", "refused", "zoo"}
    assert "name is 1 to 63" in (found["Big Name"].error or "")
    assert found["refused"].error == "this is no .keras file"
    assert found["zoo"].version == 1
    assert [version.model for version in list_versions(sessions)] == ["zoo"]


def test_what_is_retired_is_left_alone(folder: Folder, sessions: Sessions, actor: Actor, labels: list[str]) -> None:
    folder.put("zoo", {"labels": labels})
    folder.register()
    folder.put("zoo", {"labels": labels[::-1]})
    folder.register()
    move_alias(sessions, "zoo", "champion", 2, actor=actor)
    retire(sessions, "zoo", 1)
    folder.put("zoo", {"labels": labels})
    assert folder.register() == [InFolder("zoo", 1, retired=True)]
    assert [version.state for version in list_versions(sessions)] == ["ready", "retired"]


def test_a_store_that_is_down_is_not_the_files_fault(folder: Folder, labels: list[str]) -> None:
    folder.put("zoo", {"labels": labels})
    with pytest.raises(StoreUnavailable):
        folder.register(StepStore(folder.store, before=raising(StoreUnavailable("gone", "b", "e"), at="put")))


def test_an_empty_or_missing_folder_is_none(folder: Folder) -> None:
    assert folder.register() == []
    folder.path = folder.path / "nowhere"
    assert folder.register() == []
