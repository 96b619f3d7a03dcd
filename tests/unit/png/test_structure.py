"""Every rule of the file structure: what breaks it is refused with its reason and place."""

import struct
import zlib

import pytest

from service.errors import BadImage, TooLarge, TooManyPixels
from service.png import PngLimits, inspect
from tests.pngs import COMBINATIONS, SIGNATURE, Chunk, chunk, chunks_of, ihdr, join, palette, png, raw_pixels

GOOD = png(5, 4, seed=1)
IHDR, IDAT, IEND = chunks_of(GOOD)
AFTER_IHDR = 33
COLOR = png(5, 4, color_type=2, seed=1)


def refused(data: bytes, limits: PngLimits | None = None) -> BadImage:
    with pytest.raises(BadImage) as caught:
        inspect(data, limits or PngLimits())
    return caught.value


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("color_type", "depth"), COMBINATIONS)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (9, 1), (3, 2), (8, 8), (33, 17)])
def test_every_kind_of_picture_is_accepted(width: int, height: int, color_type: int, depth: int, interlace: int) -> None:
    facts = inspect(png(width, height, depth=depth, color_type=color_type, interlace=interlace, seed=3))
    assert (facts.width, facts.height, facts.bit_depth, facts.color_type) == (width, height, depth, color_type)
    assert facts.interlaced is bool(interlace)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG"),
        (b"GIF89a", "a GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP"),
        (b"BM\0\0\0\0", "a BMP"),
        (b"II*\0\x08\0\0\0", "a TIFF"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif", "an AVIF"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf\n <svg xmlns=", "an SVG"),
        (b"\x89PNG\n\x1a\n", "altered by a transfer in text mode"),
        (b"just some text", "something else"),
    ],
)
def test_other_formats_are_named(head: bytes, words: str) -> None:
    error = refused(head.ljust(200, b"\0"))
    assert error.reason == "not_png"
    assert words in error.detail


def test_empty_file() -> None:
    assert refused(b"").reason == "empty"


def test_every_cut_is_refused_as_truncated() -> None:
    data = png(5, 4, color_type=3, depth=2, seed=1, middle=[(b"tEXt", b"Title\0x")], after=[(b"tIME", bytes(7))])
    for end in range(1, len(data)):
        assert refused(data[:end]).reason == "truncated", end


def test_every_flipped_bit_of_a_checked_chunk_is_noticed() -> None:
    for position in range(len(SIGNATURE), len(GOOD)):
        damaged = bytearray(GOOD)
        damaged[position] ^= 0x10
        error = refused(bytes(damaged))
        assert error.offset is not None, position


def test_wrong_checksum_names_chunk_and_offset() -> None:
    data = SIGNATURE + chunk(*IHDR) + chunk(*IDAT, crc=1) + chunk(*IEND)
    error = refused(data)
    assert (error.reason, error.offset) == ("crc_mismatch", AFTER_IHDR)
    assert "IDAT" in error.detail
    assert "33" in error.detail


@pytest.mark.parametrize(
    "header",
    [
        ihdr(0, 4),
        ihdr(5, 0),
        ihdr(2**31, 4),
        ihdr(5, 4, 3, 0),
        ihdr(5, 4, 4, 2),
        ihdr(5, 4, 16, 3),
        ihdr(5, 4, 8, 1),
        ihdr(5, 4, 8, 5),
        ihdr(5, 4, 0, 0),
        ihdr(5, 4, compression=1),
        ihdr(5, 4, filtering=1),
        ihdr(5, 4, interlace=2),
        (b"IHDR", IHDR[1] + b"\0"),
        (b"IHDR", IHDR[1][:-1]),
        (b"IHDR", b""),
    ],
)
def test_impossible_headers(header: Chunk) -> None:
    error = refused(join([header, IDAT, IEND]))
    assert (error.reason, error.offset) == ("ihdr", 8)


def idat(raw: bytes) -> Chunk:
    return b"IDAT", zlib.compress(raw)


RAW = raw_pixels(5, 4, 8, 0, seed=1)
PLTE2 = palette(2)
INDEXED = ihdr(5, 4, 2, 3)
INDEXED_IDAT = idat(raw_pixels(5, 4, 2, 3, seed=1))
COLOR_CHUNKS = chunks_of(COLOR)


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("chunk_order", join([IDAT, IHDR, IEND])),
        ("chunk_order", join([(b"tEXt", b"Title\0first"), IHDR, IDAT, IEND])),
        ("chunk_order", join([IHDR, IHDR, IDAT, IEND])),
        ("chunk_unknown", join([IHDR, (b"ABCD", b""), IDAT, IEND])),
        ("chunk_unknown", join([IHDR, IDAT, (b"CgBI", b""), IEND])),
        ("chunk_type", join([IHDR, (b"ab1d", b""), IDAT, IEND])),
        ("chunk_type", join([IHDR, (b"abcd", b""), IDAT, IEND])),
        ("chunk_type", join([IHDR, (b"\0\0\0\0", b""), IDAT, IEND])),
        ("chunk_length", SIGNATURE + chunk(*IHDR) + chunk(b"IDAT", IDAT[1], length=2**31) + chunk(*IEND)),
        ("truncated", SIGNATURE + chunk(*IHDR) + chunk(b"IDAT", IDAT[1], length=2**31 - 1) + chunk(*IEND)),
        ("truncated", join([IHDR, IDAT])),
        ("truncated", SIGNATURE),
        ("idat_missing", join([IHDR, IEND])),
        ("idat_gap", join([IHDR, (b"IDAT", IDAT[1][:9]), (b"tEXt", b"a\0b"), (b"IDAT", IDAT[1][9:]), IEND])),
        ("iend", join([IHDR, IDAT, (b"IEND", b"x")])),
        ("trailing_data", join([IHDR, IDAT, IEND], tail=b"\0")),
        ("trailing_data", join([IHDR, IDAT, IEND, IEND])),
        ("trailing_data", GOOD + GOOD),
        ("trailing_data", GOOD + b"<html><script>alert(1)</script>"),
        ("idat_size", join([IHDR, idat(RAW[:-1]), IEND])),
        ("idat_size", join([IHDR, idat(RAW[:12]), IEND])),
        ("idat_size", join([IHDR, idat(RAW + b"\0"), IEND])),
        ("idat_size", join([IHDR, idat(RAW + bytes(9_000_000)), IEND])),
        ("idat_size", join([IHDR, (b"IDAT", b""), IEND])),
        ("idat_size", join([IHDR, (b"IDAT", IDAT[1][:5]), IEND])),
        ("idat_inflate", join([IHDR, (b"IDAT", b"not zlib at all"), IEND])),
        ("idat_inflate", join([IHDR, (b"IDAT", IDAT[1][:-4]), IEND])),
        ("idat_inflate", join([IHDR, (b"IDAT", IDAT[1][:-1]), IEND])),
        ("idat_inflate", join([IHDR, (b"IDAT", IDAT[1][:-4] + b"\0\0\0\0"), IEND])),
        ("idat_trailing", join([IHDR, (b"IDAT", IDAT[1] + b"\0"), IEND])),
        ("idat_trailing", join([IHDR, IDAT, (b"IDAT", b"\0"), IEND])),
        ("filter_type", join([IHDR, idat(b"\5" + RAW[1:]), IEND])),
        ("filter_type", join([IHDR, idat(RAW[:18] + b"\xff" + RAW[19:]), IEND])),
        ("plte", join([INDEXED, INDEXED_IDAT, IEND])),
        ("plte", join([INDEXED, INDEXED_IDAT, PLTE2, IEND])),
        ("plte", join([INDEXED, PLTE2, PLTE2, INDEXED_IDAT, IEND])),
        ("plte", join([INDEXED, (b"PLTE", b""), INDEXED_IDAT, IEND])),
        ("plte", join([INDEXED, (b"PLTE", bytes(4)), INDEXED_IDAT, IEND])),
        ("plte", join([INDEXED, (b"PLTE", bytes(15)), INDEXED_IDAT, IEND])),
        ("plte", join([IHDR, PLTE2, IDAT, IEND])),
        ("plte", join([COLOR_CHUNKS[0], (b"PLTE", bytes(257 * 3)), *COLOR_CHUNKS[1:]])),
        ("plte", join([COLOR_CHUNKS[0], (b"tRNS", bytes(6)), PLTE2, *COLOR_CHUNKS[1:]])),
        ("trns", join([INDEXED, (b"tRNS", b"\0"), PLTE2, INDEXED_IDAT, IEND])),
        ("trns", join([INDEXED, PLTE2, (b"tRNS", b""), INDEXED_IDAT, IEND])),
        ("trns", join([INDEXED, PLTE2, (b"tRNS", bytes(5)), INDEXED_IDAT, IEND])),
        ("trns", join([IHDR, (b"tRNS", bytes(6)), IDAT, IEND])),
        ("trns", join([IHDR, (b"tRNS", b"\1\0"), IDAT, IEND])),
        ("trns", join([IHDR, (b"tRNS", bytes(2)), (b"tRNS", bytes(2)), IDAT, IEND])),
        ("trns", join([IHDR, IDAT, (b"tRNS", bytes(2)), IEND])),
        ("trns", png(5, 4, color_type=4, middle=[(b"tRNS", bytes(2))])),
        ("trns", png(5, 4, color_type=6, middle=[(b"tRNS", bytes(6))])),
    ],
)
def test_structural_faults(reason: str, data: bytes) -> None:
    error = refused(data)
    assert error.reason == reason
    assert error.offset is not None
    assert 0 <= error.offset <= len(data)
    # The type field of the chunk at fault lies four bytes behind it.
    assert str(error.offset) in error.detail or str(error.offset + 4) in error.detail


def test_filter_type_is_checked_in_every_row_of_every_pass() -> None:
    width, height = 11, 9
    raw = raw_pixels(width, height, 4, 0, 1, seed=4)
    assert inspect(png(width, height, depth=4, interlace=1, raw=raw))
    position = 0
    for rows, size in [(2, 1), (2, 1), (1, 2), (3, 2), (2, 3), (5, 3), (4, 6)]:
        for _ in range(rows):
            damaged = raw[:position] + b"\7" + raw[position + 1 :]
            assert refused(png(width, height, depth=4, interlace=1, raw=damaged)).reason == "filter_type"
            position += 1 + size
    assert position == len(raw)


def test_filter_type_is_checked_beyond_the_first_megabyte() -> None:
    raw = bytearray(raw_pixels(1500, 1200, 8, 0))
    assert inspect(png(1500, 1200, raw=bytes(raw))).height == 1200
    raw[1501 * 1199] = 9
    assert refused(png(1500, 1200, raw=bytes(raw))).reason == "filter_type"


def test_pixel_data_in_pieces_of_one_byte() -> None:
    data = png(5, 4, seed=1, idat_bytes=1)
    assert len(chunks_of(data)) > 20
    assert inspect(data).sha256 != inspect(GOOD).sha256


def test_empty_idat_chunks_are_legal() -> None:
    empty = (b"IDAT", b"")
    assert inspect(join([IHDR, empty, IDAT, empty, IEND])).width == 5


def test_byte_limit() -> None:
    assert inspect(GOOD, PngLimits(max_bytes=len(GOOD)))
    with pytest.raises(TooLarge) as caught:
        inspect(GOOD, PngLimits(max_bytes=len(GOOD) - 1))
    assert caught.value.field == "file"


def test_pixel_limit_is_applied_before_anything_else_is_read() -> None:
    assert inspect(GOOD, PngLimits(max_pixels=20))
    bomb = SIGNATURE + chunk(*ihdr(2**31 - 1, 2**31 - 1))
    with pytest.raises(TooManyPixels, match="50,000,000"):
        inspect(bomb)
    with pytest.raises(TooManyPixels):
        inspect(GOOD, PngLimits(max_pixels=19))


def test_chunk_and_ancillary_limits() -> None:
    text = [(b"tEXt", b"Comment\0" + bytes([65]) * 100)] * 3
    data = png(5, 4, before=text)
    assert inspect(data, PngLimits(max_chunks=6, max_ancillary_bytes=324))
    assert refused(data, PngLimits(max_chunks=5)).reason == "chunk_count"
    assert refused(data, PngLimits(max_ancillary_bytes=323)).reason == "ancillary_size"


def test_input_may_be_a_view_and_is_hashed_whole() -> None:
    data = png(5, 4, seed=2, before=[(b"tEXt", b"Title\0x")])
    assert inspect(memoryview(b"__" + data + b"__")[2:-2]) == inspect(data)
    assert inspect(data).byte_size == len(data)


def test_default_image_of_an_animation() -> None:
    control = struct.pack(">IIIIIHHBB", 0, 5, 4, 0, 0, 1, 10, 0, 0)
    frame = [(b"fcTL", struct.pack(">IIIIIHHBB", 1, 5, 4, 0, 0, 1, 10, 0, 0)), (b"fdAT", struct.pack(">I", 2) + IDAT[1])]
    animated = inspect(png(5, 4, seed=1, before=[(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", control)], after=frame))
    assert animated.animated
    assert animated.png["frames"] == 2
    assert not inspect(png(5, 4, seed=1, after=[(b"acTL", struct.pack(">II", 2, 0))])).animated
    broken_sequence = inspect(png(5, 4, seed=1, before=[(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", control[::-1])]))
    assert broken_sequence.animated
