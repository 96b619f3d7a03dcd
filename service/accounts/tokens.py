"""API tokens: made, recognised, revoked. A token is shown once and kept as its SHA-256."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.session import Sessions, single
from schema.tables import Account, ApiToken
from service.accounts.actor import Actor, Role
from service.errors import Conflict, NotFound
from service.names import clean_name

# Recognisable to people and to secret scanners.
PREFIX = "pixref_"


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token as lists show it; never the token itself."""

    id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def new_token() -> str:
    """Return a token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what the database keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def ensure_account(session: Session, name: str) -> int:
    """Return the id of the account with this name, made when missing."""
    name = clean_name(name, field="name")
    session.execute(insert(Account).values(name=name).on_conflict_do_nothing())
    return session.scalars(select(Account.id).where(Account.name == name)).one()


def local_actor(sessions: Sessions, name: str = "command line") -> Actor:
    """Return the actor of commands: whoever can run them already has the settings, and so every right."""
    with sessions() as session, session.begin():
        return Actor(ensure_account(session, name), name, Role.ADMIN)


def create_token(
    sessions: Sessions, *, name: str, role: Role, valid_for: timedelta | None = None, token: str | None = None
) -> str:
    """Register a token for the account `name` and return it; `token` is given only for one made elsewhere (`PIXREF_ADMIN_TOKEN`).

    Registering the same token again changes nothing. Raises `Conflict` when it is known in another role or revoked.
    """
    token = token or new_token()
    expires_at = datetime.now(UTC) + valid_for if valid_for else None
    with sessions() as session, session.begin():
        row = {
            "account_id": ensure_account(session, name),
            "token_sha256": digest(token),
            "role": role.value,
            "expires_at": expires_at,
        }
        session.execute(insert(ApiToken).values(row).on_conflict_do_nothing())
        known = session.execute(select(ApiToken.role, ApiToken.revoked_at).where(ApiToken.token_sha256 == digest(token))).one()
        if known.role != role or known.revoked_at:
            raise Conflict("this token is already registered in another role or was revoked: make a new one")
    return token


_LIVE = (ApiToken.revoked_at.is_(None), or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > func.now()))


def _live_actor(sessions: Sessions, which: ColumnElement[bool]) -> Actor | None:
    query = (
        select(ApiToken.id, ApiToken.account_id, Account.name, ApiToken.role)
        .join(Account, Account.id == ApiToken.account_id)
        .where(which, *_LIVE)
    )
    with single(sessions) as connection:
        row = connection.execute(query).one_or_none()
    return Actor(row.account_id, row.name, Role(row.role), row.id) if row else None


def actor_of_token(sessions: Sessions, token: str) -> Actor | None:
    """Return who bears this token, None when it is unknown, revoked or expired."""
    return _live_actor(sessions, ApiToken.token_sha256 == digest(token))


def actor_of_token_id(sessions: Sessions, token_id: int) -> Actor | None:
    """Return who signed in with this token, None when it has been revoked or has expired since."""
    return _live_actor(sessions, ApiToken.id == token_id)


def list_tokens(sessions: Sessions) -> list[TokenInfo]:
    """Return every token, newest first."""
    query = (
        select(ApiToken.id, Account.name, ApiToken.role, ApiToken.created_at, ApiToken.expires_at, ApiToken.revoked_at)
        .join(Account, Account.id == ApiToken.account_id)
        .order_by(ApiToken.id.desc())
    )
    with sessions() as session:
        return [TokenInfo(r.id, r.name, Role(r.role), r.created_at, r.expires_at, r.revoked_at) for r in session.execute(query)]


def revoke_token(sessions: Sessions, token_id: int) -> None:
    """Make a token worthless from now on; again is no error. Raises `NotFound`."""
    with sessions() as session, session.begin():
        known = session.scalar(
            update(ApiToken)
            .where(ApiToken.id == token_id)
            .values(revoked_at=func.coalesce(ApiToken.revoked_at, func.now()))
            .returning(ApiToken.id)
        )
        if known is None:
            raise NotFound(f"there is no token {token_id}: `pixref token list` shows them")
