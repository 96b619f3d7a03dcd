"""The filters of the list, as Python has them: times, dates, booleans, numbers, lists and objects."""

from datetime import UTC, date, datetime, timedelta

import pytest

from pixref import Client, Invalid
from tests.factories import make_png


def test_every_kind_of_value_reaches_its_filter(api: Client) -> None:
    first = api.upload(make_png(20, 20), label="a", tags=["x"], attributes={"camera": {"name": "M3"}}, name="Éire.png")
    second = api.upload(make_png(30, 20), tags=["y"])
    ids = [first.id, second.id]
    hour = timedelta(hours=1)
    for filters, found in (
        ({"unlabelled": True}, [second.id]),
        ({"unlabelled": False}, [first.id]),
        ({"any_tag": ["x", "y"]}, ids[::-1]),
        ({"no_tag": {"x"}}, [second.id]),
        ({"attributes": {"camera": {"name": "M3"}}}, [first.id]),
        ({"name": "éire"}, [first.id]),
        ({"created_from": datetime.now(UTC) - hour, "created_to": datetime.now().astimezone() + hour}, ids[::-1]),
        ({"created_from": datetime.now(UTC) + hour}, []),
        ({"created_from": date(2020, 1, 1), "channels": 1}, ids[::-1]),
        ({"sort": "id"}, ids),
        ({"sort": "id", "page_size": 1}, ids),
        ({"damaged": False, "min_byte_size": 1, "label": None}, ids[::-1]),
    ):
        assert [image.id for image in api.images(**filters)] == found, filters
    assert [image.id for image, _ in api.arrays(unlabelled=False)] == [first.id]


def test_a_value_that_is_not_valid_names_its_filter(api: Client) -> None:
    for filters, field in (({"min_score": 2}, "min_score"), ({"sort": "size"}, "sort"), ({"after": "tampered"}, "after")):
        with pytest.raises(Invalid) as caught:
            next(api.images(**filters))
        assert caught.value.field == field
