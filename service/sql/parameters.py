"""Values of JSON as PostgreSQL reads them: each becomes text, and the server gives it the type that the query asks for. Nothing is pasted."""

import json
import math
from collections.abc import Sequence
from typing import Any

from service.errors import Invalid

JSON_TYPES = frozenset({114, 3802})  # json, jsonb
MAX_BYTES = 100_000
MAX_DEPTH = 6  # of PostgreSQL's arrays


def bound(params: Sequence[Any], types: Sequence[int]) -> list[bytes | None]:
    """Return what is sent for each parameter; `types` are the numbers of the types that the server has found for them. Raises `Invalid`."""
    sent = [None if value is None else _encoded(value, kind in JSON_TYPES) for value, kind in zip(params, types, strict=True)]
    if sum(len(value or b"") for value in sent) > MAX_BYTES:
        raise Invalid(f"params has more than {MAX_BYTES} bytes: ask with fewer or shorter ones", field="params")
    return sent


def check_count(params: Sequence[Any], wanted: int) -> None:
    """Raise `Invalid` unless there is a value for each parameter."""
    if len(params) != wanted:
        raise Invalid(
            f"the query names {wanted} parameters, params has {len(params)}: give one for each of $1, $2, ...", field="params"
        )


def _encoded(value: Any, as_json: bool) -> bytes:
    try:
        text = _text(value, as_json)
        if "\0" in text:
            raise Invalid("params has a NUL character: leave it out", field="params")
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid("params has half of a surrogate pair: leave it out", field="params") from None
    except (RecursionError, ValueError):
        raise Invalid("params has a value that is nested too deep or has too many digits", field="params") from None


def _text(value: Any, as_json: bool) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) or (as_json and isinstance(value, list)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, list):
        return _array(value, 1)
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid('params has NaN or Infinity, which JSON does not know: write them as texts, "NaN"', field="params")
    return str(value)


def _array(values: Sequence[Any], depth: int) -> str:
    if depth > MAX_DEPTH:
        raise Invalid(f"params has a list that is nested more than {MAX_DEPTH} deep", field="params")
    return "{" + ",".join(_element(value, depth) for value in values) + "}"


def _element(value: Any, depth: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _array(value, depth + 1)
    text = _text(value, False)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
