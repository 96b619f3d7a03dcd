"""Delete pictures, and bring them back: a deleted one is out of sight at once, and both row and object stay until its time in the trash is over.

Deleting writes the object's removal into the outbox (`service.upkeep.sweep`) with the day it is due; restoring takes it out again. Whichever of
the two holds the outbox row first wins, so that a restored picture never loses its object.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from schema.queries.deletions import RESTORABLE, start_deletion
from schema.session import Sessions, constraint_of
from schema.tables import Image, Label, ObjectDeletion, Thumbnail
from service.errors import Conflict, NotFound
from service.failpoints import failpoint
from service.pictures.search import BIGINT_MAX, ThumbnailInfo, no_such_image
from service.pictures.upload import READY_ONCE, find_by_sha256

TRASH_PAGE = 200

# Once the sweep has tried to remove an object it may be gone, whatever the store has answered.
STILL_THERE = (ObjectDeletion.due_at > func.now(), ObjectDeletion.attempts == 0)


@dataclass(frozen=True, slots=True)
class TrashedImage:
    """A deleted picture that can still be restored, until `gone_at`."""

    id: int
    original_name: str | None
    label: str | None
    byte_size: int
    deleted_at: datetime
    gone_at: datetime
    thumbnail: ThumbnailInfo


def delete_image(sessions: Sessions, image_id: int, *, keep: timedelta = timedelta()) -> None:
    """Delete a picture; for `keep` it can be restored, with its label, tags, history and predictions. Raises `NotFound`."""
    with sessions() as session, session.begin():
        known = 0 < image_id <= BIGINT_MAX
        if not known or not start_deletion(session, reason="deleted", image_id=image_id, from_state="READY", delay=keep):
            raise no_such_image(image_id)
        failpoint("delete.marked")
    failpoint("delete.done")


def restore_image(sessions: Sessions, image_id: int) -> None:
    """Bring a deleted picture back as it was. Raises `NotFound` when its time is over, `Conflict` when its bytes were uploaded anew."""
    if not 0 < image_id <= BIGINT_MAX:
        raise _not_in_trash(image_id)
    try:
        with sessions() as session, session.begin():
            # The outbox row first, as the sweep does: two orders could wait for each other.
            queued = session.scalar(
                delete(ObjectDeletion)
                .where(
                    ObjectDeletion.object_key
                    == select(Image.object_key).where(Image.id == image_id, RESTORABLE).scalar_subquery(),
                    *STILL_THERE,
                )
                .returning(ObjectDeletion.object_key)
            )
            if queued is None:
                raise _not_in_trash(image_id)
            failpoint("restore.unqueued")
            if not session.scalar(
                update(Image)
                .where(Image.id == image_id, Image.object_key == queued, RESTORABLE)
                .values(state="READY")
                .returning(Image.id)
            ):
                raise _not_in_trash(image_id)
    except IntegrityError as exc:
        if constraint_of(exc) != READY_ONCE:
            raise
        with sessions() as session:
            sha256 = session.scalar(select(Image.sha256).where(Image.id == image_id))
            newer = find_by_sha256(session, sha256) if sha256 else None
        raise Conflict(
            f"the same bytes were uploaded again after picture {image_id} was deleted: use that picture, or delete it first",
            extra={"image_id": newer},
        ) from None
    failpoint("restore.done")


def _not_in_trash(image_id: int) -> NotFound:
    return NotFound(f"picture {image_id} is not in the trash: GET /api/v1/trash lists what can be restored")


def list_trash(sessions: Sessions, *, limit: int = TRASH_PAGE) -> list[TrashedImage]:
    """Return what can be restored, the last deleted first."""
    query = (
        select(
            Image.id,
            Image.original_name,
            Label.name,
            Image.byte_size,
            ObjectDeletion.created_at,
            ObjectDeletion.due_at,
            Thumbnail.media_type,
            Thumbnail.width,
            Thumbnail.height,
            Thumbnail.data,
        )
        .join(ObjectDeletion, ObjectDeletion.object_key == Image.object_key)
        .join(Thumbnail, Thumbnail.image_id == Image.id)
        .outerjoin(Label, Label.id == Image.label_id)
        .where(RESTORABLE, *STILL_THERE)
        .order_by(ObjectDeletion.created_at.desc(), Image.id.desc())
        .limit(limit)
    )
    with sessions() as session:
        return [TrashedImage(*row[:6], ThumbnailInfo(*row[6:9], bytes(row[9]))) for row in session.execute(query)]
