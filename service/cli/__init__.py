"""The command line: `pixref ...`. One file a command, a few lines around a use case, loaded when it is called.

Exit codes: 0 done, 1 a part failed while running, 2 wrong arguments or settings, 3 done in part (some pictures were refused).
"""

import sys
from importlib import import_module
from importlib.metadata import version

import click
from sqlalchemy.exc import SQLAlchemyError

from schema.roles import RolesError
from service.embedded.errors import EmbeddedError
from service.errors import PixrefError
from service.faults import translate
from service.settings import SettingsError
from storage.base import StoreError

COMMANDS = {
    "dev": "Start everything on this machine, with servers of its own (`make run`).",
    "doctor": "Name every broken part and how to mend it.",
    "init": "Make database, roles, bucket, keys and the built-in model what they should be; safe to repeat.",
    "load": "Load a data set.",
    "models": "List models, or register one.",
    "predict": "Predict stored pictures.",
    "samples": "Draw pictures with label and prediction into one PNG.",
    "serve": "Run the web server.",
    "sql": "Ask the catalogue in SQL, or print how to connect.",
    "token": "Make, list and revoke API tokens.",
    "work": "Run the background worker.",
}


class _Lazy(click.Group):
    """Imports a command's module when it is called: `pixref token` need not load what `pixref serve` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"service.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


def explain(exc: Exception) -> tuple[str, int] | None:
    """Return one clear sentence and the exit code for an error that is not a bug, None for a bug."""
    if isinstance(exc, SettingsError):
        return str(exc), 2
    if isinstance(exc, EmbeddedError):
        return str(exc), exc.exit_code
    if isinstance(exc, RolesError):
        return str(exc), 2
    if isinstance(exc, PixrefError):
        return exc.detail, 1
    if isinstance(exc, StoreError):
        return str(exc), 1
    if isinstance(exc, SQLAlchemyError):
        error = translate(exc)
        if error is not None:
            reason = str(getattr(exc, "orig", exc)).strip().splitlines()[0]
            return f"{error.title} ({reason}): check DATABASE_URL", 1
    return None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("pixref"), prog_name="pixref")
def cli() -> None:
    """PNG pictures in a bucket, everything you can ask about them in PostgreSQL, Keras predictions by reference."""


def main() -> None:
    """Run a command; errors become one sentence on standard error and an exit code."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(130)
    except Exception as exc:
        explained = explain(exc)
        if explained is None:
            raise
        message, code = explained
        click.echo(f"pixref: {message}", err=True)
        sys.exit(code)
