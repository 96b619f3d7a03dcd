"""`pixref token`: API tokens."""

from dataclasses import asdict
from datetime import timedelta

import click

from service.accounts.actor import Role
from service.accounts.tokens import create_token, list_tokens, revoke_token
from service.cli.output import write_json, write_table
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
    """Print a new token, and nothing else. It is shown this once."""
    sessions = open_rows(Settings.load(), name="token")
    click.echo(create_token(sessions, name=name, role=Role(role), valid_for=timedelta(days=days) if days else None))


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="print the list as JSON")
def show(as_json: bool) -> None:
    """List tokens, newest first; the tokens themselves are not kept."""
    tokens = list_tokens(open_rows(Settings.load(), name="token"))
    if as_json:
        write_json([asdict(token) for token in tokens])
        return
    rows = []
    for token in tokens:
        times = (token.created_at, token.expires_at, token.revoked_at)
        rows.append((token.id, token.name, token.role, *(f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in times)))
    write_table(("id", "name", "role", "made", "expires", "revoked"), rows)


@command.command()
@click.argument("token_id", type=click.IntRange(1, 2**63 - 1))
def revoke(token_id: int) -> None:
    """Make a token worthless; web processes follow within 5 seconds. `pixref token list` shows the ids."""
    revoke_token(open_rows(Settings.load(), name="token"), token_id)
    click.echo(f"token {token_id} is revoked")
