"""The few EXIF facts that are kept: orientation, dates, camera and exposure.

The position of the camera is private: the GPS directory is never read. A damaged block yields the tags that can be read; it is
no reason to refuse a picture whose pixels are sound.
"""

import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from service.png.text import clean

_EXIF_DIRECTORY = 0x8769
_MAX_ENTRIES = 512
_MAX_TEXT = 256

_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_SIZES = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8}

_TEXT = {0x010F: "camera_make", 0x0110: "camera_model", 0x0131: "software", 0xA434: "lens_model"}
_RATIONALS = {0x829A: "exposure_s", 0x829D: "f_number", 0x920A: "focal_length_mm"}
_INTEGERS = {0x8827: "iso"}
_ORIENTATION = 0x0112
# Date tag: name, tag of its UTC offset. In the order in which they answer "when was this taken?".
_DATES = {0x9003: ("taken", 0x9011), 0x9004: ("digitized", 0x9012), 0x0132: ("modified", 0x9010)}
_date = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)").match
_offset = re.compile(r"([+-])(\d\d):(\d\d)").match


def read_exif(block: bytes) -> tuple[dict[str, Any], datetime | None]:
    """Return JSON-safe facts from an eXIf chunk's data, and when the picture was taken.

    A date without a UTC offset is taken as UTC, because EXIF does not say more. Dates stand in the facts as ISO 8601 texts, with
    an offset only where the file has one. Never raises.
    """
    tags = dict(_read_tags(block))
    facts: dict[str, Any] = {}
    orientation = tags.get(_ORIENTATION)
    if isinstance(orientation, int) and 1 <= orientation <= 8:
        facts["orientation"] = orientation
    for tag, name in _TEXT.items():
        if isinstance(value := tags.get(tag), str) and value:
            facts[name] = value
    for tag, name in _RATIONALS.items():
        if isinstance(value := tags.get(tag), float):
            facts[name] = value
    for tag, name in _INTEGERS.items():
        if isinstance(value := tags.get(tag), int):
            facts[name] = value
    taken_at = None
    for tag, (name, offset_tag) in _DATES.items():
        moment = _moment(tags.get(tag), tags.get(offset_tag))
        if moment:
            facts[name] = moment.isoformat()
            # In UTC: offsets of 16 hours and more occur in files, and PostgreSQL refuses them.
            taken_at = taken_at or (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
    return facts, taken_at


def _read_tags(block: bytes) -> Iterator[tuple[int, str | int | float]]:
    """Yield the first value of each readable tag of the main directory and of the EXIF directory that it names."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return
    (main,) = struct.unpack_from(order + "I", block, 4)
    exif = None
    for tag, value in _read_directory(block, order, main):
        if tag == _EXIF_DIRECTORY:
            exif = value
        else:
            yield tag, value
    if isinstance(exif, int):
        yield from _read_directory(block, order, exif)


def _read_directory(block: bytes, order: str, start: int) -> Iterator[tuple[int, str | int | float]]:
    if start + 2 > len(block):
        return
    (count,) = struct.unpack_from(order + "H", block, start)
    for entry in range(start + 2, start + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if entry + 12 > len(block):
            return
        tag, kind, length = struct.unpack_from(order + "HHI", block, entry)
        size = _SIZES.get(kind, 0) * length
        place = entry + 8 if size <= 4 else struct.unpack_from(order + "I", block, entry + 8)[0]
        if not size or place + size > len(block):
            continue
        if kind == _ASCII:
            text = block[place : place + min(size, _MAX_TEXT)].split(b"\0", 1)[0]
            yield tag, clean(text.decode("utf-8", "replace")).strip()
        elif kind == _RATIONAL:
            numerator, denominator = struct.unpack_from(order + "II", block, place)
            if denominator:
                yield tag, numerator / denominator
        else:
            yield tag, struct.unpack_from(order + ("H" if kind == _SHORT else "I"), block, place)[0]


def _moment(date: object, offset: object) -> datetime | None:
    found = _date(date) if isinstance(date, str) else None
    if found is None:
        return None
    zone = None
    if isinstance(offset, str) and (shift := _offset(offset)):
        minutes = int(shift[2]) * 60 + int(shift[3])
        if minutes < 24 * 60:
            zone = timezone(timedelta(minutes=minutes if shift[1] == "+" else -minutes))
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        # A date at the edge of the calendar has no UTC time, which is what the database stores.
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment
