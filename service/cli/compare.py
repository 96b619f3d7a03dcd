"""`pixref compare`: two versions of a model on the same pictures."""

from dataclasses import asdict

import click

from service.accounts.tokens import local_actor
from service.cli.output import write_json
from service.cli.selecting import selection_options
from service.learning.comparing import Comparing
from service.models.selection import Selection
from service.models.serving import BUILT_IN
from service.settings import Settings
from service.wiring import open_door, open_rows

_NUMBER = click.IntRange(1, 2**31 - 1)


@click.command()
@click.argument("version", type=_NUMBER)
@click.argument("other_version", type=_NUMBER)
@selection_options
@click.option("--model", default=BUILT_IN, show_default=True, help="name of the model")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(version: int, other_version: int, selection: Selection, model: str, as_json: bool) -> None:
    """Say what OTHER_VERSION has right that VERSION has wrong, and the other way round, among labelled pictures that both have predicted.

    Which pictures these are: SELECT * FROM catalog.version_comparisons.
    """
    settings = Settings.load()
    sessions = open_rows(settings, name="compare")
    found = Comparing(
        sessions,
        open_door(settings),
        selection,
        model=model,
        version=version,
        other_version=other_version,
        actor=local_actor(sessions),
    ).count()
    if as_json:
        write_json(asdict(found))
        return
    click.echo(
        f"both right {found.both_right:,}, fixed {found.fixed:,}, broken {found.broken:,}, both wrong {found.both_wrong:,}"
    )
    if found.unseen:
        click.echo(f"{found.unseen:,} labelled pictures lack a prediction by one of them: `pixref predict --version N` makes it")
    better = "Neither" if found.fixed == found.broken else f"Version {other_version if found.fixed > found.broken else version}"
    click.echo(f"{better} is better; so uneven a share, or more, is chance with a probability of {found.p_value:.2g}")
