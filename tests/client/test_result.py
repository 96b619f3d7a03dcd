"""Rows of a query: tuples that know their columns, and frames."""

import pickle

import pytest

from pixref import Result

COLUMNS = ["image_id", "label", "label"]


@pytest.fixture
def result() -> Result:
    return Result(COLUMNS, [[1, "giraffe", "g"], [2, None, "l"]], truncated=True, elapsed_ms=3.5)


def test_rows_are_had_by_place_and_by_name(result: Result) -> None:
    first = result[0]
    assert first == (1, "giraffe", "g")
    assert (first[0], first["image_id"], first["label"], first[-1], first[1:]) == (1, 1, "giraffe", "g", ("giraffe", "g"))
    image_id, *_ = first
    assert image_id == 1
    assert dict(first) == {"image_id": 1, "label": "giraffe"}
    assert repr(first) == "Row(image_id=1, label='giraffe', label='g')"
    with pytest.raises(KeyError, match="no column 'tag', only image_id, label"):
        first["tag"]
    with pytest.raises(IndexError):
        first[3]


def test_a_result_is_a_list_with_its_columns_in_order(result: Result) -> None:
    assert isinstance(result, list)
    assert [row["image_id"] for row in result] == [1, 2]
    assert (result.columns, result.truncated, result.elapsed_ms) == (tuple(COLUMNS), True, 3.5)
    empty = Result(["a"], [], truncated=False, elapsed_ms=0)
    assert (empty, empty.columns) == ([], ("a",))


def test_rows_of_two_queries_do_not_mix(result: Result) -> None:
    other = Result(["x"], [[7]], truncated=False, elapsed_ms=0)
    assert (other[0]["x"], result[0]["image_id"]) == (7, 1)
    copy = pickle.loads(pickle.dumps(result[0]))  # noqa: S301
    assert (copy, copy["label"]) == (result[0], "giraffe")


def test_frames_keep_the_order_of_the_columns(result: Result) -> None:
    frame = result.frame()
    assert list(frame.columns) == COLUMNS
    assert frame.iloc[0].tolist() == [1, "giraffe", "g"]
    assert frame.shape == (2, 3)
    empty = Result(["a", "b"], [], truncated=False, elapsed_ms=0).frame()
    assert (list(empty.columns), len(empty)) == (["a", "b"], 0)
