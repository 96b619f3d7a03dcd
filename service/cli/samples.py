"""`pixref samples`: a contact sheet."""

import os
from pathlib import Path

import click

from service.datasets.contact_sheet import draw, pick
from service.models.serving import BUILT_IN
from service.settings import Settings
from service.wiring import open_rows, open_store


@click.command()
@click.option("--count", type=click.IntRange(1, 400), default=25, show_default=True, help="how many pictures")
@click.option("--model", default=BUILT_IN, show_default=True, help="whose champion's predictions to show")
@click.option("--out", type=click.Path(dir_okay=False, writable=True, path_type=Path), default="samples.png", show_default=True)
def command(count: int, model: str, out: Path) -> None:
    """Draw the first pictures with label and prediction into one PNG, by Matplotlib.

    Titles read `label → prediction (score)`: green where they agree, red where they differ, grey where one is missing.
    """
    if not os.access(out.absolute().parent, os.W_OK):
        raise click.BadParameter(f"the folder {out.absolute().parent} cannot be written", param_hint="--out")
    settings = Settings.load()
    samples = pick(open_rows(settings, name="samples"), open_store(settings), count=count, model=model)
    draw(samples, out)
    click.echo(f"{len(samples)} pictures are drawn in {out}")
