"""The process in which a large picture is decoded: `python -m service.png.child ORIENTATION CPU_SECONDS ADDRESS_SPACE_BYTES`.

Reads the file, which the parent has scanned, from standard input, and writes one line of JSON to standard output, followed by the
thumbnail's bytes if there is one. Before it decodes anything it gives up opening files and sockets, starting processes, and memory
and CPU time beyond the limits. See `service.png.isolation`.
"""

import json
import resource
import sys

from PIL import Image

from service.errors import BadImage
from service.png.limits import PngLimits
from service.png.structure import scan
from service.png.thumbnail import make_thumbnail

OUT_OF_MEMORY = 3
"""The exit status where the memory did not even suffice to refuse the picture."""
_UNLIMITED = 2**62
_NO_LIMITS = PngLimits(_UNLIMITED, _UNLIMITED, _UNLIMITED, _UNLIMITED)


def limit_process(cpu_seconds: int, address_space: int) -> None:
    """Take from this process, for good, what decoding does not need; the open descriptors remain."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    # Other systems know this limit and refuse to set it.
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = address_space
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))


def main() -> None:
    orientation, cpu_seconds, address_space = map(int, sys.argv[1:])
    data = sys.stdin.buffer.read()
    # What Pillow would import when it saves the thumbnail, and cannot any more then.
    Image.preinit()
    limit_process(cpu_seconds, address_space)
    try:
        thumbnail = make_thumbnail(scan(data, _NO_LIMITS), orientation)
        head: dict[str, object] = {"width": thumbnail.width, "height": thumbnail.height}
        body = thumbnail.data
    except BadImage as error:
        head, body = {"refused": {"reason": error.reason, "detail": error.detail, "offset": error.offset}}, b""
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + body)


if __name__ == "__main__":
    main()
