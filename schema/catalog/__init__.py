"""The views of schema `catalog`: what people read with SQL. One concept a view, each file one version of one view.

A migration installs named versions with `install("images_v1", ...)`; a changed view is a new file and a new migration, and old files stay
for the way back. Only READY pictures, no bucket keys, no secrets; every view about a picture has `image_id`.
"""

from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent


def view_name(version: str) -> str:
    """Return `images` for `images_v1`."""
    return version.rsplit("_v", 1)[0]


def install(execute: Callable[[str], object], *versions: str) -> None:
    """Create these views, in this order, readable by `pixref_reader` and the application."""
    for version in versions:
        execute((HERE / f"{version}.sql").read_text(encoding="utf-8"))
        execute(f"GRANT SELECT ON catalog.{view_name(version)} TO pixref_reader, pixref_app")


def remove(execute: Callable[[str], object], *versions: str) -> None:
    """Drop these views, last first."""
    for version in reversed(versions):
        execute(f"DROP VIEW catalog.{view_name(version)}")
