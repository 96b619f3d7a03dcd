"""Direct uploads that were begun: who may still put what under which key, until when.

A row goes by being completed, abandoned or refused, and hands its object to the outbox in the same transaction. The object is due when the row's
lease is over and not before: the client's form may still be valid, and would put the object there again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.tables import DirectUpload, IdempotencyKey, Image, ObjectDeletion

# Longer than the form is valid (a quarter of an hour), by as much as a body may take that was begun in the last moment.
DIRECT_LEASE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Begun:
    """A direct upload under way: `byte_size` bytes with the digest `sha256` are to arrive under `object_key`."""

    id: int
    object_key: str
    sha256: str
    byte_size: int
    description: dict[str, Any]


def open_direct_upload(
    session: Session, *, key: str, sha256: str, byte_size: int, description: Mapping[str, Any], account_id: int
) -> int:
    """Write down what an account is about to put itself; returns the upload's id."""
    values = {
        "object_key": key,
        "sha256": sha256,
        "byte_size": byte_size,
        "description": description,
        "account_id": account_id,
        "lease_until": func.now() + DIRECT_LEASE,
    }
    return session.execute(insert(DirectUpload).values(values).returning(DirectUpload.id)).scalar_one()


def find_direct_upload(session: Session, upload_id: int, *, account_id: int | None) -> Begun | None:
    """Return an upload of this account, or of any for None."""
    query = select(
        DirectUpload.id, DirectUpload.object_key, DirectUpload.sha256, DirectUpload.byte_size, DirectUpload.description
    ).where(DirectUpload.id == upload_id)
    if account_id is not None:
        query = query.where(DirectUpload.account_id == account_id)
    row = session.execute(query).one_or_none()
    return None if row is None else Begun(*row)


def outcome_of(session: Session, key: str, account_id: int) -> tuple[int, str] | None:
    """Return id and state of the picture that this account's Idempotency-Key led to."""
    row = session.execute(
        select(Image.id, Image.state)
        .join(IdempotencyKey, IdempotencyKey.image_id == Image.id)
        .where(IdempotencyKey.key == key, IdempotencyKey.account_id == account_id)
    ).one_or_none()
    return None if row is None else (row.id, row.state)


def close_direct_uploads(session: Session, which: ColumnElement[bool], *, reason: str) -> int:
    """Remove these uploads and queue their objects; returns how many. Those that are closed already are passed over."""
    closed = session.execute(delete(DirectUpload).where(which).returning(DirectUpload.object_key, DirectUpload.lease_until)).all()
    rows = [{"object_key": row.object_key, "reason": reason, "due_at": row.lease_until} for row in closed]
    if rows:
        session.execute(insert(ObjectDeletion).values(rows).on_conflict_do_nothing())
    return len(rows)


def abandon_expired_direct_uploads(session: Session, *, limit: int) -> int:
    """Close uploads whose lease has run out; returns how many. Rows that another sweeper holds are passed over."""
    expired = (
        select(DirectUpload.id)
        .where(DirectUpload.lease_until < func.now())
        .order_by(DirectUpload.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(expired))
    return close_direct_uploads(session, DirectUpload.id.in_(ids), reason="a direct upload was abandoned") if ids else 0
