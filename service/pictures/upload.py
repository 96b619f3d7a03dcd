"""Upload one picture: two stores, no shared transaction, and nothing lost or half kept.

    U0  check the bytes                                    nothing written yet
    U1  commit a PENDING row with key, facts, thumbnail    invisible; its lease names when the sweep may take it
    U2  PUT the bytes under the row's fresh key            dead here: the row names the object, the sweep removes both
    U3  commit PENDING -> READY                            from here the picture is visible and acknowledged

The same bytes again are the existing picture, unchanged, or heal it where its object was damaged (`service.pictures.damage`).

Any number of uploads of the same bytes may run at once: each has a row and a key of its own, the first to reach U3 wins by a unique index,
and the others hand their attempt to the outbox and answer with the winner (docs/decisions/0002-racing-uploads.md).
"""

import contextlib
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from schema.base import LEASE
from schema.queries.deletions import queue_objects, start_deletion
from schema.queries.words import ensure_words
from schema.session import Sessions, constraint_of
from schema.tables import Image, ImageTag, Label, Tag, Thumbnail
from service.accounts.actor import Actor
from service.errors import PixrefError, UploadInterrupted
from service.failpoints import failpoint
from service.names import clean_attributes, clean_file_name, clean_name, clean_split, clean_tags
from service.pictures.damage import heal
from service.pictures.fetch import MEDIA_TYPE
from service.pictures.idempotency import RequestKey, recall, remember, request_key
from service.png import PngFacts, PngLimits, inspect
from storage.base import ObjectStore, StoreError
from storage.keys import new_image_key

# The index by which the first of racing uploads wins.
READY_ONCE = "uq_image_sha256_ready"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Description:
    """What the uploader says of a picture. Cleaned when made; raises `Invalid` naming the field."""

    original_name: str | None = None
    label: str | None = None
    tags: Sequence[str] = ()
    split: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "original_name", clean_file_name(self.original_name))
        object.__setattr__(self, "label", clean_name(self.label, field="label") if self.label and self.label.strip() else None)
        object.__setattr__(self, "tags", tuple(clean_tags(tag for tag in self.tags if tag.strip())))
        object.__setattr__(self, "split", clean_split(self.split))
        object.__setattr__(self, "attributes", clean_attributes(self.attributes))


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The picture's id, and whether it is new (False: these bytes were here already, and nothing was changed)."""

    image_id: int
    created: bool


def find_by_sha256(session: Session, sha256: str) -> int | None:
    """Return the visible picture with these bytes."""
    return session.scalar(select(Image.id).where(Image.sha256 == sha256, Image.state == "READY"))


def image_row(
    facts: PngFacts, description: Description, *, key: str, label_id: int | None, source: str, actor: Actor
) -> dict[str, Any]:
    """Return the values of a PENDING row of `image`."""
    return {
        "sha256": facts.sha256,
        "object_key": key,
        "byte_size": facts.byte_size,
        "state": "PENDING",
        "width": facts.width,
        "height": facts.height,
        "channels": facts.channels,
        "bit_depth": facts.bit_depth,
        "color_type": facts.color_type,
        "original_name": description.original_name,
        "label_id": label_id,
        "split": description.split,
        "source": source,
        "attributes": description.attributes,
        "png": facts.png,
        "exif": facts.exif,
        "taken_at": facts.taken_at,
        "created_by": actor.account_id,
    }


def thumbnail_row(facts: PngFacts, image_id: int) -> dict[str, Any]:
    """Return the values of the row of `thumbnail`."""
    thumbnail = facts.thumbnail
    return {
        "image_id": image_id,
        "media_type": thumbnail.media_type,
        "width": thumbnail.width,
        "height": thumbnail.height,
        "recipe": thumbnail.recipe,
        "data": thumbnail.data,
    }


@dataclass(frozen=True, slots=True)
class _Existing:
    """The visible picture with these bytes, or the one that the request's key led to."""

    image_id: int
    damaged: bool


def _existing(session: Session, sha256: str, request: RequestKey | None) -> _Existing | None:
    # First, because it refuses a key that stood for another request, and a picture that was deleted since.
    recalled = recall(session, request) if request else None
    row = session.execute(select(Image.id, Image.damage).where(Image.sha256 == sha256, Image.state == "READY")).one_or_none()
    if row is None:
        return _Existing(recalled, damaged=False) if recalled is not None else None
    if request and recalled is None:
        remember(session, request, row.id)
    return _Existing(row.id, row.damage is not None)


def _begin(
    sessions: Sessions, facts: PngFacts, description: Description, request: RequestKey | None, *, source: str, actor: Actor
) -> tuple[int, str] | _Existing:
    """U1: return the attempt's id and key, or the picture that is here already."""
    key = new_image_key(facts.sha256)
    with sessions() as session, session.begin():
        existing = _existing(session, facts.sha256, request)
        if existing is not None:
            return existing
        label_id = ensure_words(session, Label, [description.label])[description.label] if description.label else None
        tag_ids = ensure_words(session, Tag, description.tags)
        row = image_row(facts, description, key=key, label_id=label_id, source=source, actor=actor)
        image_id = session.execute(insert(Image).values(row).returning(Image.id)).scalar_one()
        session.execute(insert(Thumbnail).values(thumbnail_row(facts, image_id)))
        if tag_ids:
            session.execute(insert(ImageTag), [{"image_id": image_id, "tag_id": tag_id} for tag_id in tag_ids.values()])
    return image_id, key


def abandon(sessions: Sessions, image_ids: Iterable[int], reason: str, delay: timedelta = timedelta()) -> None:
    """Hand attempts to the outbox at once. Where that fails too, their lease runs out and the sweep does it."""
    try:
        with sessions() as session, session.begin():
            for image_id in image_ids:
                start_deletion(session, reason=reason, image_id=image_id, from_state="PENDING", delay=delay)
    except SQLAlchemyError:
        log.warning("an abandoned upload is left to the sweep", exc_info=True)


def give_back(sessions: Sessions, keys: Iterable[str]) -> UploadInterrupted:
    """Queue the objects of attempts that the sweep took while they were stored: its deletion may have come before the bytes did.

    Returns the error to raise.
    """
    with sessions() as session, session.begin():
        queue_objects(session, keys, reason="the sweep was faster than the upload")
    return UploadInterrupted("the upload was overtaken while its bytes were stored: send it again", field="file")


def mark_ready(session: Session, image_ids: Sequence[int]) -> list[int]:
    """U3: make PENDING rows visible and return their ids; one that the sweep has taken is missing from the answer."""
    return list(
        session.scalars(
            update(Image)
            .where(Image.id.in_(image_ids), Image.state == "PENDING")
            .values(state="READY", ready_at=func.now(), lease_until=None)
            .returning(Image.id)
        )
    )


def _finish(sessions: Sessions, image_id: int, sha256: str, key: str, request: RequestKey | None) -> Uploaded:
    try:
        with sessions() as session, session.begin():
            done = mark_ready(session, [image_id])
            if request and done:
                remember(session, request, image_id)
            failpoint("upload.marked")
    except PixrefError:
        # The same key, sent twice at once, for two different requests: this is the second.
        abandon(sessions, [image_id], "its Idempotency-Key was used for another upload")
        raise
    except IntegrityError as exc:
        if constraint_of(exc) != READY_ONCE:
            raise
        abandon(sessions, [image_id], "another upload of the same bytes was faster")
        with sessions() as session:
            winner = find_by_sha256(session, sha256)
            if winner is not None and request:
                remember(session, request, winner)
                session.commit()
        if winner is not None:
            return Uploaded(winner, created=False)
        # The winner was deleted in this very moment: rare enough to let the client repeat.
        raise UploadInterrupted("the same bytes were deleted while they were stored: send them again", field="file") from None
    except SQLAlchemyError:
        # The answer to COMMIT may be lost although it happened: the row knows.
        with contextlib.suppress(SQLAlchemyError), sessions() as session:
            if session.scalar(select(Image.state).where(Image.id == image_id)) == "READY":
                return Uploaded(image_id, created=True)
        raise
    if not done:
        raise give_back(sessions, [key])
    return Uploaded(image_id, created=True)


def upload_image(
    sessions: Sessions,
    store: ObjectStore,
    data: bytes,
    description: Description,
    *,
    limits: PngLimits,
    source: str,
    actor: Actor,
    idempotency_key: str | None = None,
) -> Uploaded:
    """Keep a picture and return its id; the same bytes again give the existing picture, unchanged.

    Raises `BadImage`, `TooLarge` or `TooManyPixels` with nothing written, `StoreError` or a database error with nothing visible; with an
    `idempotency_key` also `IdempotencyKeyReused`, and `Conflict` when the picture that it led to was deleted since.
    """
    facts = inspect(data, limits)
    failpoint("upload.checked")
    request = None
    if idempotency_key is not None:
        request = request_key(idempotency_key, actor.account_id, facts.sha256, asdict(description))
    begun = _begin(sessions, facts, description, request, source=source, actor=actor)
    failpoint("upload.begun")
    if isinstance(begun, _Existing):
        if begun.damaged:
            heal(sessions, store, begun.image_id, data, facts.sha256)
        return Uploaded(begun.image_id, created=False)
    image_id, key = begun
    try:
        store.put_object(key, io.BytesIO(data), size=facts.byte_size, sha256=facts.sha256, media_type=MEDIA_TYPE)
    except StoreError:
        # After a timeout the bytes may still land; the key is this attempt's alone, and the outbox waits until they must have.
        failpoint("upload.abandoning")
        abandon(sessions, [image_id], "the store did not take the bytes", delay=LEASE)
        raise
    failpoint("upload.stored")
    done = _finish(sessions, image_id, facts.sha256, key, request)
    failpoint("upload.ready")
    return done
