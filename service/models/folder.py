"""The models folder: each `NAME.keras` with `NAME.json` beside it becomes a version of the model NAME.

The record is what training the built-in model has written: `labels` in the order of the outputs, and if they are there `preprocessing`, `metrics`
and the file's `sha256`. What else it says is for people.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Invalid
from service.models.registration import Vet, register_model, registered_version
from service.models.spec import Preprocessing
from service.models.vetting import vet_model
from service.names import clean_attributes
from storage.base import ObjectStore

RECORD_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class InFolder:
    """What became of a file of the folder: its version, or why there is none."""

    name: str
    version: int | None = None
    retired: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What stands beside a file, as far as it matters."""

    labels: list[str]
    preprocessing: Preprocessing | None
    metrics: dict[str, Any]


def read_record(path: Path) -> Record:
    """Return what is said of the `.keras` file with this path. Raises `Invalid` naming file and field, `OSError`."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise Invalid(
            f'{beside.name} is missing: put {{"labels": [...]}} there, the names of the outputs in their order', field="file"
        )
    if beside.stat().st_size > RECORD_MAX:
        raise Invalid(f"{beside.name} has more than {RECORD_MAX // 1024**2} MiB", field="file")
    try:
        data = json.loads(beside.read_bytes())
    except (ValueError, RecursionError) as exc:
        raise Invalid(f"{beside.name} is not JSON: {exc}", field="file") from None
    if not isinstance(data, dict):
        raise Invalid(f"{beside.name} is not a JSON object", field="file")
    labels, recipe = data.get("labels"), data.get("preprocessing")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise Invalid(f"{beside.name}: labels is a list of texts, the names of the outputs in their order", field="labels")
    metrics = clean_attributes(data.get("metrics"), field="metrics")
    if data.get("sha256") is not None:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != data["sha256"]:
                raise Invalid(f"{beside.name} is about another file: its sha256 is not that of {path.name}", field="sha256")
    return Record(labels, None if recipe is None else Preprocessing.from_json(recipe), metrics)


def register_folder(
    sessions: Sessions, store: ObjectStore, folder: Path, *, actor: Actor, work_dir: Path, vet: Vet = vet_model
) -> Iterator[InFolder]:
    """Register every model of a folder, by name, and say of each what became of it; one that is refused stops nothing.

    A file that has been registered, with these labels and this recipe, is not vetted again; one whose version is retired is left alone. Raises
    what is not a file's fault: `StoreError`, `Unavailable`.
    """
    for path in sorted(folder.glob("*.keras")):
        if not path.is_file():
            continue
        try:
            yield _register(sessions, store, path, actor=actor, work_dir=work_dir, vet=vet)
        except Invalid as exc:
            yield InFolder(path.stem, error=exc.detail)
        except OSError as exc:
            yield InFolder(path.stem, error=f"it cannot be read: {exc.strerror}")


def _register(sessions: Sessions, store: ObjectStore, path: Path, *, actor: Actor, work_dir: Path, vet: Vet) -> InFolder:
    record = read_record(path)
    known = registered_version(sessions, path, name=path.stem, labels=record.labels, preprocessing=record.preprocessing)
    if known is not None and known.retired:
        return InFolder(path.stem, known.number, retired=True)
    number = register_model(
        sessions,
        store,
        path,
        name=path.stem,
        labels=record.labels,
        preprocessing=record.preprocessing,
        metrics=record.metrics,
        actor=actor,
        work_dir=work_dir,
        vet=vet,
    )
    return InFolder(path.stem, number)
