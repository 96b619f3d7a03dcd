"""Which model was running when a process died: a version that kills processes is put aside for a while.

A native fault in a model's run ends the whole process, and whoever starts it again would walk into the same fault. So each process holds a small
file for every version that it has loaded, locked for as long as it lives, with a byte that is 1 while the model runs. It is mapped into memory: to
set it costs less than a microsecond, and what was set is there after the process has died by whatever signal. Whoever is about to load a version
looks for files of it whose lock is free.

The files are this machine's and this user's alone, as the processes are. Where no folder for them can be had, models run unwatched.
"""

import fcntl
import hashlib
import logging
import mmap
import os
import stat
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from uuid import uuid4

from service.errors import ModelUnavailable

# After so many deaths within `REMEMBERED_S` a version is not run for so long. The first pause is more than the 5.5 s within which granian takes a
# second death of the same worker for a reason to end the server.
PAUSES_S = (6, 60, 600)
REMEMBERED_S = 3600
SLOTS = 16

log = logging.getLogger(__name__)


def usual_folder() -> Path:
    """Return where the processes of this user and machine keep their files."""
    return Path(tempfile.gettempdir()) / f"pixref-running-{os.getuid()}"


class Slot:
    """A byte that is 1 while a model runs. Use as a context manager, by one thread at a time."""

    __slots__ = ("_bytes", "_place")

    def __init__(self, content: mmap.mmap | bytearray, place: int) -> None:
        self._bytes, self._place = content, place

    def __enter__(self) -> None:
        self._bytes[self._place] = 1

    def __exit__(self, *_: object) -> None:
        self._bytes[self._place] = 0


class Watch:
    """The file of a version in this process."""

    def __init__(self, content: mmap.mmap | bytearray) -> None:
        self._bytes = content
        self._places = count()

    def slot(self) -> Slot:
        """Return a byte of its own for something that runs beside others."""
        return Slot(self._bytes, next(self._places) % SLOTS)


def unwatched() -> Watch:
    """Return a watch that nobody looks at."""
    return Watch(bytearray(SLOTS))


class CrashBook:
    """The files of all processes. `key` names a version: that of its file in the bucket."""

    def __init__(self, folder: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder or usual_folder()
        self._clock = clock

    def require_sound(self, key: str, name: str) -> None:
        """Raise `ModelUnavailable` while a version is put aside."""
        now = self._clock()
        try:
            deaths = [min(at, now) for at in self._deaths(_digest(key), now)]
        except OSError:
            return
        if not deaths:
            return
        left_s = max(deaths) + PAUSES_S[min(len(deaths), len(PAUSES_S)) - 1] - now
        if left_s > 0:
            times = "once" if len(deaths) == 1 else f"{len(deaths)} times"
            raise ModelUnavailable(
                f"{name} was running when its process died, {times} within an hour: it is tried again in {left_s:.0f} s. "
                "If it goes on, move the alias to another version"
            )

    def watch(self, key: str) -> Watch:
        """Begin to watch a version in this process, until the answer is let go."""
        path = self._folder / f"{_digest(key)}.{uuid4()}.run"
        fresh = path.with_suffix(".new")
        try:
            self._require_folder()
            with fresh.open("x+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(SLOTS)
                # The map holds the file open, and with it the lock, after this block.
                content = mmap.mmap(file.fileno(), SLOTS)
            # Under its name it is found by others, and so not before it is locked.
            fresh.rename(path)
        except OSError as exc:
            log.warning("models run unwatched: a crash will not be put down to one", extra={"reason": str(exc)})
            return unwatched()
        watch = Watch(content)
        weakref.finalize(watch, _remove, path)
        return watch

    def _require_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{self._folder} is not a folder of ours")

    def _deaths(self, digest: str, now: float) -> Iterator[float]:
        """Give the times at which a version's deaths were noticed, and tidy up. Raises `OSError` where there is no folder."""
        for path in list(self._folder.iterdir()):
            with suppress(OSError):
                if path.suffix == ".run" and _died_running(path):
                    log.error("a process died while it ran a model", extra={"file": path.name})
                    path = path.rename(path.with_suffix(".crash"))
                    os.utime(path, (now, now))
                age_s = now - path.stat().st_mtime
                if path.suffix in (".crash", ".new") and age_s > REMEMBERED_S:
                    path.unlink()
                elif path.suffix == ".crash" and path.name.startswith(digest):
                    yield now - age_s


def _died_running(path: Path) -> bool:
    """Whether the process that held a file died while it ran the model; the file of one that ended otherwise is removed."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if any(file.read(SLOTS)):
            return True
        path.unlink()
        return False


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
