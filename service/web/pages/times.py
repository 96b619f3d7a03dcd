"""Times in the reader's zone, which the browser tells us in a cookie (theme.js). Without it, as without JavaScript, they are in UTC.

The page already comes with them, so that nothing moves while it loads.
"""

from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from flask import request

COOKIE = "zone"


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_named(name: str) -> tzinfo:
    """Return the zone with a name of the IANA database, such as Europe/Berlin; UTC for any other name."""
    return ZoneInfo(name) if name in _known() else UTC


def in_zone(when: datetime, zone: tzinfo) -> str:
    """Return a time to the second, with the zone's abbreviation or, where it has none, its offset."""
    return f"{when.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def moment(when: datetime) -> str:
    """Return a time as whoever asks for this page reads it."""
    return in_zone(when, zone_named(request.cookies.get(COOKIE, "")))
