"""`pixref sql`: the catalogue from the terminal, as `pixref_reader` or `pixref_analyst`."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import click
import psycopg2
import psycopg2.errors
from sqlalchemy import make_url

from schema.roles import ANALYST, READER
from schema.session import CONNECT_TIMEOUT_S
from service.cli.interrupt import interruptible
from service.cli.output import write_csv, write_json, write_table
from service.cli.trouble import reason_of
from service.errors import DatabaseUnavailable, Invalid
from service.settings import ReaderSettings, SettingsError


def client_url(who: str) -> str:
    """Return where and as whom (`reader` or `analyst`) SQL clients connect, password included. Raises `SettingsError`."""
    settings = ReaderSettings.load()
    role, password = {"reader": (READER, settings.reader_password), "analyst": (ANALYST, settings.analyst_password)}[who]
    if password is None:
        raise SettingsError(f"PIXREF_{who.upper()}_PASSWORD: is not set (password of {role}, a role of SQL clients)")
    url = make_url(settings.database_url.get_secret_value())
    return url.set(drivername="postgresql", username=role, password=password.get_secret_value()).render_as_string(
        hide_password=False
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: columns and rows, or no columns and PostgreSQL's word for what was done, such as CREATE TABLE."""

    columns: list[str] | None
    rows: list[tuple[Any, ...]]
    done: str


def ask(url: str, query: str) -> Answer:
    """Run it and commit. Raises `Invalid` with PostgreSQL's own message and position, `DatabaseUnavailable`."""
    try:
        connection = psycopg2.connect(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="pixref sql")
    except psycopg2.OperationalError as exc:
        raise DatabaseUnavailable(
            f"the database cannot be used ({reason_of(exc)}): check DATABASE_URL, the role's password in PIXREF_READER_PASSWORD or "
            "PIXREF_ANALYST_PASSWORD, and that PostgreSQL runs"
        ) from None
    with closing(connection), interruptible(), connection.cursor() as cursor:
        try:
            cursor.execute(query)
            found = None if cursor.description is None else [column.name for column in cursor.description]
            answer = Answer(found, [] if found is None else cursor.fetchall(), cursor.statusmessage or "")
            connection.commit()
        except psycopg2.errors.QueryCanceled as exc:
            if "user request" in str(exc):
                raise click.Abort from None
            raise Invalid(f"the query was stopped: {str(exc).strip()}", field="query") from None
        except (psycopg2.Error, ValueError) as exc:  # ValueError: a NUL character
            raise Invalid(f"the query was refused: {str(exc).strip()}", field="query") from None
        return answer


def _write(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], form: str) -> None:
    if form == "csv":
        write_csv(columns, rows)
    elif form == "json":
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise Invalid(f"more than one column is named {twice[0]!r}: tell them apart with AS", field="query")
        write_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        write_table(columns, rows)
        click.echo(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")


@click.command()
@click.argument("query", required=False)
@click.option("--connect", is_flag=True, help="print the connection line for psql and other clients")
@click.option(
    "--as",
    "who",
    type=click.Choice(["reader", "analyst"]),
    default="reader",
    show_default=True,
    help="analyst: with tables of your own in schema scratch",
)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def command(query: str | None, connect: bool, who: str, form: str) -> None:
    """Ask the views of schema catalog in SQL, or print how to connect. docs/sql.md describes the views.

    \b
    pixref sql "select label, count(*) from images group by label order by label"
    pixref sql --as analyst "create table jokes (image_id bigint, joke text)"
    psql "$(pixref sql --connect)"
    """
    if bool(query and query.strip()) == connect:
        raise click.UsageError("give a query or --connect")
    url = client_url(who)
    if connect:
        click.echo(url)
        return
    answer = ask(url, query or "")
    if answer.columns is not None:
        _write(answer.columns, answer.rows, form)
    elif who == "reader":
        raise Invalid("the query returns no rows: ask with SELECT", field="query")
    else:
        click.echo(answer.done, err=form != "table")
