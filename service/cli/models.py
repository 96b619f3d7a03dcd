"""`pixref models`: the registry."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from service.accounts.tokens import local_actor
from service.cli.output import write_json, write_table
from service.models.registration import register_model
from service.models.registry import list_versions
from service.models.spec import Preprocessing
from service.settings import Settings
from service.wiring import open_rows, open_store

_LABELS_SHOWN = 12


@click.group()
def command() -> None:
    """List models, or register one."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="print every fact of every version as JSON")
def show(as_json: bool) -> None:
    """List every version."""
    versions = list_versions(open_rows(Settings.load(), name="models"))
    if as_json:
        write_json([asdict(item) for item in versions])
        return
    rows = []
    for item in versions:
        spec = item.input_spec
        labels = " ".join(item.labels[:_LABELS_SHOWN]) + (" ..." if len(item.labels) > _LABELS_SHOWN else "")
        size = f"{spec['width']}x{spec['height']}x{spec['channels']}"
        rows.append(
            (
                item.model,
                item.version,
                " ".join(item.aliases),
                item.damage or item.state,
                size,
                f"{item.created_at:%Y-%m-%d}",
                labels,
            )
        )
    write_table(("model", "version", "aliases", "state", "input", "registered", "labels"), rows)


@command.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--name", required=True, help="name of the model: a-z, 0-9, '.', '_', '-'")
@click.option("--labels", required=True, help="what its outputs mean, in order, separated by commas")
@click.option("--preprocessing", help="recipe as JSON; default: made from the model's input")
def add(path: Path, name: str, labels: str, preprocessing: str | None) -> None:
    """Vet a .keras file in a limited child process, convert it, and register it as the next version."""
    settings = Settings.load()
    try:
        recipe = Preprocessing.from_json(json.loads(preprocessing)) if preprocessing else None
    except ValueError as exc:
        raise click.BadParameter(f"this is not JSON: {exc}", param_hint="--preprocessing") from None
    sessions = open_rows(settings, name="models")
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
