"""Direct uploads: the client puts the bytes into the bucket itself, and the picture is kept once they were read back and proven right.

    D0  commit a row that names the staging key, and sign a form for exactly these bytes     the client posts them to the bucket
    D1  read them back, compare them with the digest that was announced                      still no picture
    D2  keep them as any upload is kept (`service.pictures.upload`)                          from here the picture is visible
    D3  remove the row, queue the staging object

What was proven is stored a second time under a key of its own, because S3's forms cannot say `If-None-Match`: until it expires, the form may be
sent again and replace what lies under the staging key, which therefore never becomes a picture's.

Completing may die anywhere, or run twice at once. D2 carries an Idempotency-Key made from the upload's id, so that every repetition for a day
leads to the same picture, also where the answer was lost, and none makes it anew after it was deleted. Where D3 is missing the sweep does it.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from schema.queries.direct import Begun, close_direct_uploads, find_direct_upload, open_direct_upload, outcome_of
from schema.session import Sessions
from schema.tables import DirectUpload, Image
from service.accounts.actor import Actor, Role
from service.errors import BadImage, Conflict, Invalid, NotFound, TooLarge, UploadIncomplete
from service.failpoints import failpoint
from service.pictures.fetch import MEDIA_TYPE
from service.pictures.search import BIGINT_MAX
from service.pictures.upload import Description, Uploaded, upload_image
from service.png import PngLimits
from storage.base import ObjectNotFound, ObjectStore, ObjectTooLarge, PresignedPost
from storage.keys import new_staging_key

FORM_LIFETIME_S = 15 * 60
SOURCE = "direct"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DirectUploadForm:
    """An upload that was begun, and the form by which its bytes are put."""

    upload_id: int
    form: PresignedPost


def begin_direct_upload(
    sessions: Sessions,
    store: ObjectStore,
    sha256: str,
    byte_size: int,
    description: Description,
    *,
    limits: PngLimits,
    actor: Actor,
    now: datetime,
) -> DirectUploadForm | int:
    """Return a form that puts these bytes, of this digest (hex), for a quarter of an hour; or the id of the picture that has them already.

    The store is not asked. A picture that is damaged does not count: it is healed by the bytes. Raises `TooLarge`.
    """
    if byte_size > limits.max_bytes:
        raise TooLarge(
            f"byte_size is {byte_size}: larger than the limit of {limits.max_bytes} bytes (PIXREF_MAX_UPLOAD_MIB)",
            field="byte_size",
        )
    key = new_staging_key(sha256)
    with sessions() as session, session.begin():
        sound = select(Image.id).where(Image.sha256 == sha256, Image.state == "READY", Image.damage.is_(None))
        if (existing := session.scalar(sound)) is not None:
            return existing
        upload_id = open_direct_upload(
            session, key=key, sha256=sha256, byte_size=byte_size, description=asdict(description), account_id=actor.account_id
        )
    form = store.presign_post(key, now=now, lifetime_s=FORM_LIFETIME_S, size=byte_size, sha256=sha256, media_type=MEDIA_TYPE)
    return DirectUploadForm(upload_id, form)


def complete_direct_upload(
    sessions: Sessions,
    store: ObjectStore,
    upload_id: int,
    *,
    limits: PngLimits,
    actor: Actor,
    admit: Callable[[int], None] = lambda byte_size: None,
) -> Uploaded:
    """Keep the picture whose bytes the client has put, and return its id; again the same for a day.

    `admit` is called with the size in bytes before they are read into memory, and may refuse by an error of its own.
    Raises `NotFound`, `UploadIncomplete` while the bytes are not there, `Conflict` when the picture was deleted since, `StoreError`; and where the
    upload is refused, and over, `BadImage` for other bytes than were announced, and what `upload_image` raises.
    """
    request = f"direct-upload/{upload_id}"
    begun, outcome = _find(sessions, upload_id, request, actor)
    failpoint("direct.begun")
    if outcome is not None:
        image_id, state = outcome
        _close(sessions, upload_id, "a direct upload was completed")
        if state != "READY":
            raise Conflict(f"the picture that upload {upload_id} led to was deleted: begin another upload")
        return Uploaded(image_id, created=False)
    if begun is None:
        raise _no_such_upload(upload_id)
    admit(begun.byte_size)
    try:
        data = _staged_bytes(store, begun)
        failpoint("direct.fetched")
        done = upload_image(
            sessions,
            store,
            data,
            Description(**begun.description),
            limits=limits,
            source=SOURCE,
            actor=actor,
            idempotency_key=request,
        )
    except Invalid:
        _close(sessions, upload_id, "a direct upload was refused")
        raise
    failpoint("direct.kept")
    _close(sessions, upload_id, "a direct upload was completed")
    failpoint("direct.done")
    return done


def abort_direct_upload(sessions: Sessions, upload_id: int, *, actor: Actor) -> None:
    """End an upload; what was put, or is still put by its form, is removed when its lease is over. Raises `NotFound`."""
    with sessions() as session, session.begin():
        known = 0 < upload_id <= BIGINT_MAX and find_direct_upload(session, upload_id, account_id=_owner(actor))
        if not known or not close_direct_uploads(session, DirectUpload.id == upload_id, reason="a direct upload was aborted"):
            raise _no_such_upload(upload_id)


def _owner(actor: Actor) -> int | None:
    return None if actor.role.allows(Role.ADMIN) else actor.account_id


def _no_such_upload(upload_id: int) -> NotFound:
    return NotFound(
        f"there is no upload {upload_id} under way: it is over, or belongs to another account; begin one by POST /api/v1/uploads"
    )


def _find(sessions: Sessions, upload_id: int, request: str, actor: Actor) -> tuple[Begun | None, tuple[int, str] | None]:
    if not 0 < upload_id <= BIGINT_MAX:
        return None, None
    with sessions() as session:
        # The row first: whoever completes it meanwhile writes the outcome before the row goes.
        begun = find_direct_upload(session, upload_id, account_id=_owner(actor))
        return begun, outcome_of(session, request, actor.account_id)


def _staged_bytes(store: ObjectStore, begun: Begun) -> bytes:
    """Return what the client has put, proven to be what it announced."""
    try:
        data = store.get_object(begun.object_key, max_size=begun.byte_size)
    except ObjectNotFound:
        raise UploadIncomplete(
            f"the bytes of upload {begun.id} are not in the bucket: post them with the form's fields to its url, then complete again"
        ) from None
    except ObjectTooLarge:
        raise BadImage(
            "not_as_announced", f"more than the announced {begun.byte_size} bytes have arrived: begin another upload"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != begun.sha256:
        raise BadImage(
            "not_as_announced",
            f"{len(data)} bytes with the sha256 {found} have arrived, not {begun.byte_size} with {begun.sha256}: begin another upload",
        )
    return data


def _close(sessions: Sessions, upload_id: int, reason: str) -> None:
    try:
        with sessions() as session, session.begin():
            close_direct_uploads(session, DirectUpload.id == upload_id, reason=reason)
    except SQLAlchemyError:
        log.warning("a direct upload that is over is left to the sweep", exc_info=True)
