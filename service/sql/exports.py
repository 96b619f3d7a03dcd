"""Results as files: CSV for spreadsheets, Parquet for programs. Pure: a result in, bytes out."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from service.errors import Invalid
from service.sql.result import Column, Result

NUMERIC = frozenset({"smallint", "integer", "bigint", "oid", "real", "double precision", "numeric"})
# A spreadsheet takes a cell that begins so for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _cell(value: Any, *, escape: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    return f"'{text}" if escape and text.startswith(_FORMULA) else text


def to_csv(result: Result, *, escape: bool = True) -> bytes:
    """Return UTF-8 with a header (RFC 4180): NULL is an empty field, arrays and objects are JSON.

    With `escape`, a text that a spreadsheet would take for a formula gets a `'` in front; numbers stay as they are.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([_cell(column.name, escape=escape) for column in result.columns])
    escaped = [escape and column.type not in NUMERIC for column in result.columns]
    for row in result.rows:
        writer.writerow([_cell(value, escape=mark) for value, mark in zip(row, escaped, strict=True)])
    return out.getvalue().encode()


def to_parquet(result: Result) -> bytes:
    """Return a Parquet file with typed columns: a type that Parquet has no form for, or a value that does not fit its column's, is text.

    Raises `Invalid` where two columns have one name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [column.name for column in result.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"more than one column is named {twice[0]!r}: tell them apart with AS", field="query")
    arrays = [_array(column, [row[place] for row in result.rows]) for place, column in enumerate(result.columns)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), sink, compression="zstd")
    return bytes(sink.getvalue())


def _double(value: Any) -> float:
    number = float(value)
    if math.isinf(number) and "inf" not in str(value).lower():
        raise OverflowError("beyond a double")
    return number


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(value)


def _day(value: Any) -> date:
    return date.fromisoformat(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _array(column: Column, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    kinds: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "boolean": (pa.bool_(), bool),
        "smallint": (pa.int16(), int),
        "integer": (pa.int32(), int),
        "bigint": (pa.int64(), int),
        "real": (pa.float32(), float),
        "double precision": (pa.float64(), float),
        "numeric": (pa.float64(), _double),
        "date": (pa.date32(), _day),
        "timestamp without time zone": (pa.timestamp("us"), _moment),
        "timestamp with time zone": (pa.timestamp("us", tz="UTC"), _moment),
        "json": (pa.string(), _json),
        "jsonb": (pa.string(), _json),
    }
    element = column.type.removesuffix("[]")
    kind, convert = kinds.get(element, (pa.string(), _text))
    try:
        if element == column.type:
            return pa.array([None if value is None else convert(value) for value in values], kind)
        flat = all(not isinstance(item, list) for value in values for item in value or ())
        if flat:
            lists = [None if value is None else [None if item is None else convert(item) for item in value] for value in values]
            return pa.array(lists, pa.list_(kind))
    except (ValueError, TypeError, OverflowError, pa.ArrowInvalid):
        pass
    return pa.array([None if value is None else _text(value) for value in values], pa.string())
