"""`pixref train`: train a model on stored pictures."""

from pathlib import Path
from typing import Any

import click

from service.accounts.tokens import local_actor
from service.cli.jobs import do_here
from service.cli.output import write_json, write_table
from service.cli.selecting import selection_options
from service.learning.plots import draw_history
from service.learning.training import SIDE_MAX, SIDE_MIN, VALIDATION_SHARE, request_training
from service.models.selection import Selection
from service.models.training.plan import MAX_EPOCHS, Plan
from service.settings import Settings
from service.wiring import open_rows


@click.command()
@selection_options
@click.option("--name", required=True, help="name of the model, whose next version it becomes: a-z, 0-9, '.', '_', '-'")
@click.option("--epochs", type=click.IntRange(1, MAX_EPOCHS), default=3, show_default=True, help="how often each picture is seen")
@click.option("--from-version", "base", metavar="NUMBER|ALIAS", help="train this version on instead of a new network")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="all chance follows it")
@click.option("--batch-size", type=click.IntRange(1, 4096), help="default: 128, or down to 16 for few pictures")
@click.option(
    "--learning-rate", type=click.FloatRange(0, 1, min_open=True), help="the highest; default: 0.003, or 0.0005 for a version"
)
@click.option(
    "--augment",
    type=click.Choice(["none", "light", "flip"]),
    default="light",
    show_default=True,
    help="turn, scale and shift each picture a little; flip: and mirror half of them",
)
@click.option(
    "--size",
    type=click.IntRange(SIDE_MIN, SIDE_MAX),
    help="pixels a side that a new network takes; default: what most pictures have",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 0.5),
    default=VALIDATION_SHARE,
    show_default=True,
    help="share that is kept aside where no picture has the split validation",
)
@click.option("--plot", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="draw the loss curve into this PNG")
@click.option("--background", is_flag=True, help="have the worker do it; `pixref jobs follow ID` shows how far it is")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(
    selection: Selection,
    name: str,
    epochs: int,
    base: str | None,
    seed: int,
    batch_size: int | None,
    learning_rate: float | None,
    augment: Any,
    size: int | None,
    validation: float,
    plot: Path | None,
    background: bool,
    as_json: bool,
) -> None:
    """Train a classifier on labelled pictures, and register it as the next version of its model.

    Pictures of the split test are left out: `pixref evaluate --split test` measures by them.
    """
    settings = Settings.load()
    sessions = open_rows(settings, name="train")
    number = int(base) if base is not None and base.isascii() and base.isdecimal() else None
    plan = Plan(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed, augmentation=augment)
    job_id = request_training(
        sessions,
        selection,
        model=name,
        plan=plan,
        from_version=number,
        from_alias=base if number is None else None,
        side=size,
        validation=validation,
        actor=local_actor(sessions),
    )
    job = do_here(settings, sessions, job_id, f"training {name}", background=background, as_json=as_json)
    done = job.result or {}
    if plot is not None:
        draw_history(done["epochs"], plot)
    if as_json:
        write_json(done)
        return
    columns = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "seconds")
    write_table(columns, [[_shown(epoch[column]) for column in columns] for epoch in done["epochs"]])
    click.echo(f"{done['model']} version {done['version']} is registered, trained on snapshot {done['snapshot'][:12]}")


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
