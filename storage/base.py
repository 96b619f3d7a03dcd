"""The contract of an object store, and everything that can go wrong with one.

    StoreError                 the server refused for a reason not listed below
    ├── ObjectNotFound         no object under this key
    ├── ObjectExists           the key is taken; keys are written once
    ├── ObjectTooLarge         more bytes than the caller can take
    ├── ChecksumMismatch       the bytes that arrived are not those that were declared
    ├── StoreUnavailable       refused, reset, cut short, 5xx, or not an S3 server at all
    │   └── StoreBusy          alive, and asks for a pause (503 SlowDown)
    ├── StoreTimeout           no answer in time
    ├── StoreFull              no space left, or a quota reached
    └── StoreMisconfigured     stays wrong until somebody changes a setting
        ├── StoreDenied        wrong key, wrong secret, or not allowed
        ├── StoreClockSkew     our clock and the server's differ: links by a minute, requests by 15 minutes
        ├── BucketMissing      the bucket does not exist; never made at run time
        ├── BucketPublic       strangers may read the bucket
        └── AdminUnsupported   the server has no MinIO admin API

Every message names bucket and endpoint and never a secret; the vendor's exception is chained as the cause.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol


class StoreError(Exception):
    """Base of every failure of the object store."""

    def __init__(self, reason: str, bucket: str, endpoint: str, key: str | None = None) -> None:
        # All four go to `args`, so that the error survives the pickling between processes.
        super().__init__(reason, bucket, endpoint, key)
        self.reason = reason
        self.bucket = bucket
        self.endpoint = endpoint
        self.key = key

    def __str__(self) -> str:
        subject = f"object {self.key!r} in bucket" if self.key is not None else "bucket"
        return f"{self.reason} ({subject} {self.bucket!r} at {self.endpoint})"


class ObjectNotFound(StoreError):
    pass


class ObjectExists(StoreError):
    pass


class ObjectTooLarge(StoreError):
    pass


class ChecksumMismatch(StoreError):
    pass


class StoreUnavailable(StoreError):
    pass


class StoreBusy(StoreUnavailable):
    pass


class StoreTimeout(StoreError):
    pass


class StoreFull(StoreError):
    pass


class StoreMisconfigured(StoreError):
    pass


class StoreDenied(StoreMisconfigured):
    pass


class StoreClockSkew(StoreMisconfigured):
    pass


class BucketMissing(StoreMisconfigured):
    pass


class BucketPublic(StoreMisconfigured):
    pass


class AdminUnsupported(StoreMisconfigured):
    pass


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the store knows of an object.

    `size` is in bytes; `last_modified` is aware, in UTC; `sha256` (hex) is what the writer declared, None where the
    object was written by others and in listings, which do not carry it.
    """

    key: str
    size: int
    last_modified: datetime
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ObjectUpload:
    """One object of a bulk write. `sha256` is the hex digest of `data`."""

    key: str
    data: bytes = field(repr=False)
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """An object's bytes on their way: `size` bytes in all, handed out once by `chunks`."""

    size: int
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class PresignedURL:
    """A link that fetches one object without a key until `expires_at` (aware, UTC). Whoever holds it can read: never log it."""

    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form (multipart/form-data) that puts one object without a key until `expires_at` (aware, UTC).

    It goes to `url` with `fields`, in any order, and after them the bytes as a part named `file`. Whoever holds it can write: never log it.
    """

    url: str
    fields: dict[str, str] = field(repr=False)
    expires_at: datetime


class ObjectStore(Protocol):
    """One bucket: moves bytes by key. Thread-safe, and safe to carry over a fork.

    Any method that talks to the server may raise StoreUnavailable, StoreBusy, StoreTimeout or StoreMisconfigured; the
    docstrings name what else. Every method may be called again after a failure.
    """

    def check_bucket(self) -> None:
        """Ask the server by a signed request whether the bucket can be used; raise the StoreError that says why not."""

    def put_object(self, key: str, body: BinaryIO, *, size: int, sha256: str, media_type: str) -> None:
        """Write an object once.

        `body` is seekable and is read from its start, again for a retry; `size` is in bytes, `sha256` in hex, and the
        server refuses bytes that do not have this digest.
        Raises ObjectExists if the key is taken, ChecksumMismatch, StoreFull, and ValueError if `body` is not `size` long.
        A StoreTimeout or StoreUnavailable leaves open whether the object exists: go on with a fresh key.
        """

    def put_objects(self, items: Iterable[ObjectUpload]) -> None:
        """Write many small objects, in batches, so that `items` may be longer than memory.

        Keys have to be fresh: the server's bulk write replaces what is there. Each object arrives whole or not at all;
        after an error any of the batch's objects may exist. Raises as `put_object` does.
        """

    def get_object(self, key: str, *, max_size: int | None = None) -> bytes:
        """Return an object's bytes, all of them.

        Raises ObjectNotFound, and ObjectTooLarge before reading if there are more than `max_size` bytes.
        """

    def open_object(self, key: str, *, offset: int = 0, length: int | None = None) -> AbstractContextManager[ObjectStream]:
        """Open an object, or `length` bytes of it from `offset`, for reading in chunks.

        A body that ends early raises StoreUnavailable out of `chunks`; it never just stops. A range that reaches past
        the end is cut; one that starts there raises StoreError. Raises ObjectNotFound on entry.

            with store.open_object(key) as stream:
                for chunk in stream.chunks:
                    out.write(chunk)
        """

    def stat_object(self, key: str) -> ObjectInfo | None:
        """Describe an object; None if the key is free. A missing bucket raises BucketMissing, it is not an absence."""

    def delete_object(self, key: str) -> None:
        """Remove an object. A key that is already free is a success."""

    def delete_objects(self, keys: Iterable[str]) -> None:
        """Remove many objects, in batches. Free keys are successes; the first refusal is raised after the last batch."""

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Walk over all objects whose key starts with `prefix`, in the order of the keys' bytes, page by page."""

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
        """Sign a link to an object, without asking the server, whether or not the object exists.

        Raises StoreClockSkew while the server's answers say that our clocks differ by more than a minute: the link would live shorter than it says.

        The link lives longer than `lifetime_s` and at most twice as long: within a window of `lifetime_s` seconds the
        same link comes back, so that browsers can cache what it leads to. `lifetime_s` is 1 to 302,400 (3.5 days).
        The answer to it has `media_type`, and `filename` as the name to save under.
        """

    def presign_post(
        self, key: str, *, now: datetime, lifetime_s: int, size: int, sha256: str, media_type: str = "image/png"
    ) -> PresignedPost:
        """Sign a form by which others put exactly this object, without asking the server: this key, type and length (in bytes).

        The server also refuses bytes that do not have the digest `sha256` (hex), as far as it knows the field for that; MinIO and Versity do.
        Unlike `put_object`, the form may be sent again, and replaces the object, until it expires `lifetime_s` seconds from `now`; a body
        that is on its way then may still arrive. Raises StoreClockSkew as `presign_get` does.
        """
