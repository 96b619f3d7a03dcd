"""Labels and tags themselves: made, found, described, renamed, merged, deleted, and true everywhere else afterwards."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import BadModel, Conflict, Invalid, NotFound
from service.models.prediction_rows import store_predictions
from service.models.predictions import Scored, store_prediction
from service.models.registry import find_version, list_versions
from service.models.serving import ModelRef, ModelServer
from service.pictures.bulk_changes import Choice, TagChange, label_many, tag_many
from service.pictures.delete import delete_image, restore_image
from service.pictures.labels import label_history, set_label, set_tags
from service.pictures.merging import merge_words
from service.pictures.search import ImageFilter, list_images
from service.pictures.words import Kind, WordChange, WordInfo, change_word, create_word, delete_word, get_word, list_words
from storage.base import ObjectStore
from tests.cli.conftest import eventually
from tests.conftest import TokenClient
from tests.factories import add_image, assert_problem, execute, make_png, one, rows, together

KINDS = [*Kind]
ONE_DAY = timedelta(days=1)
API = "/api/v1"


def word(sessions: Sessions, kind: Kind, name: str) -> WordInfo:
    return next(each for each in list_words(sessions, kind, limit=500).items if each.name == name)


def names(sessions: Sessions, kind: Kind) -> list[str]:
    return [each.name for each in list_words(sessions, kind, limit=500).items]


@pytest.mark.parametrize("kind", KINDS)
def test_pages_by_name_in_both_directions(sessions: Sessions, kind: Kind) -> None:
    wanted = sorted([f"w{n:02}" for n in range(23)] + ["Ümlaut", "a b", "日本"])
    for name in reversed(wanted):
        create_word(sessions, kind, name)
    in_order = names(sessions, kind)
    assert sorted(in_order) == wanted
    page = list_words(sessions, kind, limit=4)
    assert page.prev is None
    pages = [page]
    while page.next:
        page = list_words(sessions, kind, limit=4, after=page.next)
        pages.append(page)
    assert [each.name for page in pages for each in page.items] == in_order
    back = pages[-1]
    for expected in reversed(pages[:-1]):
        assert back.prev
        back = list_words(sessions, kind, limit=4, before=back.prev)
        assert back.items == expected.items
        assert back.next == expected.next
    assert back.prev is None
    between = list_words(sessions, kind, limit=500, after=pages[0].next, before=pages[2].prev)
    assert between.items == pages[1].items
    assert [each.name for each in list_words(sessions, kind, q="W0", limit=500).items] == [f"w0{n}" for n in range(10)]
    assert list_words(sessions, kind, q="%").items == []


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_of_visible_pictures(sessions: Sessions, store: ObjectStore, actor: Actor, kind: Kind) -> None:
    described: dict[str, Any] = {"label": "cat"} if kind is Kind.LABEL else {"tags": ["cat"]}
    first, _ = (add_image(sessions, store, actor, **described) for _ in range(2))
    create_word(sessions, kind, "dog", colour="#ABCDEF", description=" of\r\nany kind ")
    delete_image(sessions, first)
    found = {each.name: each for each in list_words(sessions, kind).items}
    assert (found["cat"].images, found["dog"].images) == (1, 0)
    assert (found["dog"].colour, found["dog"].description) == ("#abcdef", "of\nany kind")
    view = rows(sessions, f"SELECT {kind.value}, images, colour, description, synonyms FROM catalog.{kind.value}s ORDER BY 1")
    assert view == [("cat", 1, None, None, []), ("dog", 0, "#abcdef", "of\nany kind", [])]


@pytest.mark.parametrize("kind", KINDS)
def test_renamed_and_described(sessions: Sessions, store: ObjectStore, actor: Actor, kind: Kind) -> None:
    described: dict[str, Any] = {"label": "girafe"} if kind is Kind.LABEL else {"tags": ["girafe"]}
    image_id = add_image(sessions, store, actor, **described)
    other = create_word(sessions, kind, "zebra")
    found = word(sessions, kind, "girafe")
    for values in ({"name": " giraffe "}, {"colour": "#000000", "description": "tall"}, {"colour": None}):
        change_word(sessions, kind, found.id, WordChange(frozenset(values), **values))  # type: ignore[arg-type]
    now = get_word(sessions, kind, found.id)
    assert (now.name, now.colour, now.description, now.images, now.synonyms) == ("giraffe", None, "tall", 1, [])
    assert now == change_word(sessions, kind, found.id, WordChange(frozenset({"name"}), "giraffe"))
    wanted = ImageFilter(label="giraffe") if kind is Kind.LABEL else ImageFilter(tag=["giraffe"])
    assert [each.id for each in list_images(sessions, wanted).items] == [image_id]
    with pytest.raises(Conflict, match=f"number {other.id}"):
        change_word(sessions, kind, found.id, WordChange(frozenset({"name"}), "zebra"))
    with pytest.raises(Conflict, match=f"number {other.id}"):
        create_word(sessions, kind, "zebra")
    for word_id in (987_654_321, 2**63, 0):
        with pytest.raises(NotFound):
            change_word(sessions, kind, word_id, WordChange(frozenset({"name"}), "x"))
    for bad in ({"name": ""}, {"name": "\x00"}, {"colour": "red"}, {"description": "\x1b"}, {"description": "x" * 1001}, {}):
        with pytest.raises(Invalid):
            WordChange(frozenset(bad), **bad)


def test_a_merged_label_leads_to_the_other(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor, label=name) for name in ("girafe", "girafe", "giraffe", "zebra")]
    trashed = add_image(sessions, store, actor, label="girafe")
    delete_image(sessions, trashed, keep=ONE_DAY)
    source, target = word(sessions, Kind.LABEL, "girafe"), word(sessions, Kind.LABEL, "giraffe")
    merged = merge_words(sessions, Kind.LABEL, source.id, target.id, actor=actor)
    assert (merged.images, merged.predictions, merged.word.images, merged.word.synonyms) == (3, 0, 3, ["girafe"])
    assert names(sessions, Kind.LABEL) == ["giraffe", "zebra"]
    # Repeated, and asked for by id.
    again = merge_words(sessions, Kind.LABEL, source.id, target.id, actor=actor)
    assert (again.images, again.word) == (0, merged.word)
    with pytest.raises(NotFound, match=f"merged into label {target.id}") as caught:
        get_word(sessions, Kind.LABEL, source.id)
    assert caught.value.extra == {"merged_into": target.id}
    # The history says what was meant, and who merged.
    changes = [(each.old_label, each.new_label) for each in label_history(sessions, ids[0])]
    assert changes == [("girafe", "giraffe"), (None, "girafe")]
    assert len(label_history(sessions, ids[2])) == 1
    # The old name works wherever a name is given.
    assert len(list_images(sessions, ImageFilter(label="girafe")).items) == 3
    assert set_label(sessions, ids[3], "girafe", actor=actor).label == "giraffe"
    late = add_image(sessions, store, actor, label="girafe")
    assert label_many(sessions, Choice(ids=[late, ids[0]]), "girafe", actor=actor).changed == 0
    restore_image(sessions, trashed)
    assert one(sessions, "SELECT count(*) FROM catalog.images WHERE label = 'giraffe'") == 6
    # And is no other's.
    with pytest.raises(Conflict, match=f"synonym of label {target.id}"):
        create_word(sessions, Kind.LABEL, "girafe")
    with pytest.raises(Conflict, match="history"):
        change_word(sessions, Kind.LABEL, target.id, WordChange(frozenset({"name"}), "girafe"))


def test_merging_in_a_row_leaves_no_chain(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor, label="a", tags=["a", "b", "keep"])
    for kind in Kind:
        a, b, c = (
            word(sessions, kind, name) if name in names(sessions, kind) else create_word(sessions, kind, name) for name in "abc"
        )
        merge_words(sessions, kind, a.id, b.id, actor=actor)
        assert merge_words(sessions, kind, b.id, c.id, actor=actor).word.synonyms == ["a", "b"]
        with pytest.raises(Conflict, match=f"merged into {c.id}"):
            merge_words(sessions, kind, c.id, a.id, actor=actor)
        with pytest.raises(Conflict, match="itself"):
            merge_words(sessions, kind, c.id, c.id, actor=actor)
        with pytest.raises(Conflict, match="into: there is no"):
            merge_words(sessions, kind, c.id, 987_654_321, actor=actor)
        with pytest.raises(NotFound):
            merge_words(sessions, kind, 987_654_321, c.id, actor=actor)
    found = list_images(sessions, ImageFilter(label="a", tag=["a", "b"])).items
    assert [(each.id, each.label, each.tags) for each in found] == [(image_id, "c", ["c", "keep"])]
    assert set_tags(sessions, image_id, ["a", "b", "c"]).tags == ["c"]
    assert tag_many(sessions, Choice(ids=[image_id]), TagChange(add=["a", "c"], remove=["keep"])).changed == 0
    assert tag_many(sessions, Choice(ids=[image_id]), TagChange(remove=["b"])).changed == 1


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_nothing_uses_is_deleted(sessions: Sessions, store: ObjectStore, actor: Actor, kind: Kind) -> None:
    described: dict[str, Any] = {"label": "cat"} if kind is Kind.LABEL else {"tags": ["cat"]}
    image_id = add_image(sessions, store, actor, **described)
    cat, unused = word(sessions, kind, "cat"), create_word(sessions, kind, "unused")
    delete_word(sessions, kind, unused.id)
    with pytest.raises(NotFound):
        delete_word(sessions, kind, unused.id)
    with pytest.raises(Conflict, match="1 picture") as caught:
        delete_word(sessions, kind, cat.id)
    assert caught.value.extra["uses"]["pictures"] == 1
    delete_image(sessions, image_id, keep=ONE_DAY)
    with pytest.raises(Conflict, match="1 picture in the trash"):
        delete_word(sessions, kind, cat.id)
    restore_image(sessions, image_id)
    if kind is Kind.LABEL:
        set_label(sessions, image_id, None, actor=actor)
        with pytest.raises(Conflict, match="2 entries of the label history"):
            delete_word(sessions, kind, cat.id)
    else:
        set_tags(sessions, image_id, [])
        delete_word(sessions, kind, cat.id)
        assert names(sessions, kind) == []


def test_a_class_of_a_model_that_is_merged(
    sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int, models: ModelServer, labels: list[str]
) -> None:
    image_id, other = (add_image(sessions, store, actor, make_png(seed=seed)) for seed in (1, 2))
    before = models.predict_image(image_id, ModelRef(), actor=actor)
    stale = find_version(sessions, "mnist")
    source = word(sessions, Kind.LABEL, before.label)
    target = create_word(sessions, Kind.LABEL, f"digit {before.label}")
    merged = merge_words(sessions, Kind.LABEL, source.id, target.id, actor=actor)
    assert merged.predictions == 1
    view = rows(sessions, "SELECT label, scores FROM catalog.predictions")
    assert view[0][0] == target.name
    assert len(view[0][1]) == len(labels)
    assert list_versions(sessions)[0].labels == [target.name if label == before.label else label for label in labels]
    # Whoever still has the classes of before writes what is true now.
    position = labels.index(before.label)
    scores = np.zeros(len(labels), np.float32)
    scores[position] = 1
    store_prediction(sessions, image_id, stale, Scored(scores, 1.0), actor=actor)
    assert store_predictions(sessions, stale, {other: Scored(scores, 1.0)}, actor=actor) == [other]
    assert {label for (label,) in rows(sessions, "SELECT label FROM catalog.predictions")} == {target.name}
    fresh = ModelServer(sessions, store).predict_image(image_id, ModelRef(), actor=actor)
    assert fresh.label == target.name
    # Two classes of one version stay two.
    rest = [word(sessions, Kind.LABEL, label) for label in labels if label != before.label]
    for into in (rest[1], target):
        with pytest.raises(Conflict, match="mnist version 1 tells the two labels apart"):
            merge_words(sessions, Kind.LABEL, rest[0].id, into.id, actor=actor)
    with pytest.raises(Conflict, match="1 class of a model"):
        delete_word(sessions, Kind.LABEL, rest[0].id)


def test_registering_the_same_file_again_after_words_have_changed(
    sessions: Sessions, actor: Actor, mnist_model: int, register_mnist: Any, labels: list[str]
) -> None:
    """`pixref init` does so at every start: it must find the version, not make another with the old labels."""
    seven = word(sessions, Kind.LABEL, "7")
    change_word(sessions, Kind.LABEL, seven.id, WordChange(frozenset({"name"}), "seven"))
    assert get_word(sessions, Kind.LABEL, seven.id).synonyms == ["7"]
    eight = word(sessions, Kind.LABEL, "8")
    target = create_word(sessions, Kind.LABEL, "eight")
    merge_words(sessions, Kind.LABEL, eight.id, target.id, actor=actor)
    assert register_mnist(labels) == mnist_model
    assert [len(list_versions(sessions)), *rows(sessions, "SELECT count(*) FROM pixref.label WHERE merged_into_id IS NULL")] == [
        1,
        (10,),
    ]
    change_word(sessions, Kind.LABEL, seven.id, WordChange(frozenset({"name"}), "7"))
    assert get_word(sessions, Kind.LABEL, seven.id).synonyms == ["seven"]
    with pytest.raises(BadModel, match="two of the labels are one"):
        register_mnist([*labels[:8], "eight", "8"])


def test_merging_while_others_write(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    """However it falls, no picture is left with a word that is no more."""
    ids = [add_image(sessions, store, actor, label="old 0", tags=["old 0"]) for _ in range(6)]
    for n in range(6):
        pairs = {}
        for kind in Kind:
            old = (
                word(sessions, kind, f"old {n}")
                if f"old {n}" in names(sessions, kind)
                else create_word(sessions, kind, f"old {n}")
            )
            pairs[kind] = (old.id, create_word(sessions, kind, f"new {n}").id)

        def work(index: int, n: int = n, pairs: dict[Kind, tuple[int, int]] = pairs) -> None:
            if index == 0:
                merge_words(sessions, Kind.LABEL, *pairs[Kind.LABEL], actor=actor)
            elif index == 1:
                merge_words(sessions, Kind.TAG, *pairs[Kind.TAG], actor=actor)
            elif index == 2:
                set_label(sessions, ids[0], f"old {n}", actor=actor)
                set_tags(sessions, ids[0], [f"old {n}", "x"])
            elif index == 3:
                label_many(sessions, Choice(ids=ids[2:]), f"old {n}", actor=actor)
            elif index == 4:
                tag_many(sessions, Choice(ids=ids[2:]), TagChange(exactly=[f"old {n}", "x"]))
            else:
                add_image(sessions, store, actor, label=f"old {n}", tags=["x", f"old {n}"])

        together(6, work)
    assert (
        rows(
            sessions,
            "SELECT i.id FROM pixref.image i JOIN pixref.label l ON l.id = i.label_id WHERE l.merged_into_id IS NOT NULL",
        )
        == []
    )
    assert (
        rows(
            sessions,
            "SELECT image_id FROM pixref.image_tag JOIN pixref.tag t ON t.id = tag_id WHERE t.merged_into_id IS NOT NULL",
        )
        == []
    )


def test_deleting_while_others_begin_to_use(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(2)]
    for n in range(8):
        made = create_word(sessions, Kind.TAG, f"t{n}")

        def work(index: int, n: int = n, word_id: int = made.id) -> object:
            if index:
                return set_tags(sessions, ids[index - 1], [f"t{n}"]).tags
            try:
                return delete_word(sessions, Kind.TAG, word_id)
            except Conflict as conflict:
                return conflict

        _, *kept = together(3, work)
        assert kept == [[f"t{n}"]] * 2


def test_the_database_itself_keeps_words_sound(sessions: Sessions) -> None:
    made = create_word(sessions, Kind.LABEL, "x")
    for values in ("colour = 'red'", "description = ''", "merged_into_id = id", "merged_into_id = 987654321"):
        with pytest.raises(DBAPIError):
            execute(sessions, f"UPDATE pixref.label SET {values} WHERE id = :id", id=made.id)


def test_by_the_api(editor_client: TokenClient, viewer_client: TokenClient) -> None:
    made = editor_client.post(f"{API}/labels", json={"name": "cat"})
    address = made.headers["Location"]
    assert editor_client.get(address).get_json() == made.get_json()
    assert_problem(viewer_client.patch(address, json={"name": "x"}), 403, "forbidden")
    assert editor_client.patch(address, json={"colour": "#123456"}).get_json()["name"] == "cat"
    for body, field in (
        ({}, "body"),
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"colour": ""}, "colour"),
        ({"colour": "123456"}, "colour"),
        ({"id": 7}, "id"),
        ({"images": 7}, "images"),
        ({"merged_into_id": 7}, "merged_into_id"),
    ):
        assert_problem(editor_client.patch(address, json=body), 422, "invalid_request", field=field)
    taken = assert_problem(editor_client.post(f"{API}/labels", json={"name": "cat"}), 409, "conflict")
    assert taken["id"] == made.get_json()["id"]
    for query, field in (
        ("after=x", "after"),
        ("before=bg", "before"),
        ("q=%00", "q"),
        ("x=1", "x"),
    ):
        assert_problem(viewer_client.get(f"{API}/labels?{query}"), 422, "invalid_request", field=field)
    assert_problem(editor_client.post(f"{address}/merge", json={"into": 987_654_321}), 409, "conflict", field="into")
    assert editor_client.delete(address).status_code == 204
    assert_problem(editor_client.delete(address), 404, "not_found")


@contextmanager
def waiting(admin_url: URL, statement: str, work: Callable[[], object], **values: object) -> Iterator[None]:
    """Run a statement as an administrator, begin the work, and commit once the work waits for it."""
    with create_engine(admin_url, poolclass=NullPool).begin() as admin:
        for part in statement.split(";"):
            admin.execute(text(part), values)
        thread = threading.Thread(target=work)
        thread.start()
        locked = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        eventually(lambda: bool(admin.scalar(locked)))
    thread.join(10)
    yield


def test_what_is_predicted_anew_meanwhile_stays(
    sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int, models: ModelServer, admin_url: URL
) -> None:
    image_id = add_image(sessions, store, actor, make_png(seed=1))
    seen = word(sessions, Kind.LABEL, models.predict_image(image_id, ModelRef(), actor=actor).label)
    other = word(sessions, Kind.LABEL, "0" if seen.name != "0" else "1")
    target = create_word(sessions, Kind.LABEL, "target")
    merge = partial(merge_words, sessions, Kind.LABEL, seen.id, target.id, actor=actor)
    with waiting(admin_url, "UPDATE pixref.prediction SET label_id = :label", merge, label=other.id):
        assert rows(sessions, "SELECT label FROM catalog.predictions") == [(other.name,)]
    assert get_word(sessions, Kind.LABEL, target.id).synonyms == [seen.name]


def test_a_tag_that_is_taken_off_meanwhile_leads_nowhere(
    sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL
) -> None:
    first, second = (add_image(sessions, store, actor, tags=["old", "x"]) for _ in range(2))
    new = create_word(sessions, Kind.TAG, "new")
    merge = partial(merge_words, sessions, Kind.TAG, word(sessions, Kind.TAG, "old").id, new.id, actor=actor)
    taken_off = """
        SELECT 1 FROM pixref.image WHERE id = :id FOR NO KEY UPDATE;
        DELETE FROM pixref.image_tag WHERE image_id = :id AND tag_id = (SELECT id FROM pixref.tag WHERE name = 'old')"""
    with waiting(admin_url, taken_off, merge, id=first):
        found = rows(sessions, "SELECT image_id, tags FROM catalog.images ORDER BY 1")
        assert found == [(first, ["x"]), (second, ["new", "x"])]
