"""Damaged and hostile files: facts or one of our own refusals, promptly, and never a warning or another exception."""

import io
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.errors import BadImage, TooLarge, TooManyPixels
from service.png import PngFacts, inspect
from service.png.pixels import decode
from tests.pngs import COMBINATIONS, SIGNATURE, chunk, chunks_of, exif_block, ihdr, join, png

pytestmark = pytest.mark.filterwarnings("error")

SEEDS = [
    png(12, 9, color_type=color_type, depth=depth, interlace=interlace, seed=7)
    for color_type, depth in COMBINATIONS
    for interlace in (0, 1)
] + [
    png(90, 70, color_type=3, seed=1, middle=[(b"tRNS", bytes(range(200)))]),
    png(90, 70, color_type=2, depth=16, seed=1, middle=[(b"tRNS", bytes(6))], idat_bytes=700),
    png(
        10,
        8,
        seed=1,
        before=[(b"eXIf", exif_block({0x0112: (3, 1, b"\6\0"), 0x0110: (2, 7, b"Camera\0")})), (b"gAMA", b"\0\0\xb1\x8f")],
        after=[(b"tEXt", b"Title\0text"), (b"iTXt", b"Author\0\0\0\0\0me")],
    ),
]


def try_inspect(data: bytes) -> PngFacts | None:
    started = time.thread_time()
    try:
        facts = inspect(data)
    except (BadImage, TooLarge, TooManyPixels) as error:
        assert error.detail
        assert "\0" not in error.detail
        json.dumps(error.extra, allow_nan=False)
        facts = None
    assert time.thread_time() - started < 1
    try:
        pixels = decode(data)
    except (BadImage, TooLarge, TooManyPixels):
        assert facts is None
    else:
        assert facts is not None
        assert pixels.shape == (facts.height, facts.width, facts.channels)
    return facts


@settings(deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=6))
def test_flipped_bytes_are_always_noticed(data: bytes, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for position, change in flips:
        damaged[position % len(data)] ^= change
    assert try_inspect(bytes(damaged)) is None or bytes(damaged) == data


@settings(deadline=None)
@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.integers(0, 2**16), st.integers(0, 2**16))
def test_cut_and_spliced_bytes(first: bytes, second: bytes, head: int, tail: int) -> None:
    try_inspect(first[: head % (len(first) + 1)] + second[tail % (len(second) + 1) :])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.data())
def test_chunks_with_right_checksums_but_other_content(first: bytes, second: bytes, data: st.DataObject) -> None:
    pool = chunks_of(first) + chunks_of(second)
    chunks = [pool[index] for index in data.draw(st.lists(st.integers(0, len(pool) - 1), max_size=8))]
    header, *rest = chunks_of(first)
    choice = data.draw(st.integers(0, 3))
    if choice == 0:
        chunks = [header, *chunks, (b"IEND", b"")]
    elif choice == 1:
        position = data.draw(st.integers(0, len(rest)))
        chunks = [header, *rest[:position], *chunks[:1], *rest[position:]]
    elif choice == 2:
        index = data.draw(st.integers(0, len(rest) - 1))
        kind, body = rest[index]
        changed = bytearray(body)
        for position, value in data.draw(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4)):
            if changed:
                changed[position % len(changed)] = value
        chunks = [header, *rest[:index], (kind, bytes(changed)), *rest[index + 1 :]]
    else:
        fields = bytearray(header[1])
        fields[data.draw(st.integers(0, 12))] = data.draw(st.integers(0, 255))
        chunks = [(b"IHDR", bytes(fields)), *rest]
    try_inspect(join(chunks))


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes(data: bytes, signed: bool) -> None:
    assert try_inspect((SIGNATURE if signed else b"") + data) is None


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(COMBINATIONS), st.binary(max_size=2000))
def test_arbitrary_pixel_data(width: int, height: int, kind: tuple[int, int], stream: bytes) -> None:
    header = ihdr(width, height, kind[1], kind[0])
    assert try_inspect(join([header, (b"IDAT", stream), (b"IEND", b"")])) is None


@pytest.mark.parametrize("name", ["JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "PPM", "TGA", "PDF"])
def test_other_formats_of_pillow_are_never_decoded(name: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, name)
    with pytest.raises(BadImage) as caught:
        inspect(buffer.getvalue())
    assert caught.value.reason == "not_png"


def test_a_bomb_of_zeros_costs_little_time() -> None:
    """10,000 x 5,000 pixels in 50 kB are within the limits; 20,000 tiny chunks are, too."""
    started = time.thread_time()
    assert inspect(png(10_000, 5_000, depth=1, level=9)).thumbnail.width == 128
    assert inspect(png(4, 4, before=[(b"teSt", b"")] * 20_000)).width == 4
    assert time.thread_time() - started < 5


def test_announced_length_far_beyond_the_file() -> None:
    data = SIGNATURE + chunk(*ihdr(4, 4)) + chunk(b"tEXt", b"a\0b", length=0x7FFFFFF0)
    with pytest.raises(BadImage) as caught:
        inspect(data)
    assert caught.value.reason == "truncated"
