"""`pixref doctor`: every part, what is wrong with it, and how to mend it."""

import sys
from collections.abc import Callable

import click
from rich.console import Console
from rich.table import Table

from service.errors import PixrefError
from service.models.serving import ModelServer
from service.settings import Settings
from service.upkeep import checks
from service.wiring import open_rows, open_store


@click.command()
def command() -> None:
    """Name every broken part and how to mend it. Exit code 1 when one is broken."""
    settings = Settings.load()
    sessions, store = open_rows(settings, name="doctor"), open_store(settings)
    parts: dict[str, Callable[[], None]] = {
        "database": lambda: checks.check_connection(sessions),
        "schema": lambda: checks.check_database(sessions),
        "bucket": lambda: checks.check_bucket(store),
        "signing host": lambda: checks.check_signing(store, lifetime_s=settings.url_lifetime_s),
        "clock": lambda: checks.check_clock(sessions, settings.s3_endpoint),
        "model": lambda: checks.check_model(ModelServer(sessions, store)),
    }
    table = Table("part", "state", "what to do", box=None)
    broken = 0
    for name, check in parts.items():
        try:
            check()
        except PixrefError as exc:
            broken += 1
            table.add_row(name, "[red]broken[/red]", exc.detail)
        else:
            table.add_row(name, "[green]ok[/green]", "")
    Console().print(table)
    sys.exit(1 if broken else 0)
