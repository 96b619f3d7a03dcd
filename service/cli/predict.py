"""`pixref predict`: predict stored pictures in bulk."""

import sys

import click

from service.accounts.tokens import local_actor
from service.cli.jobs import report
from service.cli.output import write_json
from service.cli.progress import open_bar
from service.jobqueue import JobQueue
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.models.serving import BUILT_IN
from service.pictures.search import ImageFilter
from service.settings import Settings
from service.tasks import Parts, do_job
from service.wiring import open_door, open_rows, open_store
from service.work.ledger import find_job


@click.command()
@click.option("--all", "everything", is_flag=True, help="every picture that this version has not predicted")
@click.option("--where", help='pictures for which this holds: a condition on catalog.images in SQL, such as "width > 100"')
@click.option("--tag", "tags", multiple=True, help="pictures with this tag; repeatable: with all of them")
@click.option("--label", help="pictures with this label")
@click.option("--split", help="pictures of this split")
@click.option("--model", default=BUILT_IN, show_default=True, help="name of the model")
@click.option("--version", type=click.IntRange(1, 2**31 - 1), help="number of the version; default: the champion")
@click.option("--alias", help="the version behind this alias")
@click.option("--again", is_flag=True, help="also those that this version has predicted already")
@click.option("--background", is_flag=True, help="have the worker do it; `pixref jobs follow ID` shows how far it is")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(
    everything: bool,
    where: str | None,
    tags: tuple[str, ...],
    label: str | None,
    split: str | None,
    model: str,
    version: int | None,
    alias: str | None,
    again: bool,
    background: bool,
    as_json: bool,
) -> None:
    """Predict stored pictures, one row each. Done is done: stop it any time and run it again; if it dies, the worker goes on."""
    wanted = ImageFilter(label=label, tag=tags, split=split)
    if sum((everything, where is not None, bool(wanted.active))) != 1:
        raise click.UsageError("say which pictures: --all, or --where, or --tag, --label and --split, which restrict together")
    selection = Selection(where=where) if where is not None else Selection(wanted=wanted if wanted.active else None)
    settings = Settings.load()
    sessions = open_rows(settings, name="predict")
    job_id = request_predictions(
        sessions, selection, model=model, version=version, alias=alias, again=again, actor=local_actor(sessions)
    )
    if background:
        JobQueue(settings.database_url.get_secret_value()).wake(job_id)
        click.echo(f"job {job_id} waits for the worker")
        return
    with open_bar(f"predicting by {model}") as move:
        do_job(Parts(sessions, open_store(settings), open_door(settings)), job_id, watch=move)
    job = find_job(sessions, job_id)
    if job.state != "succeeded" or job.result is None:
        report(job, as_json=as_json)
        return
    if as_json:
        write_json(job.result)
    else:
        done = job.result
        click.echo(f"{done['predicted']} predicted by {done['model']} version {done['version']}, {done['failed']} failed")
    sys.exit(3 if job.failed else 0)
