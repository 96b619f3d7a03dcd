"""What a question brings back, and how PostgreSQL's values become those of JSON. No value is refused: what JSON has no form for is text.

boolean, integers     as they are
real, double, numeric number; beyond a double's range, and NaN and Infinity, text as PostgreSQL writes it
json, jsonb           the value itself
arrays                list
dates and times       text: RFC 3339 for those with a time zone, in UTC
everything else       text as PostgreSQL writes it; bytea as \\x and hexadecimal digits
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

INT64 = 2**63
MAX_JSON_DEPTH = 100
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result: its name, PostgreSQL's name for its type, and that type's number."""

    name: str
    type: str
    oid: int


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of values as JSON has them. `truncated` says that there were more rows, or more bytes, than are handed out at once."""

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool
    elapsed_ms: int


def number(text: str) -> int | float | str:
    """Return a number as JSON and a double can hold it, else its text."""
    if text.lstrip("-").isdecimal() and len(text) < 20 and -INT64 <= int(text) < INT64:
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else text


def moment(text: str) -> str:
    """Return a time of PostgreSQL's ISO style as RFC 3339 has it; infinity and years before Christ stay as they are."""
    found = _MOMENT.fullmatch(text)
    return f"{found[1]}T{found[2]}{'Z' if found[3] else ''}" if found else text


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_JSON_DEPTH:
        return False
    depth = 0
    for char in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (char in "[{") - (char in "]}")
        if depth > MAX_JSON_DEPTH:
            return True
    return False


def json_value(text: str) -> Any:
    """Return a JSON value, or its text where it is nested too deep for other programs' parsers."""
    if _too_deep(text):
        return text
    return json.loads(text, parse_int=number, parse_float=number, parse_constant=str)
