"""Requests to the service, which carry the token, and to the bucket, which never do.

What can be repeated without harm is: reading, and uploads under an Idempotency-Key. Between the tries is what the answer's Retry-After asks
for, or a quarter of a second, doubled each time, with some chance in it.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from pixref.encoding import JSON, body
from pixref.errors import PixrefError, UnexpectedAnswer, Unreachable, plain_error, problem_error

API = "/api/v1/"
CONNECT_S = 10.0
FIRST_PAUSE_S = 0.25
WIDEST_PAUSE_S = 8.0
LONGEST_PAUSE_S = 30.0
"""Who asks for a longer pause than this is not waited for."""

BUSY = "busy"
BUSY_RETRIES = 20
"""A service that takes no more large uploads at once is not broken; whoever sends many of them waits for a turn."""

_PROBLEM = "application/problem+json"
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SERVICE_DOWN = "start the service (`make run`), or name its address by Client(url=...) or PIXREF_URL"
_BUCKET_DOWN = (
    "the picture's link leads to the bucket, which must be reachable from this machine at the service's S3_PUBLIC_ENDPOINT; "
    "with PIXREF_FILE_DELIVERY=stream pictures come through the service"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read whole, or as far as the limit on its body."""

    status: int
    url: str
    headers: httpx.Headers
    content: bytes

    def json(self) -> Any:
        """Return the JSON of the body. Raises `UnexpectedAnswer`."""
        try:
            if self.headers.get("Content-Type", "").partition(";")[0].strip() == JSON:
                return json.loads(self.content)
        except ValueError:
            pass
        raise UnexpectedAnswer(
            f"{self.url} did not answer with JSON: there is another server than Pixref, or a proxy, at this address",
            code="unexpected_answer",
            status=self.status,
        )

    @property
    def location(self) -> str | None:
        """Where a redirect leads."""
        place = self.headers.get("Location") if self.status in (301, 302, 303, 307, 308) else None
        return urljoin(self.url, place) if place else None

    def error(self) -> PixrefError:
        """Return what a status of 400 and more means."""
        if self.headers.get("Content-Type", "").partition(";")[0].strip() == _PROBLEM:
            try:
                problem = json.loads(self.content)
            except ValueError:
                problem = None
            if isinstance(problem, dict):
                return problem_error(self.status, problem)
        return plain_error(self.status, origin(self.url))


class Transport:
    """Two pools of connections; thread-safe."""

    def __init__(self, url: str, token: str, *, timeout_s: float, retries: int, connections: int) -> None:
        """`url` and `token` must have been checked."""
        self.url = url
        self._retries = retries
        self._timeout_s = timeout_s
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        trusted = httpx.create_ssl_context()  # once for both: reading all certificates takes a while
        both = {"User-Agent": "pixref-client"}
        authorized = {**both, "Authorization": f"Bearer {token}"}
        plain = {**both, "Accept-Encoding": "identity"}
        self._service = httpx.Client(headers=authorized, timeout=timeout, limits=limits, verify=trusted)
        self._bucket = httpx.Client(headers=plain, timeout=timeout, limits=limits, verify=trusted)

    def close(self) -> None:
        self._service.close()
        self._bucket.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool | None = None,
        params: Iterable[tuple[str, str]] = (),
        send: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int | None = None,
        redirects: bool = False,
    ) -> Answer:
        """Ask the service at a path below /api/v1/; `send` is a JSON body, `limit` the most bytes of an answer that are read.

        `repeatable` is true of GET unless it is given. Raises `PixrefError`; a redirect is one, unless `redirects` are allowed.
        """
        given = dict(headers or {})
        if send is not None:
            content, given["Content-Type"] = body(send), JSON
        url = httpx.URL(self.url + API + path, params=list(params) or None)
        answer = self._repeat(
            lambda: self._once(self._service, method, url, limit, content=content, headers=given),
            url=str(url),
            repeatable=method == "GET" if repeatable is None else repeatable,
            bucket=False,
        )
        if answer.location is not None and not redirects:
            raise UnexpectedAnswer(
                f"{origin(self.url)} sends elsewhere, to {origin(answer.location)}: name the final address by Client(url=...)",
                code="unexpected_answer",
                status=answer.status,
            )
        return answer

    def bucket_get(self, url: str, *, limit: int) -> Answer:
        """Read an object by a presigned URL, at most `limit` bytes; an answer of 400 to 499 is returned, not raised."""
        return self._repeat(lambda: self._once(self._bucket, "GET", httpx.URL(url), limit), url=url, repeatable=True, bucket=True)

    def bucket_post(self, url: str, content_type: str, content: bytes) -> Answer:
        """Send a presigned form; an answer of 400 to 499 is returned, not raised."""
        headers = {"Content-Type": content_type}
        return self._repeat(
            lambda: self._once(self._bucket, "POST", httpx.URL(url), None, content=content, headers=headers),
            url=url,
            repeatable=True,  # the form puts the same bytes under the same key
            bucket=True,
        )

    def _once(self, client: httpx.Client, method: str, url: httpx.URL, limit: int | None, **options: Any) -> Answer:
        with client.stream(method, url, **options) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if limit is not None and size > limit and response.is_success:
                    break
        return Answer(response.status_code, str(url), response.headers, b"".join(parts))

    def _repeat(self, ask: Callable[[], Answer], *, url: str, repeatable: bool, bucket: bool) -> Answer:
        """Ask until there is an answer that is none to repeat. Raises `PixrefError` for every error but the bucket's own refusals."""
        for attempt in count():
            pause_s = min(FIRST_PAUSE_S * 2**attempt, WIDEST_PAUSE_S) * random.uniform(0.75, 1.25)  # noqa: S311  (spreads clients)
            retries = self._retries
            try:
                answer = ask()
            except httpx.RequestError as exc:
                error: PixrefError = self._unreachable(exc, url, _BUCKET_DOWN if bucket else _SERVICE_DOWN)
                again = repeatable or isinstance(exc, _NEVER_SENT)
            else:
                if answer.status < 400 or (bucket and answer.status < 500):
                    return answer
                error = answer.error()
                again = repeatable and error.retryable
                pause_s = _retry_after_s(answer.headers.get("Retry-After")) or pause_s
                if retries and error.code == BUSY:
                    retries = max(retries, BUSY_RETRIES)
            if not again or attempt >= retries or pause_s > LONGEST_PAUSE_S:
                raise error from None
            time.sleep(pause_s)
        raise AssertionError("counting does not end")

    def _unreachable(self, exc: httpx.RequestError, url: str, way_out: str) -> Unreachable:
        place = origin(url)
        if isinstance(exc, httpx.TimeoutException) and not isinstance(exc, httpx.ConnectTimeout):
            detail = f"{place} did not answer within {self._timeout_s:g} s: try later, or give it longer by Client(timeout_s=...)"
        elif isinstance(exc, _NEVER_SENT):
            detail = f"nothing answers at {place} ({exc}): {way_out}"
        else:
            detail = f"the connection to {place} broke ({exc}): try again; where it was a change, look first whether it was made"
        return Unreachable(detail, code="unreachable", retryable=True)


def origin(url: str) -> str:
    """Return scheme, host and port of a URL: what may be told, where the rest may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _retry_after_s(value: str | None) -> float | None:
    """Read Retry-After: seconds, or a date."""
    if not value:
        return None
    try:
        return float(value) if value.strip().isdecimal() else max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
