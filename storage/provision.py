"""Prepare a server for us with root credentials: the bucket, and a key that can touch nothing else. For `pixref init` only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.minioadmin import MinioAdmin

from storage import transport
from storage.base import AdminUnsupported, BucketPublic, StoreDenied, StoreError, StoreUnavailable
from storage.signing import split_endpoint
from storage.translate import translated

_OBJECT_ACTIONS = [
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
]
_BUCKET_ACTIONS = ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"]


def ensure_bucket(endpoint_url: str, *, access_key: str, secret_key: str, bucket: str, region: str = "us-east-1") -> None:
    """Make the bucket if it is missing, and make sure that strangers cannot read it.

    Safe to repeat and to run twice at once. Raises BucketPublic for a bucket that somebody opened (its policy is left as
    it is), StoreDenied for wrong credentials or a name that another account owns.
    """
    with translated(bucket, endpoint_url):
        client = _client(endpoint_url, region, access_key, secret_key)
        if not client.bucket_exists(bucket_name=bucket):
            try:
                client.make_bucket(bucket_name=bucket, location=region)
            except S3Error as exc:
                if exc.code != "BucketAlreadyOwnedByYou":  # another run was faster
                    raise
        if _policy_names_everyone(client, bucket) or _anyone_can_list(_client(endpoint_url, region), bucket):
            raise BucketPublic("strangers may read the bucket; remove its bucket policy", bucket, endpoint_url)


def ensure_scoped_key(
    endpoint_url: str,
    *,
    root_access_key: str,
    root_secret_key: str,
    access_key: str,
    secret_key: str,
    bucket: str,
    region: str = "us-east-1",
) -> None:
    """Make or change the user `access_key` so that this secret, and no other, opens this bucket, and nothing else.

    Safe to repeat and to run twice at once; a new `secret_key` replaces the old one. Raises StoreDenied for wrong root
    credentials, AdminUnsupported where the server is not MinIO: a key has to be made there with the server's own tools.
    """
    if access_key == root_access_key:
        raise ValueError("the app's S3 access key has to differ from the root user's: a root key cannot be scoped")
    scheme, host = split_endpoint(endpoint_url)
    policy_name = f"pixref-{bucket}"
    with translated(bucket, endpoint_url), _admin_errors(bucket, endpoint_url):
        admin = MinioAdmin(
            endpoint=host,
            credentials=StaticProvider(root_access_key, root_secret_key),
            region=region,
            secure=scheme == "https",
            http_client=transport.new_pool(max_connections=1),
        )
        admin.policy_add(policy_name=policy_name, policy=bucket_policy(bucket))
        admin.user_add(access_key=access_key, secret_key=secret_key)
        # Sets the list of the user's policies: attaching would leave in place whatever wider policy it had before.
        admin.policy_set(policy_name=policy_name, user=access_key)


def bucket_policy(bucket: str) -> dict[str, Any]:
    """Build the policy that allows reading, writing, deleting and listing in one bucket."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": _BUCKET_ACTIONS, "Resource": [f"arn:aws:s3:::{bucket}"]},
            {"Effect": "Allow", "Action": _OBJECT_ACTIONS, "Resource": [f"arn:aws:s3:::{bucket}/*"]},
        ],
    }


def _client(endpoint_url: str, region: str, access_key: str | None = None, secret_key: str | None = None) -> Minio:
    scheme, host = split_endpoint(endpoint_url)
    return Minio(
        endpoint=host,
        access_key=access_key,
        secret_key=secret_key,
        secure=scheme == "https",
        region=region,
        http_client=transport.new_pool(max_connections=1),
    )


def _policy_names_everyone(client: Minio, bucket: str) -> bool:
    try:
        policy = json.loads(client.get_bucket_policy(bucket_name=bucket))
    except S3Error as exc:
        if exc.code == "NoSuchBucketPolicy":
            return False
        raise
    return any(
        statement["Effect"] == "Allow" and "*" in json.dumps(statement.get("Principal")) for statement in policy["Statement"]
    )


def _anyone_can_list(anonymous: Minio, bucket: str) -> bool:
    """Try it: on servers with access lists a bucket can be open without a policy."""
    try:
        next(anonymous.list_objects(bucket_name=bucket), None)
    except S3Error as exc:
        if exc.response.status in (401, 403):
            return False
        raise
    return True


@contextmanager
def _admin_errors(bucket: str, endpoint: str) -> Iterator[None]:
    try:
        yield
    except MinioAdminException as exc:
        status, body = int(exc._code), exc._body  # the client offers the status in no other way
        kind: type[StoreError]
        if status in (401, 403):
            kind, reason = StoreDenied, "the root credentials are wrong or may not administer the server"
        elif status >= 500:
            kind, reason = StoreUnavailable, f"the server's admin API failed with HTTP status {status}"
        elif "XMinio" in body:
            kind, reason = StoreError, f"the server's admin API refused: {body}"
        else:
            reason = "the server has no MinIO admin API: make a key for the bucket with its own tools and set it"
            kind = AdminUnsupported
        raise kind(reason, bucket, endpoint) from exc
