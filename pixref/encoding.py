"""Values as the API takes them: query strings, JSON bodies and multipart forms. Raises `ValueError` and `TypeError` naming the field."""

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

JSON = "application/json"


def query(filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return filters as query parameters: None is left out, a list repeated, a mapping and a boolean in JSON, times in UTC."""
    pairs: list[tuple[str, str]] = []
    for name, value in filters.items():
        if value is None:
            continue
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        pairs += [(name, _text(name, item)) for item in (value if several else [value])]
    return pairs


def body(value: Mapping[str, Any]) -> bytes:
    """Return a JSON body. Times are in UTC; decimals and UUIDs become text."""
    return json.dumps(value, default=_plain).encode()


def form(fields: Iterable[tuple[str, str]], data: bytes, *, name: str, media_type: str) -> tuple[str, bytes]:
    """Return the Content-Type and the body of a form, the file being its last part, named `file`.

    Written here, because a file needs a name to be taken for one, if only an empty one, and because a name that holds quotes, percent signs or
    backslashes arrives as it is by RFC 8187 alone.
    """
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'.encode() + _utf8(field, value) + b"\r\n"
        for field, value in fields
    ]
    plain = not any(char in '"%\\' or ord(char) < 32 for char in name)
    named = (
        b'filename="' + _utf8("name", name) + b'"'
        if plain
        else b"filename*=UTF-8''" + quote(_utf8("name", name), safe="").encode()
    )
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '.encode() + named)
    parts.append(f"\r\nContent-Type: {media_type}\r\n\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, data, f"\r\n--{boundary}--\r\n".encode()])


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return json.dumps(value, default=_plain)
    if isinstance(value, str):
        _utf8(name, value)
        return value
    if isinstance(value, int | float):
        return str(value)
    plain = _plain(value, name)
    return plain if isinstance(plain, str) else _text(name, plain)


def _plain(value: Any, name: str = "a value") -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone: give datetime(..., tzinfo=UTC) or .astimezone()")
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return value.tolist()
    raise TypeError(f"{name} is a {type(value).__name__}: text, numbers, booleans, dates and lists of them can be sent")


def _utf8(name: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} has half of a surrogate pair: leave it out") from None
