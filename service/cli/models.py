"""`pixref models`: the registry."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from service.accounts.tokens import local_actor
from service.cli.output import write_json, write_table
from service.errors import NotFound
from service.models import aliases
from service.models.registration import register_model, split_labels
from service.models.registry import CHAMPION, VersionInfo, list_versions
from service.models.spec import Preprocessing
from service.settings import Settings
from service.wiring import open_rows, open_store

_LABELS_SHOWN = 12
_NUMBER = click.IntRange(1, 2**31 - 1)


@click.group()
def command() -> None:
    """List models, register them, and say which version is to serve."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="print every fact of every version as JSON")
def list_(as_json: bool) -> None:
    """List every version."""
    _write(list_versions(open_rows(Settings.load(), name="models")), as_json=as_json)


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="print every fact of every version as JSON")
def show(name: str, as_json: bool) -> None:
    """List the versions of one model."""
    versions = list_versions(open_rows(Settings.load(), name="models"), model=name)
    if not versions:
        raise NotFound(f"there is no model {name!r}: `pixref models list` shows them", field="name")
    _write(versions, as_json=as_json)


def _write(versions: Sequence[VersionInfo], *, as_json: bool) -> None:
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
@click.option("--labels", required=True, help="what its outputs mean, in order, separated by commas; or a JSON list of texts")
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
            labels=split_labels(labels),
            preprocessing=recipe,
            metrics={},
            actor=local_actor(sessions),
            work_dir=Path(work_dir),
        )
    click.echo(f"{name} version {number} is registered")


@command.command()
@click.argument("name")
@click.argument("version", type=_NUMBER)
@click.option("--alias", default=CHAMPION, show_default=True, help="the alias to move")
@click.option("--expect", type=_NUMBER, help="only if the alias names this version now")
def promote(name: str, version: int, alias: str, expect: int | None) -> None:
    """Let an alias name VERSION from now on."""
    sessions = open_rows(Settings.load(), name="models")
    moved = aliases.move_alias(
        sessions, name, alias, version, expected=aliases.ANYTHING if expect is None else expect, actor=local_actor(sessions)
    )
    _say(moved)


@command.command()
@click.argument("name")
@click.option("--alias", default=CHAMPION, show_default=True, help="the alias to move")
def rollback(name: str, alias: str) -> None:
    """Let an alias name the version again that it named before; once more, and it is the one before that."""
    sessions = open_rows(Settings.load(), name="models")
    _say(aliases.roll_back(sessions, name, alias, actor=local_actor(sessions)))


@command.command()
@click.argument("name")
@click.argument("version", type=_NUMBER)
def retire(name: str, version: int) -> None:
    """Let no new prediction be made by VERSION; those that it made stay."""
    aliases.retire(open_rows(Settings.load(), name="models"), name, version)
    click.echo(f"{name} version {version} is retired")


@command.command()
@click.argument("name")
@click.argument("version", type=_NUMBER)
def restore(name: str, version: int) -> None:
    """Take a retired VERSION back into service."""
    aliases.restore(open_rows(Settings.load(), name="models"), name, version)
    click.echo(f"{name} version {version} is ready")


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="print every fact as JSON")
def history(name: str, as_json: bool) -> None:
    """List every move of the model's aliases, newest first."""
    events = aliases.history(open_rows(Settings.load(), name="models"), name)
    if as_json:
        write_json([asdict(event) for event in events])
        return
    rows = [
        (
            f"{event.changed_at:%Y-%m-%d %H:%M}",
            event.alias,
            event.from_version,
            event.to_version,
            "rollback" if event.is_rollback else "",
            event.changed_by,
        )
        for event in events
    ]
    write_table(("when", "alias", "from", "to", "", "by"), rows)


def _say(moved: aliases.Move) -> None:
    if moved.from_version == moved.to_version:
        click.echo(f"{moved.model} version {moved.to_version} is {moved.alias} already")
    else:
        before = "" if moved.from_version is None else f", in place of version {moved.from_version}"
        click.echo(f"{moved.model} version {moved.to_version} is {moved.alias} now{before}")
