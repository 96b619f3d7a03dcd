"""From what the vendor's client and the HTTP library raise to our StoreError tree. The only place that knows both."""

from collections.abc import Iterator
from contextlib import contextmanager

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from storage.base import (
    BucketMissing,
    ChecksumMismatch,
    ObjectNotFound,
    StoreBusy,
    StoreClockSkew,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreTimeout,
    StoreUnavailable,
)

_BY_CODE: dict[str, tuple[type[StoreError], str]] = {
    "NoSuchKey": (ObjectNotFound, "the object does not exist"),
    "NoSuchBucket": (BucketMissing, "the bucket does not exist; `pixref init` makes it"),
    "XAmzContentSHA256Mismatch": (ChecksumMismatch, "the bytes do not have the declared SHA-256"),
    "BadDigest": (ChecksumMismatch, "the bytes do not have the declared digest"),
    "RequestTimeTooSkewed": (StoreClockSkew, "the clocks differ by more than 15 minutes: set this machine's or the server's"),
    "AccessDenied": (StoreDenied, "access denied"),
    "InvalidAccessKeyId": (StoreDenied, "the server does not know this access key"),
    "XAdminUserNotFound": (StoreDenied, "the server does not know this access key"),  # Versity, with status 404
    "SignatureDoesNotMatch": (StoreDenied, "the secret key does not belong to the access key"),
    "XMinioStorageFull": (StoreFull, "the server's disk is full"),
    "XMinioAdminBucketQuotaExceeded": (StoreFull, "the bucket's quota is reached"),
    "QuotaExceeded": (StoreFull, "the bucket's quota is reached"),
    "XMinioServerNotInitialized": (StoreUnavailable, "the server is still starting"),
    "ConditionalRequestConflict": (StoreBusy, "another write of this key is under way"),
}
_BY_STATUS: dict[int, tuple[type[StoreError], str]] = {
    403: (StoreDenied, "access denied"),
    429: (StoreBusy, "the server asks to slow down"),
    507: (StoreFull, "the server's disk is full"),
}


@contextmanager
def translated(bucket: str, endpoint: str, key: str | None = None) -> Iterator[None]:
    """Raise what goes wrong inside as the fitting StoreError, the original chained as its cause."""
    try:
        yield
    # ElementTree's ParseError is a SyntaxError; OSError covers sockets that the HTTP library lets through.
    except (MinioException, HTTPError, OSError, SyntaxError) as exc:
        kind, reason = _classify(exc)
        raise kind(reason, bucket, endpoint, key) from exc


def _classify(exc: Exception) -> tuple[type[StoreError], str]:
    if isinstance(exc, S3Error):
        return classify_answer(exc.code or "", exc.response.status)
    if isinstance(exc, ServerError):
        return classify_answer("", exc.status_code)
    if isinstance(exc, (InvalidResponseError, SyntaxError)):
        return StoreUnavailable, "the answer is not S3's; is this the address of an S3 server?"
    return _classify_transport(exc)


def classify_answer(code: str, status: int) -> tuple[type[StoreError], str]:
    """Return the class and the reason for an S3 error code ("" if there is none) and an HTTP status."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.startswith("SlowDown") or code in ("ServerBusy", "TooManyRequests"):
        return StoreBusy, f"the server asks to slow down ({code})"
    if status in _BY_STATUS:
        kind, reason = _BY_STATUS[status]
        return kind, f"{reason} ({code})" if code else reason
    if status >= 500:
        return StoreUnavailable, f"the server failed with HTTP status {status} {code}".rstrip()
    return StoreError, f"the server refused with HTTP status {status} {code}".rstrip()


def _classify_transport(exc: Exception) -> tuple[type[StoreError], str]:
    """Look inside: a timeout may arrive as MaxRetryError(ProtocolError(TimeoutError))."""
    inner: object = exc
    while isinstance(inner, BaseException):
        if isinstance(inner, ConnectionRefusedError):
            return StoreUnavailable, "the connection was refused; is the server running?"
        # NewConnectionError is derived from ConnectTimeoutError but means that connecting failed, for whatever reason.
        if isinstance(inner, (HTTPTimeoutError, TimeoutError)) and not isinstance(inner, NewConnectionError):
            return StoreTimeout, "the server did not answer in time"
        if isinstance(inner, MaxRetryError):
            inner = inner.reason
        else:
            inner = next((arg for arg in inner.args if isinstance(arg, BaseException)), inner.__cause__)
    return StoreUnavailable, "the connection failed or was cut"
