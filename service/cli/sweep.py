"""`pixref sweep`: finish what was left, now."""

import click

from service.settings import Settings
from service.upkeep.sweep import sweep
from service.wiring import open_rows, open_store


@click.command()
def command() -> None:
    """Take out abandoned uploads and remove what is due from the bucket. The worker does so every minute; running it twice does no harm."""
    settings = Settings.load()
    done = sweep(open_rows(settings, name="sweep"), open_store(settings))
    click.echo(f"{done.abandoned} abandoned, {done.deleted} objects removed, {done.failed} must wait")
