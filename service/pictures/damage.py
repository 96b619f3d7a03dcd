"""Damaged pictures: bytes that vanished from the bucket or changed behind us. Found by whoever reads them, healed by the same bytes again.

The row stays READY, so that lists, labels and predictions stay; `damage` says that the original cannot be had. A picture that was deleted
meanwhile is not lost, and a store that does not answer loses nothing: only its word that the object is not there counts.
"""

import io
import logging
from typing import Literal

from sqlalchemy import func, select, update

from schema.base import LEASE
from schema.queries.deletions import announce_objects, keep_objects, queue_objects
from schema.session import Sessions, single
from schema.tables import Image
from service.errors import ObjectCorrupt, ObjectLost, UploadInterrupted
from service.failpoints import failpoint
from service.pictures.fetch import MEDIA_TYPE, Reference, read_bytes, references
from service.pictures.search import no_such_image
from storage.base import ObjectStore
from storage.keys import new_image_key

Damage = Literal["lost", "corrupt"]

log = logging.getLogger(__name__)


def mark_damaged(sessions: Sessions, image_id: int, key: str, damage: Damage) -> bool:
    """Write down that a picture's object is damaged; False when the picture is gone, or has another object by now."""
    with sessions() as session, session.begin():
        marked = session.scalar(
            update(Image)
            .where(Image.id == image_id, Image.object_key == key, Image.state == "READY")
            .values(damage=damage, damaged_at=func.coalesce(Image.damaged_at, func.now()))
            .returning(Image.id)
        )
    return marked is not None


def clear_damage(sessions: Sessions, image_id: int, key: str) -> bool:
    """Write down that a picture's object was read and is what was uploaded."""
    with sessions() as session, session.begin():
        cleared = session.scalar(
            update(Image)
            .where(Image.id == image_id, Image.object_key == key, Image.state == "READY")
            .values(damage=None, damaged_at=None, verified_at=func.now())
            .returning(Image.id)
        )
    return cleared is not None


def read_or_mark(sessions: Sessions, store: ObjectStore, ref: Reference) -> bytes:
    """Return a picture's bytes, proven to be the uploaded ones; damage that is met is written down.

    Raises `ObjectLost`, `ObjectCorrupt`, `StoreError`, and `NotFound` when the picture was deleted meanwhile.
    """
    try:
        return read_bytes(store, ref)
    except (ObjectLost, ObjectCorrupt) as exc:
        damage: Damage = "lost" if isinstance(exc, ObjectLost) else "corrupt"
        if ref.damage is None:
            if not mark_damaged(sessions, ref.image_id, ref.object_key, damage):
                raise no_such_image(ref.image_id) from None
            log.error("a picture is damaged", extra={"image_id": ref.image_id, "damage": damage})
        raise


def heal_from_row(sessions: Sessions, store: ObjectStore, image_id: int) -> bool:
    """Heal a damaged picture that is its own thumbnail: its bytes are in the database too. False for any other, and for one that is gone."""
    with single(sessions) as connection:
        found = references(connection, [image_id], with_bytes=True).get(image_id)
    if found is None or found.inline is None:
        return False
    return heal(sessions, store, image_id, read_bytes(store, found), found.sha256)


def heal(sessions: Sessions, store: ObjectStore, image_id: int, data: bytes, sha256: str) -> bool:
    """Give a damaged picture its bytes back, whose digest is `sha256`, under a fresh key; False when it is not damaged any more.

    The new object's removal is in the outbox before it exists and leaves it with the commit that makes it the picture's: dying in between
    leaves nothing. Raises `UploadInterrupted` when that took longer than a lease, `StoreError`.
    """
    key = new_image_key(sha256)
    with sessions() as session, session.begin():
        announce_objects(session, [key], reason="a picture was not healed", delay=LEASE)
    failpoint("heal.begun")
    store.put_object(key, io.BytesIO(data), size=len(data), sha256=sha256, media_type=MEDIA_TYPE)
    failpoint("heal.stored")
    with sessions() as session, session.begin():
        damaged = session.execute(
            select(Image.object_key)
            .where(Image.id == image_id, Image.state == "READY", Image.damage.is_not(None))
            .with_for_update()
        ).scalar_one_or_none()
        if overtaken := damaged is not None and not keep_objects(session, [key]):
            # It may have been removed before its last bytes came.
            queue_objects(session, [key], reason="the sweep was faster than the healing")
        elif damaged is None:
            queue_objects(session, [key], reason="there was nothing left to heal")
        else:
            queue_objects(session, [damaged], reason="a damaged picture was healed")
            session.execute(
                update(Image)
                .where(Image.id == image_id)
                .values(object_key=key, damage=None, damaged_at=None, verified_at=func.now())
            )
    if overtaken:
        raise UploadInterrupted("the upload was overtaken while its bytes were stored: send it again", field="file")
    if damaged is None:
        return False
    failpoint("heal.done")
    log.info("a picture is healed", extra={"image_id": image_id})
    return True
