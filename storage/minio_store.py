"""The object store over S3, by way of `minio-py`: the only module that uses its client.

PUT requests are sent by ourselves over the same connection pool, because the client's `put_object` can send no
`If-None-Match` (it turns every header that it does not know into user metadata), reads the whole body into memory and
hashes it anew; the body's digest is known here and goes into the signature, so the server checks it. Errors are parsed by
the client's own classes.
"""

import os
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256 as new_sha256
from io import SEEK_END, BytesIO
from itertools import islice
from time import monotonic
from typing import Any, BinaryIO

from minio import Minio
from minio.datatypes import Object
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import S3Error, ServerError
from urllib3 import BaseHTTPResponse, PoolManager, Timeout

from storage import snowball, transport
from storage.base import (
    ObjectExists,
    ObjectInfo,
    ObjectNotFound,
    ObjectStream,
    ObjectTooLarge,
    ObjectUpload,
    PresignedPost,
    PresignedURL,
    StoreClockSkew,
    StoreDenied,
    StoreError,
    StoreTimeout,
    StoreUnavailable,
)
from storage.clock import StoreClock
from storage.keys import PROBE, new_probe_key
from storage.signing import Signer, content_disposition, signing_window, split_endpoint
from storage.translate import classify_answer, translated

KIB = 1024
MIB = 1024 * KIB

_CHUNK = 256 * KIB
_DELETE_BATCH = 250  # S3 takes 1,000, for which a busy server needs seconds
_BULK_OBJECTS = 500  # a busy server needs seconds for one request of 1,000
_BULK_BYTES = 8 * MIB
_BULK_REQUESTS = 2  # the next tar is packed while the server unpacks the last one; measured 1.2 times faster than one
_BULK_THREADS = 8
_META_SHA256 = "x-amz-meta-sha256"


@dataclass(frozen=True, slots=True)
class _Connection:
    """What must not be shared between processes: sockets, and the client on top of them."""

    pid: int
    http: PoolManager
    client: Minio


class MinioStore:
    """One bucket on MinIO or any other S3 server. Implements `ObjectStore`.

    Makes no connection until the first request, and new ones after a fork or in the process that it is sent to. Times are in seconds:
    `connect_timeout_s` and `read_timeout_s` bound each wait, `total_s` a whole `get_object` and all waits for one request of a bulk write.
    """

    def __init__(
        self,
        endpoint_url: str,
        *,
        bucket: str,
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        public_endpoint_url: str | None = None,
        connect_timeout_s: float = transport.CONNECT_TIMEOUT_S,
        read_timeout_s: float = transport.READ_TIMEOUT_S,
        total_s: float = 15.0,
        max_connections: int = 32,
    ) -> None:
        self._endpoint = endpoint_url
        self._bucket = bucket
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._total_s = total_s
        self._max_connections = max_connections
        self._signer = Signer(endpoint_url, bucket=bucket, access_key=access_key, secret_key=secret_key, region=region)
        # Links are fetched by browsers, to whom the server may have another name; the name is part of the signature.
        self._link_signer = Signer(
            public_endpoint_url or endpoint_url, bucket=bucket, access_key=access_key, secret_key=secret_key, region=region
        )
        self._connection: _Connection | None = None
        self._unpacks: bool | None = None
        self._clock = StoreClock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process, so that a store can be sent to another one."""
        return {name: value for name, value in vars(self).items() if name not in ("_connection", "_clock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _connection=None, _clock=StoreClock())

    def __repr__(self) -> str:
        return f"MinioStore(endpoint={self._endpoint!r}, bucket={self._bucket!r})"

    def check_bucket(self) -> None:
        with self._translated():
            client = self._connected().client
            try:
                if client.bucket_exists(bucket_name=self._bucket):
                    return
            except S3Error:
                pass
            # The answer to HEAD has no body to tell a missing bucket from a wrong key; the answer to this has.
            next(client.list_objects(bucket_name=self._bucket, prefix=PROBE), None)

    def put_object(self, key: str, body: BinaryIO, *, size: int, sha256: str, media_type: str) -> None:
        found = body.seek(0, SEEK_END)
        if found != size:
            raise ValueError(f"the body of {key!r} has {found} bytes, not {size}")
        headers = {"content-type": media_type, "if-none-match": "*", _META_SHA256: sha256}
        response = self._put(key, body, size=size, sha256=sha256, headers=headers, read_timeout_s=self._read_timeout_s)
        # A second try that finds the key taken may have met our own object, of a first try whose answer was lost.
        if response.status == 412 and not (_was_retried(response) and self._holds(key, size, sha256)):
            raise ObjectExists("the key is taken", self._bucket, self._endpoint, key)

    def put_objects(self, items: Iterable[ObjectUpload]) -> None:
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_BULK_THREADS, thread_name_prefix="put-objects") as pool:
            for batch in snowball.batches(items, max_objects=_BULK_OBJECTS, max_bytes=_BULK_BYTES):
                if len(batch) == 1 or not self._server_unpacks():
                    list(pool.map(self._put_one, batch))
                    continue
                if len(under_way) == _BULK_REQUESTS:
                    under_way.popleft().result()
                under_way.append(pool.submit(self._put_packed, batch, new_probe_key()))
            for request in under_way:
                request.result()

    def get_object(self, key: str, *, max_size: int | None = None) -> bytes:
        deadline = monotonic() + self._total_s
        with self.open_object(key) as stream:
            if max_size is not None and stream.size > max_size:
                reason = f"the object has {stream.size} bytes, more than {max_size}"
                raise ObjectTooLarge(reason, self._bucket, self._endpoint, key)
            data = bytearray()
            for chunk in stream.chunks:
                data += chunk
                if monotonic() > deadline:
                    raise StoreTimeout(f"not read within {self._total_s:g} s", self._bucket, self._endpoint, key)
        return bytes(data)

    @contextmanager
    def open_object(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[ObjectStream]:
        if offset < 0 or (length is not None and length < 1):
            raise ValueError(f"not a range: offset {offset}, length {length}")
        with self._translated(key):
            response = self._connected().client.get_object(
                bucket_name=self._bucket, object_name=key, offset=offset, length=length or 0
            )
        try:
            if (offset or length) and response.status != 206:
                raise StoreError("the server ignored the range", self._bucket, self._endpoint, key)
            size = response.length_remaining
            if size is None:
                raise StoreUnavailable("the answer does not tell its length", self._bucket, self._endpoint, key)
            yield ObjectStream(size, self._chunks(response, key, size))
        finally:
            # A connection with unread bytes is closed, one that was read to its end goes back to the pool.
            response.close()
            response.release_conn()

    def stat_object(self, key: str) -> ObjectInfo | None:
        try:
            with self._translated(key):
                found = self._connected().client.stat_object(bucket_name=self._bucket, object_name=key)
        except (ObjectNotFound, StoreDenied) as exc:
            self.check_bucket()  # raises what HEAD, which has no body, could not tell: no bucket, wrong key, wrong clock
            if isinstance(exc, StoreDenied):
                raise
            return None
        return self._info(found, (found.metadata or {}).get(_META_SHA256))

    def delete_object(self, key: str) -> None:
        with self._translated(key):
            self._connected().client.remove_object(bucket_name=self._bucket, object_name=key)

    def delete_objects(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        refused: list[DeleteError] = []
        while batch := [DeleteObject(key) for key in islice(remaining, _DELETE_BATCH)]:
            with self._translated():
                errors = self._connected().client.remove_objects(bucket_name=self._bucket, delete_object_list=batch)
                refused += [error for error in errors if error.code != "NoSuchKey"]
        if refused:
            kind, reason = classify_answer(refused[0].code, 200)
            raise kind(f"{len(refused)} objects were not removed: {reason}", self._bucket, self._endpoint, refused[0].name)

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._translated():
            found = self._connected().client.list_objects(bucket_name=self._bucket, prefix=prefix, recursive=True)
        while True:
            with self._translated():
                item = next(found, None)
            if item is None:
                return
            yield self._info(item, None)

    def presign_get(
        self,
        key: str,
        *,
        now: datetime,
        lifetime_s: int,
        filename: str | None = None,
        inline: bool = True,
        media_type: str = "image/png",
    ) -> PresignedURL:
        if self._clock.off_s is not None:
            self._refuse_by_clock()
        signed_at, valid_for = signing_window(now, lifetime_s)
        url = self._link_signer.presign_get(
            key,
            signed_at=signed_at,
            expires_s=2 * lifetime_s,
            media_type=media_type,
            disposition=content_disposition(filename, inline=inline),
        )
        return PresignedURL(url, signed_at + valid_for)

    def presign_post(
        self, key: str, *, now: datetime, lifetime_s: int, size: int, sha256: str, media_type: str = "image/png"
    ) -> PresignedPost:
        if self._clock.off_s is not None:
            self._refuse_by_clock()
        expires_at = now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=lifetime_s)
        fields = {
            "Content-Type": media_type,
            _META_SHA256: sha256,
            "x-amz-checksum-sha256": b64encode(bytes.fromhex(sha256)).decode(),
        }
        url, signed = self._link_signer.presign_post(key, signed_at=now, expires_at=expires_at, size=size, fields=fields)
        return PresignedPost(url, signed, expires_at)

    def _refuse_by_clock(self) -> None:
        """Raise StoreClockSkew unless the clocks agree again by now; a server that does not answer leaves what is known."""
        if self._clock.stale:
            with suppress(StoreError):
                self.check_bucket()
        off_s = self._clock.off_s
        if off_s is not None:
            direction = "behind" if off_s > 0 else "ahead of"
            raise StoreClockSkew(
                f"our clock is {abs(off_s):.0f} s {direction} the server's: set both by NTP", self._bucket, self._endpoint
            )

    def _connected(self) -> _Connection:
        connection = self._connection
        if connection is None or connection.pid != os.getpid():
            scheme, host = split_endpoint(self._endpoint)
            http = transport.new_pool(
                max_connections=self._max_connections,
                connect_timeout_s=self._connect_timeout_s,
                read_timeout_s=self._read_timeout_s,
                clock=self._clock,
            )
            client = Minio(
                endpoint=host,
                access_key=self._access_key,
                secret_key=self._secret_key,
                secure=scheme == "https",
                region=self._region,
                http_client=http,
            )
            # Threads that race here make a client each and use it; the last one stays.
            connection = self._connection = _Connection(os.getpid(), http, client)
        return connection

    def _translated(self, key: str | None = None) -> AbstractContextManager[None]:
        return translated(self._bucket, self._endpoint, key)

    def _put(
        self, key: str, body: BinaryIO, *, size: int, sha256: str, headers: Mapping[str, str], read_timeout_s: float
    ) -> BaseHTTPResponse:
        """Send one PUT from the start of `body`; return the answer if it is 200, or 412 to `If-None-Match`."""
        body.seek(0)
        signed = self._signer.sign_put(key, signed_at=datetime.now(UTC), sha256=sha256, headers=headers)
        with self._translated(key):
            response = self._connected().http.urlopen(
                "PUT",
                self._signer.url(key),
                body=body,
                headers={**signed, "content-length": str(size)},
                timeout=Timeout(connect=self._connect_timeout_s, read=read_timeout_s),
            )
            if response.status in (200, 412):
                return response
            if response.headers.get("content-type", "").startswith("application/xml"):
                raise S3Error.fromxml(response)
            raise ServerError(f"HTTP status {response.status}", response.status)

    def _info(self, found: Object, sha256: str | None) -> ObjectInfo:
        if found.object_name is None or found.size is None or found.last_modified is None:
            # Guessing a time could make a fresh object look old enough to be swept.
            raise StoreUnavailable("the answer lacks an object's name, size or time", self._bucket, self._endpoint)
        return ObjectInfo(found.object_name, found.size, found.last_modified.astimezone(UTC), sha256)

    def _holds(self, key: str, size: int, sha256: str) -> bool:
        info = self.stat_object(key)
        return info is not None and (info.size, info.sha256) == (size, sha256)

    def _put_one(self, item: ObjectUpload) -> None:
        self.put_object(item.key, BytesIO(item.data), size=len(item.data), sha256=item.sha256, media_type=item.media_type)

    def _put_packed(self, items: Iterable[ObjectUpload], tar_key: str) -> None:
        body, size, sha256 = snowball.pack(items)
        # The answer comes when all is unpacked, which takes longer than one object; there may be two tries.
        self._put(tar_key, body, size=size, sha256=sha256, headers=snowball.HEADERS, read_timeout_s=self._total_s / 2)

    def _server_unpacks(self) -> bool:
        """Find out, once, whether the server unpacks a tar: where it does not, it keeps the tar and reports success."""
        if self._unpacks is None:
            data = b"probe"
            digest = new_sha256(data).hexdigest()
            tar_key, *keys = [new_probe_key() for _ in range(3)]
            self._put_packed([ObjectUpload(key, data, digest, "text/plain") for key in keys], tar_key)
            try:
                found = [self.stat_object(key) for key in keys]
            finally:
                self.delete_objects([tar_key, *keys])
            self._unpacks = all(info is not None and info.sha256 == digest for info in found)
        return self._unpacks

    def _chunks(self, response: BaseHTTPResponse, key: str, size: int) -> Iterator[bytes]:
        received = 0
        parts = response.stream(_CHUNK, decode_content=False)
        while True:
            with self._translated(key):
                chunk = next(parts, b"")
            if not chunk:
                break
            received += len(chunk)
            yield chunk
        if received != size:
            raise StoreUnavailable(f"cut short after {received} of {size} bytes", self._bucket, self._endpoint, key)


def _was_retried(response: BaseHTTPResponse) -> bool:
    return response.retries is not None and bool(response.retries.history)
