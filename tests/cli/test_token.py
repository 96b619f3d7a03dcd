"""`pixref token`."""

import json

import pytest

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import actor_of_token
from tests.cli.conftest import Pixref


@pytest.mark.parametrize("role", list(Role))
def test_create_prints_a_token_of_that_role_and_nothing_else(pixref: Pixref, sessions: Sessions, role: Role) -> None:
    result = pixref("token", "create", "--role", role.value, "--name", "Ana")
    assert (result.code, result.err) == (0, "")
    (token,) = result.out.split()
    actor = actor_of_token(sessions, token)
    assert actor is not None
    assert (actor.name, actor.role) == ("Ana", role)


def test_list_shows_tokens_newest_first_and_never_the_token(pixref: Pixref) -> None:
    tokens = [pixref("token", "create", "--role", "viewer", "--name", name, "--days", "1").out.strip() for name in ("[b]1", "b2")]
    listed = pixref("token", "list")
    assert [line.split()[1] for line in listed.out.splitlines()] == ["name", "b2", "[b]1"]
    as_json = pixref("token", "list", "--json")
    assert [item["name"] for item in json.loads(as_json.out)] == ["b2", "[b]1"]
    assert not any(token in text for token in tokens for text in (listed.out, as_json.out))


def test_a_revoked_token_is_worthless(pixref: Pixref, sessions: Sessions) -> None:
    token = pixref("token", "create", "--role", "admin", "--name", "Ana").out.strip()
    (listed,) = json.loads(pixref("token", "list", "--json").out)
    assert pixref("token", "revoke", str(listed["id"])).code == 0
    assert actor_of_token(sessions, token) is None
    assert json.loads(pixref("token", "list", "--json").out)[0]["revoked_at"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "77"], "`pixref token list` shows them"),
        (["revoke", "9" * 30], "not in the range"),
        (["create", "--role", "viewer", "--name", " "], "name is empty"),
        (["create", "--role", "king", "--name", "x"], "'viewer', 'editor', 'admin'"),
        (["create", "--name", "x"], "Missing option '--role'"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(pixref: Pixref, arguments: list[str], said: str) -> None:
    result = pixref("token", *arguments)
    assert result.code == 2
    assert said in result.err
    assert result.out == ""
