"""Large pictures in child processes: the same facts and refusals, this process's memory left alone, and no child ever a 500."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import psutil
import pytest

from service.errors import BadImage, Unavailable
from service.png import PngLimits, inspect, isolation
from tests.pngs import COMBINATIONS, Chunk, exif_block, png, raw_pixels

MIB = 1024 * 1024
ALWAYS = PngLimits(max_pixels_in_process=0)
NEVER = PngLimits(max_pixels_in_process=2**62)
PICTURE = png(90, 70, color_type=2, seed=1)


def refused(data: bytes, limits: PngLimits = ALWAYS) -> BadImage:
    with pytest.raises(BadImage) as caught:
        inspect(data, limits)
    return caught.value


def trns(color_type: int) -> Chunk:
    return b"tRNS", {0: bytes(2), 2: bytes(6), 3: b"\0\x7f"}[color_type]


TRANSPARENT = [(color_type, depth, [trns(color_type)]) for color_type, depth in COMBINATIONS if color_type in (0, 2, 3)]


@pytest.mark.parametrize(("color_type", "depth", "middle"), [(*kind, []) for kind in COMBINATIONS] + TRANSPARENT)
def test_a_child_gives_the_same_facts(color_type: int, depth: int, middle: list[Chunk]) -> None:
    data = png(90, 70, color_type=color_type, depth=depth, seed=1, interlace=depth % 3 % 2, middle=middle)
    assert inspect(data, ALWAYS) == inspect(data, NEVER)


def test_orientation_is_applied_in_the_child() -> None:
    data = png(90, 70, seed=1, before=[(b"eXIf", exif_block({0x0112: (3, 1, b"\6\0")}))])
    thumbnail = inspect(data, ALWAYS).thumbnail
    assert (thumbnail.width, thumbnail.height) == (70, 90)


@pytest.mark.parametrize(
    ("reason", "raw"),
    [
        ("idat_size", raw_pixels(90, 70, 8, 0)[:-1]),
        ("idat_size", raw_pixels(90, 70, 8, 0) + bytes(9_000_000)),
        ("filter_type", b"\5" + raw_pixels(90, 70, 8, 0)[1:]),
    ],
)
def test_a_child_refuses_as_this_process_does(reason: str, raw: bytes) -> None:
    data = png(90, 70, raw=raw)
    here, there = refused(data, NEVER), refused(data)
    assert there.reason == reason
    assert (there.reason, there.detail, there.offset) == (here.reason, here.detail, here.offset)


def test_small_pictures_need_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert inspect(png(2000, 2000)).thumbnail.width == 128
    with pytest.raises(Unavailable):
        inspect(png(2000, 2001))


def test_a_bare_promise_of_pixels_needs_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert refused(png(5000, 5000, raw=bytes(20_000))).reason == "idat_size"


def test_too_little_memory_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_BYTES_A_PIXEL", 0)
    error = refused(png(5000, 5000, color_type=6))
    assert error.reason == "too_complex"
    assert "5000 x 5000" in error.detail


def test_an_address_space_that_is_too_small_for_python_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_BASE_BYTES", MIB)
    assert refused(png(1500, 1500, color_type=2)).reason == "too_complex"


def test_too_much_cpu_time_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_CPU_SECONDS", 0)
    monkeypatch.setattr(isolation, "_PIXELS_A_CPU_SECOND", 2**62)
    assert refused(png(5000, 5000, color_type=6)).reason == "too_complex"


def test_too_much_time_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "WALL_SECONDS", 0.02)
    started = time.monotonic()
    assert refused(png(5000, 5000, color_type=6)).reason == "too_complex"
    assert time.monotonic() - started < 5


def test_memory_stays_flat_and_children_are_few_and_know_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads with pictures of 50 million pixels, each of which would take 48 MiB here."""
    monkeypatch.setenv("PIXREF_ADMIN_TOKEN", "secret")
    data = png(10_000, 5_000, level=1)
    me = psutil.Process()
    before = peak = me.memory_info().rss
    most = 0
    environment: set[str] = set()
    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(inspect, data) for _ in range(8)]
        while wait(pending, timeout=0.01).not_done:
            peak = max(peak, me.memory_info().rss)
            children = [child for child in me.children() if runs_our_child(child)]
            most = max(most, len(children))
            for child in children:
                with suppress(psutil.Error):
                    environment |= set(child.environ())
        assert {future.result().thumbnail.width for future in pending} == {128}
    assert peak - before < 20 * MIB
    assert 1 <= most <= isolation.MAX_CHILDREN
    assert environment == {"PYTHONPATH", "LANG", "MALLOC_ARENA_MAX"}


def runs_our_child(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "service.png.child" in process.cmdline()
    return False


PROBE = """
import os, socket, sys
from service.png.child import limit_process
limit_process(100, 2**40)
os.close(0)
for attempt in (lambda: open("/etc/hostname"), socket.socket, os.pipe):
    try:
        attempt()
    except OSError as error:
        assert error.errno == 24, error
    else:
        sys.exit("a descriptor was opened")
"""


def test_a_limited_process_opens_neither_files_nor_sockets() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
