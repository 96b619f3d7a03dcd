"""Who may call what: every rule of the application, as anonymous, viewer, editor and admin."""

from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.routing import Rule

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import actor_of_token, create_token, revoke_token
from service.web.access import access_of
from service.web.security import KnownActors
from tests.conftest import TokenClient, client_with
from tests.factories import assert_problem, execute, form_of

BUNDLED = ("static", "bootstrap.static")
PUBLIC = {
    "health.livez",
    "health.readyz",
    "health.show_version",
    "api.openapi",
    "pages.sign_in",
    "pages.sign_in_by_form",
    "pages.sign_out",
}
EXPECTED = {
    "api.upload_image": Role.EDITOR,
    "api.list_images": Role.VIEWER,
    "api.count_images": Role.VIEWER,
    "api.get_image": Role.VIEWER,
    "api.delete_image": Role.EDITOR,
    "api.restore_image": Role.EDITOR,
    "api.list_trash": Role.EDITOR,
    "api.get_file": Role.VIEWER,
    "api.get_thumbnail": Role.VIEWER,
    "api.put_label": Role.EDITOR,
    "api.put_tags": Role.EDITOR,
    "api.presign_images": Role.VIEWER,
    "api.check_hashes": Role.VIEWER,
    "api.begin_upload": Role.EDITOR,
    "api.complete_upload": Role.EDITOR,
    "api.abort_upload": Role.EDITOR,
    "api.predict_image": Role.EDITOR,
    "api.predict_file": Role.VIEWER,
    "api.list_models": Role.VIEWER,
    "api.run_sql": Role.VIEWER,
    "api.sql_csv": Role.VIEWER,
    "api.sql_parquet": Role.VIEWER,
    "api.sql_schema": Role.VIEWER,
    "api.sql_history": Role.VIEWER,
    # Posted, for a query may be long; they change nothing.
    "pages.sql": Role.VIEWER,
    "pages.download_sql": Role.VIEWER,
}
WRITES = {"POST", "PUT", "DELETE", "PATCH"}


def rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint not in BUNDLED]


def calls(app: Flask) -> list[tuple[str, str, str]]:
    """List (endpoint, method, path), with an id that is nobody's."""
    found = []
    for rule in rules(app):
        path = str(rule).replace("<int:image_id>", "987654321").replace("<int:upload_id>", "987654321")
        assert "<" not in path, f"the test does not know how to fill {rule}"
        found += [(rule.endpoint, method, path) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def test_every_view_declares_who_may_call_it(app: Flask) -> None:
    for rule in rules(app):
        access = access_of(app.view_functions[rule.endpoint])
        assert access is not None, rule
        assert (access.role is None) == (rule.endpoint in PUBLIC), rule
        if rule.endpoint in EXPECTED:
            assert access.role == EXPECTED[rule.endpoint], rule
        elif rule.endpoint.startswith("api."):
            assert rule.endpoint in PUBLIC, f"{rule} is in no table"
        elif (rule.methods or set()) & WRITES and rule.endpoint not in PUBLIC:
            assert access.role in (Role.EDITOR, Role.ADMIN), f"{rule} writes"


def test_every_rule_as_everybody(app: Flask, sessions: Sessions) -> None:
    clients = {role: client_with(app, sessions, role) for role in (None, *Role)}
    for endpoint, method, path in calls(app):
        needed = access_of(app.view_functions[endpoint]).role  # type: ignore[union-attr]
        for role, client in clients.items():
            status = client.open(path, method=method).status_code
            where = (endpoint, method, role, status)
            if needed is None:
                assert status not in (401, 403) or endpoint == "pages.sign_in_by_form", where
            elif role is None:
                # People are led to the sign-in page, programs are told.
                allowed = (302,) if method == "GET" and not path.startswith("/api/") else (401,)
                assert status in allowed, where
            elif role.allows(needed):
                assert status not in (401, 403), where
                assert status < 500, where
            else:
                assert status == 403, where


def test_a_view_without_a_declaration_is_refused(app: Flask, sessions: Sessions) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    for role in (None, Role.ADMIN):
        answer = client_with(app, sessions, role).get("/forgotten", headers={"Accept": "application/json"})
        assert_problem(answer, 403, "forbidden")


def test_refused_before_the_body_is_read(app: Flask, sessions: Sessions) -> None:
    class Unread:
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

        readline = readlines = __iter__ = read

    for role, status in ((None, 401), (Role.VIEWER, 403)):
        environment = {"wsgi.input": Unread(), "CONTENT_LENGTH": "1000", "CONTENT_TYPE": "multipart/form-data; boundary=x"}
        answer = client_with(app, sessions, role).post("/api/v1/images", environ_overrides=environment)
        assert answer.status_code == status


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer unknown", "Bearer pixref_" + "a" * 43, "Basic dXNlcjpwYXNz", "Token x", "Bearer \xff\xfe"],
)
def test_credentials_that_open_nothing(anonymous_client: TokenClient, header: str) -> None:
    answer = anonymous_client.get("/api/v1/images", headers={"Authorization": header})
    assert_problem(answer, 401, "not_signed_in")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_revoked_and_expired_tokens_stop(app: Flask, sessions: Sessions) -> None:
    token = create_token(sessions, name="leaver", role=Role.EDITOR)
    brief = create_token(sessions, name="guest", role=Role.EDITOR, valid_for=timedelta(hours=1))
    leaver, guest = client_with(app, sessions, None), client_with(app, sessions, None)
    leaver.token, guest.token = token, brief
    assert leaver.get("/api/v1/images").status_code == guest.get("/api/v1/images").status_code == 200
    found = actor_of_token(sessions, token)
    assert found is not None
    assert found.token_id is not None
    revoke_token(sessions, found.token_id)
    execute(sessions, "UPDATE pixref.api_token SET expires_at = now() WHERE expires_at IS NOT NULL")
    app.extensions["pixref.actors"] = KnownActors()  # as five seconds later
    assert leaver.get("/api/v1/images").status_code == guest.get("/api/v1/images").status_code == 401


def signed_in(app: Flask, sessions: Sessions, role: Role) -> TokenClient:
    """Return a browser that has followed a sign-in link."""
    browser = client_with(app, sessions, None)
    token = create_token(sessions, name="browser", role=role)
    answer = browser.get("/sign-in", query_string={"token": token})
    assert answer.status_code == 303
    assert token not in answer.headers["Location"]
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert token not in cookie
    return browser


def csrf_token(browser: TokenClient) -> str:
    page = browser.get("/upload")
    with browser.session_transaction() as session:
        assert "csrf_token" in session, page.status_code
    marker = 'name="csrf-token" content="'
    text = page.text
    if marker not in text:
        marker = 'name="csrf_token" value="'
    return text.partition(marker)[2].partition('"')[0]


def test_a_cookie_writes_only_with_the_forms_token(app: Flask, sessions: Sessions) -> None:
    browser = signed_in(app, sessions, Role.EDITOR)
    assert browser.get("/api/v1/images").status_code == 200
    assert_problem(browser.post("/api/v1/images", data=form_of()), 400, "csrf_failed")
    assert_problem(browser.post("/api/v1/images", data=form_of(), headers={"X-CSRFToken": "wrong"}), 400, "csrf_failed")
    for method, path in (("PUT", "/api/v1/images/1/label"), ("DELETE", "/api/v1/images/1"), ("POST", "/api/v1/images/urls")):
        assert_problem(browser.open(path, method=method, json={}), 400, "csrf_failed")
    token = csrf_token(browser)
    assert token
    assert browser.post("/api/v1/images", data=form_of(), headers={"X-CSRFToken": token}).status_code == 201
    other = signed_in(app, sessions, Role.EDITOR)
    assert_problem(other.post("/api/v1/images", data=form_of(), headers={"X-CSRFToken": token}), 400, "csrf_failed")


def test_an_empty_authorization_header_does_not_stand_in_for_the_forms_token(app: Flask, sessions: Sessions) -> None:
    browser = signed_in(app, sessions, Role.EDITOR)
    for header in ("", " "):
        answer = browser.post("/api/v1/images", data=form_of(), headers={"Authorization": header})
        assert answer.status_code in (400, 401), header


def test_a_session_ends_with_its_token_and_with_the_key(app: Flask, sessions: Sessions) -> None:
    browser = signed_in(app, sessions, Role.VIEWER)
    assert browser.get("/api/v1/images").status_code == 200
    execute(sessions, "UPDATE pixref.api_token SET revoked_at = now()")
    app.extensions["pixref.actors"] = KnownActors()
    assert browser.get("/api/v1/images").status_code == 401
    forged = client_with(app, sessions, None)
    forged.set_cookie("pixref", "eyJ0b2tlbl9pZCI6MX0.aaaaaa.forged-signature")
    assert forged.get("/api/v1/images").status_code == 401
