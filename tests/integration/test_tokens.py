"""Tokens: kept as hashes, recognised, expired, revoked."""

from datetime import timedelta

import pytest

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import (
    PREFIX,
    actor_of_token,
    actor_of_token_id,
    create_token,
    digest,
    list_tokens,
    local_actor,
    revoke_token,
)
from service.errors import Conflict, Invalid, NotFound
from tests.factories import execute, one, rows, together


def test_a_token_is_recognised_and_never_kept(sessions: Sessions) -> None:
    token = create_token(sessions, name=" Ada  L ", role=Role.EDITOR)
    assert token.startswith(PREFIX)
    assert len(token) >= 48
    found = actor_of_token(sessions, token)
    assert found is not None
    assert (found.name, found.role) == ("Ada L", Role.EDITOR)
    assert found.token_id is not None
    assert actor_of_token_id(sessions, found.token_id) == found
    assert rows(sessions, "SELECT token_sha256 FROM pixref.api_token") == [(digest(token),)]
    for other in ("", token[:-1], token + "x", digest(token), token.upper(), "\x00", "\ud800".encode(errors="replace").decode()):
        assert actor_of_token(sessions, other) is None
    assert create_token(sessions, name="Ada L", role=Role.EDITOR) != token
    assert one(sessions, "SELECT count(*) FROM pixref.account") == 1


def test_expired_and_revoked_tokens_are_worthless(sessions: Sessions) -> None:
    expiring = create_token(sessions, name="a", role=Role.VIEWER, valid_for=timedelta(hours=1))
    lasting = create_token(sessions, name="b", role=Role.VIEWER)
    found = actor_of_token(sessions, lasting)
    assert actor_of_token(sessions, expiring) is not None
    assert found is not None
    assert found.token_id is not None
    execute(sessions, "UPDATE pixref.api_token SET expires_at = now() - interval '1 ms' WHERE expires_at IS NOT NULL")
    assert actor_of_token(sessions, expiring) is None
    revoke_token(sessions, found.token_id)
    revoked_at = list_tokens(sessions)[0].revoked_at
    assert revoked_at is not None
    revoke_token(sessions, found.token_id)
    assert list_tokens(sessions)[0].revoked_at == revoked_at
    assert actor_of_token(sessions, lasting) is None
    assert actor_of_token_id(sessions, found.token_id) is None
    with pytest.raises(Conflict):
        create_token(sessions, name="b", role=Role.VIEWER, token=lasting)
    for nobody in (0, 999, 2**63):
        with pytest.raises(NotFound):
            revoke_token(sessions, nobody)


def test_a_given_token_may_be_registered_again_but_not_in_another_role(sessions: Sessions) -> None:
    token = "a-token-of-somebody-s-own"
    made = together(4, lambda _: create_token(sessions, name="owner", role=Role.ADMIN, token=token))
    assert set(made) == {token}
    assert [(each.name, each.role) for each in list_tokens(sessions)] == [("owner", Role.ADMIN)]
    with pytest.raises(Conflict):
        create_token(sessions, name="owner", role=Role.VIEWER, token=token)


def test_names_and_roles(sessions: Sessions) -> None:
    for name in ("", "  ", "a\x00", "x" * 201):
        with pytest.raises(Invalid):
            create_token(sessions, name=name, role=Role.VIEWER)
    assert one(sessions, "SELECT count(*) FROM pixref.account") == 0
    assert local_actor(sessions).token_id is None
    assert local_actor(sessions) == local_actor(sessions)
    allowed = {(have, need) for have in Role for need in Role if have.allows(need)}
    assert allowed == {
        (Role.VIEWER, Role.VIEWER),
        (Role.EDITOR, Role.VIEWER),
        (Role.EDITOR, Role.EDITOR),
        (Role.ADMIN, Role.VIEWER),
        (Role.ADMIN, Role.EDITOR),
        (Role.ADMIN, Role.ADMIN),
    }
