"""The runner of the measurements: its result format, its tables and its reading of wrk. No measurement is made here."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.put_objects import put_all
from bench.report import number, put_between_markers, save, tables
from bench.result import Check, Result, Series, ratios
from bench.wrk import BenchError, Request, multipart, parse, write_requests

RUN: dict[str, Any] = {
    "command": "python -m bench sample",
    "commit": "0123456789abcdef",
    "dirty": True,
    "date": "2026-01-02T03:04:05+00:00",
    "machine": {"cpu": "A CPU", "cores": 2, "memory_gib": 24.0, "python": "3.11.7", "load_average_before": [0.5, 0.4, 0.3]},
}
PAGE = "# Title\n\nbefore\n<!-- sample: begin -->\nold\n<!-- sample: end -->\nafter\n"


@pytest.fixture
def result() -> Result:
    series = [
        Series("slow", {"requests/s": [10, 30, 20], "p99 ms": [1.0, 2.0, 3.0]}),
        Series("fast", {"requests/s": [1000, 900, 1200]}),
    ]
    checks = [Check("fast / slow", ratios([1000, 900, 1200], [10, 30, 20]), at_least=50), Check("free", [0.5])]
    return Result("sample", series, checks, {"clients": 32})


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10, 30], [5, 10]) == [2, 3]
    with pytest.raises(ValueError, match="zip"):
        ratios([1], [1, 2])


@pytest.mark.parametrize(
    ("values", "at_least", "at_most", "met"),
    [
        ([1, 60, 99], 60, None, True),
        ([1, 59, 99], 60, None, False),
        ([0.1, 1.0, 9], None, 1, True),
        ([0.1, 1.1, 9], None, 1, False),
        ([0], None, None, True),
    ],
)
def test_the_median_has_to_keep_the_bound(values: list[float], at_least: float | None, at_most: float | None, met: bool) -> None:
    assert Check("a", values, at_least=at_least, at_most=at_most).met is met


def test_a_result_is_json_with_raw_samples_and_medians(result: Result) -> None:
    content = json.loads(json.dumps(result.to_json()))
    assert content["series"][0]["samples"]["requests/s"] == [10, 30, 20]
    assert content["series"][0]["medians"] == {"requests/s": 20, "p99 ms": 2.0}
    assert content["checks"][0]["median"] == 60
    assert content["checks"][0]["at_least"] == 50
    assert content["checks"][0]["met"] is True
    assert content["facts"] == {"clients": 32}


def test_tables(result: Result) -> None:
    assert tables(result).splitlines() == [
        "|  | requests/s | p99 ms |",
        "|---|---|---|",
        "| slow | **20.0** (10.0 to 30.0) | **2.00** (1.00 to 3.00) |",
        "| fast | **1,000** (900 to 1,200) |  |",
        "",
        "| Ratio or figure | median (range over rounds) | required |",
        "|---|---|---|",
        "| fast / slow | **60.0** (30.0 to 100) x | at least 50 x: met |",
        "| free | **0.50** x |  |",
    ]


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (9.87, "9.87"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_saving_replaces_only_what_stands_between_the_markers(result: Result, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(PAGE)
    for _ in range(2):
        file = save(result, RUN, results=tmp_path / "results", document=document)
    page = document.read_text()
    assert page.startswith("# Title\n\nbefore\n<!-- sample: begin -->\n|  | requests/s")
    assert page.endswith("\n<!-- sample: end -->\nafter\n")
    assert "old" not in page
    assert page.count("fast / slow") == 1
    assert "`python -m bench sample` on 2026-01-02, commit 0123456789ab with uncommitted changes; A CPU, 2 cores" in page
    assert json.loads(file.read_text())["commit"] == RUN["commit"]


@pytest.mark.parametrize("text", ["", PAGE + PAGE, "<!-- sample: begin -->"])
def test_a_document_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        put_between_markers(text, "sample", "x")


def test_wrk_with_errors_is_no_measurement() -> None:
    line = 'RESULT {"requests": 200, "duration_us": 2000000, "failed": %d, "refused": %d, "p50_us": 1500, "p99_us": 9000}'
    load = parse(line % (0, 0))
    assert (load.requests, load.per_second, load.p50_ms, load.p99_ms) == (200, 100, 1.5, 9)
    for failed, refused in ((1, 0), (0, 1)):
        with pytest.raises(BenchError, match="of 200"):
            parse(line % (failed, refused))


def test_requests_are_written_with_their_lengths(tmp_path: Path) -> None:
    body, kind = multipart(b"\x89PNG\r\n")
    file = tmp_path / "requests"
    write_requests(file, [Request("/a", body, kind, "secret"), Request("/b", b"", "text/plain")], "127.0.0.1:1")
    rest, found = file.read_bytes(), []
    while rest:
        length, _, rest = rest.partition(b"\n")
        found.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert found[0].startswith(b"POST /a HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n\r\n" + body in found[0]
    assert found[1].endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize("how", ["one-by-one", "8-threads", "snowball"])
def test_the_plain_client_puts_every_file(how: str, minio: Any, bucket: str, tmp_path: Path) -> None:
    from minio import Minio

    from tests.conftest import ROOT_PASSWORD, ROOT_USER

    for index in range(20):
        (tmp_path / f"{index}.png").write_bytes(bytes([index]))
    host = minio.endpoint.removeprefix("http://")
    client = Minio(endpoint=host, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, secure=False, region="us-east-1")
    assert put_all(how, tmp_path, client, bucket) == 20
    stored = {item.object_name for item in client.list_objects(bucket_name=bucket, recursive=True)}
    assert stored == {f"images/{index}.png" for index in range(20)}
