"""The pages of tokens and of storage."""

import re
from datetime import timedelta

import pytest
from flask import Flask

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import actor_of_token, create_token, list_tokens
from service.pictures.delete import delete_image
from storage.minio_store import MinioStore
from tests.conftest import TokenClient, client_with
from tests.factories import add_image, make_png


@pytest.fixture
def admin(app: Flask, sessions: Sessions) -> TokenClient:
    return client_with(app, sessions, Role.ADMIN)


def test_a_token_is_made_shown_once_and_revoked(admin: TokenClient, sessions: Sessions) -> None:
    made = admin.post("/tokens", data={"name": "<b>me", "role": "editor", "days": "7"})
    assert made.status_code == 200
    found = re.search(r'id="made">([^<]+)<', made.text)
    assert found is not None
    bearer = actor_of_token(sessions, found[1])
    assert bearer is not None
    assert (bearer.name, bearer.role) == ("<b>me", Role.EDITOR)
    newest = list_tokens(sessions)[0]
    assert newest.expires_at is not None
    assert round((newest.expires_at - newest.created_at) / timedelta(days=1)) == 7
    page = admin.get("/tokens").text
    assert found[1] not in page
    assert "&lt;b&gt;me" in page
    assert admin.post(f"/tokens/{newest.id}/revoke").status_code == 303
    assert actor_of_token(sessions, found[1]) is None
    assert "revoked" in admin.get("/tokens").text


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "me", "role": "king"}, "role"),
        ({"name": "me"}, "role"),
        ({"name": "me", "role": "viewer", "days": "0"}, "days"),
        ({"name": "me", "role": "viewer", "days": "1.5"}, "days"),
        ({"name": "me", "role": "viewer", "days": "99999"}, "days"),
        ({"name": " ", "role": "viewer"}, "name"),
        ({"role": "viewer"}, "name"),
    ],
)
def test_what_no_token_can_be(admin: TokenClient, sessions: Sessions, form: dict[str, str], field: str) -> None:
    before = len(list_tokens(sessions))
    answer = admin.post("/tokens", data=form)
    assert answer.status_code == 422
    assert field in answer.text.lower()
    assert len(list_tokens(sessions)) == before


def test_only_admins_see_tokens(admin: TokenClient, editor_client: TokenClient, sessions: Sessions) -> None:
    create_token(sessions, name="somebody", role=Role.VIEWER)
    assert "somebody" in admin.get("/tokens").text
    assert editor_client.get("/tokens").status_code == 403
    assert 'href="/tokens"' in admin.get("/").text
    assert 'href="/tokens"' not in editor_client.get("/").text


def test_what_takes_space(viewer_client: TokenClient, sessions: Sessions, store: MinioStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor, make_png(seed=number)) for number in range(3)]
    delete_image(sessions, ids[0])
    page = " ".join(viewer_client.get("/storage").text.split())
    for kind, count in (("Pictures", 2), ("Trash", 1), ("Thumbnails", 3)):
        assert re.search(rf'{kind}</th><td class="text-end">{count}</td>', page), kind
