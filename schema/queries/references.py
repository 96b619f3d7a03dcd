"""Every key of the bucket that a row names, in the order in which the bucket lists them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from schema.tables import DirectUpload, Image, ModelVersion, ObjectDeletion

Kind = Literal["image", "model", "direct", "queued"]

# A sort of millions of rows, or a listing that takes minutes between two fetches, is no runaway statement.
SCAN_TIMEOUT_MS = 30 * 60 * 1000
_FETCH = 2_000


@dataclass(frozen=True, slots=True)
class NamedObject:
    """A key that a row names. `byte_size` is None where the row does not say; `damage` is what is known already."""

    key: str
    kind: Kind
    row_id: int
    state: str
    byte_size: int | None
    damage: str | None


# One branch a table that names objects. "C": the bucket lists keys in the order of their bytes.
_NAMED = text("""
    SELECT object_key COLLATE "C" AS key, 'image' AS kind, id, state, byte_size, damage FROM pixref.image
    UNION ALL
    SELECT artifact_key, 'model', id, state, artifact_size, damage FROM pixref.model_version
    UNION ALL
    SELECT litert_key, 'model', id, state, litert_size, damage FROM pixref.model_version WHERE litert_key IS NOT NULL
    UNION ALL
    SELECT object_key, 'direct', id, 'PENDING', NULL, NULL FROM pixref.direct_upload
    UNION ALL
    SELECT object_key, 'queued', id, 'DELETING', NULL, NULL FROM pixref.object_deletion d
    WHERE NOT EXISTS (SELECT FROM pixref.image i WHERE i.object_key = d.object_key)
    ORDER BY key
""")


def named_objects(session: Session) -> Iterator[NamedObject]:
    """Walk over all keys that rows name, in the order of their bytes, in one snapshot and in constant memory."""
    session.execute(text(f"SET LOCAL statement_timeout = {SCAN_TIMEOUT_MS}"))
    for row in session.execute(_NAMED, execution_options={"yield_per": _FETCH}):
        yield NamedObject(*row)


def unnamed(session: Session, keys: Sequence[str]) -> list[str]:
    """Return those of these keys that no row names now."""
    known: set[str] = set()
    columns = (
        Image.object_key,
        ModelVersion.artifact_key,
        ModelVersion.litert_key,
        DirectUpload.object_key,
        ObjectDeletion.object_key,
    )
    for column in columns:
        known.update(key for key in session.scalars(select(column).where(column.in_(keys))) if key is not None)
    return [key for key in keys if key not in known]


def overdue(session: Session) -> tuple[int, int]:
    """Count the uploads whose lease ran out, and the objects that should have gone, more than an hour ago: the sweep does not run."""
    hour_ago = func.now() - text("interval '1 hour'")
    uploads = session.scalar(select(func.count()).where(Image.state == "PENDING", Image.lease_until < hour_ago))
    direct = session.scalar(select(func.count()).where(DirectUpload.lease_until < hour_ago))
    removals = session.scalar(select(func.count()).where(ObjectDeletion.due_at < hour_ago))
    return (uploads or 0) + (direct or 0), removals or 0
