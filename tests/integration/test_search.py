"""Lists: keyset pages that walk everything once, every filter, and cursors and ids that make no sense."""

from typing import Any

import pytest
from sqlalchemy import text

from schema.session import Sessions
from service.accounts.actor import Actor
from service.models.serving import ModelRef, ModelServer
from service.pictures.cursors import Cursor, encode_cursor
from service.pictures.delete import delete_image
from service.pictures.in_use import names_in_use
from service.pictures.search import ImageFilter, Sort, list_images, list_tiles
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import add_image, assert_problem, execute, make_png

API = "/api/v1/images"


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.get_json()["items"]]


def test_pages_walk_every_picture_once_while_others_come_and_go(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    there = [add_image(sessions, store, actor) for _ in range(11)]
    walked: list[int] = []
    after = None
    while True:
        page = viewer_client.get(API, query_string={"limit": 3} | ({"after": after} if after else {}))
        walked += ids(page)
        after = page.get_json()["next"]
        if after is None:
            break
        add_image(sessions, store, actor)  # newer: must not shift what follows
        if len(walked) == 3:
            delete_image(sessions, walked[-1])  # the very one that the cursor names
    assert walked == sorted(there, reverse=True)
    beyond = viewer_client.get(API, query_string={"after": encode_cursor(Sort.NEWEST, Cursor(there[0]))}).get_json()
    assert (beyond["items"], beyond["next"]) == ([], None)
    back = viewer_client.get(API, query_string={"limit": 1, "before": beyond["prev"]})
    assert ids(back) == [there[0]]


def test_a_page_that_ends_exactly_has_no_next(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    for _ in range(3):
        add_image(sessions, store, actor)
    assert viewer_client.get(API, query_string={"limit": 3}).get_json()["next"] is None
    assert viewer_client.get(API, query_string={"limit": 2}).get_json()["next"] is not None


@pytest.fixture
def zoo(sessions: Sessions, store: ObjectStore, actor: Actor) -> dict[str, int]:
    """Pictures of all sorts, by name."""
    described: dict[str, tuple[int, int, dict[str, Any]]] = {
        "giraffe": (30, 60, {"label": "giraffe", "tags": ["zoo", "tall"], "split": "train"}),
        "calf": (20, 30, {"label": "giraffe", "tags": ["zoo"], "split": "test"}),
        "café": (60, 20, {"label": "caf\u00e9", "tags": ["Zoo"], "split": "test"}),
        "bare": (10, 10, {}),
    }
    return {name: add_image(sessions, store, actor, make_png(w, h), **more) for name, (w, h, more) in described.items()}


FILTERS = [
    ("", ["bare", "café", "calf", "giraffe"]),
    ("label=giraffe", ["calf", "giraffe"]),
    ("label=+giraffe++", ["calf", "giraffe"]),
    ("label=cafe%CC%81", ["café"]),
    ("label=Giraffe", []),
    ("label=%25", []),
    ("tag=zoo", ["calf", "giraffe"]),
    ("tag=zoo&tag=tall", ["giraffe"]),
    ("tag=zoo&tag=nothing", []),
    ("split=test", ["café", "calf"]),
    ("split=test&label=giraffe", ["calf"]),
    ("min_width=30", ["café", "giraffe"]),
    ("max_width=29", ["bare", "calf"]),
    ("min_height=30&max_height=59", ["calf"]),
    ("min_width=60&max_width=60", ["café"]),
    ("label=&tag=&split=", ["bare", "café", "calf", "giraffe"]),
    ("predicted=7", []),
    ("model=mnist", []),
]


def test_filters(viewer_client: TokenClient, zoo: dict[str, int]) -> None:
    for query, names in FILTERS:
        assert ids(viewer_client.get(f"{API}?{query}")) == [zoo[name] for name in names], query


def test_filters_by_prediction(
    viewer_client: TokenClient, sessions: Sessions, zoo: dict[str, int], models: ModelServer, mnist_model: int, actor: Actor
) -> None:
    labels = {name: models.predict_image(zoo[name], ModelRef(), actor=actor).label for name in ("giraffe", "calf")}
    assert ids(viewer_client.get(f"{API}?model=mnist")) == [zoo["calf"], zoo["giraffe"]]
    for label in set(labels.values()):
        same = [zoo[name] for name in ("calf", "giraffe") if labels[name] == label]
        assert ids(viewer_client.get(f"{API}?predicted={label}")) == same
        assert ids(viewer_client.get(f"{API}?predicted={label}&model=mnist")) == same
    assert ids(viewer_client.get(f"{API}?predicted={labels['calf']}&model=other")) == []
    assert ids(viewer_client.get(f"{API}?model=mnist&split=test")) == [zoo["calf"]]


NONSENSE = [
    ("limit=0", "limit"),
    ("limit=501", "limit"),
    ("limit=many", "limit"),
    ("limit=", "limit"),
    ("limit=1&limit=2", "limit"),
    ("after=nonsense", "after"),
    ("after=aTA", "after"),
    ("after=%00", "after"),
    ("after=" + "a" * 65, "after"),
    ("min_width=0", "min_width"),
    ("min_width=-1", "min_width"),
    ("max_height=9223372036854775808", "max_height"),
    ("max_height=1.5", "max_height"),
    ("colour=red", "colour"),
    ("label=%00", "label"),
    ("label=" + "x" * 201, "label"),
    ("tag=ok&tag=a%00b", "tag"),
    ("split=a%00", "split"),
    ("split=Train", "split"),
    ("split=train%0A", "split"),
    ("before=nonsense", "before"),
    ("sort=size", "sort"),
    ("sort=score", "model"),
    ("sort=-uncertainty", "model"),
    ("version=0&model=mnist", "version"),
    ("unlabelled=maybe", "unlabelled"),
    ("any_tag=%00", "any_tag"),
    ("no_tag=" + "x" * 201, "no_tag"),
    ("&".join(f"any_tag={n}" for n in range(101)), "any_tag"),
    ("channels=0", "channels"),
    ("channels=5", "channels"),
    ("bit_depth=3", "bit_depth"),
    ("bit_depth=eight", "bit_depth"),
    ("bit_depth=" + "9" * 5000, "bit_depth"),
    ("min_byte_size=-1", "min_byte_size"),
    ("max_byte_size=9223372036854775808", "max_byte_size"),
    ("created_from=yesterday", "created_from"),
    ("created_to=2026-02-30", "created_to"),
    ("taken_from=10000-01-01T00:00:00Z", "taken_from"),
    ("taken_to=%00", "taken_to"),
    ("name=ab", "name"),
    ("name=a%00bc", "name"),
    ("name=" + "x" * 256, "name"),
    ("name_prefix=%1B", "name_prefix"),
    ("attributes=[]", "attributes"),
    ("attributes={", "attributes"),
    ('attributes={"a":NaN}', "attributes"),
    ('attributes={"a":1e999}', "attributes"),
    ('attributes={"a":"\\u0000"}', "attributes"),
    ("exif=7", "exif"),
    ("png=" + "[" * 4000, "png"),
    ("min_score=2", "min_score"),
    ("min_score=nan", "min_score"),
    ("max_score=-1", "max_score"),
    ("max_score=inf", "max_score"),
    ("agrees=perhaps", "agrees"),
    ("damaged=2", "damaged"),
    ("predicted=%1B", "predicted"),
    ("model=%00", "model"),
]


def test_what_makes_no_sense_is_refused_by_name(viewer_client: TokenClient) -> None:
    for query, field in NONSENSE:
        body = assert_problem(viewer_client.get(f"{API}?{query}"), 422, "invalid_request", field=field)
        assert field in body["detail"], query


def test_bytes_that_are_no_text_do_no_harm(viewer_client: TokenClient) -> None:
    assert ids(viewer_client.get(f"{API}?label=%FF%FE")) == []


def test_ids_that_are_not_there(viewer_client: TokenClient, editor_client: TokenClient) -> None:
    for image_id in ("0", "-1", str(2**63 - 1), str(2**63), str(2**64), "1.0", "abc", "%00", "1%20"):
        for tail in ("", "/file", "/thumbnail"):
            assert_problem(viewer_client.get(f"{API}/{image_id}{tail}"), 404, "not_found")
        assert_problem(editor_client.delete(f"{API}/{image_id}"), 404, "not_found")
        assert_problem(editor_client.put(f"{API}/{image_id}/label", json={"label": "x"}), 404, "not_found")
        assert_problem(editor_client.put(f"{API}/{image_id}/tags", json={"tags": []}), 404, "not_found")
    # More digits than Python turns into a number.
    assert_problem(viewer_client.get(f"{API}/{'9' * 5000}"), 404, "not_found")


def test_the_gallery_gets_thumbnails_in_the_same_query(sessions: Sessions, zoo: dict[str, int]) -> None:
    wanted = ImageFilter(label="giraffe")
    page = list_tiles(sessions, wanted, limit=1)
    assert [tile.id for tile in page.items] == [zoo["calf"]]
    assert page.items[0].thumbnail.media_type == "image/png"
    rest = list_tiles(sessions, wanted, limit=1, after=page.next)
    assert [tile.id for tile in rest.items] == [info.id for info in list_images(sessions, wanted, limit=9).items[1:]]
    assert rest.next is None
    assert wanted.active == {"label": "giraffe"}


def test_suggestions(sessions: Sessions, zoo: dict[str, int]) -> None:
    delete_image(sessions, zoo["café"])
    assert names_in_use(sessions) == (["giraffe"], ["tall", "zoo"], ["test", "train"])
    # Out of sight, as between deletion and sweep: nothing that only such a picture has is suggested.
    execute(sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE split = 'train'")
    labels, tags, splits = names_in_use(sessions)
    with sessions() as session:
        ready = session.execute(text("SELECT image_id, label, tags, split FROM catalog.images")).all()
    assert labels == sorted({row.label for row in ready if row.label})
    assert tags == sorted({tag for row in ready for tag in row.tags})
    assert splits == sorted({row.split for row in ready if row.split}) == ["test"]
    execute(sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE state = 'READY'")
    assert names_in_use(sessions) == ([], [], [])
