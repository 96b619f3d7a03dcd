"""`pixref init`'s half in the store: the bucket and the key that opens it and nothing else."""

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import urllib3
from minio import Minio

from service.embedded.ports import free_port
from storage.base import AdminUnsupported, BucketPublic, StoreDenied, StoreError, StoreUnavailable
from storage.minio_store import MinioStore
from storage.provision import ensure_bucket, ensure_scoped_key
from tests.servers import S3Server

SECRET = "a-secret-for-the-app"


@pytest.fixture
def bucket() -> str:
    return f"test-{uuid4()}"


@pytest.fixture
def app_key() -> str:
    return f"app-{uuid4().hex[:12]}"


def make_bucket(server: S3Server, bucket: str) -> None:
    ensure_bucket(server.endpoint, access_key=server.access_key, secret_key=server.secret_key, bucket=bucket)


def make_key(server: S3Server, bucket: str, app_key: str, secret: str = SECRET, root_secret: str | None = None) -> MinioStore:
    ensure_scoped_key(
        server.endpoint,
        root_access_key=server.access_key,
        root_secret_key=root_secret or server.secret_key,
        access_key=app_key,
        secret_key=secret,
        bucket=bucket,
    )
    return MinioStore(server.endpoint, bucket=bucket, access_key=app_key, secret_key=secret)


def put(store: MinioStore, key: str, data: bytes = b"picture") -> None:
    store.put_object(key, io.BytesIO(data), size=len(data), sha256=hashlib.sha256(data).hexdigest(), media_type="image/png")


def root_client(server: S3Server) -> Minio:
    host = server.endpoint.removeprefix("http://")
    return Minio(endpoint=host, access_key=server.access_key, secret_key=server.secret_key, secure=False, region="us-east-1")


def test_the_scoped_key_can_do_all_that_the_app_does(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    make_bucket(s3_minio, bucket)
    store = make_key(s3_minio, bucket, app_key)

    store.check_bucket()
    put(store, "images/a")
    assert store.get_object("images/a") == b"picture"
    assert store.stat_object("images/none") is None
    assert [info.key for info in store.list_objects()] == ["images/a"]
    store.delete_objects(["images/a"])
    store.delete_object("images/a")


def test_the_scoped_key_opens_no_other_bucket_and_administers_nothing(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    other = f"test-{uuid4()}"
    for name in (bucket, other):
        make_bucket(s3_minio, name)
    put(s3_minio.store(other), "images/a")
    make_key(s3_minio, bucket, app_key)
    stranger = MinioStore(s3_minio.endpoint, bucket=other, access_key=app_key, secret_key=SECRET)

    for act in (
        stranger.check_bucket,
        lambda: stranger.get_object("images/a"),
        lambda: stranger.stat_object("images/a"),
        lambda: put(stranger, "images/b"),
        lambda: stranger.delete_object("images/a"),
        lambda: stranger.delete_objects(["images/a"]),
        lambda: list(stranger.list_objects()),
        lambda: ensure_bucket(s3_minio.endpoint, access_key=app_key, secret_key=SECRET, bucket=f"test-{uuid4()}"),
        lambda: ensure_scoped_key(
            s3_minio.endpoint,
            root_access_key=app_key,
            root_secret_key=SECRET,
            access_key="another-key",
            secret_key=SECRET,
            bucket=other,
        ),
    ):
        with pytest.raises(StoreDenied):
            act()
    assert s3_minio.store(other).get_object("images/a") == b"picture"


def test_provisioning_again_changes_nothing_and_keeps_objects(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    make_bucket(s3_minio, bucket)
    store = make_key(s3_minio, bucket, app_key)
    put(store, "images/a")

    make_bucket(s3_minio, bucket)
    make_key(s3_minio, bucket, app_key)

    assert store.get_object("images/a") == b"picture"


def test_two_at_once(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    def provision(_: int) -> None:
        make_bucket(s3_minio, bucket)
        make_key(s3_minio, bucket, app_key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(provision, range(8)))

    MinioStore(s3_minio.endpoint, bucket=bucket, access_key=app_key, secret_key=SECRET).check_bucket()


def test_a_new_secret_replaces_the_old_one(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    make_bucket(s3_minio, bucket)
    old = make_key(s3_minio, bucket, app_key)
    new = make_key(s3_minio, bucket, app_key, secret="another-secret-for-the-app")

    new.check_bucket()
    with pytest.raises(StoreDenied):
        old.check_bucket()


def test_a_key_that_moves_to_another_bucket_loses_the_first(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    second = f"test-{uuid4()}"
    for name in (bucket, second):
        make_bucket(s3_minio, name)
    first_store = make_key(s3_minio, bucket, app_key)
    make_key(s3_minio, second, app_key).check_bucket()

    with pytest.raises(StoreDenied):
        first_store.check_bucket()


def test_a_fresh_bucket_is_private(s3_minio: S3Server, bucket: str) -> None:
    make_bucket(s3_minio, bucket)
    put(s3_minio.store(bucket), "images/a")

    for path in (bucket, f"{bucket}/images/a", f"{bucket}/images/none"):
        assert urllib3.request("GET", f"{s3_minio.endpoint}/{path}", retries=False).status == 403


@pytest.mark.parametrize(("action", "resource"), [("s3:GetObject", "/*"), ("s3:ListBucket", "")])
def test_a_bucket_that_strangers_can_read_is_refused(s3_minio: S3Server, bucket: str, action: str, resource: str) -> None:
    make_bucket(s3_minio, bucket)
    everyone = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": [action],
        "Resource": [f"arn:aws:s3:::{bucket}{resource}"],
    }
    root_client(s3_minio).set_bucket_policy(
        bucket_name=bucket, policy=json.dumps({"Version": "2012-10-17", "Statement": [everyone]})
    )

    with pytest.raises(BucketPublic, match="remove its bucket policy"):
        make_bucket(s3_minio, bucket)


def test_wrong_root_credentials(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    with pytest.raises(StoreDenied) as caught:
        ensure_bucket(s3_minio.endpoint, access_key=s3_minio.access_key, secret_key="wrong-root-secret", bucket=bucket)
    assert "wrong-root-secret" not in repr(caught.value)

    with pytest.raises(StoreDenied, match="root credentials") as caught:
        make_key(s3_minio, bucket, app_key, root_secret="wrong-root-secret")
    assert "wrong-root-secret" not in repr(caught.value)


def test_the_root_key_cannot_be_the_apps(s3_minio: S3Server, bucket: str) -> None:
    with pytest.raises(ValueError, match="differ from the root user's"):
        make_key(s3_minio, bucket, s3_minio.access_key)


def test_a_secret_that_the_server_refuses(s3_minio: S3Server, bucket: str, app_key: str) -> None:
    make_bucket(s3_minio, bucket)
    with pytest.raises(StoreError, match="admin API refused") as caught:
        make_key(s3_minio, bucket, app_key, secret="short")
    assert type(caught.value) is StoreError


def test_no_server(bucket: str, app_key: str) -> None:
    nothing = S3Server("nothing", f"http://127.0.0.1:{free_port()}", "nobody", "nobody-secret")
    with pytest.raises(StoreUnavailable):
        make_bucket(nothing, bucket)
    with pytest.raises(StoreUnavailable):
        make_key(nothing, bucket, app_key)


def test_a_server_that_is_not_minio_gets_its_bucket_but_no_key(s3_versity: S3Server, bucket: str, app_key: str) -> None:
    make_bucket(s3_versity, bucket)
    make_bucket(s3_versity, bucket)
    s3_versity.store(bucket).check_bucket()
    with pytest.raises(AdminUnsupported, match="no MinIO admin API"):
        make_key(s3_versity, bucket, app_key)
