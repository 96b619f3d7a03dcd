"""`pixref predict`: predict stored pictures in bulk."""

import sys

import click

from service.accounts.tokens import local_actor
from service.cli.jobs import do_here
from service.cli.output import write_json
from service.cli.selecting import selection_options
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.models.serving import BUILT_IN
from service.settings import Settings
from service.wiring import open_rows


@click.command()
@selection_options
@click.option("--model", default=BUILT_IN, show_default=True, help="name of the model")
@click.option("--version", type=click.IntRange(1, 2**31 - 1), help="number of the version; default: the champion")
@click.option("--alias", help="the version behind this alias")
@click.option("--again", is_flag=True, help="also those that this version has predicted already")
@click.option("--background", is_flag=True, help="have the worker do it; `pixref jobs follow ID` shows how far it is")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(
    selection: Selection, model: str, version: int | None, alias: str | None, again: bool, background: bool, as_json: bool
) -> None:
    """Predict stored pictures, one row each, by default those that this version has not predicted. Done is done: stop it any time and run it
    again; if it dies, the worker goes on."""
    settings = Settings.load()
    sessions = open_rows(settings, name="predict")
    job_id = request_predictions(
        sessions, selection, model=model, version=version, alias=alias, again=again, actor=local_actor(sessions)
    )
    job = do_here(settings, sessions, job_id, f"predicting by {model}", background=background, as_json=as_json)
    done = job.result or {}
    if as_json:
        write_json(done)
    else:
        click.echo(f"{done['predicted']} predicted by {done['model']} version {done['version']}, {done['failed']} failed")
    sys.exit(3 if job.failed else 0)
