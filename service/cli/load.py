"""`pixref load`: data sets."""

import sys
from itertools import chain
from pathlib import Path

import click

from service.accounts.tokens import local_actor
from service.cli.progress import progress_bar
from service.datasets.idx import Split
from service.datasets.mnist import SOURCE, available, pictures
from service.errors import PixrefError
from service.pictures.bulk import Candidate, upload_many
from service.settings import PROJECT_DIR, Settings
from service.wiring import limits_of, open_rows, open_store

SAMPLES = PROJECT_DIR / "samples"


@click.group()
def command() -> None:
    """Load a data set."""


@command.command()
@click.option("--count", type=click.IntRange(1, 70_000), help="how many of each split; default: all that the folder has")
@click.option("--split", "splits", type=click.Choice(["train", "test"]), multiple=True, help="default: train")
@click.option(
    "--from",
    "directory",
    type=click.Path(path_type=Path),
    default=SAMPLES,
    show_default="samples/, the first 1,000 + 200",
    help="folder of the IDX files",
)
def mnist(count: int | None, splits: tuple[Split, ...], directory: Path) -> None:
    """Load MNIST digits; those that are here already are passed over."""
    settings = Settings.load()
    sessions, store = open_rows(settings, name="load"), open_store(settings)
    wanted = splits or ("train",)
    total = sum(min(count or have, have) for have in (available(directory, split) for split in wanted))

    def refuse(candidate: Candidate, error: PixrefError) -> None:
        click.echo(f"{candidate.description.original_name}: {error.detail}", err=True)

    with progress_bar("loading MNIST", total) as progress:
        done = upload_many(
            sessions,
            store,
            chain.from_iterable(pictures(directory, split, count=count) for split in wanted),
            limits=limits_of(settings),
            source=SOURCE,
            actor=local_actor(sessions),
            refuse=refuse,
            progress=progress,
        )
    click.echo(f"{done.added} added, {done.present} already here, {done.refused} refused")
    sys.exit(3 if done.refused else 0)
