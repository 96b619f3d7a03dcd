"""Fixity of models: read both files of a version back, and compare them with what was registered. Versions are few, so each is read whole."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import func, select, update

from schema.session import Sessions
from schema.tables import Model, ModelVersion
from service.models.damage import KeptFile, clear_version, kept_files, mark_version
from service.upkeep.fixity import WHOLE_STORE_WITHIN, Health, health_of
from storage.base import ObjectStore

log = logging.getLogger(__name__)

# Of the versions that are due, how many one run reads.
SHARE = 20


@dataclass(frozen=True, slots=True)
class VersionTarget:
    """A version with its files: what was registered, and what was converted from it if that could be. `damage` is what is known already."""

    version_id: int
    name: str
    damage: str | None
    files: tuple[KeptFile, ...]


@dataclass(slots=True)
class VersionsVerified:
    """What a verification found and did. `versions` has the name and the health of each that is damaged, or was marked so and is sound."""

    marked: int = 0
    versions: list[tuple[str, Health]] = field(default_factory=list)


def version_targets(
    sessions: Sessions, *, among: Collection[int] | None = None, older_than: timedelta | None = None, limit: int | None = None
) -> list[VersionTarget]:
    """Return the versions that are ready or retired: all, those `among` these ids, or those last read longer ago than `older_than`."""
    query = (
        select(ModelVersion, Model.name)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(ModelVersion.state != "PENDING")
        .order_by(ModelVersion.verified_at, ModelVersion.id)
        .limit(limit)
    )
    if among is not None:
        query = query.where(ModelVersion.id.in_(among))
    if older_than is not None:
        query = query.where(ModelVersion.verified_at < func.now() - older_than)
    with sessions() as session:
        return [
            VersionTarget(
                row.id,
                f"model {name} version {row.number}",
                row.damage,
                kept_files(row),
            )
            for row, name in session.execute(query)
        ]


def verify_versions(
    sessions: Sessions, store: ObjectStore, targets: Sequence[VersionTarget], *, repair: bool = True
) -> VersionsVerified:
    """Read these versions' files, and with `repair` write down what they are, and when. Raises `StoreError`."""
    found = VersionsVerified()
    for target in targets:
        read = [(health_of(store, file.key, file.sha256, file.size), file.key) for file in target.files]
        health, key = next(((health, key) for health, key in read if health != "sound"), read[0])
        if health != "sound" or target.damage is not None:
            found.versions.append((target.name, health))
        if repair and health == "sound":
            changed = clear_version(sessions, target.version_id, target.files[0].key)
            found.marked += changed and target.damage is not None
        elif repair and health != "sound":
            found.marked += mark_version(sessions, target.version_id, key, health)
            with sessions() as session, session.begin():
                session.execute(update(ModelVersion).where(ModelVersion.id == target.version_id).values(verified_at=func.now()))
    return found


def verify_due_versions(sessions: Sessions, store: ObjectStore) -> VersionsVerified:
    """Verify what has not been read for a month, a share at a time. Raises `StoreError`."""
    found = verify_versions(sessions, store, version_targets(sessions, older_than=WHOLE_STORE_WITHIN, limit=SHARE))
    if found.versions:
        log.error("models are damaged, or were", extra={"versions": found.versions})
    return found
