"""Finish what was left: take abandoned uploads and registrations out, empty the outbox into the bucket. Any number may run at once."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update

from schema.queries.deletions import abandon_expired, abandon_expired_versions
from schema.queries.direct import abandon_expired_direct_uploads
from schema.session import Sessions
from schema.tables import Image, ObjectDeletion
from service.failpoints import failpoint
from service.pictures import undoable
from service.pictures.idempotency import forget_old
from service.sql import audit
from storage.base import ObjectStore, StoreError, StoreMisconfigured, StoreTimeout, StoreUnavailable

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
            failpoint("sweep.picked")
            gone, refused = _remove(store, {row.object_key: row.attempts for row in due})
            failpoint("sweep.removed")
            session.execute(delete(Image).where(Image.object_key.in_(gone), Image.state == "DELETING"))
            session.execute(delete(ObjectDeletion).where(ObjectDeletion.object_key.in_(gone)))
            for key, (wait, reason) in refused.items():
                session.execute(
                    update(ObjectDeletion)
                    .where(ObjectDeletion.object_key == key)
                    .values(attempts=ObjectDeletion.attempts + 1, due_at=func.now() + wait, last_error=reason)
                )
            deleted += len(gone)
            failed += len(refused)
            failpoint("sweep.rows_gone")
        if refused and not gone:
            # The store is down, or refuses us: asking for the next batch would only hold rows and wait.
            return deleted, failed


def _remove(store: ObjectStore, attempts: Mapping[str, int]) -> tuple[list[str], dict[str, tuple[timedelta, str]]]:
    """Remove objects; returns those that are gone, and for the others how long to wait and why."""

    def wait(key: str) -> timedelta:
        return min(RETRY_AFTER * (1 << min(attempts[key], 7)), RETRY_AFTER_MAX)

    keys = list(attempts)
    try:
        store.delete_objects(keys)
    except (StoreUnavailable, StoreTimeout, StoreMisconfigured) as exc:
        log.warning("objects could not be deleted", extra={"objects": len(keys), "reason": str(exc)})
        return [], {key: (wait(key), str(exc)) for key in keys}
    except StoreError:
        # One of them is refused: find out which, so that it does not hold the others back.
        return _remove_one_by_one(store, keys, wait)
    return keys, {}


def _remove_one_by_one(
    store: ObjectStore, keys: Sequence[str], wait: Callable[[str], timedelta]
) -> tuple[list[str], dict[str, tuple[timedelta, str]]]:
    gone: list[str] = []
    refused: dict[str, tuple[timedelta, str]] = {}
    for key in keys:
        try:
            store.delete_object(key)
        except StoreError as exc:
            log.warning("an object could not be deleted", extra={"reason": str(exc)})
            refused[key] = (wait(key), str(exc))
        else:
            gone.append(key)
    return gone, refused


def sweep(sessions: Sessions, store: ObjectStore) -> Swept:
    """Run one sweep to its end."""
    with sessions() as session, session.begin():
        abandoned = abandon_expired_versions(session)
        forget_old(session)
        audit.forget_old(session)
        undoable.forget_old(session)
    for abandon in (abandon_expired, abandon_expired_direct_uploads):
        taken = BATCH
        while taken == BATCH:
            with sessions() as session, session.begin():
                taken = abandon(session, limit=BATCH)
                failpoint("sweep.abandoned")
            abandoned += taken
    failpoint("sweep.leases")
    deleted, failed = drain_outbox(sessions, store)
    failpoint("sweep.done")
    if abandoned or deleted or failed:
        log.info("swept", extra={"abandoned": abandoned, "deleted": deleted, "failed": failed})
    return Swept(abandoned, deleted, failed)
