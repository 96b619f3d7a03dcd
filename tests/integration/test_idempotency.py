"""`Idempotency-Key`: the same key leads to the same picture, through repeats, races and crashes."""

from datetime import timedelta

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.pictures.delete import delete_image
from service.pictures.upload import Description, upload_image
from service.png import PngLimits
from service.upkeep.sweep import sweep
from storage.base import ObjectStore, StoreUnavailable
from tests.conftest import TokenClient
from tests.factories import (
    StepStore,
    assert_in_step,
    assert_problem,
    execute,
    expire_leases,
    form_of,
    make_png,
    one,
    raising,
    rows,
    together,
)

API = "/api/v1/images"


def post(client: TokenClient, data: bytes, key: str, **fields: str) -> tuple[int, dict[str, object]]:
    answer = client.post(API, data=form_of(data, **fields), headers={"Idempotency-Key": key})
    return answer.status_code, answer.get_json()


def test_the_same_key_gives_the_same_picture(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    data = make_png()
    status, first = post(editor_client, data, "k-1", label="7")
    assert status == 201
    for _ in range(3):
        assert post(editor_client, data, "k-1", label="7") == (200, first)
    assert post(editor_client, data, "k-2", label="7") == (200, first)
    assert one(sessions, "SELECT count(*) FROM pixref.idempotency_key") == 2
    assert_in_step(sessions, store)


def test_another_request_under_the_same_key(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    data = make_png()
    post(editor_client, data, "k", label="7")
    for other, label in ((make_png(), "7"), (data, "8")):
        answer = editor_client.post(API, data=form_of(other, label=label), headers={"Idempotency-Key": "k"})
        assert_problem(answer, 422, "idempotency_key_reused", field="Idempotency-Key")
    assert one(sessions, "SELECT count(*) FROM pixref.image") == 1
    assert_in_step(sessions, store)


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256, "\x7f"])
def test_keys_that_are_none(editor_client: TokenClient, key: str) -> None:
    answer = editor_client.post(API, data=form_of(), headers={"Idempotency-Key": key})
    assert_problem(answer, 422, "invalid_request", field="Idempotency-Key")


def test_a_repeat_never_brings_back_what_was_deleted(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    data = make_png()
    _, first = post(editor_client, data, "k")
    delete_image(sessions, int(str(first["id"])), keep=timedelta(days=1))
    for gone in (False, True):
        answer = editor_client.post(API, data=form_of(data), headers={"Idempotency-Key": "k"})
        assert_problem(answer, 409, "conflict")
        assert one(sessions, "SELECT count(*) FROM pixref.image") == int(not gone)
        expire_trash(sessions)
        sweep(sessions, store)
    assert post(editor_client, data, "another")[0] == 201
    execute(sessions, "UPDATE pixref.idempotency_key SET created_at = now() - interval '25 h'")
    sweep(sessions, store)
    assert one(sessions, "SELECT count(*) FROM pixref.idempotency_key") == 0


def expire_trash(sessions: Sessions) -> None:
    execute(sessions, "UPDATE pixref.object_deletion SET due_at = now()")


def test_an_attempt_that_failed_leaves_the_key_free(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    data, description = make_png(), Description(label="7")

    def upload(to: ObjectStore) -> int:
        done = upload_image(sessions, to, data, description, limits=PngLimits(), source="test", actor=actor, idempotency_key="k")
        return done.image_id

    for at, error in (("put", StoreUnavailable("told to", "bucket", "endpoint")), ("put", KeyboardInterrupt())):
        with pytest.raises(type(error)):
            upload(StepStore(store, before=raising(error, at=at)))
        with pytest.raises(type(error)):
            upload(StepStore(store, after=raising(error, at=at)))
    image_id = upload(store)
    assert upload(store) == image_id
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_races_under_one_key(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    """Eight at once: the same request gives one picture and eight good answers; two different ones give one picture and refusals."""
    for different in (False, True):
        pictures = [make_png(), make_png()]

        def upload(number: int, pictures: list[bytes] = pictures, different: bool = different) -> int | str:
            try:
                return upload_image(
                    sessions,
                    store,
                    pictures[number % 2 if different else 0],
                    Description(),
                    limits=PngLimits(),
                    source="test",
                    actor=actor,
                    idempotency_key=f"race-{different}",
                ).image_id
            except Exception as exc:
                return getattr(exc, "code", repr(exc))

        outcomes = together(8, upload)
        ids = {outcome for outcome in outcomes if isinstance(outcome, int)}
        assert len(ids) == 1, outcomes
        assert {outcome for outcome in outcomes if not isinstance(outcome, int)} <= (
            {"idempotency_key_reused"} if different else set()
        )
    assert len(rows(sessions, "SELECT 1 FROM catalog.images")) == 2
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
