"""`pixref sql`: the catalogue from the terminal, as `pixref_reader`."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema.roles import READER
from schema.session import CONNECT_TIMEOUT_S
from service.errors import Invalid
from service.settings import InitSettings, SettingsError


def reader_url() -> URL:
    """Return where and as whom SQL clients connect."""
    settings = InitSettings.load()
    if settings.reader_password is None:
        raise SettingsError("PIXREF_READER_PASSWORD: is not set (password of pixref_reader, the role of SQL clients)")
    return make_url(settings.database_url.get_secret_value()).set(
        drivername="postgresql", username=READER, password=settings.reader_password.get_secret_value()
    )


def _write(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
    elif form == "json":
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str, ensure_ascii=False, indent=2))
    else:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        Console().print(table)
        click.echo(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")


@click.command()
@click.argument("query", required=False)
@click.option("--connect", is_flag=True, help="print the connection line for psql and other clients")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def command(query: str | None, connect: bool, form: str) -> None:
    """Ask the catalogue in SQL, or print how to connect. Reads only.

    \b
    pixref sql "select label, count(*) from images group by label order by label"
    psql "$(pixref sql --connect)"
    """
    url = reader_url()
    if connect:
        click.echo(url.render_as_string(hide_password=False))
        return
    if not query:
        raise click.UsageError("give a query, or --connect")
    engine = create_engine(
        url.set(drivername="postgresql+psycopg2"), poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S}
    )
    with engine.connect() as connection:
        try:
            result = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
        except DBAPIError as exc:
            raise Invalid(f"the query was refused: {str(exc.orig).strip()}", field="query") from None
        if not result.returns_rows:
            raise Invalid("the query returns no rows: ask with SELECT", field="query")
        _write(list(result.keys()), [tuple(row) for row in result], form)
