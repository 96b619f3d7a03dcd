"""The outbox: what must be removed from the bucket, in the transaction that decided so."""

from collections.abc import Collection, Iterable
from datetime import timedelta

from sqlalchemy import ARRAY, BigInteger, ColumnElement, and_, any_, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.base import LEASE
from schema.tables import Image, ModelVersion, ObjectDeletion

# Deleted, and once visible: an abandoned upload never was.
RESTORABLE = and_(Image.state == "DELETING", Image.ready_at.is_not(None))


def start_deletion(session: Session, *, reason: str, image_id: int, from_state: str, delay: timedelta = timedelta()) -> bool:
    """Take a picture out of sight and queue its object; False when it is not in `from_state` any more.

    `delay` is how long the object stays: where a PUT may still be on its way, longer than it can take.
    """
    key = session.scalar(
        update(Image)
        .where(Image.id == image_id, Image.state == from_state)
        .values(state="DELETING", lease_until=None)
        .returning(Image.object_key)
    )
    if key is None:
        return False
    row = {"object_key": key, "reason": reason, "due_at": func.now() + delay}
    session.execute(insert(ObjectDeletion).values(row).on_conflict_do_nothing())
    return True


def start_deletions(session: Session, image_ids: Collection[int], *, reason: str, delay: timedelta) -> int:
    """Take visible pictures that are locked out of sight and queue their objects; returns how many. `delay` as in `start_deletion`."""
    gone = (
        update(Image)
        .where(Image.id == any_(cast(list(image_ids), ARRAY(BigInteger))), Image.state == "READY")
        .values(state="DELETING", lease_until=None)
        .returning(Image.object_key)
        .cte("gone")
    )
    queued = select(gone.c.object_key, literal(reason), func.now() + delay)
    statement = insert(ObjectDeletion).from_select(["object_key", "reason", "due_at"], queued).returning(ObjectDeletion.id)
    return len(session.scalars(statement).all())


def queue_objects(session: Session, keys: Iterable[str], *, reason: str) -> None:
    """Queue objects that no row names any more, due now; those that are queued already become due.

    A sweep that has picked such an object may have removed it before its last bytes came, and removes its row next: this waits for that, and
    queues the object anew. To leave the row as it is would leave the object to nobody.
    """
    rows = [{"object_key": key, "reason": reason} for key in sorted(keys)]
    if rows:
        statement = insert(ObjectDeletion).values(rows)
        due = {"reason": statement.excluded.reason, "due_at": func.now()}
        session.execute(statement.on_conflict_do_update(index_elements=["object_key"], set_=due))


def announce_objects(session: Session, keys: Iterable[str], *, reason: str, delay: timedelta) -> None:
    """Queue objects before they are written, for the case that this is not finished: `keep_objects` takes them out again."""
    session.execute(
        insert(ObjectDeletion).values([{"object_key": key, "reason": reason, "due_at": func.now() + delay} for key in keys])
    )


def keep_objects(session: Session, keys: Collection[str]) -> bool:
    """Take announced objects out of the outbox, for good with this transaction; False when the sweep has had one of them."""
    kept = session.scalars(delete(ObjectDeletion).where(ObjectDeletion.object_key.in_(keys)).returning(ObjectDeletion.object_key))
    return len(kept.all()) == len(keys)


def abandon_expired(session: Session, *, limit: int) -> int:
    """Turn PENDING rows whose lease has run out into deletions; returns how many. Rows that another sweeper holds are passed over."""
    expired = (
        select(Image.id)
        .where(Image.state == "PENDING", Image.lease_until < func.now())
        .order_by(Image.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(expired))
    for image_id in ids:
        start_deletion(session, reason="upload was abandoned", image_id=image_id, from_state="PENDING")
    return len(ids)


def abandon_versions(session: Session, which: ColumnElement[bool], *, reason: str, delay: timedelta = timedelta()) -> int:
    """Remove those of these model versions that are PENDING and queue their objects; returns how many. `delay` as above."""
    abandoned = session.execute(
        delete(ModelVersion)
        .where(which, ModelVersion.state == "PENDING")
        .returning(ModelVersion.artifact_key, ModelVersion.litert_key)
    ).all()
    rows = [{"object_key": key, "reason": reason, "due_at": func.now() + delay} for keys in abandoned for key in keys if key]
    if rows:
        session.execute(insert(ObjectDeletion).values(rows).on_conflict_do_nothing())
    return len(abandoned)


def abandon_expired_versions(session: Session) -> int:
    """Remove model versions whose registration began longer ago than any takes; returns how many."""
    return abandon_versions(session, ModelVersion.created_at < func.now() - LEASE, reason="registration was abandoned")
