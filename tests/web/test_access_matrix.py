"""Who may call what: every rule of the application, as anonymous, viewer, editor and admin."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import actor_of_token, create_token, revoke_token
from service.web.access import access_of
from service.web.security import KnownActors
from tests.conftest import TokenClient, client_with
from tests.factories import assert_problem, execute, form_of, make_png, rows, sha256

BUNDLED = ("static", "bootstrap.static")
# Every view and who may call it; None is anybody. A view that is not here fails the test.
EXPECTED: dict[str, Role | None] = {
    "health.livez": None,
    "health.readyz": None,
    "health.show_version": None,
    "api.openapi": None,
    "api.upload_image": Role.EDITOR,
    "api.list_images": Role.VIEWER,
    "api.count_images": Role.VIEWER,
    "api.get_image": Role.VIEWER,
    "api.patch_image": Role.EDITOR,
    "api.delete_image": Role.EDITOR,
    "api.restore_image": Role.EDITOR,
    "api.list_trash": Role.EDITOR,
    "api.get_file": Role.VIEWER,
    "api.get_thumbnail": Role.VIEWER,
    "api.put_label": Role.EDITOR,
    "api.put_tags": Role.EDITOR,
    "api.label_images": Role.EDITOR,
    "api.tag_images": Role.EDITOR,
    "api.presign_images": Role.VIEWER,
    "api.check_hashes": Role.VIEWER,
    "api.list_labels": Role.VIEWER,
    "api.create_label": Role.EDITOR,
    "api.get_label": Role.VIEWER,
    "api.change_label": Role.EDITOR,
    "api.merge_label": Role.EDITOR,
    "api.delete_label": Role.EDITOR,
    "api.list_tags": Role.VIEWER,
    "api.create_tag": Role.EDITOR,
    "api.get_tag": Role.VIEWER,
    "api.change_tag": Role.EDITOR,
    "api.merge_tag": Role.EDITOR,
    "api.delete_tag": Role.EDITOR,
    "api.begin_upload": Role.EDITOR,
    "api.complete_upload": Role.EDITOR,
    "api.abort_upload": Role.EDITOR,
    "api.predict_image": Role.EDITOR,
    "api.predict_file": Role.VIEWER,
    "api.predict_images": Role.EDITOR,
    "api.list_jobs": Role.VIEWER,
    "api.get_job": Role.VIEWER,
    "api.cancel_job": Role.EDITOR,
    "api.train_model": Role.EDITOR,
    "api.evaluate_model": Role.EDITOR,
    "api.get_evaluations": Role.VIEWER,
    "api.get_evaluation": Role.VIEWER,
    "api.list_models": Role.VIEWER,
    "api.get_model": Role.VIEWER,
    "api.register_version": Role.EDITOR,
    "api.move_alias": Role.EDITOR,
    "api.roll_back_alias": Role.EDITOR,
    "api.remove_alias": Role.EDITOR,
    "api.model_history": Role.VIEWER,
    "api.retire_version": Role.EDITOR,
    "api.restore_version": Role.EDITOR,
    "api.run_sql": Role.VIEWER,
    "api.sql_csv": Role.VIEWER,
    "api.sql_parquet": Role.VIEWER,
    "api.sql_schema": Role.VIEWER,
    "api.sql_history": Role.VIEWER,
    # Posted, for a query may be long; they change nothing.
    "pages.sql": Role.VIEWER,
    "pages.download_sql": Role.VIEWER,
    "pages.sign_in": None,
    "pages.sign_in_by_form": None,
    "pages.sign_out": None,
    "pages.api_docs": Role.VIEWER,
    "pages.upload": Role.EDITOR,
    "pages.send_files": Role.EDITOR,
    "pages.set_label": Role.EDITOR,
    "pages.set_tags": Role.EDITOR,
    "pages.predict": Role.EDITOR,
    "pages.confirm_delete": Role.EDITOR,
    "pages.delete_image": Role.EDITOR,
    "pages.trash": Role.EDITOR,
    "pages.restore_image": Role.EDITOR,
    "pages.gallery": Role.VIEWER,
    "pages.image": Role.VIEWER,
    "pages.labels": Role.VIEWER,
    "pages.create_label": Role.EDITOR,
    "pages.change_label": Role.EDITOR,
    "pages.merge_label": Role.EDITOR,
    "pages.delete_label": Role.EDITOR,
    "pages.tags": Role.VIEWER,
    "pages.create_tag": Role.EDITOR,
    "pages.change_tag": Role.EDITOR,
    "pages.merge_tag": Role.EDITOR,
    "pages.delete_tag": Role.EDITOR,
    "pages.models": Role.VIEWER,
    "pages.jobs": Role.VIEWER,
    "pages.job": Role.VIEWER,
    "pages.cancel_job": Role.EDITOR,
    "pages.predict_many": Role.EDITOR,
    "pages.model_history": Role.VIEWER,
    "pages.promote": Role.EDITOR,
    "pages.register": Role.EDITOR,
    "pages.roll_back": Role.EDITOR,
    "pages.retire": Role.EDITOR,
    "pages.restore_version": Role.EDITOR,
    "pages.ask_for_training": Role.EDITOR,
    "pages.train": Role.EDITOR,
    "pages.evaluate": Role.EDITOR,
    "pages.evaluations": Role.VIEWER,
    "pages.compare": Role.VIEWER,
    "pages.change_selection": Role.EDITOR,
    "pages.undo_selection": Role.EDITOR,
    "pages.tokens": Role.ADMIN,
    "pages.make_token": Role.ADMIN,
    "pages.revoke": Role.ADMIN,
    "pages.storage": Role.VIEWER,
    "pages.review_next": Role.EDITOR,
    "pages.review_one": Role.EDITOR,
    "pages.undo_review": Role.EDITOR,
    "pages.try_model": Role.VIEWER,
    "pages.tried": Role.VIEWER,
    "pages.evaluation": Role.VIEWER,
    "pages.ask_for_predictions": Role.EDITOR,
    "pages.predict_shown": Role.EDITOR,
}
WRITES = {"POST", "PUT", "DELETE", "PATCH"}
# Questions that are too long for an address, or have a file.
READS = {
    *("api.presign_images", "api.check_hashes", "api.predict_file", "pages.tried"),
    *("api.run_sql", "api.sql_csv", "api.sql_parquet", "pages.sql", "pages.download_sql"),
}


def rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint not in BUNDLED]


def calls(app: Flask) -> list[tuple[str, str, str]]:
    """List (endpoint, method, path), with an id that is nobody's."""
    found = []
    for rule in rules(app):
        path = re.sub(r"<\w+>", "nobodys", re.sub(r"<int:\w+>", "987654321", str(rule)))
        assert "<" not in path, f"the test does not know how to fill {rule}"
        found += [(rule.endpoint, method, path) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def test_every_view_declares_who_may_call_it(app: Flask) -> None:
    for rule in rules(app):
        access = access_of(app.view_functions[rule.endpoint])
        assert access is not None, rule
        assert rule.endpoint in EXPECTED, f"{rule} is not in the table"
        assert access.role == EXPECTED[rule.endpoint], rule
        if (rule.methods or set()) & WRITES and rule.endpoint not in READS:
            assert access.role in (None, Role.EDITOR, Role.ADMIN), f"{rule} writes"
    assert {rule.endpoint for rule in rules(app)} == set(EXPECTED), "the table names views that are not there"


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
                read_by_people = endpoint == "pages.api_docs" or not path.startswith("/api/")
                allowed = (302,) if method == "GET" and read_by_people else (401,)
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


def test_what_is_anothers_own(app: Flask, sessions: Sessions) -> None:
    """Direct uploads and idempotency keys are their account's alone: to others of the same role they are as if they were not there."""
    mine, other, admin, viewer = (client_with(app, sessions, Role.EDITOR) for _ in range(4))
    for name, client in (("mine", mine), ("other", other)):
        client.token = create_token(sessions, name=name, role=Role.EDITOR)
    admin.token = create_token(sessions, name="admin", role=Role.ADMIN)
    viewer.token = create_token(sessions, name="viewer", role=Role.VIEWER)

    announced = {"sha256": sha256(make_png(seed=77)), "byte_size": len(make_png(seed=77))}
    begun = mine.post("/api/v1/uploads", json=announced).get_json()
    unknown = assert_problem(other.post("/api/v1/uploads/987654321/complete"), 404, "not_found")
    address = f"/api/v1/uploads/{begun['id']}"
    for method, path in (("POST", begun["complete_url"]), ("DELETE", address)):
        refused = assert_problem(other.open(path, method=method), 404, "not_found")
        assert refused["detail"].replace(f" {begun['id']} ", " ").replace(f" {begun['id']}:", ":") == unknown["detail"].replace(
            " 987654321", ""
        )
        assert_problem(viewer.open(path, method=method), 403, "forbidden")
    assert_problem(mine.post(begun["complete_url"]), 409, "upload_incomplete")
    assert_problem(admin.post(begun["complete_url"]), 409, "upload_incomplete")
    # Another's upload of the same bytes is an upload of its own.
    theirs = other.post("/api/v1/uploads", json=announced).get_json()
    assert theirs["id"] != begun["id"]
    assert theirs["fields"]["key"] != begun["fields"]["key"]
    assert mine.delete(address).status_code == 204

    key = {"Idempotency-Key": "the-same-for-both"}
    first = mine.post("/api/v1/images", data=form_of(make_png(seed=78)), headers=key)
    second = other.post("/api/v1/images", data=form_of(make_png(seed=79)), headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.get_json()["id"] != second.get_json()["id"]
    assert_problem(
        mine.post("/api/v1/images", data=form_of(make_png(seed=79)), headers=key),
        422,
        "idempotency_key_reused",
        field="Idempotency-Key",
    )


# Values that a row has and that no request may set.
KEPT_BACK = (
    "id", "sha256", "object_key", "byte_size", "state", "width", "height", "channels", "bit_depth", "color_type", "source", "png", "exif",
    "taken_at", "created_by", "created_at", "ready_at", "lease_until", "damage", "damaged_at", "verified_at", "label", "label_id", "tags", "links",
)  # fmt: skip


def test_nothing_else_of_a_picture_can_be_set(app: Flask, sessions: Sessions) -> None:
    editor = client_with(app, sessions, Role.EDITOR)
    image = editor.post("/api/v1/images", data=form_of()).get_json()
    address = image["links"]["self"]
    before = rows(sessions, "SELECT to_jsonb(i) FROM pixref.image i")
    assert {column for (row,) in before for column in row} - {"split", "attributes", "original_name"} <= set(KEPT_BACK)
    for name in KEPT_BACK:
        value: Any = image.get(name, 1)
        assert_problem(editor.patch(address, json={"split": "test", name: value}), 422, "invalid_request", field=name)
    assert_problem(editor.patch(address, json={}), 422, "invalid_request", field="body")
    for body, field in (
        ({"split": "Not So"}, "split"),
        ({"attributes": None}, "attributes"),
        ({"attributes": {"a": "\x00"}}, "attributes"),
    ):
        assert_problem(editor.patch(address, json=body), 422, "invalid_request", field=field)
    assert rows(sessions, "SELECT to_jsonb(i) FROM pixref.image i") == before
    changed = editor.patch(address, json={"split": "test", "attributes": {"n": 1}, "original_name": "dir/ä.png"}).get_json()
    assert (changed["split"], changed["attributes"], changed["original_name"]) == ("test", {"n": 1}, "ä.png")
    assert editor.patch(address, json={"split": None}).get_json() == {**changed, "split": None}
    editor.delete(address)
    assert_problem(editor.patch(address, json={"split": "x"}), 404, "not_found")
