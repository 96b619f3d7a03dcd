"""Results as files: CSV that a spreadsheet does not run, Parquet with types."""

import csv
import io
from datetime import UTC, date, datetime
from typing import Any

import pyarrow.parquet as pq
import pytest

from service.errors import Invalid
from service.sql.exports import to_csv, to_parquet
from service.sql.result import Column, Result


def result(*columns: tuple[str, str], rows: list[list[Any]]) -> Result:
    return Result([Column(name, kind, 0) for name, kind in columns], rows, False, 1)


def test_csv_is_read_back_as_it_was() -> None:
    rows = [[1, 'a "b", c\nd', None, True, ["x", None], {"k": "é😀"}], [-2, "", 0.5, False, [], {}]]
    columns = (("n", "integer"), ("t", "text"), ("f", "real"), ("b", "boolean"), ("l", "text[]"), ("j", "jsonb"))
    data = to_csv(result(*columns, rows=rows))
    found = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert found == [
        ["n", "t", "f", "b", "l", "j"],
        ["1", 'a "b", c\nd', "", "true", '["x", null]', '{"k": "é😀"}'],
        ["-2", "", "0.5", "false", "[]", "{}"],
    ]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0"]


def test_csv_has_no_formulas_unless_they_are_wanted() -> None:
    rows = [[text] for text in FORMULAS]
    escaped = list(csv.reader(io.StringIO(to_csv(result(("=x", "text"), rows=rows)).decode(), newline="")))
    assert escaped == [["'=x"], *([f"'{text}"] for text in FORMULAS)]
    kept = list(csv.reader(io.StringIO(to_csv(result(("=x", "text"), rows=rows), escape=False).decode(), newline="")))
    assert kept == [["=x"], *([text] for text in FORMULAS)]
    numbers = to_csv(result(("n", "integer"), ("f", "double precision"), rows=[[-1, "-Infinity"]])).decode()
    assert numbers == "n,f\r\n-1,-Infinity\r\n"


def test_parquet_has_types() -> None:
    kinds = "bigint|double precision|numeric|boolean|text|date|timestamp with time zone|text[]|integer[]|jsonb|int4range"
    names = ["i", "f", "n", "b", "t", "d", "m", "l", "ll", "j", "r", "x"]
    columns = tuple(zip(names, [*kinds.split("|"), "timestamp with time zone"], strict=True))
    row = [
        1,
        0.5,
        1.25,
        True,
        "é😀",
        "2026-01-02",
        "2026-01-02T03:04:05.5Z",
        ["a", None],
        [[1], [2]],
        {"a": [1]},
        "[1,3)",
        "infinity",
    ]
    table = pq.read_table(io.BytesIO(to_parquet(result(*columns, rows=[row, [None] * len(row)]))))
    found = ", ".join(str(field.type) for field in table.schema)
    assert found == (
        "int64, double, double, bool, string, date32[day], timestamp[us, tz=UTC], list<element: string>, string, string, string, string"
    )
    first, second = table.to_pylist()
    assert (first["i"], first["f"], first["d"]) == (1, 0.5, date(2026, 1, 2))
    assert first["m"] == datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    assert (first["l"], first["ll"], first["j"], first["x"]) == (["a", None], "[[1], [2]]", '{"a": [1]}', "infinity")
    assert set(second.values()) == {None}


def test_a_number_that_parquet_cannot_hold_is_text() -> None:
    large = "1" + "0" * 400
    table = pq.read_table(io.BytesIO(to_parquet(result(("n", "numeric"), ("m", "numeric"), rows=[[large, "NaN"], [1.5, 2]]))))
    assert [str(field.type) for field in table.schema] == ["string", "double"]
    assert table.column("n").to_pylist() == [large, "1.5"]


def test_parquet_of_nothing_and_of_twins() -> None:
    table = pq.read_table(io.BytesIO(to_parquet(result(("n", "integer"), ("o", "other"), rows=[]))))
    assert (table.num_rows, [str(field.type) for field in table.schema]) == (0, ["int32", "string"])
    with pytest.raises(Invalid, match="tell them apart with AS"):
        to_parquet(result(("a", "integer"), ("a", "integer"), rows=[[1, 2]]))
