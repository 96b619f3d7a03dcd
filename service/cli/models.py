"""`pixref models`: the registry."""

import json
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from service.accounts.tokens import local_actor
from service.errors import Invalid
from service.models.registry import list_versions, register_model
from service.models.spec import Preprocessing
from service.settings import Settings
from service.wiring import open_rows, open_store


@click.group()
def command() -> None:
    """List models, or register one."""


@command.command("list")
def show() -> None:
    """List every version."""
    table = Table("model", "version", "aliases", "state", "labels", "input", "registered", box=None)
    for item in list_versions(open_rows(Settings.load(), name="models")):
        spec = item.input_spec
        size = f"{spec['width']}x{spec['height']}x{spec['channels']}"
        labels = ", ".join(item.labels[:12]) + (" ..." if len(item.labels) > 12 else "")
        table.add_row(
            item.model, str(item.version), ", ".join(item.aliases), item.state, labels, size, f"{item.created_at:%Y-%m-%d %H:%M}"
        )
    Console().print(table)


@command.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="name of the model: a-z, 0-9, '.', '_', '-'")
@click.option("--labels", required=True, help="what its outputs mean, in order, separated by commas")
@click.option("--preprocessing", help="recipe as JSON; default: made from the model's input")
def add(path: Path, name: str, labels: str, preprocessing: str | None) -> None:
    """Vet a .keras file in a limited child process, convert it, and register it as the next version."""
    settings = Settings.load()
    sessions = open_rows(settings, name="models")
    try:
        recipe = Preprocessing.from_json(json.loads(preprocessing)) if preprocessing else None
    except ValueError as exc:
        raise Invalid(f"--preprocessing is not JSON: {exc}", field="preprocessing") from None
    with tempfile.TemporaryDirectory() as work_dir:
        number = register_model(
            sessions,
            open_store(settings),
            path,
            name=name,
            labels=labels.split(","),
            preprocessing=recipe,
            metrics={},
            actor=local_actor(sessions),
            work_dir=Path(work_dir),
        )
    click.echo(f"{name} version {number} is registered")
