"""`pixref token`: API tokens."""

from datetime import timedelta

import click
from rich.console import Console
from rich.table import Table

from service.accounts.actor import Role
from service.accounts.tokens import create_token, list_tokens, revoke_token
from service.settings import Settings
from service.wiring import open_rows


@click.group()
def command() -> None:
    """Make, list and revoke API tokens."""


@command.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="what its bearer may do")
@click.option("--name", required=True, help="whose it is; shown in histories")
@click.option("--days", type=click.IntRange(1, 3650), help="days until it expires; default: never")
def create(role: str, name: str, days: int | None) -> None:
    """Print a new token. It is shown this once."""
    sessions = open_rows(Settings.load(), name="token")
    click.echo(create_token(sessions, name=name, role=Role(role), valid_for=timedelta(days=days) if days else None))


@command.command("list")
def show() -> None:
    """List tokens; the tokens themselves are not kept."""
    table = Table("id", "name", "role", "made", "expires", "revoked", box=None)
    for token in list_tokens(open_rows(Settings.load(), name="token")):
        times = (token.created_at, token.expires_at, token.revoked_at)
        table.add_row(str(token.id), token.name, token.role, *(f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in times))
    Console().print(table)


@command.command()
@click.argument("token_id", type=int)
def revoke(token_id: int) -> None:
    """Make a token worthless; web processes follow within 5 seconds."""
    revoke_token(open_rows(Settings.load(), name="token"), token_id)
    click.echo(f"token {token_id} is revoked")
