"""Pictures as arrays: the pixels are those that the service's models see, in every kind of PNG."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pixref import Client
from pixref.pixels import decode
from service.png.pixels import decode_stored
from tests.client.conftest import Requests
from tests.factories import BIG, make_png
from tests.pngs import COMBINATIONS, chunk, png

TRANSPARENT = {
    0: lambda depth: struct.pack(">H", 1 if depth < 8 else 77 * 257 & (2**depth - 1)),
    2: lambda depth: struct.pack(">3H", *([3 * 257 & (2**depth - 1)] * 3)),
    3: lambda depth: bytes([0, 128] if depth == 1 else [0, 128, 255]),
}


def raw_rows(color_type: int, depth: int) -> bytes:
    """Rows without filters in which the transparent sample occurs: 16 wide, 2 high."""
    samples = {0: 1, 2: 3, 3: 1}[color_type]
    if depth < 8:
        row = bytes(range(0, 256, 256 // (2 * depth)))[: 2 * depth]
    else:
        value = {0: 77 * 257, 2: 3 * 257}.get(color_type, 1) & (2**depth - 1)
        hidden, other = (number.to_bytes(depth // 8) for number in (value, (value + 40 * 256 + 9) & (2**depth - 1)))
        row = (hidden * samples + other * samples) * 8
    return (b"\0" + row) * 2


def kinds() -> list[Any]:
    plain = [pytest.param(png(9, 7, color_type=kind, depth=depth, seed=5), id=f"{kind}-{depth}") for kind, depth in COMBINATIONS]
    hidden = [
        pytest.param(
            png(16, 2, color_type=kind, depth=depth, raw=raw_rows(kind, depth), middle=[(b"tRNS", TRANSPARENT[kind](depth))]),
            id=f"{kind}-{depth}-tRNS",
        )
        for kind, depth in COMBINATIONS
        if kind in TRANSPARENT
    ]
    return plain + hidden


def eight_bits(data: bytes) -> np.ndarray[Any, Any]:
    """What the service decodes, 16-bit grayscale cut to its high byte."""
    pixels = decode_stored(data)
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)


@pytest.mark.parametrize("data", kinds())
def test_every_kind_of_png_has_the_pixels_that_models_see(data: bytes) -> None:
    expected = eight_bits(data)
    channels = expected.shape[2]
    own = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    got = decode(data, mode=own)  # type: ignore[arg-type]
    assert np.array_equal(got.reshape(expected.shape), expected)
    rgba = decode(data, mode="RGBA")
    assert rgba.shape == (*expected.shape[:2], 4)
    colours = expected if channels in (1, 3) else expected[:, :, :-1]
    assert np.array_equal(rgba[:, :, :3], np.broadcast_to(colours, (*colours.shape[:2], 3)))
    alpha = expected[:, :, -1] if channels in (2, 4) else np.full(expected.shape[:2], 255)
    assert np.array_equal(rgba[:, :, 3], alpha)


@pytest.mark.parametrize("data", kinds())
@pytest.mark.parametrize("background", [0, 255, 100])
def test_transparent_pixels_are_laid_over_the_background(data: bytes, background: int) -> None:
    rgba = decode(data, mode="RGBA").astype(float)
    share = rgba[:, :, 3:] / 255
    over = rgba[:, :, :3] * share + background * (1 - share)
    rgb = decode(data, mode="RGB", background=background)
    assert rgb.shape == (*rgba.shape[:2], 3)
    assert np.abs(rgb - over).max() <= 1
    gray = decode(data, mode="L", background=background)
    assert gray.shape == rgba.shape[:2]
    assert np.abs(gray - over @ np.array([0.299, 0.587, 0.114])).max() <= 1.5


def test_a_transparent_colour_does_hide() -> None:
    [hidden] = [param.values[0] for param in kinds() if param.id == "2-8-tRNS"]
    assert set(np.unique(decode(hidden, mode="RGBA")[:, :, 3])) == {0, 255}


def test_sizes_are_width_and_height() -> None:
    data = png(40, 20, color_type=2, seed=3)
    assert decode(data, mode="RGB", size=(10, 5)).shape == (5, 10, 3)
    assert decode(data, mode="L", size=(40, 20)).shape == (20, 40)
    flat = io.BytesIO()
    Pillow.new("RGBA", (8, 8), (200, 100, 50, 0)).save(flat, "PNG")
    assert np.array_equal(decode(flat.getvalue(), mode="RGB", size=(3, 9), background=7), np.full((9, 3, 3), 7))


def test_texts_that_pillow_refuses_do_not_stand_in_the_way() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(3_000_000))
    data = png(9, 7, seed=1, before=[(b"zTXt", text)], after=[(b"tEXt", b"a\0b")])
    with pytest.raises(ValueError, match="too large"):
        Pillow.open(io.BytesIO(data)).load()
    assert np.array_equal(decode(data, mode="L"), decode(png(9, 7, seed=1), mode="L"))
    assert chunk(b"zTXt", text) in data


def test_arrays_of_pictures_and_of_filters(api: Client, requests: Requests) -> None:
    files = [png(20 + index, 10, color_type=kind, seed=index) for index, kind in enumerate((0, 2, 6, 0))]
    images = [api.upload(data, label="even" if index % 2 == 0 else "odd") for index, data in enumerate(files)]
    found = list(api.arrays(images, mode="L"))
    assert [image for image, _ in found] == images
    for (_, array), data in zip(found, files, strict=True):
        assert array.dtype == np.uint8
        assert np.array_equal(array, decode(data, mode="L"))
    assert [array.shape for _, array in api.arrays([images[1].id], mode="RGBA", size=(28, 28))] == [(28, 28, 4)]
    requests.seen.clear()
    assert [image.id for image, _ in api.arrays(label="even")] == [images[2].id, images[0].id]
    assert requests.count("GET images/") == 1, "lists come with what is needed to verify"
    assert np.stack([array for _, array in api.arrays(size=(16, 16))]).shape == (4, 16, 16, 3)


def test_pictures_that_go_meanwhile_are_left_out_of_filters(api: Client) -> None:
    images = [api.upload(make_png(BIG, BIG)) for _ in range(6)]
    walk = api.arrays(workers=1)
    assert next(walk)[0] == images[5]
    api.delete(images[0], purge=True)
    assert images[1] in [image for image, _ in walk]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "CMYK"}, "mode is 'CMYK': use one of L, LA, RGB, RGBA"),
        ({"size": (0, 5)}, r"size is \(0, 5\)"),
        ({"size": (5,)}, r"give \(width, height\)"),
        ({"background": 300}, "background is 300"),
    ],
)
def test_what_decode_does_not_know_is_told_at_once(api: Client, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        api.arrays([1], **options)
    with pytest.raises(TypeError, match="not both"):
        api.arrays([1], label="7")
