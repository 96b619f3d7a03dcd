"""Damaged model versions: files that vanished from the bucket or changed behind us. Found by whoever reads them, healed by the same file again.

As with pictures (`service.pictures.damage`), the mark is a fact about the bucket and nothing else: the version keeps its number, its aliases and
its predictions, and a store that does not answer marks nothing.
"""

import hashlib
import io
import logging
from dataclasses import dataclass
from typing import Any, Literal, Self

from sqlalchemy import func, or_, select, update

from schema.base import LEASE
from schema.queries.deletions import announce_objects, keep_objects, queue_objects
from schema.session import Sessions
from schema.tables import ModelVersion
from service.errors import ModelCorrupt, ModelUnavailable, UploadInterrupted
from service.failpoints import failpoint
from storage.base import ObjectNotFound, ObjectStore, ObjectTooLarge
from storage.keys import new_model_key

KERAS_MEDIA_TYPE = "application/vnd.keras"
LITERT_MEDIA_TYPE = "application/vnd.tflite"

Damage = Literal["lost", "corrupt"]

_AGAIN = "register the same .keras file again, which heals it"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One of a version's two files with its digests and keys: `.keras` as it was registered, and what was converted from it."""

    key: str
    data: bytes
    sha256: str
    media_type: str

    def put(self, store: ObjectStore) -> None:
        """Write it. Raises `StoreError`."""
        store.put_object(self.key, io.BytesIO(self.data), size=len(self.data), sha256=self.sha256, media_type=self.media_type)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A version's files; `litert` is None for a version that Keras runs."""

    artifact: ModelFile
    litert: ModelFile | None

    @classmethod
    def fresh(cls, artifact: bytes, artifact_sha256: str, litert: bytes | None, litert_sha256: str | None) -> Self:
        """Return the files of a version under fresh keys."""
        converted = None
        if litert is not None and litert_sha256 is not None:
            converted = ModelFile(new_model_key(litert_sha256, ".tflite"), litert, litert_sha256, LITERT_MEDIA_TYPE)
        return cls(ModelFile(new_model_key(artifact_sha256, ".keras"), artifact, artifact_sha256, KERAS_MEDIA_TYPE), converted)

    @property
    def all(self) -> list[ModelFile]:
        return [self.artifact] if self.litert is None else [self.artifact, self.litert]

    def columns(self) -> dict[str, Any]:
        """Return what a row of `model_version` says of the files, but for the digest of the `.keras` file, by which it is known."""
        return {
            "artifact_key": self.artifact.key,
            "runtime": "keras" if self.litert is None else "litert",
            "litert_key": self.litert and self.litert.key,
            "litert_sha256": self.litert and self.litert.sha256,
            "litert_size": self.litert and len(self.litert.data),
        }


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A version's file in the bucket: where it is and what it must be."""

    key: str
    sha256: str
    size: int


def kept_files(row: ModelVersion) -> tuple[KeptFile, ...]:
    """Return the files of a version: what was registered, and what was converted from it where that could be."""
    artifact = KeptFile(row.artifact_key, row.artifact_sha256, row.artifact_size)
    if row.litert_key is None or row.litert_sha256 is None or row.litert_size is None:
        return (artifact,)
    return artifact, KeptFile(row.litert_key, row.litert_sha256, row.litert_size)


def read_file(sessions: Sessions, store: ObjectStore, version_id: int, file: KeptFile) -> bytes:
    """Fetch a version's file and compare it with its SHA-256; damage that is met is written down.

    Raises `ModelUnavailable`, `ModelCorrupt`, `StoreError`.
    """
    try:
        data = store.get_object(file.key, max_size=file.size)
    except ObjectNotFound:
        mark_version(sessions, version_id, file.key, "lost")
        raise ModelUnavailable(f"a file of this version of the model is missing: {_AGAIN}") from None
    except ObjectTooLarge:
        data = b""
    if hashlib.sha256(data).hexdigest() != file.sha256:
        mark_version(sessions, version_id, file.key, "corrupt")
        raise ModelCorrupt(f"a file of this version of the model was altered: {_AGAIN}")
    return data


def mark_version(sessions: Sessions, version_id: int, key: str, damage: Damage) -> bool:
    """Write down that a version's file is damaged; False when that is known, or the version has another file by now."""
    with sessions() as session, session.begin():
        marked = session.scalar(
            update(ModelVersion)
            .where(
                ModelVersion.id == version_id,
                or_(ModelVersion.artifact_key == key, ModelVersion.litert_key == key),
                ModelVersion.damage.is_distinct_from(damage),
            )
            .values(damage=damage, damaged_at=func.coalesce(ModelVersion.damaged_at, func.now()))
            .returning(ModelVersion.id)
        )
    if marked is not None:
        log.error("a model's file is damaged", extra={"version_id": version_id, "damage": damage})
    return marked is not None


def clear_version(sessions: Sessions, version_id: int, artifact_key: str) -> bool:
    """Write down that both files of a version were read and are what was registered."""
    with sessions() as session, session.begin():
        cleared = session.scalar(
            update(ModelVersion)
            .where(ModelVersion.id == version_id, ModelVersion.artifact_key == artifact_key)
            .values(damage=None, damaged_at=None, verified_at=func.now())
            .returning(ModelVersion.id)
        )
    return cleared is not None


def heal_version(sessions: Sessions, store: ObjectStore, version_id: int, files: ModelFiles) -> bool:
    """Give a damaged version its files back, under fresh keys; False when it is not damaged any more.

    The converted file may be a new conversion of the same `.keras` file. The protocol is that of `service.pictures.damage.heal`.
    Raises `UploadInterrupted` when it took longer than a lease, `StoreError`.
    """
    keys = [file.key for file in files.all]
    with sessions() as session, session.begin():
        announce_objects(session, keys, reason="a model was not healed", delay=LEASE)
    failpoint("heal_model.begun")
    for file in files.all:
        file.put(store)
    failpoint("heal_model.stored")
    with sessions() as session, session.begin():
        damaged = session.execute(
            select(ModelVersion.artifact_key, ModelVersion.litert_key)
            .where(ModelVersion.id == version_id, ModelVersion.damage.is_not(None))
            .with_for_update()
        ).one_or_none()
        if overtaken := damaged is not None and not keep_objects(session, keys):
            queue_objects(session, keys, reason="the sweep was faster than the healing")
        elif damaged is None:
            queue_objects(session, keys, reason="there was nothing left to heal")
        else:
            queue_objects(session, filter(None, damaged), reason="a damaged model was healed")
            session.execute(
                update(ModelVersion)
                .where(ModelVersion.id == version_id)
                .values(**files.columns(), damage=None, damaged_at=None, verified_at=func.now())
            )
    if overtaken:
        raise UploadInterrupted("the registration took so long that it was abandoned: register the model again", field="file")
    if damaged is None:
        return False
    failpoint("heal_model.done")
    log.info("a model is healed", extra={"version_id": version_id})
    return True
