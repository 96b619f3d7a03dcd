"""Times on the pages."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from flask import Flask

from service.web.pages.times import in_zone, moment, zone_named

WHEN = datetime(2026, 7, 1, 23, 59, 58, 700_000, UTC)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "2026-07-02 01:59:58 CEST"),
        ("America/St_Johns", "2026-07-01 21:29:58 NDT"),
        ("Asia/Kathmandu", "2026-07-02 05:44:58 +0545"),
        ("Pacific/Kiritimati", "2026-07-02 13:59:58 +14"),
        ("UTC", "2026-07-01 23:59:58 UTC"),
    ],
)
def test_a_time_is_told_in_the_readers_zone(zone: str, text: str) -> None:
    assert in_zone(WHEN, zone_named(zone)) == text
    assert in_zone(WHEN.astimezone(timezone(timedelta(hours=-7))), zone_named(zone)) == text


def test_summer_and_winter_differ() -> None:
    berlin = zone_named("Europe/Berlin")
    assert in_zone(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), berlin) == "2026-10-25 02:30:00 CEST"
    assert in_zone(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), berlin) == "2026-10-25 02:30:00 CET"


@pytest.mark.parametrize(
    "name", ["", "Europe", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\0", "a" * 9_000, "é"]
)
def test_what_is_no_zone_is_utc(name: str) -> None:
    assert zone_named(name) is UTC


def test_the_cookie_says_the_zone() -> None:
    app = Flask(__name__)
    with app.test_request_context(headers={"Cookie": "zone=Asia/Tokyo"}):
        assert moment(WHEN) == "2026-07-02 08:59:58 JST"
    with app.test_request_context(headers={"Cookie": "zone=<script>"}):
        assert moment(WHEN) == "2026-07-01 23:59:58 UTC"
    with app.test_request_context():
        assert moment(WHEN) == "2026-07-01 23:59:58 UTC"
