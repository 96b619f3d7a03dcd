"""Whether each part works, as one sentence that says what is wrong and how to mend it. Readiness and `pixref doctor` ask the same."""

import io
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from urllib.parse import urlsplit

import urllib3
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from schema.revision import HEAD, current_revision
from schema.session import Sessions
from service.errors import (
    DatabaseUnavailable,
    ModelUnavailable,
    NotFound,
    PixrefError,
    StorageMisconfigured,
    StorageUnavailable,
    Unavailable,
)
from service.faults import translate
from service.models.serving import ModelRef, ModelServer
from storage.base import ObjectStore, StoreError
from storage.keys import new_probe_key

# Signatures are refused beyond 15 minutes; a clock that is off by this much is on its way there.
CLOCK_TOLERANCE_S = 60
PROBE_TIMEOUT_S = 5
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _no_database(exc: SQLAlchemyError) -> PixrefError:
    reason = str(getattr(exc, "orig", exc)).strip().splitlines()[0]
    return DatabaseUnavailable(f"the database cannot be used ({reason}): check DATABASE_URL, and that PostgreSQL runs")


def check_connection(sessions: Sessions) -> None:
    """Raise `PixrefError` unless the database answers."""
    try:
        with sessions() as session:
            session.scalar(select(1))
    except SQLAlchemyError as exc:
        raise _no_database(exc) from exc


def check_database(sessions: Sessions) -> None:
    """Raise `PixrefError` unless the database is at the revision that this code needs."""
    try:
        with sessions() as session:
            at = current_revision(session.connection())
    except SQLAlchemyError as exc:
        raise _no_database(exc) from exc
    if at != HEAD:
        raise DatabaseUnavailable(f"the database is at revision {at or 'none'}, this release needs {HEAD}: run `pixref init`")


def check_bucket(store: ObjectStore) -> None:
    """Raise `PixrefError` unless the bucket answers a signed request."""
    try:
        store.check_bucket()
    except StoreError as exc:
        raise StorageUnavailable(
            f"{exc}: check S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET, then run `pixref init`"
        ) from exc


def _fetch_as_browser(url: str, endpoint: str) -> urllib3.BaseHTTPResponse:
    """Fetch a presigned URL; where its host is this machine's loopback to browsers but not to us (in a container), through `endpoint`.

    The name of the public host is then sent as the header that is part of the signature, so the signature is checked all the same.
    """
    public, ours = urlsplit(url), urlsplit(endpoint)
    headers = {}
    if public.hostname in LOOPBACK and ours.hostname not in LOOPBACK:
        headers["Host"] = public.netloc
        url = public._replace(scheme=ours.scheme, netloc=ours.netloc).geturl()
    return urllib3.request("GET", url, headers=headers, timeout=PROBE_TIMEOUT_S, retries=False)


def check_signing(store: ObjectStore, endpoint: str, *, lifetime_s: int) -> None:
    """Write a probe, fetch it by a presigned URL from the public endpoint as a browser would, and remove it."""
    data, key = b"pixref", new_probe_key()
    try:
        store.put_object(key, io.BytesIO(data), size=len(data), sha256=sha256(data).hexdigest(), media_type="text/plain")
        link = store.presign_get(key, now=datetime.now(UTC), lifetime_s=lifetime_s, media_type="text/plain")
        try:
            answer = _fetch_as_browser(link.url, endpoint)
        except urllib3.exceptions.HTTPError as exc:
            raise StorageMisconfigured(
                f"presigned URLs do not work ({type(exc).__name__}): set S3_PUBLIC_ENDPOINT to the address at which browsers reach the store"
            ) from None
        finally:
            store.delete_object(key)
    except StoreError as exc:
        raise StorageUnavailable(str(exc)) from exc
    if answer.status != 200 or answer.data != data:
        raise StorageMisconfigured(
            f"presigned URLs are answered with status {answer.status}: set S3_PUBLIC_ENDPOINT to the address at which browsers reach the store"
        )


def check_clock(sessions: Sessions, endpoint: str) -> None:
    """Raise `PixrefError` when this machine's, the database's and the store's clocks differ by more than a minute."""
    try:
        with sessions() as session:
            database = session.scalars(select(func.clock_timestamp())).one()
        answer = urllib3.request("GET", endpoint, timeout=PROBE_TIMEOUT_S, retries=False)
    except SQLAlchemyError as exc:
        raise _no_database(exc) from exc
    except urllib3.exceptions.HTTPError as exc:
        raise StorageUnavailable(f"the store did not tell its time ({type(exc).__name__}): check S3_ENDPOINT") from None
    now = datetime.now(UTC)
    store = parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else now
    for name, theirs in (("database", database), ("store", store)):
        off_s = abs((theirs - now).total_seconds())
        if off_s > CLOCK_TOLERANCE_S:
            raise Unavailable(f"the clock of the {name} and ours differ by {off_s:.0f} s: set both by NTP")


def check_model(models: ModelServer) -> None:
    """Raise `PixrefError` unless the built-in model is loaded and runs."""
    try:
        models.get(ModelRef())
    except NotFound:
        raise ModelUnavailable("the built-in model is not registered: run `pixref init`") from None
    except (StoreError, SQLAlchemyError) as exc:
        raise translate(exc) or PixrefError("the built-in model cannot be loaded") from exc
