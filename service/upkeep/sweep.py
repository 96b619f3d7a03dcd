"""Finish what was left: take abandoned uploads and registrations out, empty the outbox into the bucket. Any number may run at once."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update

from schema.queries.deletions import abandon_expired, abandon_expired_versions
from schema.session import Sessions
from schema.tables import Image, ObjectDeletion
from storage.base import ObjectStore, StoreError

BATCH = 200
RETRY_AFTER = timedelta(seconds=30)
RETRY_AFTER_MAX = timedelta(hours=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    abandoned: int
    deleted: int
    failed: int


def drain_outbox(sessions: Sessions, store: ObjectStore) -> tuple[int, int]:
    """Remove every object that is due, then its row; returns how many went and how many must wait.

    Dead between the object and the row: the outbox row stays, and removing the object again is a success.
    """
    deleted = failed = 0
    while True:
        with sessions() as session, session.begin():
            due = session.execute(
                select(ObjectDeletion.id, ObjectDeletion.object_key, ObjectDeletion.attempts)
                .where(ObjectDeletion.due_at <= func.now())
                .order_by(ObjectDeletion.due_at)
                .limit(BATCH)
                .with_for_update(skip_locked=True)
            ).all()
            if not due:
                return deleted, failed
            try:
                store.delete_objects([row.object_key for row in due])
            except StoreError as exc:
                wait = min(RETRY_AFTER * 2 ** min(due[0].attempts, 7), RETRY_AFTER_MAX)
                session.execute(
                    update(ObjectDeletion)
                    .where(ObjectDeletion.id.in_([row.id for row in due]))
                    .values(attempts=ObjectDeletion.attempts + 1, due_at=func.now() + wait, last_error=str(exc))
                )
                failed += len(due)
                log.warning(
                    "objects could not be deleted",
                    extra={"objects": len(due), "retry_s": wait.total_seconds(), "reason": str(exc)},
                )
                continue
            keys = [row.object_key for row in due]
            session.execute(delete(Image).where(Image.object_key.in_(keys), Image.state == "DELETING"))
            session.execute(delete(ObjectDeletion).where(ObjectDeletion.id.in_([row.id for row in due])))
            deleted += len(due)


def sweep(sessions: Sessions, store: ObjectStore) -> Swept:
    """Run one sweep to its end."""
    with sessions() as session, session.begin():
        abandoned = abandon_expired_versions(session)
    while True:
        with sessions() as session, session.begin():
            taken = abandon_expired(session, limit=BATCH)
        abandoned += taken
        if taken < BATCH:
            break
    deleted, failed = drain_outbox(sessions, store)
    if abandoned or deleted or failed:
        log.info("swept", extra={"abandoned": abandoned, "deleted": deleted, "failed": failed})
    return Swept(abandoned, deleted, failed)
