"""The views of schema `catalog`: what people read with SQL. One concept a view, each file one version of one view.

A migration installs named versions with `install("images_v1", ...)`; a changed view is a new file and a new migration, and old files stay
for the way back. Only READY pictures, no bucket keys, no secrets; every view about a picture has `image_id`. No view builds on another, so
that each can be replaced by itself.

People build on the views: in schema `scratch`, and in schemas of their own. A view that only grows is replaced in place (`CREATE OR REPLACE`).
One that changes its shape is removed and made anew; where something of people's depends on the old one, that one is kept under another name in
schema `catalog_retired`, and what depends on it goes on as before (docs/decisions/0011).
"""

from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent

# In PL/pgSQL, because only trying tells whether something depends on a view, and only a block can go on after the refusal.
REMOVE = """
DO $$
BEGIN
    DROP VIEW catalog.{view};
EXCEPTION WHEN dependent_objects_still_exist THEN
    CREATE SCHEMA IF NOT EXISTS catalog_retired;
    COMMENT ON SCHEMA catalog_retired IS 'Views that have left schema catalog, and that something of people''s still builds on.';
    GRANT USAGE ON SCHEMA catalog_retired TO pixref_reader;
    ALTER VIEW catalog.{view} SET SCHEMA catalog_retired;
    EXECUTE format('ALTER VIEW catalog_retired.{view} RENAME TO %I', '{version}_' || to_char(clock_timestamp(), 'YYYYMMDDHH24MISSUS'));
END $$
"""
# A retired view goes when nothing builds on it any more and nobody is reading it.
TIDY = """
DO $$
DECLARE
    retired text;
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR retired IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'catalog_retired' LOOP
        BEGIN
            EXECUTE format('DROP VIEW catalog_retired.%I', retired);
        EXCEPTION WHEN dependent_objects_still_exist OR lock_not_available THEN
            NULL;
        END;
    END LOOP;
END $$
"""


def view_name(version: str) -> str:
    """Return `images` for `images_v1`."""
    return version.rsplit("_v", 1)[0]


def install(execute: Callable[[str], object], *versions: str) -> None:
    """Create these views, in this order, readable by `pixref_reader` (and so by its members) and the application."""
    for version in versions:
        execute((HERE / f"{version}.sql").read_text(encoding="utf-8"))
        execute(f"GRANT SELECT ON catalog.{view_name(version)} TO pixref_reader, pixref_app")


def remove(execute: Callable[[str], object], *versions: str) -> None:
    """Take these views out of the catalogue, last first. Never fails for what people have built on them, and never drops that."""
    for version in reversed(versions):
        execute(REMOVE.format(view=view_name(version), version=version))


def tidy(execute: Callable[[str], object]) -> None:
    """Drop the retired views on which nothing builds any more."""
    execute(TIDY)
