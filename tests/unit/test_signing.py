"""Our signatures are the vendor's, byte for byte; links keep their window; file names cannot break a header."""

import hashlib
import json
import re
import string
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.datatypes import PostPolicy
from minio.signer import sign_v4_s3

from storage.signing import Signer, content_disposition, signing_window, split_endpoint

ACCESS_KEY, SECRET_KEY = "pixref-app", "a secret/with+odd=characters"

# The vendor takes no key with a control character; ours have none.
segments = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20).filter(
    lambda s: s not in (".", "..") and "/" not in s
)
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)
header_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40)
endpoints = st.sampled_from(
    [
        "http://127.0.0.1:9000",
        "https://files.example.org",
        "http://files.example.org:80",
        "https://files.example.org:8443/",
        "http://minio:9000",
        "https://files.example.org:443",
        "http://[::1]:9000",
    ]
)
regions = st.sampled_from(["us-east-1", "eu-central-1", "garage"])
first_day, last_day = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - the strategy adds the zone
moments = st.datetimes(first_day, last_day, timezones=st.sampled_from([UTC, timezone(timedelta(hours=9))]))


def signer_and_client(endpoint: str, region: str, bucket: str = "pictures") -> tuple[Signer, Minio]:
    parts = urlsplit(endpoint)
    client = Minio(
        endpoint=parts.netloc, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=parts.scheme == "https", region=region
    )
    return Signer(endpoint, bucket=bucket, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=region), client


@given(
    endpoint=endpoints,
    region=regions,
    key=keys,
    moment=moments,
    expires_s=st.integers(1, 604_800),
    media_type=st.none() | st.sampled_from(["image/png", "application/octet-stream"]),
    disposition=st.none() | header_text,
)
@example(
    "http://127.0.0.1:9000", "us-east-1", "images/a b+c~d/ü🦒%41.png", datetime(2026, 1, 1, tzinfo=UTC), 60, "image/png", "inline"
)
def test_links_are_identical_to_the_vendors(
    endpoint: str,
    region: str,
    key: str,
    moment: datetime,
    expires_s: int,
    media_type: str | None,
    disposition: str | None,
) -> None:
    signer, client = signer_and_client(endpoint, region)
    overrides = {"response-content-type": media_type, "response-content-disposition": disposition}

    theirs = client.presigned_get_object(
        bucket_name="pictures",
        object_name=key,
        expires=timedelta(seconds=expires_s),
        response_headers={name: value for name, value in overrides.items() if value is not None},
        request_date=moment,
    )

    ours = signer.presign_get(key, signed_at=moment, expires_s=expires_s, media_type=media_type, disposition=disposition)
    assert ours == theirs


plain_names = st.from_regex(r"[A-Za-z0-9._-]{1,121}", fullmatch=True)
plain_keys = plain_names.filter(lambda s: s not in (".", ".."))


@given(
    names=st.lists(plain_names | header_text, min_size=1, max_size=5),
    key=keys | plain_keys,
    moment=moments,
    lifetime_s=st.integers(1, 300_000),
)
@example(
    ["IMG_0001.png", "two words.png", "Größe (1).png", "100%.png", 'a;b="c"*\'.png'],
    "images/ab/x.png",
    datetime(2026, 1, 1, tzinfo=UTC),
    300,
)
def test_one_signer_keeps_moments_and_names_apart(names: list[str], key: str, moment: datetime, lifetime_s: int) -> None:
    signer, client = signer_and_client("http://127.0.0.1:9000", "us-east-1")
    for name in names:
        for signed_at, media_type in ((moment, "image/png"), (moment + timedelta(days=1), "image/png"), (moment, None)):
            disposition = content_disposition(name, inline=True)
            headers = {"response-content-type": media_type, "response-content-disposition": disposition}
            theirs = client.presigned_get_object(
                bucket_name="pictures",
                object_name=key,
                expires=timedelta(seconds=lifetime_s),
                response_headers={header: value for header, value in headers.items() if value is not None},
                request_date=signed_at,
            )
            ours = signer.presign_get(
                key, signed_at=signed_at, expires_s=lifetime_s, media_type=media_type, disposition=disposition
            )
            assert ours == theirs


@given(plain_names)
def test_a_plain_name_is_written_as_any_other(name: str) -> None:
    # A space sends a name the general way; without it, nothing else may differ.
    general = content_disposition(f"{name[:119]} x", inline=True)
    assert content_disposition(f"{name[:119]}", inline=True) == general.replace(' x"', '"').replace("%20x", "")


@given(endpoint=endpoints, region=regions, key=keys, moment=moments, body=st.binary(max_size=50))
def test_puts_are_identical_to_the_vendors(endpoint: str, region: str, key: str, moment: datetime, body: bytes) -> None:
    signer, _ = signer_and_client(endpoint, region)
    sha256 = hashlib.sha256(body).hexdigest()
    headers = {"content-type": "image/png", "if-none-match": "*", "x-amz-meta-sha256": sha256}

    ours = signer.sign_put(key, signed_at=moment, sha256=sha256, headers=headers)

    theirs = sign_v4_s3(
        method="PUT",
        url=urlsplit(signer.url(key)),
        region=region,
        headers={name: value for name, value in ours.items() if name != "authorization"},
        credentials=Credentials(ACCESS_KEY, SECRET_KEY),
        content_sha256=sha256,
        date=moment,
    )
    assert ours["authorization"] == theirs["Authorization"]


def test_a_link_signed_after_midnight_uses_the_new_days_key() -> None:
    signer, client = signer_and_client("http://127.0.0.1:9000", "us-east-1")
    midnight = datetime(2026, 5, 1, tzinfo=UTC)

    for moment in (midnight - timedelta(seconds=1), midnight, midnight - timedelta(seconds=1)):
        theirs = client.presigned_get_object(
            bucket_name="pictures", object_name="a", expires=timedelta(minutes=1), request_date=moment
        )
        assert signer.presign_get("a", signed_at=moment, expires_s=60) == theirs


@pytest.mark.parametrize("expires_s", [0, -1, 604_801])
def test_a_link_cannot_live_longer_than_s3_allows(expires_s: int) -> None:
    signer, _ = signer_and_client("http://127.0.0.1:9000", "us-east-1")
    with pytest.raises(ValueError, match="lives 1 to 604800 seconds"):
        signer.presign_get("a", signed_at=datetime.now(UTC), expires_s=expires_s)


@given(now=moments, lifetime_s=st.integers(1, 302_400), later=st.floats(0, 1, exclude_max=True))
def test_a_window_gives_one_signature_and_enough_life(now: datetime, lifetime_s: int, later: float) -> None:
    signed_at, valid_for = signing_window(now, lifetime_s)
    lifetime = timedelta(seconds=lifetime_s)

    assert valid_for == 2 * lifetime
    assert signed_at <= now < signed_at + lifetime
    assert lifetime < signed_at + valid_for - now <= 2 * lifetime
    assert signed_at.microsecond == 0
    assert signing_window(signed_at + later * lifetime, lifetime_s)[0] in (signed_at, signed_at + lifetime)
    assert signing_window(signed_at + lifetime, lifetime_s)[0] == signed_at + lifetime


@pytest.mark.parametrize("lifetime_s", [0, -5, 302_401])
def test_a_window_has_limits(lifetime_s: int) -> None:
    with pytest.raises(ValueError, match="1 to 302400 seconds"):
        signing_window(datetime.now(UTC), lifetime_s)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "inline"),
        ("", "inline"),
        ("\r\n\0", "inline"),
        ("a.png", "inline; filename=\"a.png\"; filename*=UTF-8''a.png"),
        ("my giraffe.png", "inline; filename=\"my giraffe.png\"; filename*=UTF-8''my%20giraffe.png"),
        ('a"b\\c.png', "inline; filename=\"a_b_c.png\"; filename*=UTF-8''a%22b_c.png"),
        ("../../etc/passwd", "inline; filename=\".._.._etc_passwd\"; filename*=UTF-8''.._.._etc_passwd"),
        ("a\r\nSet-Cookie: x=1", "inline; filename=\"aSet-Cookie_ x_1\"; filename*=UTF-8''aSet-Cookie%3A%20x%3D1"),
        ("gpj\u202egnp.exe", "inline; filename=\"gpjgnp.exe\"; filename*=UTF-8''gpjgnp.exe"),
        ("über.png", "inline; filename=\"uber.png\"; filename*=UTF-8''%C3%BCber.png"),
        ("🦒", "inline; filename=\"file\"; filename*=UTF-8''%F0%9F%A6%92"),
        ("50%.png; x=y", "inline; filename=\"50_.png_ x_y\"; filename*=UTF-8''50%25.png%3B%20x%3Dy"),
    ],
)
def test_file_names(name: str | None, expected: str) -> None:
    assert content_disposition(name, inline=True) == expected


@given(st.text())
def test_no_file_name_breaks_the_header(name: str) -> None:
    value = content_disposition(name, inline=False)

    token = re.escape("!#$&+-.^_`|~") + string.ascii_letters + string.digits
    assert re.fullmatch(
        rf"attachment(; filename=\"[A-Za-z0-9 ._()+-]+\"; filename\*=UTF-8''(?:[{token}]|%[0-9A-F]{{2}})+)?", value
    )
    assert len(value) < 2_000
    shown = unquote(value.partition("UTF-8''")[2])
    assert not set(shown) & set("/\\\r\n\0\u202e")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9000", ("http", "127.0.0.1:9000")),
        ("https://Files.Example.org/", ("https", "files.example.org")),
        ("https://files.example.org:443", ("https", "files.example.org")),
        ("http://files.example.org:443", ("http", "files.example.org:443")),
        ("http://[::1]:80", ("http", "[::1]")),
    ],
)
def test_endpoints(url: str, expected: tuple[str, str]) -> None:
    assert split_endpoint(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9000",
        "minio:9000",
        "ftp://files",
        "http://",
        "http://host/path",
        "http://host?x=1",
        "http://host#x",
        "http://user:geheim@host",
        "http://host:99999",
        "http://user:geheim@host:port",
    ],
)
def test_what_is_no_endpoint_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint") as caught:
        split_endpoint(url)
    assert "geheim" not in str(caught.value)


def test_a_link_names_no_secret() -> None:
    signer, _ = signer_and_client("http://127.0.0.1:9000", "us-east-1")
    query = parse_qs(urlsplit(signer.presign_get("a", signed_at=datetime.now(UTC), expires_s=60)).query)

    assert query["X-Amz-Credential"][0].startswith(f"{ACCESS_KEY}/")
    assert not any(SECRET_KEY in value for values in query.values() for value in values)


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # the vendor's
@given(
    endpoint=endpoints,
    region=regions,
    key=keys,
    lifetime=st.timedeltas(timedelta(seconds=1), timedelta(days=7)),
    size=st.integers(0, 2**40),
    fields=st.dictionaries(st.sampled_from(["Content-Type", "x-amz-meta-sha256", "x-amz-checksum-sha256"]), header_text),
)
def test_forms_are_identical_to_the_vendors(
    endpoint: str, region: str, key: str, lifetime: timedelta, size: int, fields: dict[str, str]
) -> None:
    signer, _ = signer_and_client(endpoint, region)
    expires_at = datetime.now(UTC) + lifetime
    policy = PostPolicy("pictures", expires_at)
    for name, value in {"key": key, **fields}.items():
        policy.add_equals_condition(name, value)
    policy.add_content_length_range_condition(size, size)
    theirs = policy.form_data(Credentials(ACCESS_KEY, SECRET_KEY), region)
    signed_at = datetime.strptime(theirs["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    url, ours = signer.presign_post(key, signed_at=signed_at, expires_at=expires_at, size=size, fields=fields)

    assert ours == {"key": key, **fields, **theirs}
    assert url == signer.url("").rstrip("/")


@given(moments)
def test_a_form_expires_at_the_same_moment_in_every_time_zone(moment: datetime) -> None:
    signer, _ = signer_and_client("http://127.0.0.1:9000", "us-east-1")

    _, fields = signer.presign_post("a", signed_at=moment, expires_at=moment, size=1, fields={})

    expiration = json.loads(b64decode(fields["policy"]))["expiration"]
    assert timedelta() <= moment - datetime.fromisoformat(expiration) < timedelta(milliseconds=1)
