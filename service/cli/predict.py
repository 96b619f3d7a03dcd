"""`pixref predict`: predict stored pictures in bulk."""

import sys

import click

from service.accounts.tokens import local_actor
from service.cli.output import write_json
from service.cli.progress import progress_bar
from service.models.bulk import batches_unpredicted, count_unpredicted, predict_batch
from service.models.registry import find_version
from service.models.serving import BUILT_IN, load
from service.settings import Settings
from service.wiring import open_rows, open_store


@click.command()
@click.option("--all", "everything", is_flag=True, required=True, help="every picture that this version has not predicted")
@click.option("--model", default=BUILT_IN, show_default=True, help="name of the model")
@click.option("--version", type=click.IntRange(1, 2**31 - 1), help="number of the version; default: the champion")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(everything: bool, model: str, version: int | None, as_json: bool) -> None:
    """Predict stored pictures, one row each. Done is done: stop it any time and run it again."""
    settings = Settings.load()
    sessions, store = open_rows(settings, name="predict"), open_store(settings)
    loaded = load(sessions, store, find_version(sessions, model, version=version))
    version_id, number = loaded.artifact.version_id, loaded.artifact.number
    actor = local_actor(sessions)
    done = failed = 0
    with progress_bar(f"{model} version {number}", count_unpredicted(sessions, version_id)) as progress:
        for ids in batches_unpredicted(sessions, version_id):
            result = predict_batch(sessions, store, loaded, ids, actor=actor)
            done, failed = done + result.done, failed + result.failed
            progress(done + failed)
    if as_json:
        write_json({"model": model, "version": number, "predicted": done, "failed": failed})
    else:
        click.echo(f"{done} predicted by {model} version {number}, {failed} failed")
    sys.exit(3 if failed else 0)
