"""Where and on what a measurement was taken: commit, machine, versions."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from service.settings import PROJECT_DIR

PACKAGES = (
    "flask",
    "granian",
    "gunicorn",
    "keras",
    "tensorflow",
    "ai-edge-litert",
    "minio",
    "sqlalchemy",
    "psycopg2-binary",
    "pillow",
    "numpy",
)
# What a run writes itself does not make the tree that it measured another one.
OWN_OUTPUT = (":!bench/results", ":!docs/benchmarks.md")


def commit() -> dict[str, Any]:
    """Return the commit that is checked out, and whether tracked or new files differ from it."""
    head = _git("rev-parse", "HEAD")
    return {"commit": head or None, "dirty": bool(_git("status", "--porcelain", "--", ".", *OWN_OUTPUT)) if head else None}


def machine() -> dict[str, Any]:
    """Return processor, memory, system and versions, and how busy the machine was before we began."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": f"{platform.system()} {_release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _release() -> str:
    # Major and minor number; what a distributor or a host adds says nothing about speed.
    return ".".join(platform.release().split("-")[0].split(".")[:2])


def _cpu_model() -> str:
    if sys.platform == "linux":
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
