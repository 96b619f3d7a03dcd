"""What the ancillary chunks of a PNG say, as JSON-safe facts.

Ancillary chunks are hints: one that is damaged inside (its checksum already passed), misplaced or repeated is left out, never a
reason to refuse.
"""

import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from service.png.exif import read_exif
from service.png.structure import Layout
from service.png.text import clean, cut

_INTENTS = ("perceptual", "relative colorimetric", "saturation", "absolute colorimetric")
_PRIVATE_KEYWORDS = ("XML:com.adobe.xmp", "Raw profile type ")
"""Text chunks that carry XMP, EXIF or IPTC blocks: binary in disguise, and where editors put the GPS position."""
_BEFORE_PIXELS = {b"acTL", b"gAMA", b"sRGB", b"iCCP", b"pHYs"}
_KEYWORD_BYTES = 79


def read_metadata(layout: Layout, max_text_bytes: int) -> tuple[dict[str, Any], dict[str, Any], datetime | None]:
    """Return the facts for `png` and for `exif`, and when the picture was taken if EXIF says so. Never raises."""
    facts: dict[str, Any] = {}
    exif: dict[str, Any] = {}
    taken_at: datetime | None = None
    if layout.palette:
        facts["palette_size"] = layout.palette.length // 3
    if layout.header.interlaced:
        facts["interlaced"] = True
    if not layout.ancillary:
        return facts, exif, taken_at
    text = _TextFacts(max_text_bytes)
    seen = set()
    for chunk in layout.ancillary:
        kind = chunk.kind
        if kind in _TEXT_PARSERS:
            text.add(kind, bytes(layout.body(chunk)))
        elif kind not in seen:
            seen.add(kind)
            if kind in _BEFORE_PIXELS and chunk.offset > layout.idat[0].offset:
                # Viewers take no notice of it there: they show an animation announced too late as a still picture.
                continue
            if kind == b"eXIf":
                exif, taken_at = read_exif(bytes(layout.body(chunk)))
            elif kind in _PARSERS:
                facts.update(_PARSERS[kind](bytes(layout.body(chunk))))
    facts.update(text.facts())
    return facts, exif, taken_at


def _gamma(body: bytes) -> dict[str, Any]:
    value = int.from_bytes(body) if len(body) == 4 else 0
    return {"gamma": value / 100_000} if value else {}


def _srgb(body: bytes) -> dict[str, Any]:
    return {"srgb": _INTENTS[body[0]]} if len(body) == 1 and body[0] < len(_INTENTS) else {}


def _physical_size(body: bytes) -> dict[str, Any]:
    if len(body) != 9:
        return {}
    x, y, unit = struct.unpack(">IIB", body)
    return {"pixels_per_metre" if unit == 1 else "pixel_aspect": [x, y]} if x and y else {}


def _icc(body: bytes) -> dict[str, Any]:
    name, separator, _ = body[: _KEYWORD_BYTES + 1].partition(b"\0")
    name_text = clean(name.decode("latin-1"))
    return {"icc_profile": name_text} if separator and name_text else {}


def _modified(body: bytes) -> dict[str, Any]:
    if len(body) != 7:
        return {}
    year, month, day, hour, minute, second = struct.unpack(">HBBBBB", body)
    try:
        # PNG counts a leap second as 60, which datetime does not have.
        return {
            "modified": datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).isoformat().replace("+00:00", "Z")
        }
    except ValueError:
        return {}


def _animation(body: bytes) -> dict[str, Any]:
    frames = int.from_bytes(body[:4]) if len(body) == 8 else 0
    return {"frames": frames} if frames else {}


_PARSERS: dict[bytes, Callable[[bytes], dict[str, Any]]] = {
    b"gAMA": _gamma,
    b"sRGB": _srgb,
    b"pHYs": _physical_size,
    b"iCCP": _icc,
    b"tIME": _modified,
    b"acTL": _animation,
}


def _inflate(data: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, limit)
    except zlib.error:
        return b""


def _plain(body: bytes, limit: int) -> tuple[bytes, str]:
    keyword, _, value = body.partition(b"\0")
    return keyword, value[:limit].decode("latin-1")


def _compressed(body: bytes, limit: int) -> tuple[bytes, str]:
    keyword, _, rest = body.partition(b"\0")
    return keyword, _inflate(rest[1:], limit).decode("latin-1") if rest[:1] == b"\0" else ""


def _international(body: bytes, limit: int) -> tuple[bytes, str]:
    keyword, _, rest = body.partition(b"\0")
    compressed, method = rest[:1] == b"\1", rest[1:2]
    value = rest[2:].split(b"\0", 2)[-1]
    if compressed:
        value = _inflate(value, limit) if method == b"\0" else b""
    return keyword, value[:limit].decode("utf-8", "replace")


_TEXT_PARSERS = {b"tEXt": _plain, b"zTXt": _compressed, b"iTXt": _international}


class _TextFacts:
    """Collect keyword -> text up to a total of UTF-8 bytes; texts under one keyword are joined by a line feed."""

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self._texts: dict[str, str] = {}
        self._truncated = False
        self._private = False

    def add(self, kind: bytes, body: bytes) -> None:
        if self._room <= 0:
            self._truncated = True
            return
        # One byte more than there is room for, so that cutting is noticed.
        raw_keyword, raw_value = _TEXT_PARSERS[kind](body, self._room + 1)
        keyword = clean(raw_keyword[:_KEYWORD_BYTES].decode("latin-1"))
        if keyword.startswith(_PRIVATE_KEYWORDS):
            self._private = True
            return
        if not keyword:
            return
        self._room -= len(keyword.encode("utf-8"))
        whole = clean(raw_value)
        value = cut(whole, max(self._room, 0))
        self._truncated |= len(value) < len(whole)
        self._room -= len(value.encode("utf-8")) + 1
        self._texts[keyword] = f"{self._texts[keyword]}\n{value}" if keyword in self._texts else value

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if self._texts:
            facts["text"] = self._texts
        if self._truncated:
            facts["text_truncated"] = True
        if self._private:
            facts["text_private"] = True
        return facts
