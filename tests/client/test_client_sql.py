"""Queries through the SQL door: rows with their columns, bound parameters, limits and refusals."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pixref import Client, Invalid
from service.accounts.actor import Role
from tests.client.conftest import Connect
from tests.factories import make_png

pytestmark = pytest.mark.usefixtures("door_url")


@pytest.fixture
def filled(api: Client) -> list[int]:
    return [api.upload(make_png(), label=label, tags=["x"]).id for label in ("giraffe", "lion", "giraffe")]


def test_rows_come_in_order_with_their_columns(api: Client, filled: list[int]) -> None:
    result = api.sql("select image_id, label, tags, created_at from images where label = $1 order by image_id", ["giraffe"])
    assert result.columns == ("image_id", "label", "tags", "created_at")
    assert [row["image_id"] for row in result] == [filled[0], filled[2]]
    assert result[0][:3] == (filled[0], "giraffe", ["x"])
    assert datetime.fromisoformat(result[0]["created_at"]).tzinfo is not None
    assert (result.truncated, result.elapsed_ms >= 0) == (False, True)
    assert [api.image(row["image_id"]).label for row in result] == ["giraffe", "giraffe"]


def test_viewers_ask_and_frames_keep_the_columns(address: str, connect: Connect, filled: list[int]) -> None:
    viewer = connect(address, Role.VIEWER)
    frame = viewer.sql("select label, count(*) as pictures from images group by label order by label").frame()
    assert list(frame.columns) == ["label", "pictures"]
    assert frame.to_dict("records") == [{"label": "giraffe", "pictures": 2}, {"label": "lion", "pictures": 1}]
    empty = viewer.sql("select image_id, label from images where label = $1", ["nobody"]).frame()
    assert (list(empty.columns), len(empty)) == (["image_id", "label"], 0)


def test_parameters_are_bound_and_never_pasted(api: Client, filled: list[int]) -> None:
    assert api.sql("select image_id from images where label = $1", ["' or true --"]) == []
    before = datetime.now(UTC).replace(year=2000)
    assert len(api.sql("select image_id from images where created_at > $1::timestamptz", [before])) == 3
    assert api.sql("select $1::numeric + 1 as n", [Decimal("1.5")])[0]["n"] == 2.5
    assert api.sql("select image_id from images where image_id = any($1) order by 1", [filled[:2]]) == [
        (filled[0],),
        (filled[1],),
    ]
    with pytest.raises(ValueError, match="no time zone"):
        api.sql("select $1::timestamptz", [datetime(2026, 1, 1)])  # noqa: DTZ001
    with pytest.raises(TypeError, match="is a bytes"):
        api.sql("select $1::text", [b"x"])


def test_more_rows_than_are_handed_out_are_truncated(api: Client) -> None:
    result = api.sql("select * from generate_series(1, 100000) as n")
    assert result.truncated
    assert [row["n"] for row in result] == list(range(1, len(result) + 1))


@pytest.mark.parametrize("statement", ["delete from images", "select 1; select 2", "select * from pixref.image", "selec 1", ""])
def test_what_cannot_be_asked_is_invalid(api: Client, statement: str) -> None:
    with pytest.raises(Invalid) as caught:
        api.sql(statement)
    assert (caught.value.status, caught.value.retryable) == (422, False)


def test_errors_of_the_database_come_with_their_position(api: Client) -> None:
    with pytest.raises(Invalid) as caught:
        api.sql("select labl from images")
    assert "labl" in caught.value.detail
    assert caught.value.extra["position"] == 8
