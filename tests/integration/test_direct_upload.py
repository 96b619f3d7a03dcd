"""Direct uploads: clients put the bytes into the bucket, and a picture comes of them only when they are what was announced; whatever dies."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from schema.queries.direct import DIRECT_LEASE, abandon_expired_direct_uploads
from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import local_actor
from service.embedded.minio import MinioServer
from service.errors import BadImage, Busy, Conflict, Invalid, NotFound, TooLarge, TooManyPixels, UploadIncomplete
from service.pictures.damage import mark_damaged
from service.pictures.delete import delete_image, restore_image
from service.pictures.direct import (
    FORM_LIFETIME_S,
    DirectUploadForm,
    abort_direct_upload,
    begin_direct_upload,
    complete_direct_upload,
)
from service.pictures.fetch import read_bytes, reference
from service.pictures.search import get_image
from service.pictures.upload import Description, Uploaded
from service.png import PngLimits
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from storage.base import ObjectStore, PresignedPost, StoreError, StoreTimeout, StoreUnavailable
from storage.minio_store import MinioStore
from storage.provision import ensure_scoped_key
from tests.conftest import ROOT_PASSWORD, ROOT_USER
from tests.factories import (
    BIG,
    StepStore,
    add_image,
    add_upload,
    assert_in_step,
    execute,
    expire_leases,
    make_png,
    object_key,
    objects,
    one,
    raising,
    replace_object,
    rows,
    sha256,
    together,
)

LIMITS = PngLimits()


@pytest.fixture
def other(sessions: Sessions) -> Actor:
    return replace(local_actor(sessions, "other"), role=Role.EDITOR)


@pytest.fixture
def editor(sessions: Sessions) -> Actor:
    return replace(local_actor(sessions, "tester"), role=Role.EDITOR)


def begin(sessions: Sessions, store: ObjectStore, actor: Actor, data: bytes, **description: object) -> DirectUploadForm:
    begun = begin_direct_upload(
        sessions,
        store,
        sha256(data),
        len(data),
        Description(**description),  # type: ignore[arg-type]
        limits=LIMITS,
        actor=actor,
        now=datetime.now(UTC),
    )
    assert isinstance(begun, DirectUploadForm)
    return begun


def post(form: PresignedPost, data: bytes, **changed: str) -> int:
    """Send the form as a browser does; return the status."""
    fields: dict[str, Any] = {**form.fields, **changed, "file": ("digit.png", data, "image/png")}
    return urllib3.request("POST", form.url, fields=fields, retries=False, timeout=5.0).status


def put(sessions: Sessions, store: ObjectStore, actor: Actor, data: bytes, **description: object) -> DirectUploadForm:
    """Begin an upload and post its bytes."""
    begun = begin(sessions, store, actor, data, **description)
    assert post(begun.form, data) == 204
    return begun


def complete(sessions: Sessions, store: ObjectStore, actor: Actor, begun: DirectUploadForm) -> Uploaded:
    return complete_direct_upload(sessions, store, begun.upload_id, limits=LIMITS, actor=actor)


def open_uploads(sessions: Sessions) -> int:
    count: int = one(sessions, "SELECT count(*) FROM pixref.direct_upload")
    return count


def finish(sessions: Sessions, store: ObjectStore) -> None:
    """Let the time pass after which every upload is over, run the upkeep, and assert that nothing is left."""
    execute(sessions, "UPDATE pixref.direct_upload SET lease_until = now() - interval '1 s'")
    with sessions() as session, session.begin():
        abandon_expired_direct_uploads(session, limit=100)
    expire_leases(sessions)
    sweep(sessions, store)
    assert open_uploads(sessions) == 0
    assert_in_step(sessions, store)


def test_a_direct_upload_is_a_picture_like_any_other(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    data = make_png(BIG, BIG)
    attributes = {"camera": "M3", "note": "ü🦒"}
    begun = put(
        sessions, store, editor, data, original_name="x/a.png", label=" 7 ", tags=["b", "a"], split="train", attributes=attributes
    )
    assert rows(sessions, "SELECT id FROM pixref.image") == []

    done = complete(sessions, store, editor, begun)

    assert done.created
    info = get_image(sessions, done.image_id)
    assert (info.sha256, info.byte_size, info.width) == (sha256(data), len(data), BIG)
    assert (info.original_name, info.label, info.tags, info.split) == ("a.png", "7", ["a", "b"], "train")
    assert info.attributes == attributes
    found = "SELECT source, created_by FROM pixref.image"
    assert rows(sessions, found) == [("direct", editor.account_id)]
    assert open_uploads(sessions) == 0
    assert object_key(sessions, done.image_id) != begun.form.fields["key"]
    finish(sessions, store)
    assert read_bytes(store, reference(sessions, done.image_id)) == data


def test_the_lease_outlives_the_form(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    begun = begin(sessions, store, editor, make_png())

    lease = one(sessions, "SELECT lease_until FROM pixref.direct_upload")

    assert timedelta(seconds=FORM_LIFETIME_S) < DIRECT_LEASE
    assert begun.form.expires_at < lease - timedelta(minutes=30)


def test_bytes_that_are_here_need_not_be_sent(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    data = make_png()
    image_id = add_image(sessions, store, editor, data)

    found = begin_direct_upload(
        sessions, store, sha256(data), len(data), Description(), limits=LIMITS, actor=editor, now=datetime.now(UTC)
    )

    assert found == image_id
    assert open_uploads(sessions) == 0


def test_a_damaged_picture_is_healed(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    data = make_png(BIG, BIG)
    image_id = add_image(sessions, store, editor, data)
    key = object_key(sessions, image_id)
    store.delete_object(key)
    assert mark_damaged(sessions, image_id, key, "lost")

    done = complete(sessions, store, editor, put(sessions, store, editor, data))

    assert done == Uploaded(image_id, created=False)
    assert read_bytes(store, reference(sessions, image_id)) == data
    finish(sessions, store)


def test_more_bytes_than_the_limit_are_refused_before_they_are_sent(
    sessions: Sessions, store: ObjectStore, editor: Actor
) -> None:
    with pytest.raises(TooLarge, match="PIXREF_MAX_UPLOAD_MIB") as caught:
        begin_direct_upload(
            sessions, store, "0" * 64, LIMITS.max_bytes + 1, Description(), limits=LIMITS, actor=editor, now=datetime.now(UTC)
        )
    assert caught.value.field == "byte_size"
    assert open_uploads(sessions) == 0


def test_completed_before_the_bytes_are_there(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    data = make_png()
    begun = begin(sessions, store, editor, data)

    with pytest.raises(UploadIncomplete):
        complete(sessions, store, editor, begun)

    assert post(begun.form, data) == 204
    assert complete(sessions, store, editor, begun).created
    finish(sessions, store)


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"\0", lambda data: data + b"\0", lambda data: data[:-1]])
def test_other_bytes_than_announced_are_refused(
    sessions: Sessions, store: ObjectStore, editor: Actor, change: Callable[[bytes], bytes]
) -> None:
    """As of a server that knows no field for the digest, or bytes that changed in the bucket."""
    data = make_png()
    begun = put(sessions, store, editor, data)
    changed = change(data)
    replace_object(store, begun.form.fields["key"], changed)

    with pytest.raises(BadImage, match="begin another upload") as caught:
        complete(sessions, store, editor, begun)

    assert caught.value.reason == "not_as_announced"
    if len(changed) <= len(data):
        assert sha256(data) in caught.value.detail
        assert sha256(changed) in caught.value.detail
    assert rows(sessions, "SELECT id FROM pixref.image") == []
    with pytest.raises(NotFound):
        complete(sessions, store, editor, begun)
    finish(sessions, store)
    assert objects(store) == set()


@pytest.mark.parametrize(
    ("data", "limits", "error"),
    [
        (b"GIF89a, and no picture", LIMITS, BadImage),
        (make_png(seed=1)[:-4], LIMITS, BadImage),
        (make_png(10, 10, seed=1), PngLimits(max_pixels=99), TooManyPixels),
    ],
)
def test_what_is_announced_and_no_picture_is_refused(
    sessions: Sessions, store: ObjectStore, editor: Actor, data: bytes, limits: PngLimits, error: type[Invalid]
) -> None:
    begun = put(sessions, store, editor, data)

    with pytest.raises(error):
        complete_direct_upload(sessions, store, begun.upload_id, limits=limits, actor=editor)

    assert open_uploads(sessions) == 0
    finish(sessions, store)
    assert objects(store) == set()


def test_completing_again_gives_the_same_picture(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    begun = put(sessions, store, editor, make_png())
    first = complete(sessions, store, editor, begun)

    for _ in range(3):
        assert complete(sessions, store, editor, begun) == Uploaded(first.image_id, created=False)
    finish(sessions, store)
    assert complete(sessions, store, editor, begun).image_id == first.image_id


def test_completing_again_never_brings_a_deleted_picture_back(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    begun = put(sessions, store, editor, make_png())
    image_id = complete(sessions, store, editor, begun).image_id
    delete_image(sessions, image_id, keep=timedelta(days=7))

    with pytest.raises(Conflict, match="was deleted"):
        complete(sessions, store, editor, begun)

    restore_image(sessions, image_id)
    assert complete(sessions, store, editor, begun).image_id == image_id
    delete_image(sessions, image_id)
    sweep(sessions, store)
    with pytest.raises(NotFound):
        complete(sessions, store, editor, begun)
    finish(sessions, store)
    assert objects(store) == set()


def test_the_form_that_is_sent_again_changes_no_picture(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    data = make_png(BIG, BIG)
    begun = put(sessions, store, editor, data)
    image_id = complete(sessions, store, editor, begun).image_id

    assert post(begun.form, data) == 204
    replace_object(store, begun.form.fields["key"], data[:-1] + b"\0")

    assert read_bytes(store, reference(sessions, image_id)) == data
    # The sweep waits until no form can put the object there again.
    sweep(sessions, store)
    assert one(sessions, "SELECT due_at > now() + interval '50 min' FROM pixref.object_deletion")
    assert begun.form.fields["key"] in objects(store)
    finish(sessions, store)


def test_completed_many_times_at_once(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    begun = put(sessions, store, editor, make_png(BIG, BIG))

    done = together(6, lambda _: complete(sessions, store, editor, begun))

    assert len({each.image_id for each in done}) == 1
    assert sum(each.created for each in done) == 1
    finish(sessions, store)


def test_the_same_bytes_by_many_ways_at_once(sessions: Sessions, store: ObjectStore, editor: Actor, other: Actor) -> None:
    data = make_png(BIG, BIG)
    begun = [put(sessions, store, actor, data) for actor in (editor, editor, other)]

    def work(number: int) -> Uploaded:
        if number < 2:
            return complete(sessions, store, editor, begun[number])
        return complete(sessions, store, other, begun[2]) if number == 2 else add_upload(sessions, store, editor, data)

    done = together(4, work)

    assert len({each.image_id for each in done}) == 1
    assert sum(each.created for each in done) == 1
    finish(sessions, store)


def test_an_upload_is_its_accounts_own(sessions: Sessions, store: ObjectStore, editor: Actor, other: Actor) -> None:
    begun = put(sessions, store, editor, make_png())
    missing = begun.upload_id + 1

    for act in (
        lambda upload_id: complete_direct_upload(sessions, store, upload_id, limits=LIMITS, actor=other),
        lambda upload_id: abort_direct_upload(sessions, upload_id, actor=other),
    ):
        details = []
        for upload_id in (begun.upload_id, missing):
            with pytest.raises(NotFound) as caught:
                act(upload_id)
            details.append(caught.value.detail.replace(f"upload {upload_id} ", "upload N "))
        assert details[0] == details[1]

    admin = local_actor(sessions, "admin")
    assert admin.role is Role.ADMIN
    done = complete(sessions, store, admin, begun)
    assert done.created
    assert complete(sessions, store, admin, begun) == Uploaded(done.image_id, created=False)
    finish(sessions, store)


@pytest.mark.parametrize("upload_id", [0, -1, 2**63, 10**30])
def test_ids_that_no_row_has(sessions: Sessions, store: ObjectStore, actor: Actor, upload_id: int) -> None:
    with pytest.raises(NotFound):
        complete_direct_upload(sessions, store, upload_id, limits=LIMITS, actor=actor)
    with pytest.raises(NotFound):
        abort_direct_upload(sessions, upload_id, actor=actor)


def test_aborted(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    data = make_png()
    begun = begin(sessions, store, editor, data)

    abort_direct_upload(sessions, begun.upload_id, actor=editor)

    with pytest.raises(NotFound):
        abort_direct_upload(sessions, begun.upload_id, actor=editor)
    assert post(begun.form, data) == 204  # the form is still good
    with pytest.raises(NotFound):
        complete(sessions, store, editor, begun)
    sweep(sessions, store)
    assert len(objects(store)) == 1
    finish(sessions, store)
    assert objects(store) == set()


def test_uploads_that_nobody_completes_are_swept_when_their_lease_is_over(
    sessions: Sessions, store: ObjectStore, editor: Actor
) -> None:
    begun = [put(sessions, store, editor, make_png()) for _ in range(5)]

    def abandon(limit: int = 2) -> int:
        with sessions() as session, session.begin():
            return abandon_expired_direct_uploads(session, limit=limit)

    assert abandon() == 0
    execute(
        sessions,
        "UPDATE pixref.direct_upload SET lease_until = now() - interval '1 s' WHERE id <> :id",
        id=begun[0].upload_id,
    )
    with sessions() as session, session.begin():  # another sweeper holds two
        assert abandon_expired_direct_uploads(session, limit=2) == 2
        assert abandon(limit=10) == 2
    assert abandon() == 0
    sweep(sessions, store)
    assert objects(store) == {begun[0].form.fields["key"]}
    assert complete(sessions, store, editor, begun[0]).created
    finish(sessions, store)


def test_fsck_knows_what_lies_there_for_direct_uploads(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    put(sessions, store, editor, make_png())
    completed = put(sessions, store, editor, make_png())
    complete(sessions, store, editor, completed)

    report = fsck(sessions, store, repair=True, deep=True, grace=timedelta(minutes=-1))

    assert report.objects == 3
    assert report.clean, report


def test_whoever_has_no_room_for_the_bytes_may_refuse_before_they_are_read(
    sessions: Sessions, store: ObjectStore, editor: Actor
) -> None:
    data = make_png()
    begun = put(sessions, store, editor, data)

    def refuse(byte_size: int) -> None:
        assert byte_size == len(data)
        raise Busy("no room")

    unread = StepStore(store, before=raising(AssertionError("the bytes were read"), at="get"))
    with pytest.raises(Busy):
        complete_direct_upload(sessions, unread, begun.upload_id, limits=LIMITS, actor=editor, admit=refuse)

    assert complete(sessions, store, editor, begun).created
    finish(sessions, store)


@pytest.mark.parametrize("error", [StoreUnavailable, StoreTimeout])
@pytest.mark.parametrize("step", ["before get", "before put", "after put"])
def test_the_store_fails(sessions: Sessions, store: ObjectStore, editor: Actor, error: type[StoreError], step: str) -> None:
    begun = put(sessions, store, editor, make_png(BIG, BIG))
    when, _, at = step.partition(" ")
    failing = StepStore(store, **{when: raising(error("told to", "bucket", "endpoint"), at=at)})

    with pytest.raises(error):
        complete(sessions, failing, editor, begun)

    assert complete(sessions, store, editor, begun).created
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'READY'") == 1
    finish(sessions, store)


def test_the_upkeep_and_an_abort_overtake_a_completion(sessions: Sessions, store: ObjectStore, editor: Actor) -> None:
    def expire(step: str) -> None:
        if step == "put":
            execute(sessions, "UPDATE pixref.direct_upload SET lease_until = now() - interval '1 s'")
            with sessions() as session, session.begin():
                assert abandon_expired_direct_uploads(session, limit=10) == 1
            sweep(sessions, store)

    begun = put(sessions, store, editor, make_png(BIG, BIG))
    assert complete(sessions, StepStore(store, before=expire), editor, begun).created

    begun = put(sessions, store, editor, make_png(BIG, BIG))
    aborting = StepStore(store, after=lambda step: abort_direct_upload(sessions, begun.upload_id, actor=editor))
    done = complete(sessions, aborting, editor, begun)
    assert complete(sessions, store, editor, begun) == Uploaded(done.image_id, created=False)
    finish(sessions, store)


CHILD = """
import sys
from schema.session import Sessions, open_engine
from service.accounts.tokens import local_actor
from service.failpoints import arm
from service.pictures.direct import complete_direct_upload
from service.png import PngLimits
from storage.minio_store import MinioStore

url, endpoint, bucket, user, password, upload_id, place = sys.argv[1:]
arm(f"{place}=kill")
store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
sessions = Sessions(open_engine(url, application_name="victim"))
complete_direct_upload(sessions, store, int(upload_id), limits=PngLimits(), actor=local_actor(sessions, "tester"))
"""


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("direct.begun", False),
        ("direct.fetched", False),
        ("upload.begun", False),
        ("upload.stored", False),
        ("direct.kept", True),
        ("direct.done", True),
    ],
)
@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "given up"])
def test_kill_9(
    sessions: Sessions,
    store: ObjectStore,
    minio: MinioServer,
    bucket: str,
    database_url: str,
    actor: Actor,
    place: str,
    kept: bool,
    repeated: bool,
) -> None:
    begun = put(sessions, store, actor, make_png(BIG, BIG))
    arguments = [database_url, minio.endpoint, bucket, ROOT_USER, ROOT_PASSWORD, str(begun.upload_id), place]

    died = subprocess.run([sys.executable, "-c", CHILD, *arguments], cwd=Path(__file__).resolve().parents[2], check=False)

    assert died.returncode == -signal.SIGKILL
    if repeated:
        assert complete(sessions, store, actor, begun).created is not kept
    finish(sessions, store)
    assert one(sessions, "SELECT count(*) FROM pixref.image") == int(kept or repeated)
    # Over and swept, it can be completed again only by who has completed it before.
    if kept or repeated:
        assert not complete(sessions, store, actor, begun).created
    else:
        with pytest.raises(NotFound):
            complete(sessions, store, actor, begun)


def test_the_applications_own_key_allows_the_form_and_no_more(
    sessions: Sessions, minio: MinioServer, bucket: str, editor: Actor
) -> None:
    key, secret = f"app-{uuid4().hex[:12]}", "a-secret-for-the-app"
    ensure_scoped_key(
        minio.endpoint,
        root_access_key=ROOT_USER,
        root_secret_key=ROOT_PASSWORD,
        access_key=key,
        secret_key=secret,
        bucket=bucket,
    )
    scoped = MinioStore(minio.endpoint, bucket=bucket, access_key=key, secret_key=secret)
    data = make_png()
    begun = begin(sessions, scoped, editor, data)

    # A field of MinIO's own, which its check of the form passes over: it asks for the bytes under other keys.
    assert post(begun.form, data, **{"x-minio-fanout-list": '{"key": "images/a"}'}) == 403
    assert objects(scoped) == set()
    assert post(begun.form, data) == 204
    assert complete(sessions, scoped, editor, begun).created
    finish(sessions, scoped)
