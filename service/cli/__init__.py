"""The command line: `pixref ...`. One file a command, a few lines around a use case, loaded when it is called.

Exit codes: 0 done; 1 a part failed while running; 2 wrong arguments, settings or files; 3 done in part (some pictures were refused);
130 interrupted by Ctrl-C. Results go to standard output, everything else to standard error.
"""

import sys
from importlib import import_module

import click

COMMANDS = {
    "compare": "Compare two versions of a model on the same pictures.",
    "dev": "Start everything on this machine (`make run`).",
    "doctor": "Name every broken part and how to mend it.",
    "evaluate": "Measure a version by labelled pictures.",
    "fsck": "Compare rows and bucket, and mend what differs.",
    "init": "Prepare database, bucket and model; safe to repeat.",
    "jobs": "List jobs, follow or cancel one.",
    "load": "Load a data set.",
    "models": "List models, or register one.",
    "predict": "Predict stored pictures.",
    "samples": "Draw pictures with label and prediction as a PNG.",
    "serve": "Run the web server.",
    "sql": "Ask in SQL, or print how to connect.",
    "sweep": "Finish abandoned uploads and deletions now.",
    "token": "Make, list and revoke API tokens.",
    "train": "Train a model on stored pictures.",
    "trash": "List deleted pictures, and restore them.",
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


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pixref", prog_name="pixref")
def cli() -> None:
    """PNG pictures in a bucket, everything you can ask about them in PostgreSQL, Keras predictions by reference.

    Settings come from the environment, else from .env beside pyproject.toml, else from a `pixref dev` on this machine.
    """


def main() -> None:
    """Run a command; errors become one sentence on standard error and an exit code."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        click.echo("pixref: interrupted; what was done stays done", err=True)
        sys.exit(130)
    except Exception as exc:
        # Imported here, because what it knows takes half a second to import and is needed in trouble only.
        from service.cli.trouble import explain

        explained = explain(exc)
        if explained is None:
            raise
        message, code = explained
        click.echo(f"pixref: {message}", err=True)
        sys.exit(code)
