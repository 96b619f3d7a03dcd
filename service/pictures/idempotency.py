"""The `Idempotency-Key` of an upload: the same key leads to the same picture, however often it is sent and whatever broke in between.

The key is written in the transaction that makes the picture visible, so there is nothing to clean up behind an attempt that died. It belongs to
the account, and is forgotten after a day. Without a key the same bytes lead to the same picture anyhow; what a key adds is that a repeated
request never makes a deleted picture anew, and that a key used for another request by mistake is noticed.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.tables import IdempotencyKey, Image
from service.errors import Conflict, IdempotencyKeyReused, Invalid

REMEMBERED = timedelta(days=1)
FIELD = "Idempotency-Key"

_FORM = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A client's key with the account that sent it and the SHA-256 of what it stood for."""

    account_id: int
    key: str
    fingerprint: str


def request_key(key: str, account_id: int, *parts: object) -> RequestKey:
    """Bind a key to a request of these parts (JSON values). Raises `Invalid` for a key that is not 1 to 255 visible ASCII characters."""
    if not _FORM.fullmatch(key):
        raise Invalid(f"{FIELD} is 1 to 255 visible ASCII characters, a UUID for example", field=FIELD)
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return RequestKey(account_id, key, hashlib.sha256(text.encode()).hexdigest())


def recall(session: Session, request: RequestKey) -> int | None:
    """Return the visible picture that the key led to, None for a new key.

    Raises `IdempotencyKeyReused` when it stood for another request, `Conflict` when the picture was deleted since.
    """
    row = session.execute(
        select(IdempotencyKey.fingerprint, IdempotencyKey.image_id, Image.state)
        .outerjoin(Image, Image.id == IdempotencyKey.image_id)
        .where(IdempotencyKey.account_id == request.account_id, IdempotencyKey.key == request.key)
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise IdempotencyKeyReused(f"{FIELD} {request.key!r} was used for another upload: send a new key", field=FIELD)
    if row.state != "READY":
        raise Conflict(f"the picture that {FIELD} {request.key!r} led to was deleted: send a new key to upload it again")
    return int(row.image_id)


def remember(session: Session, request: RequestKey, image_id: int) -> None:
    """Write down where the key led, or find that another request was faster; raises as `recall` does."""
    values = {
        "account_id": request.account_id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "image_id": image_id,
    }
    if not session.scalar(insert(IdempotencyKey).values(values).on_conflict_do_nothing().returning(IdempotencyKey.image_id)):
        recall(session, request)


def forget_old(session: Session) -> int:
    """Remove keys older than a day; returns how many."""
    old = delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - REMEMBERED).returning(IdempotencyKey.key)
    return len(session.scalars(old).all())
