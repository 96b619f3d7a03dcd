"""Changes of many pictures, counts and the trash, over real HTTP against the real application."""

from typing import Any

import pytest

from pixref import Client, Facets, Invalid
from tests.client.conftest import Requests
from tests.factories import make_png


@pytest.fixture
def ids(api: Client) -> list[int]:
    return [api.upload(make_png(20 + n, 20), label="a" if n else None, tags=["x"], split="train").id for n in range(3)]


def test_many_are_labelled_by_ids_and_by_filter(api: Client, ids: list[int]) -> None:
    done = api.label_many("b", ids[:2])
    assert (done.matched, done.changed, done.dry_run) == (2, 2, False)
    assert api.label_many("b", iter(ids)).changed == 1
    assert api.label_many("c", label="b", min_width=21, dry_run=True).changed == 2
    assert api.label_many("c", label="b", min_width=21).changed == 2
    assert [api.image(image_id).label for image_id in ids] == ["b", "c", "c"]
    assert api.label_many(None, any_tag=["x"]).changed == 3
    assert api.label_many("z", []).matched == 0
    assert api.label_many("z", [10**9]).matched == 0


def test_many_are_tagged(api: Client, ids: list[int]) -> None:
    assert api.tag_many(tag="x", add=["y"], remove={"x"}).changed == 3
    assert api.tag_many([api.image(ids[0])], add=["x"]).changed == 1
    assert [api.image(image_id).tags for image_id in ids] == [["x", "y"], ["y"], ["y"]]


def test_what_is_meant_must_be_said(api: Client, ids: list[int], requests: Requests) -> None:
    requests.seen.clear()
    for wrong in ({}, {"pictures": ids, "label": "a"}, {"add": "giraffe", "tag": "x"}, {"label": None}):
        with pytest.raises(TypeError, match="give"):
            api.tag_many(**{"add": ["q"], **wrong})
    assert requests.seen == []
    with pytest.raises(Invalid) as caught:
        api.label_many("a", nonsense=1)
    assert "nonsense" in caught.value.detail


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [({"split": "test"}, "split", "test"), ({"split": None}, "split", None), ({"name": "n.png"}, "original_name", "n.png")],
)
def test_one_is_edited(api: Client, ids: list[int], change: dict[str, Any], field: str, value: str | None) -> None:
    api.edit(ids[0], attributes={"kept": 1})
    edited = api.edit(ids[0], **change)
    assert (getattr(edited, field), edited.attributes) == (value, {"kept": 1})


@pytest.mark.usefixtures("mnist_model")
def test_pictures_are_counted(api: Client, ids: list[int]) -> None:
    counts = api.facets(tag="x")
    assert (counts.total, counts.labels, counts.tags) == (3, {"a": 2, None: 1}, {"x": 3})
    assert (counts.splits, counts.predicted) == ({"train": 3}, {})
    api.predict(ids[0])
    assert isinstance(api.facets(model="mnist"), Facets)
    assert sum(api.facets(model="mnist").predicted.values()) == 1
    assert {model for model, _ in api.facets(model="mnist").predicted} == {"mnist"}


def test_the_trash_is_listed(api: Client, ids: list[int]) -> None:
    api.delete(ids[1])
    (trashed,) = api.trash()
    assert (trashed.id, trashed.label) == (ids[1], "a")
    assert trashed.deleted_at < trashed.gone_at
    api.restore(trashed.id)
    assert api.trash() == []
