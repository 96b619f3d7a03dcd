"""`pixref load`: data sets."""

import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import click

from service.accounts.tokens import local_actor
from service.cli.output import write_json
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


def _wanted(directory: Path, split: Split, count: int | None) -> int:
    have = available(directory, split)
    if count is not None and count > have:
        click.echo(f"{directory} has {have:,} pictures of {split}, not {count:,}; --from names a folder with more", err=True)
    return have if count is None else min(count, have)


@command.command()
@click.option("--count", type=click.IntRange(1, 70_000), help="how many of each split; default: all that the folder has")
@click.option("--split", "splits", type=click.Choice(["train", "test"]), multiple=True, help="repeatable; default: train")
@click.option(
    "--from",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=SAMPLES,
    show_default="samples/, the first 1,000 + 200",
    help="folder of the IDX files, plain or gzip",
)
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def mnist(count: int | None, splits: tuple[Split, ...], directory: Path, as_json: bool) -> None:
    """Load MNIST digits; those that are here already are passed over. Stop it any time and run it again."""
    settings = Settings.load()
    sessions, store = open_rows(settings, name="load"), open_store(settings)
    wanted: tuple[Split, ...] = tuple(dict.fromkeys(splits)) or ("train",)
    total = sum(_wanted(directory, split, count) for split in wanted)

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
    if as_json:
        write_json(asdict(done))
    else:
        click.echo(f"{done.added} added, {done.present} already here, {done.refused} refused")
    sys.exit(3 if done.refused else 0)
