"""Whom PostgreSQL runs as when we are root: it refuses root, for good reasons.

We take the owner of the existing data folder, or `nobody`, and change neither accounts nor the modes of folders that are not
ours. A checkout below a private folder such as /root is out of reach for that user; there, and only there, it is lent the one
capability to look through folders that it has no right to (`CAP_DAC_READ_SEARCH`, or `CAP_DAC_OVERRIDE` in containers that do
not have the first).
"""

import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.embedded.errors import EmbeddedError

_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}  # name: its bit in CapEff
_WAY_OUT = "run Pixref as an ordinary user, or set DATABASE_URL to a PostgreSQL of your own"


@dataclass(frozen=True)
class Unprivileged:
    """A user and group other than root."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give `path` to this user. Raises `EmbeddedError` where even root may not."""
        try:
            os.chown(path, self.uid, self.gid)
        except OSError as exc:
            raise EmbeddedError(
                f"PostgreSQL refuses to run as root, and {path} cannot be given to another user ({exc.strerror}): {_WAY_OUT}"
            ) from None

    def command_prefix(self, needed: Iterable[Path]) -> list[str]:
        """Return the command that runs the rest of its line as this user, able to reach every path in `needed`."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise EmbeddedError(
                f"PostgreSQL refuses to run as root, and setpriv (package util-linux) is not installed: {_WAY_OUT}"
            )
        prefix = [setpriv, f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        if all(self._reaches(path) for path in needed):
            return prefix
        lent = _first_capability()
        # access(2), with which PostgreSQL looks for its own parts, disregards capabilities unless this bit is set.
        return [*prefix, f"--inh-caps=-all,+{lent}", f"--ambient-caps=-all,+{lent}", "--securebits=+no_setuid_fixup"]

    def _reaches(self, path: Path) -> bool:
        """Tell whether this user may search every folder above `path`, by its name and by what that name resolves to."""
        return all(self._may_search(folder.stat()) for folder in {*path.absolute().parents, *path.resolve().parents})

    def _may_search(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.uid:
            return bool(folder.st_mode & stat.S_IXUSR)
        return bool(folder.st_mode & (stat.S_IXGRP if folder.st_gid == self.gid else stat.S_IXOTH))


def unprivileged_owner(folder: Path) -> Unprivileged | None:
    """Return who owns `folder`, or `nobody` where it is root's or not there yet; None where we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    if folder.exists() and folder.stat().st_uid != 0:
        return Unprivileged(folder.stat().st_uid, folder.stat().st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and there is no user `nobody` to run it as: {_WAY_OUT}"
        ) from None
    return Unprivileged(nobody.pw_uid, nobody.pw_gid)


def _first_capability() -> str:
    effective = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    for name, bit in _CAPABILITIES.items():
        if effective >> bit & 1:
            return name
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and this folder is out of reach for any other user: "
        "move the checkout and PIXREF_STATE_DIR to a folder that everybody may enter, or run Pixref as an ordinary user"
    )
