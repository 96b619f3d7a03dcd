"""`pixref trash`: deleted pictures, and how to bring them back."""

import click

from service.cli.output import write_json, write_table
from service.pictures.delete import list_trash, restore_image
from service.settings import Settings
from service.wiring import open_rows

_COLUMNS = ("id", "original_name", "label", "byte_size", "deleted_at", "gone_at")


@click.group()
def command() -> None:
    """List deleted pictures and restore them."""


@command.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=200, show_default=True, help="at most so many, the last deleted first"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_(limit: int, as_json: bool) -> None:
    """List what can be restored."""
    found = [
        [getattr(image, name) for name in _COLUMNS] for image in list_trash(open_rows(Settings.load(), name="trash"), limit=limit)
    ]
    if as_json:
        write_json([dict(zip(_COLUMNS, row, strict=True)) for row in found])
    else:
        write_table(_COLUMNS, found)


@command.command()
@click.argument("image_ids", metavar="ID...", type=int, nargs=-1, required=True)
def restore(image_ids: tuple[int, ...]) -> None:
    """Bring pictures back as they were."""
    sessions = open_rows(Settings.load(), name="trash")
    for image_id in image_ids:
        restore_image(sessions, image_id)
        click.echo(f"picture {image_id} is back")
