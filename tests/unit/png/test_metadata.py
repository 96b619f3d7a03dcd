"""Facts from ancillary chunks: right, bounded, and safe for JSON and PostgreSQL whatever they hold."""

import json
import struct
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.png import PngFacts, PngLimits, inspect
from tests.pngs import Chunk, ExifEntry, exif_block, png

TEXT, SHORT, LONG, RATIONAL = 2, 3, 4, 5
MIB = 1024 * 1024


def facts_of(*chunks: Chunk, **changes: Any) -> PngFacts:
    return inspect(png(3, 2, before=chunks, **changes))


def assert_storable(facts: PngFacts) -> None:
    for value in (facts.png, facts.exif):
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert "\\u0000" not in text
        text.encode("utf-8")
        assert json.loads(text) == value


def ascii_entry(text: str) -> ExifEntry:
    data = text.encode() + b"\0"
    return TEXT, len(data), data


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (b"gAMA", struct.pack(">I", 45455), {"gamma": 0.45455}),
        (b"gAMA", bytes(4), {}),
        (b"gAMA", b"\1", {}),
        (b"sRGB", b"\0", {"srgb": "perceptual"}),
        (b"sRGB", b"\x09", {}),
        (b"pHYs", struct.pack(">IIB", 3937, 3937, 1), {"pixels_per_metre": [3937, 3937]}),
        (b"pHYs", struct.pack(">IIB", 2, 1, 0), {"pixel_aspect": [2, 1]}),
        (b"pHYs", b"", {}),
        (b"iCCP", b"Display P3\0\0" + zlib.compress(bytes(100)), {"icc_profile": "Display P3"}),
        (b"iCCP", b"no separator", {}),
        (b"tIME", struct.pack(">HBBBBB", 2024, 2, 29, 23, 59, 60), {"modified": "2024-02-29T23:59:59Z"}),
        (b"tIME", struct.pack(">HBBBBB", 2023, 2, 29, 0, 0, 0), {}),
        (b"tEXt", b"Title\0Zebra \xe9", {"text": {"Title": "Zebra é"}}),
        (b"zTXt", b"Title\0\0" + zlib.compress(b"packed"), {"text": {"Title": "packed"}}),
        (b"zTXt", b"Title\0\0broken", {"text": {"Title": ""}}),
        (b"iTXt", "Title\0\0\0de\0Titel\0Größe \U0001f992".encode(), {"text": {"Title": "Größe \U0001f992"}}),
        (b"iTXt", b"Title\0\1\0\0\0" + zlib.compress("żółw".encode()), {"text": {"Title": "żółw"}}),
        (b"iTXt", b"Title\0\0\0\0\0half \xed\xa0\x80 pair", {"text": {"Title": "half \ufffd\ufffd\ufffd pair"}}),
        (b"tEXt", b"Title\0a\0b\0", {"text": {"Title": "ab"}}),
        (b"tEXt", b"\0no keyword", {}),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<exif:GPSLatitude>52,31N", {"text_private": True}),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"gps"), {"text_private": True}),
        (b"prVt", b"private", {}),
    ],
)
def test_one_chunk(kind: bytes, body: bytes, expected: dict[str, Any]) -> None:
    facts = facts_of((kind, body))
    assert facts.png == expected
    assert_storable(facts)


def test_interlace_is_a_fact() -> None:
    assert facts_of(interlace=1).png == {"interlaced": True}
    assert facts_of().png == {}


def test_palette_size_and_repeated_keywords() -> None:
    facts = facts_of((b"tEXt", b"Author\0A"), (b"tEXt", b"Author\0B"), (b"tEXt", b"Title\0T"), color_type=3, depth=4)
    assert facts.png == {"palette_size": 16, "text": {"Author": "A\nB", "Title": "T"}}


def test_chunks_behind_the_pixels_count() -> None:
    assert inspect(png(after=[(b"tEXt", b"Title\0late"), (b"eXIf", exif_block({0x0112: (SHORT, 1, b"\x06\0")}))])).exif == {
        "orientation": 6
    }


def test_chunks_that_belong_before_the_pixels_do_not_count_behind_them() -> None:
    late = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"sRGB", b"\0"),
        (b"pHYs", struct.pack(">IIB", 1, 1, 1)),
        (b"iCCP", b"P3\0\0"),
        (b"acTL", struct.pack(">II", 2, 0)),
    ]
    assert inspect(png(after=late)).png == {}
    assert set(inspect(png(before=late)).png) == {"gamma", "srgb", "pixels_per_metre", "icc_profile", "frames"}


def test_the_first_of_repeated_chunks_counts() -> None:
    assert facts_of(*((b"gAMA", struct.pack(">I", value)) for value in (45455, 100_000))).png == {"gamma": 0.45455}


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert('1')</script><img src=x onerror=alert(1)>",
        "abc\u202etxt.exe\u202c \u2067\u05e9\u05dc\u05d5\u05dd\u2069 \u0645\u0631\u062d\u0628\u0627",
        "'; DROP TABLE image; --",
        "a\r\n\tb\x1b[31m\x7f\u2028",
        "\U0001f9d1\u200d\U0001f680 \ufeff e\u0301 \uffff",
    ],
)
def test_text_is_kept_as_it_is(text: str) -> None:
    """Who shows it has to escape it."""
    facts = facts_of((b"iTXt", b"Title\0\0\0\0\0" + text.encode()))
    assert facts.png == {"text": {"Title": text}}
    assert_storable(facts)


@pytest.mark.parametrize("size", [64 * 1024, 4 * MIB])
def test_long_text_is_cut_and_said_to_be(size: int) -> None:
    facts = facts_of((b"iTXt", b"Comment\0\0\0\0\0" + "é".encode() * (size // 2)), (b"tEXt", b"Title\0lost"))
    assert facts.png["text_truncated"] is True
    assert len(json.dumps(facts.png, ensure_ascii=False).encode()) < 17 * 1024
    assert set(facts.png["text"]["Comment"]) == {"é"}
    assert_storable(facts)


def test_text_is_cut_to_a_total_of_bytes() -> None:
    euro = "€" * 3000
    limits = PngLimits(max_text_bytes=1000)
    facts = inspect(png(before=[(b"iTXt", f"A\0\0\0\0\0{euro}".encode()), (b"tEXt", b"B\0lost")]), limits)
    assert facts.png["text_truncated"] is True
    assert set(facts.png["text"]) == {"A"}
    assert 990 <= len(facts.png["text"]["A"].encode()) <= 1000
    assert set(facts.png["text"]["A"]) == {"€"}


def test_inflated_text_is_bounded() -> None:
    bomb = zlib.compress(b"A" * 30_000_000, 9)
    data = png(before=[(kind, b"K" + start + bomb) for kind, start in [(b"zTXt", b"\0\0"), (b"iTXt", b"\0\1\0\0\0")] * 10])
    tracemalloc.start()
    try:
        facts = inspect(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert len(json.dumps(facts.png)) < 17_000
    assert facts.png["text_truncated"] is True


def test_text_that_fits_exactly_is_whole() -> None:
    facts = inspect(png(before=[(b"tEXt", b"K\0" + b"x" * 99)]), PngLimits(max_text_bytes=100))
    assert facts.png == {"text": {"K": "x" * 99}}


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif(order: str) -> None:
    main = {
        0x010F: ascii_entry("Canon"),
        0x0110: ascii_entry("EOS R5"),
        0x0112: (SHORT, 1, struct.pack(order + "H", 8)),
        0x0132: ascii_entry("2024:05:06 07:08:09"),
        0x8825: (LONG, 1, struct.pack(order + "I", 8)),
    }
    sub = {
        0x829A: (RATIONAL, 1, struct.pack(order + "II", 1, 250)),
        0x829D: (RATIONAL, 1, struct.pack(order + "II", 28, 10)),
        0x8827: (SHORT, 1, struct.pack(order + "H", 400)),
        0x9003: ascii_entry("2024:05:05 10:20:30"),
        0x9011: ascii_entry("+02:00"),
        0x920A: (RATIONAL, 1, struct.pack(order + "II", 35, 0)),
    }
    facts = facts_of((b"eXIf", exif_block(main, order=order, sub=sub)))
    assert facts.exif == {
        "camera_make": "Canon",
        "camera_model": "EOS R5",
        "orientation": 8,
        "exposure_s": 0.004,
        "f_number": 2.8,
        "iso": 400,
        "taken": "2024-05-05T10:20:30+02:00",
        "modified": "2024-05-06T07:08:09",
    }
    assert facts.taken_at == datetime(2024, 5, 5, 10, 20, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024:05:05 10:20:30", datetime(2024, 5, 5, 10, 20, 30, tzinfo=UTC)),
        ("0000:00:00 00:00:00", None),
        ("2024:13:01 00:00:00", None),
        ("9999:12:31 23:59:59", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("    :  :     :  :  ", None),
        ("yesterday", None),
    ],
)
def test_taken_at(date: str, expected: datetime | None) -> None:
    facts = facts_of((b"eXIf", exif_block({}, sub={0x9003: ascii_entry(date)})))
    assert facts.taken_at == expected
    assert ("taken" in facts.exif) is (expected is not None)


def test_date_outside_the_calendar_of_utc_is_left_out() -> None:
    sub = {0x9003: ascii_entry("0001:01:01 00:00:00"), 0x9011: ascii_entry("+14:00")}
    assert facts_of((b"eXIf", exif_block({}, sub=sub))).taken_at is None


def test_position_of_the_camera_is_never_kept() -> None:
    gps = {0x0001: ascii_entry("N"), 0x0002: (RATIONAL, 3, struct.pack("<6I", 52, 1, 31, 1, 12, 1))}
    block = exif_block({0x0110: ascii_entry("Phone")}, sub=gps)
    renamed = block.replace(struct.pack("<H", 0x8769), struct.pack("<H", 0x8825))
    facts = facts_of((b"eXIf", renamed))
    assert facts.exif == {"camera_model": "Phone"}


def test_exif_directory_that_points_to_itself_ends() -> None:
    block = exif_block({0x0110: ascii_entry("Loop"), 0x8769: (LONG, 1, struct.pack("<I", 8))})
    assert facts_of((b"eXIf", block)).exif == {"camera_model": "Loop"}


ANCILLARY = [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"sRGB", b"pHYs", b"iCCP", b"tIME", b"acTL", b"cHRM", b"fcTL", b"fdAT"]
BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=60).map(lambda text: b"Key\0" + text.encode("utf-8", "surrogatepass")),
    st.text(max_size=60).map(lambda text: b"Key\0\0\0\0\0" + text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=60).map(lambda data: b"Key\0\0" + zlib.compress(data)),
    st.binary(max_size=200).map(lambda data: b"II*\0\x08\0\0\0" + data),
    st.text(max_size=40).map(lambda text: exif_block({0x0110: ascii_entry_of(text)}, sub={0x9003: ascii_entry_of(text)})),
)


def ascii_entry_of(text: str) -> ExifEntry:
    data = text.encode("utf-8", "surrogatepass")
    return TEXT, len(data), data


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ANCILLARY), BODIES), max_size=5), st.booleans())
def test_any_metadata_gives_storable_facts(chunks: list[Chunk], behind: bool) -> None:
    facts = inspect(png(after=chunks) if behind else png(before=chunks))
    assert_storable(facts)
    assert facts.taken_at is None or facts.taken_at.tzinfo is not None
