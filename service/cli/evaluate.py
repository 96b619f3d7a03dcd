"""`pixref evaluate`: measure a version by labelled pictures."""

import sys
from pathlib import Path

import click

from service.accounts.tokens import local_actor
from service.cli.jobs import do_here
from service.cli.output import write_json, write_table
from service.cli.selecting import selection_options
from service.errors import PixrefError
from service.learning.evaluating import request_evaluation
from service.learning.evaluations import find_evaluation, worst_mistakes
from service.learning.plots import draw_confusion, draw_mistakes, draw_reliability
from service.models.selection import Selection
from service.models.serving import BUILT_IN
from service.pictures.reading import read_many
from service.png.pixels import decode_stored
from service.settings import Settings
from service.wiring import open_rows, open_store


@click.command()
@selection_options
@click.option("--model", default=BUILT_IN, show_default=True, help="name of the model")
@click.option("--version", type=click.IntRange(1, 2**31 - 1), help="number of the version; default: the champion")
@click.option("--alias", help="the version behind this alias")
@click.option("--again", is_flag=True, help="predict anew what this version has predicted already")
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="draw confusion.png, reliability.png and mistakes.png into this folder",
)
@click.option("--background", is_flag=True, help="have the worker do it; `pixref jobs follow ID` shows how far it is")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(
    selection: Selection,
    model: str,
    version: int | None,
    alias: str | None,
    again: bool,
    plots: Path | None,
    background: bool,
    as_json: bool,
) -> None:
    """Measure a version by labelled pictures: accuracy, each label's precision and recall, calibration, and whether it was trained on them."""
    if plots is not None:
        try:
            plots.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise click.BadParameter(f"this folder cannot be made: {exc.strerror}", param_hint="--plots") from None
    settings = Settings.load()
    sessions = open_rows(settings, name="evaluate")
    job_id = request_evaluation(
        sessions, selection, model=model, version=version, alias=alias, again=again, actor=local_actor(sessions)
    )
    job = do_here(settings, sessions, job_id, f"measuring {model}", background=background, as_json=as_json)
    done = job.result or {}
    report = find_evaluation(sessions, done["evaluation"])
    if plots is not None:
        mistakes = worst_mistakes(sessions, report.info.id)
        read = read_many(sessions, open_store(settings), [mistake.image_id for mistake in mistakes])
        pictures = {image_id: decode_stored(data) for image_id, data in read.items() if not isinstance(data, PixrefError)}
        draw_confusion(report, plots / "confusion.png")
        draw_reliability(report, plots / "reliability.png")
        shown = [(mistake, pictures[mistake.image_id]) for mistake in mistakes if mistake.image_id in pictures]
        draw_mistakes(shown, "The surest mistakes", plots / "mistakes.png")
    if as_json:
        write_json(done)
        sys.exit(3 if report.info.failed else 0)
    columns = ("label", "pictures", "precision", "recall", "f1")
    write_table(
        columns, [(each.label, each.pictures, *map(_shown, (each.precision, each.recall, each.f1))) for each in report.classes]
    )
    info = report.info
    click.echo(
        f"evaluation {info.id}: {info.model} version {info.version} has {info.correct:,} of {info.pictures:,} right ({info.accuracy:.2%}); "
        f"macro F1 {_shown(info.macro_f1)}, log loss {_shown(info.log_loss)}, calibration error {_shown(info.calibration_error)}"
    )
    if info.leaked or info.leaked_near:
        what = " and ".join(
            words
            for count, words in (
                (info.leaked, f"on {info.leaked:,} of these pictures"),
                (info.leaked_near, f"on some that look like {info.leaked_near:,} of them"),
            )
            if count
        )
        click.echo(f"pixref: it was trained {what}: on pictures that it has not seen it does worse", err=True)
    sys.exit(3 if info.failed else 0)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
