"""Servers written in Go: found on this machine, or built from source once."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def find_program(*names: str) -> Iterator[Path]:
    """Yield every program of these names, first from PATH, then from the folders of `go install`."""
    for name in names:
        if found := shutil.which(name):
            yield Path(found)
    for folder in _go_folders():
        for name in names:
            if os.access(folder / name, os.X_OK) and (folder / name).is_file():
                yield folder / name


def go_compiler() -> Path | None:
    """Return the `go` command of this machine, or None."""
    found = shutil.which("go")
    return Path(found) if found else None


def _go_folders() -> list[Path]:
    folders = [Path.home() / "go" / "bin"]
    if go := go_compiler():
        answer = subprocess.run([go, "env", "GOBIN", "GOPATH"], capture_output=True, text=True, check=False)
        gobin, _, gopath = answer.stdout.partition("\n")
        folders += [Path(gobin)] if gobin else []
        folders += [Path(part) / "bin" for part in gopath.strip().split(os.pathsep) if part]
    return list(dict.fromkeys(folders))
