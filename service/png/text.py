"""Text from outside, made safe for JSON and for PostgreSQL."""

import re

# PostgreSQL stores neither NUL nor half a surrogate pair, in text or in jsonb.
_strip = re.compile("[\0\ud800-\udfff]").sub


def clean(text: str) -> str:
    """Remove NUL and lone surrogates."""
    return _strip("", text)


def cut(text: str, max_bytes: int) -> str:
    """Keep at most `max_bytes` UTF-8 bytes, never splitting a character."""
    data = text.encode("utf-8")
    return text if len(data) <= max_bytes else data[:max_bytes].decode("utf-8", "ignore")
