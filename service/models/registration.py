"""Register a model: vet its file, keep it with its LiteRT form, make it a version.

Registering follows the upload protocol: a PENDING version names its objects before they are written, READY is the commit point, and only a
READY version gets an alias. A refused or interrupted registration changes nothing that anybody sees.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from schema.base import LEASE
from schema.queries.deletions import abandon_versions, queue_objects
from schema.queries.words import current_names, ensure_words
from schema.session import Sessions, single
from schema.tables import Image, Label, Model, ModelAlias, ModelClass, ModelVersion
from service.accounts.actor import Actor
from service.errors import BadModel, Conflict, Invalid, NotFound, ObjectCorrupt, ObjectLost, UploadInterrupted
from service.failpoints import failpoint
from service.models.damage import ModelFiles, heal_version
from service.models.registry import CHAMPION, is_name
from service.models.spec import Preprocessing
from service.models.vetting import VettedModel, vet_model
from service.names import clean_name
from service.pictures.damage import read_or_mark
from service.pictures.fetch import references
from storage.base import ObjectStore

# Real pictures by which a model's two forms are compared, beside made ones.
COMPARED, COMPARED_MAX_BYTES = 16, 1024 * 1024


class Vet(Protocol):
    """`vet_model`, or what stands in for it."""

    def __call__(
        self,
        path: Path,
        *,
        labels: Sequence[str] | None,
        preprocessing: Preprocessing | None,
        work_dir: Path,
        pictures: Sequence[bytes] = (),
    ) -> VettedModel: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A version that is there already."""

    version_id: int
    number: int
    damaged: bool
    retired: bool


def _registered(
    session: Session, name: str, sha256: str, labels: Sequence[str], preprocessing: Preprocessing | None
) -> Known | None:
    """Return the version of `name` that is the same in all that matters: file, labels in order, and recipe where one is given. One that is in use
    goes before one that is retired."""
    names = func.array(
        select(Label.name)
        .join(ModelClass, ModelClass.label_id == Label.id)
        .where(ModelClass.model_version_id == ModelVersion.id)
        .order_by(ModelClass.position)
        .correlate(ModelVersion)
        .scalar_subquery()
    )
    query = (
        select(ModelVersion.id, ModelVersion.number, ModelVersion.damage, ModelVersion.state, names, ModelVersion.preprocessing)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(Model.name == name, ModelVersion.artifact_sha256 == sha256, ModelVersion.state != "PENDING")
        .order_by(ModelVersion.state == "RETIRED", ModelVersion.number.desc())
    )
    now = current_names(session, Label, labels)
    wanted = [now.get(label, label) for label in labels]
    for version_id, number, damage, state, known, recipe in session.execute(query):
        if list(known) == wanted and (preprocessing is None or recipe == preprocessing.to_json()):
            return Known(version_id, number, damage is not None, state == "RETIRED")
    return None


def registered_version(
    sessions: Sessions, path: Path, *, name: str, labels: Sequence[str], preprocessing: Preprocessing | None
) -> Known | None:
    """Return the version that this file has become already, None for none. Raises `Invalid`, `BadModel`, `OSError`."""
    check_name(name)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with sessions() as session:
        return _registered(session, name, sha256, clean_labels(labels), preprocessing)


def _begin(
    session: Session,
    name: str,
    vetted: VettedModel,
    files: ModelFiles,
    labels: Sequence[str],
    metrics: Mapping[str, Any],
    snapshot_id: int | None,
    actor: Actor,
) -> ModelVersion | Known:
    """Return a PENDING version, or the one that another registration of the same has made meanwhile."""
    session.execute(upsert(Model).values(name=name).on_conflict_do_nothing())
    # The lock makes two registrations of one name take turns, so that numbers have no gaps and no repeats.
    model_id = session.scalars(select(Model.id).where(Model.name == name).with_for_update()).one()
    known = _registered(session, name, vetted.sha256, labels, vetted.preprocessing)
    if known is not None:
        return known
    last = session.scalar(select(func.max(ModelVersion.number)).where(ModelVersion.model_id == model_id)) or 0
    label_ids = ensure_words(session, Label, labels)
    if len(set(label_ids.values())) < len(label_ids):
        raise BadModel(
            "labels", "two of the labels are one: the one was merged into the other, so give each class a name of its own"
        )
    version = ModelVersion(
        model_id=model_id,
        number=last + 1,
        state="PENDING",
        artifact_sha256=files.artifact.sha256,
        artifact_size=len(files.artifact.data),
        **files.columns(),
        input_spec=vetted.input.to_json(),
        preprocessing=vetted.preprocessing.to_json(),
        metrics={
            **metrics,
            "parameters": vetted.parameters,
            **({"litert_max_difference": vetted.parity} if vetted.tflite is not None else {"not_converted": vetted.fallback}),
            "keras": vetted.keras_version,
            "sandbox": dict(vetted.sandbox),
        },
        snapshot_id=snapshot_id,
        created_by=actor.account_id,
    )
    session.add(version)
    session.flush()
    session.execute(
        insert(ModelClass),
        [{"model_version_id": version.id, "position": place, "label_id": label_ids[label]} for place, label in enumerate(labels)],
    )
    return version


def _abandon(sessions: Sessions, version: ModelVersion) -> None:
    with sessions() as session, session.begin():
        # After a timeout the bytes may still land; the outbox waits until they must have.
        abandon_versions(session, ModelVersion.id == version.id, reason="a model was not registered", delay=LEASE)


def _finish(session: Session, version: ModelVersion, actor: Actor) -> bool:
    """Make a version READY, the first of its model champion; False when the sweep has taken it, which gets its objects queued again."""
    ready = (
        update(ModelVersion)
        .where(ModelVersion.id == version.id, ModelVersion.state == "PENDING")
        .values(state="READY")
        .returning(ModelVersion.id)
    )
    if session.scalar(ready) is None:
        keys = filter(None, (version.artifact_key, version.litert_key))
        queue_objects(session, keys, reason="the sweep was faster than the registration")
        return False
    first = {"model_id": version.model_id, "alias": CHAMPION, "model_version_id": version.id, "updated_by": actor.account_id}
    session.execute(upsert(ModelAlias).values(first).on_conflict_do_nothing())
    return True


def check_name(name: str) -> None:
    """Raise `Invalid` unless a model may have this name."""
    if not is_name(name):
        raise Invalid("name is 1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit", field="name")


def split_labels(text: str) -> list[str]:
    """Return the names of classes from one text: a JSON list, or names between commas. Raises `Invalid`."""
    if not text.lstrip().startswith("["):
        return text.split(",")
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise Invalid("labels is names between commas, or a JSON list of texts", field="labels")
    return labels


def clean_labels(labels: Sequence[str]) -> list[str]:
    """Return the names of classes in the form that is kept. Raises `Invalid`, `BadModel` where two are the same."""
    names = [clean_name(label, field="labels") for label in labels]
    if len(set(names)) != len(names):
        raise BadModel("labels", "two classes have the same label: give each its own")
    return names


def _refuse_retired(name: str, known: Known) -> None:
    if known.retired:
        raise Conflict(
            f"this file is version {known.number} of {name!r}, which is retired: `pixref models restore {name} {known.number}` brings it back",
            field="file",
            extra={"version": known.number},
        )


def _newest_pictures(sessions: Sessions, store: ObjectStore) -> list[bytes]:
    """Return a few real pictures, none of them large, by which Keras and LiteRT are compared."""
    newest = (
        select(Image.id)
        .where(Image.state == "READY", Image.damage.is_(None), Image.byte_size <= COMPARED_MAX_BYTES)
        .order_by(Image.id.desc())
        .limit(COMPARED)
    )
    with single(sessions) as connection:
        known = references(connection, connection.scalars(newest).all(), with_bytes=True)
    found = []
    for reference in known.values():
        with suppress(NotFound, ObjectLost, ObjectCorrupt):
            found.append(read_or_mark(sessions, store, reference))
    return found


def register_model(
    sessions: Sessions,
    store: ObjectStore,
    path: Path,
    *,
    name: str,
    labels: Sequence[str],
    preprocessing: Preprocessing | None,
    metrics: Mapping[str, Any],
    actor: Actor,
    work_dir: Path,
    snapshot_id: int | None = None,
    vet: Vet = vet_model,
) -> int:
    """Vet a `.keras` file, keep it with its LiteRT form, and return the new version's number; the first version becomes champion.

    The same file with the same labels and recipe is registered once, and heals that version where its files are damaged; with others it is
    the next version. `snapshot_id` says which pictures it was trained on.
    Raises `BadModel` with the reason, and `Conflict` where that version is retired; nothing has changed then.
    """
    check_name(name)
    names = clean_labels(labels)
    data = path.read_bytes()
    with sessions() as session:
        known = _registered(session, name, hashlib.sha256(data).hexdigest(), names, preprocessing)
    if known is not None:
        _refuse_retired(name, known)
        if not known.damaged:
            return known.number
    pictures = _newest_pictures(sessions, store)
    vetted = vet(path, labels=names, preprocessing=preprocessing, work_dir=work_dir, pictures=pictures)
    if not vetted.probabilities:
        raise BadModel("output_values", "the model's outputs are not probabilities: end it with a softmax layer")
    files = ModelFiles.fresh(data, vetted.sha256, vetted.tflite, vetted.tflite_sha256)
    with sessions() as session, session.begin():
        version = _begin(session, name, vetted, files, names, metrics, snapshot_id, actor)
    if isinstance(version, Known):
        _refuse_retired(name, version)
        if version.damaged:
            heal_version(sessions, store, version.version_id, files)
        return version.number
    failpoint("register.begun")
    try:
        for file in files.all:
            file.put(store)
        failpoint("register.stored")
        with sessions() as session, session.begin():
            done = _finish(session, version, actor)
    except Exception:
        _abandon(sessions, version)
        raise
    failpoint("register.ready")
    if not done:
        raise UploadInterrupted("the registration took so long that it was abandoned: register the model again", field="file")
    return version.number
