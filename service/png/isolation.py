"""Large pictures, decoded in short-lived child processes.

Decoding 50 million pixels takes up to 500 MiB. A child gives them back to the system at once, is held to what a picture of that
size needs, and whatever hostile pixel data does to a decoder happens to a process without files, network or secrets. Its answer is
not trusted beyond its own picture: it is checked, and never unpickled.
"""

import json
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from service.errors import BadImage, Unavailable
from service.png.decoding import too_complex
from service.png.inflate import expected_bytes
from service.png.structure import Layout
from service.png.thumbnail import LONGEST_SIDE, MAX_BYTES, MEDIA_TYPE_WEBP, RECIPE_WEBP, Thumbnail

log = logging.getLogger(__name__)

MAX_CHILDREN = 2
"""At once for each process of ours; further pictures wait their turn."""
WALL_SECONDS = 120
_CPU_SECONDS, _PIXELS_A_CPU_SECOND = 10, 2_000_000
# The interpreter with Pillow, then the file, then the pixels: the costliest kind, 16-bit gray with alpha, takes 10 bytes for each.
_BASE_BYTES, _BYTES_A_PIXEL = 128 * 1024 * 1024, 12
_MAX_ANSWER_BYTES = MAX_BYTES + 4096

_turns = threading.BoundedSemaphore(MAX_CHILDREN)


def thumbnail_by_child(layout: Layout, orientation: int) -> Thumbnail:
    """Do what `make_thumbnail` does in a child process with limits of memory and time, and without files, network or secrets.

    Raises BadImage: as `make_thumbnail`, or `too_complex` if the child needs more than it is given or dies; Unavailable if no
    process can be started.
    """
    # A bare promise of many pixels is not worth a process.
    expected_bytes(layout)
    with _turns:
        status, answer = _run_child(layout, orientation)
    if status != 0:
        log.warning("the process that decodes a large picture ended with status %d", status)
        raise too_complex(layout)
    head, _, data = answer.partition(b"\n")
    try:
        facts = json.loads(head)
        if (refused := facts.get("refused")) is None:
            return _thumbnail(facts["width"], facts["height"], data)
        refusal = BadImage(str(refused["reason"]), str(refused["detail"]), offset=refused["offset"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        log.warning("the process that decodes a large picture gave no usable answer: %r", exc)
        raise too_complex(layout) from exc
    raise refusal


def _run_child(layout: Layout, orientation: int) -> tuple[int, bytes]:
    """Return the exit status, negative after a signal, and at most `_MAX_ANSWER_BYTES` + 1 of output."""
    pixels = layout.header.width * layout.header.height
    cpu_seconds = _CPU_SECONDS + pixels // _PIXELS_A_CPU_SECOND
    address_space = _BASE_BYTES + 2 * len(layout.data) + _BYTES_A_PIXEL * pixels
    command = [sys.executable, "-P", "-s", "-B", "-m", "service.png.child"]
    try:
        child = subprocess.Popen(
            [*command, str(orientation), str(cpu_seconds), str(address_space)],
            # None of the service's settings or secrets.
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as exc:
        raise Unavailable("No process can be started to decode a large picture; try again.") from exc
    assert child.stdin is not None
    assert child.stdout is not None
    deadline = threading.Timer(WALL_SECONDS, child.kill)
    deadline.daemon = True
    with child:
        try:
            deadline.start()
            # A child that dies early has told why by its status.
            with suppress(BrokenPipeError), child.stdin:
                child.stdin.write(layout.data)
            answer = child.stdout.read(_MAX_ANSWER_BYTES + 1)
            if len(answer) <= _MAX_ANSWER_BYTES:
                child.wait()
        finally:
            deadline.cancel()
            child.kill()
    return child.returncode, answer


def _thumbnail(width: object, height: object, data: bytes) -> Thumbnail:
    if not (isinstance(width, int) and isinstance(height, int) and max(width, height) <= LONGEST_SIDE and min(width, height) > 0):
        raise ValueError("no size of a thumbnail")
    if not 0 < len(data) <= MAX_BYTES:
        raise ValueError("no bytes of a thumbnail")
    return Thumbnail(MEDIA_TYPE_WEBP, width, height, data, RECIPE_WEBP)
