"""Each kind of PNG, broken in every way that the format offers: refused with reason and place, or decoded as Pillow decodes it."""

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.errors import BadImage, TooLarge, TooManyPixels
from service.png import inspect
from service.png.pixels import decode
from tests.pngs import COMBINATIONS, SIGNATURE, Chunk, chunk, chunks_of, join, png, raw_pixels, row_layout

WIDTH, HEIGHT = 21, 13
KINDS = [(color_type, depth, interlace) for color_type, depth in COMBINATIONS for interlace in (0, 1)]
Kind = tuple[int, int, int]
every_kind = pytest.mark.parametrize("kind", KINDS)


def example(kind: Kind) -> bytes:
    """A picture with all five filters, IDAT in three pieces, and a text on both sides of it."""
    color_type, depth, interlace = kind
    whole = png(WIDTH, HEIGHT, color_type=color_type, depth=depth, interlace=interlace, seed=3)
    size = sum(len(body) for name, body in chunks_of(whole) if name == b"IDAT")
    text = [(b"tEXt", b"Title\0x")]
    return png(
        WIDTH,
        HEIGHT,
        color_type=color_type,
        depth=depth,
        interlace=interlace,
        seed=3,
        before=text,
        after=text,
        idat_bytes=size // 3 + 1,
    )


def with_pixels(data: bytes, stream: bytes) -> bytes:
    """Replace all pixel data by one IDAT chunk."""
    chunks = [part for part in chunks_of(data) if part[0] != b"IDAT"]
    place = next(index for index, (name, _) in enumerate(chunks) if name in (b"tEXt", b"IEND") and index > 1)
    return join([*chunks[:place], (b"IDAT", stream), *chunks[place:]])


def refusal(data: bytes) -> BadImage | TooManyPixels | TooLarge:
    """Expect that the file is refused, by `inspect` and by `decode` with the same words, and return the reason."""
    with pytest.raises((BadImage, TooLarge, TooManyPixels)) as caught:
        inspect(data)
    error: BadImage | TooManyPixels | TooLarge = caught.value
    with pytest.raises(type(error)) as again:
        decode(data)
    assert again.value.detail == error.detail
    if isinstance(error, BadImage):
        assert error.offset is not None
        assert 0 <= error.offset <= len(data)
        assert error.reason in {"not_png", "truncated"} or any(str(error.offset + shift) in error.detail for shift in (0, 4))
    return error


def reason(data: bytes) -> str:
    error = refusal(data)
    return error.reason if isinstance(error, BadImage) else error.code


def by_pillow(data: bytes, kind: Kind) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Decode a picture without tRNS with nothing but Pillow, to the arrays that `decode` documents."""
    color_type, depth, _ = kind
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.mode == "I;16":
            return np.asarray(image).astype(np.uint16)[:, :, None]
        if (color_type, depth) == (4, 16):
            return np.asarray(image)[:, :, [0, 3]]
        pixels = np.asarray(image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode)))
        return pixels[:, :, None] if pixels.ndim == 2 else pixels


def accepted_as_by_pillow(data: bytes) -> None:
    """Expect one of our refusals, or the pixels that Pillow gives."""
    try:
        facts = inspect(data)
    except (BadImage, TooLarge, TooManyPixels):
        refusal(data)
        return
    pixels = decode(data)
    assert pixels.shape == (facts.height, facts.width, facts.channels)
    assert np.array_equal(pixels, by_pillow(data, (facts.color_type, facts.bit_depth, int(facts.interlaced))))


@every_kind
def test_untouched(kind: Kind) -> None:
    data = example(kind)
    assert inspect(data).interlaced is bool(kind[2])
    accepted_as_by_pillow(data)


@every_kind
def test_cut_at_and_around_every_border(kind: Kind) -> None:
    data = example(kind)
    ends = {len(SIGNATURE)}
    for start, _, stop in spans(data):
        ends |= {start, start + 1, start + 4, start + 8, start + 9, stop - 4, stop - 1}
    for end in ends - {0}:
        assert reason(data[:end]) == "truncated", end


@every_kind
def test_a_bit_flipped_in_every_class_of_bytes(kind: Kind) -> None:
    data = example(kind)
    places = set(range(len(SIGNATURE)))
    for start, name, stop in spans(data):
        places |= {*range(start, start + 8), *range(stop - 4, stop)}
        places |= set(range(start + 8, stop - 4, 1 if name == b"IHDR" else 37))
    for place in places:
        for bit in (0x01, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[place] ^= bit
            refusal(bytes(damaged))


@every_kind
def test_dropped_doubled_and_swapped_chunks(kind: Kind) -> None:
    chunks = chunks_of(example(kind))
    for index, part in enumerate(chunks):
        without = join([*chunks[:index], *chunks[index + 1 :]])
        doubled = join([*chunks[: index + 1], *chunks[index:]])
        if part[0] == b"tEXt":
            accepted_as_by_pillow(without)
            accepted_as_by_pillow(doubled)
        else:
            refusal(without)
            refusal(doubled)
    for index, (one, other) in enumerate(pairwise(chunks)):
        swapped = join([*chunks[:index], other, one, *chunks[index + 2 :]])
        if b"tEXt" in (one[0], other[0]) and {one[0], other[0]} <= {b"tEXt", b"PLTE"}:
            accepted_as_by_pillow(swapped)
        elif b"tEXt" in (one[0], other[0]) and b"IDAT" in (one[0], other[0]):
            assert reason(swapped) == "idat_gap"
        else:
            refusal(swapped)


@every_kind
def test_wrong_lengths(kind: Kind) -> None:
    chunks = chunks_of(example(kind))
    for index, (name, body) in enumerate(chunks):
        for length in {0, 1, len(body) - 1, len(body) + 1, len(body) + 12, 2**31 - 1, 2**31, 2**32 - 1} - {-1, len(body)}:
            refusal(
                SIGNATURE
                + b"".join(chunk(*part) for part in chunks[:index])
                + chunk(name, body, length=length)
                + b"".join(chunk(*part) for part in chunks[index + 1 :])
            )


@every_kind
def test_every_byte_of_the_header_with_a_right_checksum(kind: Kind) -> None:
    (name, header), *rest = chunks_of(example(kind))
    for place in range(13):
        for value in (0, 1, 2, 3, 4, 5, 6, 8, 16, 20, 127, 255):
            changed = bytearray(header)
            changed[place] = value
            accepted_as_by_pillow(join([(name, bytes(changed)), *rest]))


@every_kind
def test_wrong_filter_in_any_row(kind: Kind) -> None:
    color_type, depth, interlace = kind
    data, raw = example(kind), bytearray(raw_pixels(WIDTH, HEIGHT, depth, color_type, interlace, seed=3))
    place = 0
    for rows, size in row_layout(WIDTH, HEIGHT, depth, color_type, interlace):
        for _ in range(rows):
            good = raw[place]
            for wrong in (5, 255):
                raw[place] = wrong
                assert reason(with_pixels(data, zlib.compress(raw, 1))) == "filter_type"
            raw[place] = good
            place += 1 + size
    assert place == len(raw)


@every_kind
def test_pixel_data_of_any_other_size_or_form(kind: Kind) -> None:
    color_type, depth, interlace = kind
    data, raw = example(kind), raw_pixels(WIDTH, HEIGHT, depth, color_type, interlace, seed=3)
    stream = zlib.compress(raw)
    last_row = 1 + row_layout(WIDTH, HEIGHT, depth, color_type, interlace)[-1][1]
    with_dictionary = zlib.compressobj(zdict=raw[:40])
    gzip = zlib.compressobj(wbits=31)
    expected = {
        "idat_size": [
            *(zlib.compress(raw[:-missing]) for missing in (1, last_row, len(raw) - 1)),
            *(zlib.compress(raw + bytes(surplus)) for surplus in (1, last_row, 70_000, 30_000_000)),
            zlib.compress(b""),
            b"",
            stream[: len(stream) // 2],
        ],
        "idat_inflate": [
            stream[:-1],
            stream[:-4],
            stream[:-4] + bytes(4),
            stream[2:],
            b"\x88\x1c" + stream[2:],
            with_dictionary.compress(raw) + with_dictionary.flush(),
            gzip.compress(raw) + gzip.flush(),
            bytes(100),
            raw,
        ],
        "idat_trailing": [stream + b"\0", stream + stream, stream + bytes(70_000)],
    }
    for word, streams in expected.items():
        for number, each in enumerate(streams):
            assert reason(with_pixels(data, each)) == word, (word, number)
    for level in range(10):
        accepted_as_by_pillow(with_pixels(data, zlib.compress(raw, level)))


@every_kind
def test_a_header_beyond_the_limit_is_refused_before_its_pixels_are_read(kind: Kind) -> None:
    color_type, depth, interlace = kind
    for width, height in ((2**31 - 1, 2**31 - 1), (50_000_001, 1), (1, 50_000_001), (7072, 7072)):
        header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlace)
        assert reason(SIGNATURE + chunk(b"IHDR", header) + b"\0\0\0\1rest") == "too_many_pixels"


# A stream whose Huffman code is not complete: zlib and browsers refuse it, some faster inflaters do not.
INCOMPLETE_CODE = bytes.fromhex("78da05c18101002008c3b0c9a774 22fbff021b51f1acb2a9eaa86de62426 8fb917f19a63b11f12d10cfb")


def test_a_stream_that_zlib_refuses_is_refused() -> None:
    refusal(join([(b"IHDR", struct.pack(">IIBBBBB", 5, 4, 8, 0, 0, 0, 0)), (b"IDAT", INCOMPLETE_CODE), (b"IEND", b"")]))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(KINDS), st.data())
def test_several_changes_at_once_with_right_checksums(kind: Kind, data: st.DataObject) -> None:
    chunks = chunks_of(example(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        apply_change(chunks, data)
    accepted_as_by_pillow(join(chunks))


def apply_change(chunks: list[Chunk], data: st.DataObject) -> None:
    if not chunks:
        return
    index = data.draw(st.integers(0, len(chunks) - 1))
    name, body = chunks[index]
    match data.draw(st.sampled_from(["drop", "double", "move", "rename", "byte", "cut", "pixels"])):
        case "drop":
            del chunks[index]
        case "double":
            chunks.insert(index, chunks[index])
        case "move":
            chunks.insert(data.draw(st.integers(0, len(chunks) - 1)), chunks.pop(index))
        case "rename":
            chunks[index] = (data.draw(st.sampled_from([b"IDAT", b"PLTE", b"gAMA", b"tEXt", b"IEND", b"eXIf"])), body)
        case "byte" if body:
            place = data.draw(st.integers(0, len(body) - 1))
            chunks[index] = (name, body[:place] + bytes([data.draw(st.integers(0, 255))]) + body[place + 1 :])
        case "cut":
            chunks[index] = (name, body[: data.draw(st.integers(0, len(body)))])
        case "pixels":
            chunks[index] = (b"IDAT", zlib.compress(data.draw(st.binary(max_size=300))))


def spans(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield the start, the type and the end of every chunk."""
    start = len(SIGNATURE)
    for name, body in chunks_of(data):
        yield start, name, start + 12 + len(body)
        start += 12 + len(body)
