"""Checking pictures: `service.png` against Pillow's own decode of the same bytes, which checks less."""

import hashlib
import io
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from bench.pictures import test_digits
from bench.result import Check, Result, Series, ratios
from bench.wrk import BenchError
from service.png import PngLimits, inspect
from service.png.decoding import decode_image
from service.png.pixels import decode
from service.png.structure import scan

MS = "ms"
PILLOW, CHECKED, WHOLE, DEFAULT = (
    "Pillow's decode",
    "strict check, full decode, SHA-256",
    "`inspect`, in one process",
    "`inspect`",
)
DIGITS, SMALL, LARGE = "28x28 gray", "640x480 RGB", "4000x3000 RGB"
_MAX_MS, _MAX_RATIO = 0.15, 1.8
# Nothing leaves this process, however large.
_LIMITS = PngLimits(max_bytes=64 * 1024 * 1024, max_pixels_in_process=2**31)
_DEFAULT_LIMITS = PngLimits(max_bytes=64 * 1024 * 1024)


def run(quick: bool) -> Result:
    """Measure, one thread. Raises `BenchError` when ours and Pillow's pixels differ."""
    rounds = 3 if quick else 11
    pictures = {DIGITS: test_digits().pngs, SMALL: [_photograph(640, 480)], LARGE: [_photograph(4000, 3000)]}
    ways: dict[str, Callable[[bytes], object]] = {
        PILLOW: _by_pillow,
        CHECKED: _checked,
        WHOLE: lambda data: inspect(data, _LIMITS),
        DEFAULT: lambda data: inspect(data, _DEFAULT_LIMITS),
    }
    for data in (files[0] for files in pictures.values()):
        if not np.array_equal(np.squeeze(decode(data, _LIMITS)), np.asarray(_by_pillow(data))):
            raise BenchError("our pixels differ from Pillow's")
    repeats = {DIGITS: 5 if quick else 50, SMALL: 5 if quick else 40, LARGE: 1 if quick else 2}
    taken: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in pictures} for name in ways}
    order = list(ways)
    for number in range(-1, rounds):  # the first round warms caches, and is not counted
        for kind, files in pictures.items():
            for name in order[number % len(order) :] + order[: number % len(order)]:
                value = _milliseconds(ways[name], files, repeats[kind])
                if number >= 0:
                    taken[name][kind].append(round(value, 4))
    checks = [
        Check(f"{DIGITS}: `inspect`", taken[DEFAULT][DIGITS], MS, at_most=_MAX_MS),
        *(
            Check(f"{kind}: {CHECKED} / {PILLOW}", ratios(taken[CHECKED][kind], taken[PILLOW][kind]), at_most=_MAX_RATIO)
            for kind in (SMALL, LARGE)
        ),
        *(
            Check(f"{kind}: {name}, thumbnail made / {PILLOW}", ratios(taken[name][kind], taken[PILLOW][kind]))
            for kind, name in ((SMALL, WHOLE), (LARGE, WHOLE), (LARGE, DEFAULT))
        ),
    ]
    series = [Series(name, {f"{kind} {MS}": values for kind, values in samples.items()}) for name, samples in taken.items()]
    sizes = {kind: round(sum(map(len, files)) / len(files)) for kind, files in pictures.items()}
    return Result("png", series, checks, {"threads": 1, "mean bytes": sizes})


def _by_pillow(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    image.load()
    return image


def _checked(data: bytes) -> None:
    hashlib.sha256(data).hexdigest()
    decode_image(scan(data, _LIMITS))


def _milliseconds(way: Callable[[bytes], object], files: Sequence[bytes], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        for data in files:
            way(data)
    return (time.perf_counter() - started) * 1000 / (repeats * len(files))


def _photograph(width: int, height: int) -> bytes:
    """Draw what compresses like a photograph: soft shapes of every size, and a sensor's noise."""
    random = np.random.default_rng(width)
    light = np.full((height, width, 3), 128, np.float32)
    for size in (8, 32, 128, 512):
        for channel in range(3):
            coarse = Image.fromarray(random.normal(size=(height // size + 2, width // size + 2)).astype(np.float32))
            light[:, :, channel] += 1.5 * size**0.5 * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    light += 2 * random.standard_normal((height, width, 1), np.float32)
    buffer = io.BytesIO()
    Image.fromarray(light.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
