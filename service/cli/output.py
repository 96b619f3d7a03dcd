"""Results on standard output: a table for people, JSON and CSV for programs."""

import csv
import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import click

_GAP = "  "


def _spelled(value: float) -> str:
    """Return NaN and the infinities as PostgreSQL writes them."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _jsonable(value: Any) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _jsonable(float(value)) if value != value.to_integral_value() or not value.is_finite() else int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _spelled(value)  # JSON knows neither NaN nor Infinity
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def write_json(value: Any) -> None:
    """Print a value as JSON: times as ISO 8601, exact numbers as numbers, NaN and Infinity as texts."""
    click.echo(json.dumps(_jsonable(value), ensure_ascii=False, indent=2))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(_jsonable(value), ensure_ascii=False)
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return _spelled(value) if isinstance(value, float) and not math.isfinite(value) else str(value)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV (RFC 4180) with a header; NULL is an empty field, arrays and objects are JSON."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([value.isoformat() if isinstance(value, datetime) else _text(value) for value in row] for row in rows)


def printable(value: Any) -> str:
    """Return a value as text that does nothing to a table or a terminal."""
    # A line feed would break the table, and an escape sequence from somebody's file name would command the terminal.
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode(errors="backslashreplace") for char in _text(value)
    )


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows aligned, numbers to the right. What is too wide for the terminal is printed one field a line; a pipe has no width."""
    kept = [tuple(row) for row in rows]
    head = [printable(column) for column in columns]
    texts = [[printable(value) for value in row] for row in kept]
    widths = [max(map(len, cells)) for cells in zip(head, *texts, strict=True)]
    if sys.stdout.isatty() and sum(widths) + len(_GAP) * (len(widths) - 1) > shutil.get_terminal_size().columns:
        _write_records(head, texts)
        return
    right = [bool(kept) and all(_is_number(row[place]) for row in kept) for place in range(len(head))]
    for line in (head, *texts):
        cells = zip(line, widths, right, strict=True)
        click.echo(_GAP.join(cell.rjust(width) if number else cell.ljust(width) for cell, width, number in cells).rstrip())


def _write_records(head: Sequence[str], texts: Iterable[Sequence[str]]) -> None:
    widest = max(map(len, head))
    for number, row in enumerate(texts, start=1):
        click.echo(f"-- row {number}")
        for name, text in zip(head, row, strict=True):
            click.echo(f"{name.ljust(widest)}{_GAP}{text}".rstrip())


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float, Decimal)) and not isinstance(value, bool))
