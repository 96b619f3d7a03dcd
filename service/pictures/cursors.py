"""Orders of a list, and the cursors that say where in one a page ends. A cursor is opaque and belongs to the order that it was made in."""

import base64
import binascii
import math
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal

from service.errors import Invalid

BIGINT_MAX = 2**63 - 1
CURSOR_MAX = 64
"""No cursor has more characters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Key = datetime | float | None


class Sort(StrEnum):
    """The order of a list; `-` is downwards. Equal ones are ordered by id, in the same direction."""

    NEWEST = "-id"
    OLDEST = "id"
    LATEST = "-date"
    EARLIEST = "date"
    SUREST = "-score"
    LEAST_SURE = "score"
    MOST_UNCERTAIN = "-uncertainty"
    LEAST_UNCERTAIN = "uncertainty"

    @property
    def by(self) -> Literal["id", "date", "score"]:
        """What rows are compared by. Uncertainty is one less the score, so it is the score's order upside down."""
        name = self.value.removeprefix("-")
        return "id" if name == "id" else "date" if name == "date" else "score"

    @property
    def descending(self) -> bool:
        """Whether `by` goes down."""
        return self.value.startswith("-") != self.value.endswith("uncertainty")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: behind the picture `id`, whose date or score is `key`; None in a list by id."""

    id: int
    key: Key = None


_SORTS = list(Sort)
_FORMS = {"id": ">Bq", "date": ">Bqq", "score": ">Bqd"}


def encode_cursor(sort: Sort, cursor: Cursor) -> str:
    """Return the cursor as clients get it."""
    key: list[float] = []
    if isinstance(cursor.key, datetime):
        key = [(cursor.key - _EPOCH) // _MICROSECOND]
    elif cursor.key is not None:
        key = [cursor.key]
    packed = struct.pack(_FORMS[sort.by], _SORTS.index(sort), cursor.id, *key)
    return base64.urlsafe_b64encode(packed + zlib.crc32(packed).to_bytes(4, "big")).decode().rstrip("=")


def decode_cursor(text: str, sort: Sort, *, field: str) -> Cursor:
    """Return the place that a cursor means in a list in this order. Raises `Invalid` naming `field`."""
    refused = Invalid(f"{field} is not a cursor: pass on the value of `next` or `prev` as it came, or leave it out", field=field)
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        packed, check = whole[:-4], whole[-4:]
        if len(text) > CURSOR_MAX or zlib.crc32(packed).to_bytes(4, "big") != check:
            raise refused
        made_in = _SORTS[packed[0]]
        _, number, *rest = struct.unpack(_FORMS[made_in.by], packed)
        key = _EPOCH + rest[0] * _MICROSECOND if made_in.by == "date" else rest[0] if rest else None
    except (ValueError, IndexError, OverflowError, binascii.Error, struct.error):
        raise refused from None
    if made_in is not sort:
        raise Invalid(f"{field} is a cursor of a list with sort={made_in}, not {sort}: begin this list without it", field=field)
    cursor = Cursor(number, key)
    sound = number >= 0 and (not isinstance(key, float) or (math.isfinite(key) and 0 <= key <= 1))
    if not sound or encode_cursor(sort, cursor) != text:
        raise refused
    return cursor
