"""AWS Signature Version 4 for the three requests that we sign ourselves. Pure: no network, no clock.

Links (`presign_get`): a gallery page asks for a hundred at once, and the vendor's client derives the day's signing key
anew for each; kept for the day, a link costs a quarter.
Writes (`sign_put`): the vendor's client can neither send `If-None-Match` nor take a known digest; it reads the whole body
into memory and hashes it again.
Forms (`presign_post`): the vendor's client signs them for the endpoint that it talks to, not for the one that browsers reach,
and at a time of its own.

All give byte for byte what the vendor's signer gives, which the tests compare.
"""

import base64
import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_MAX_EXPIRES_S = 604_800  # S3's own limit: seven days
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_FILENAME_CHARS = 120
# What quoting leaves as it is; and names that need no care in a header. Most are such, and the general way takes twenty times as long.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_PLAIN_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{_MAX_FILENAME_CHARS}}}")
_PLAIN_HEADER = re.compile(r"[A-Za-z0-9._~;=\"*' -]*")
_QUOTED = [(char, quote(char, safe="")) for char in "; =\"*'"]


@dataclass(frozen=True, slots=True)
class _Links:
    """What all links have in common that are signed for the same moment, lifetime and type."""

    signed: str
    typed: str
    tail: str
    message: bytes
    key: bytes


class Signer:
    """Signs path-style requests to one bucket at one endpoint, with one key."""

    def __init__(self, endpoint_url: str, *, bucket: str, access_key: str, secret_key: str, region: str) -> None:
        scheme, self.host = split_endpoint(endpoint_url)
        self._origin = f"{scheme}://{self.host}"
        self._bucket = bucket
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._day_key: tuple[str, bytes] = ("", b"")
        self._links: tuple[object, _Links | None] = (None, None)

    def url(self, key: str) -> str:
        """Return the unsigned URL of an object."""
        return self._origin + self._path(key)

    def presign_get(
        self, key: str, *, signed_at: datetime, expires_s: int, media_type: str | None = None, disposition: str | None = None
    ) -> str:
        """Sign a GET of one object, valid for `expires_s` seconds (1 to 604,800) from `signed_at` (aware).

        `media_type` and `disposition`, where given, become the answer's Content-Type and Content-Disposition.
        """
        if not 1 <= expires_s <= _MAX_EXPIRES_S:
            raise ValueError(f"a presigned URL lives 1 to {_MAX_EXPIRES_S} seconds, not {expires_s}")
        # Read and written as one tuple, as the day's key is: threads that race at worst put it together twice.
        moment, (known, links) = (signed_at, expires_s, media_type), self._links
        if links is None or known != moment:
            links = self._links_of(signed_at, expires_s, media_type)
            self._links = (moment, links)
        path = self._path(key)
        named = f"response-content-disposition={_quote_header(disposition)}" if disposition is not None else ""
        joint = "&" if named and links.typed else ""
        overrides = f"{named}{joint}{links.typed}"
        # The canonical query is sorted: `X` comes before `r`. The URL keeps the vendor's order, overrides first.
        canonical = f"GET\n{path}\n{links.signed}{'&' if overrides else ''}{overrides}{links.tail}"
        message = links.message + hashlib.sha256(canonical.encode()).hexdigest().encode()
        signature = hmac.digest(links.key, message, "sha256").hex()
        return f"{self._origin}{path}?{overrides}{'&' if overrides else ''}{links.signed}&X-Amz-Signature={signature}"

    def _links_of(self, signed_at: datetime, expires_s: int, media_type: str | None) -> "_Links":
        timestamp, scope = self._timestamp_and_scope(signed_at)
        return _Links(
            signed=f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={quote(f'{self._access_key}/{scope}', safe='')}"
            f"&X-Amz-Date={timestamp}&X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host",
            typed=f"response-content-type={quote(media_type, safe='')}" if media_type is not None else "",
            tail=f"\nhost:{self.host}\n\nhost\nUNSIGNED-PAYLOAD",
            message=f"{_ALGORITHM}\n{timestamp}\n{scope}\n".encode(),
            key=self._key_of_day(timestamp[:8]),
        )

    def sign_put(self, key: str, *, signed_at: datetime, sha256: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return `headers` and those that sign a PUT of a body with this digest (hex); all but Content-Length are signed.

        Names in `headers` are lower-case; values have neither outer nor doubled spaces.
        """
        timestamp, scope = self._timestamp_and_scope(signed_at)
        signed = {**headers, "host": self.host, "x-amz-content-sha256": sha256, "x-amz-date": timestamp}
        names = sorted(signed)
        listed = ";".join(names)
        lines = "\n".join(f"{name}:{signed[name]}" for name in names)
        signature = self._signature(f"PUT\n{self._path(key)}\n\n{lines}\n\n{listed}\n{sha256}", timestamp, scope)
        credential = f"Credential={self._access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
        return {**signed, "authorization": f"{_ALGORITHM} {credential}"}

    def presign_post(
        self, key: str, *, signed_at: datetime, expires_at: datetime, size: int, fields: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """Sign a form that puts one object of exactly `size` bytes until `expires_at` (both times aware); return its URL and its fields.

        The form has exactly these `fields`, besides the key and the signature's own, and its last part is the `file`.
        """
        timestamp, scope = self._timestamp_and_scope(signed_at)
        exact = {"key": key, **fields}
        signing = {"x-amz-algorithm": _ALGORITHM, "x-amz-credential": f"{self._access_key}/{scope}", "x-amz-date": timestamp}
        policy = {
            "expiration": expires_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "conditions": [
                ["eq", "$bucket", self._bucket],
                *(["eq", f"${name}", value] for name, value in exact.items()),
                ["content-length-range", size, size],
                *(["eq", f"${name}", value] for name, value in signing.items()),
            ],
        }
        encoded = base64.b64encode(json.dumps(policy).encode()).decode()
        signature = hmac.new(self._key_of_day(timestamp[:8]), encoded.encode(), hashlib.sha256).hexdigest()
        return f"{self._origin}/{self._bucket}", {**exact, **signing, "policy": encoded, "x-amz-signature": signature}

    def _path(self, key: str) -> str:
        return f"/{self._bucket}/{key if _PLAIN_PATH.fullmatch(key) else quote(key, safe='/')}"

    def _timestamp_and_scope(self, signed_at: datetime) -> tuple[str, str]:
        timestamp = f"{signed_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        return timestamp, f"{timestamp[:8]}/{self._region}/s3/aws4_request"

    def _signature(self, canonical_request: str, timestamp: str, scope: str) -> str:
        digest = hashlib.sha256(canonical_request.encode()).hexdigest()
        message = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
        return hmac.new(self._key_of_day(timestamp[:8]), message.encode(), hashlib.sha256).hexdigest()

    def _key_of_day(self, day: str) -> bytes:
        # Read and written as one tuple: threads that race over midnight at worst derive the key twice.
        cached_day, key = self._day_key
        if cached_day != day:
            key = f"AWS4{self._secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day_key = (day, key)
        return key


def signing_window(now: datetime, lifetime_s: int) -> tuple[datetime, timedelta]:
    """Return when to sign and for how long, so that one URL serves a whole window of `lifetime_s` seconds.

    Whenever the URL is handed out within the window, it stays valid for more than `lifetime_s` and at most twice that.
    """
    if not 1 <= lifetime_s <= _MAX_EXPIRES_S // 2:
        raise ValueError(f"the lifetime of a presigned URL is 1 to {_MAX_EXPIRES_S // 2} seconds, not {lifetime_s}")
    seconds = int(now.timestamp())
    return datetime.fromtimestamp(seconds - seconds % lifetime_s, UTC), timedelta(seconds=2 * lifetime_s)


def content_disposition(filename: str | None, *, inline: bool) -> str:
    """Build a Content-Disposition (RFC 6266) that is plain ASCII whatever the name holds.

    Control characters, direction marks and path separators are dropped from the name; old clients get an ASCII
    stand-in, all others the name itself.
    """
    kind = "inline" if inline else "attachment"
    if filename is None:
        return kind
    if _PLAIN_NAME.fullmatch(filename):
        return f"{kind}; filename=\"{filename}\"; filename*=UTF-8''{filename}"
    # Categories C*: controls (CR, LF), format characters (RTL marks that disguise an extension), lone surrogates.
    kept = "".join(c for c in filename if unicodedata.category(c)[0] != "C" and unicodedata.category(c) not in ("Zl", "Zp"))
    name = re.sub(r"[/\\]", "_", kept).strip()[:_MAX_FILENAME_CHARS]
    if not name:
        return kind
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    fallback = re.sub(r"[^A-Za-z0-9 ._()+-]", "_", plain).strip() or "file"
    encoded = quote(name, safe="!#$&+-.^_`|~")
    return f"{kind}; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"


def _quote_header(value: str) -> str:
    if not _PLAIN_HEADER.fullmatch(value):
        return quote(value, safe="")
    for char, quoted in _QUOTED:
        value = value.replace(char, quoted)
    return value


def split_endpoint(url: str) -> tuple[str, str]:
    """Split an endpoint such as `http://127.0.0.1:9000` into scheme and host, as both stand in a signed request.

    The host is in lower case and without the scheme's own port, because that is how clients send it. Anything but
    scheme, host and port raises ValueError.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"not a port in the endpoint {_without_user(url)!r}") from exc
    extra = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or extra:
        raise ValueError(f"an endpoint is http(s)://host[:port] and nothing more, not {_without_user(url)!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"


def _without_user(url: str) -> str:
    return re.sub(r"//[^/]*@", "//***@", url)
