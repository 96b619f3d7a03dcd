"""The state folder (`var/`): where everything that `make run` keeps lives, for one run at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.embedded.errors import EmbeddedError


@dataclass(frozen=True)
class StateDir:
    """The folders below the state folder; each is made by the part that fills it."""

    path: Path

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    def log(self, name: str) -> Path:
        return self.path / "log" / f"{name}.log"


@contextlib.contextmanager
def locked_state_dir(path: Path) -> Iterator[StateDir]:
    """Make the folder where it is missing and hold it for this process; the kernel lets go however the process ends.

    Raises `EmbeddedError` where the folder cannot be written, or where another run holds it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise EmbeddedError(
            f"the state folder {path} cannot be written ({exc.strerror}): set PIXREF_STATE_DIR to a folder of yours"
        ) from None
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip()
            by = f" by process {holder}" if holder else ""
            raise EmbeddedError(
                f"{path} is in use{by}: Pixref already runs there; stop it, or set PIXREF_STATE_DIR to another folder"
            ) from None
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield StateDir(path)
