"""Label and tag many pictures at once: exactly those meant, whole or not at all, with history, in few statements, and without deadlock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.accounts.tokens import local_actor
from service.errors import Invalid
from service.pictures import bulk_changes
from service.pictures.bulk_changes import Changed, Choice, TagChange, label_many, tag_many
from service.pictures.delete import delete_image
from service.pictures.labels import label_history, set_label, set_tags
from service.pictures.search import ImageFilter
from storage.base import ObjectStore
from tests.factories import add_image, execute, one, rows, together

MANY = """
INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, source, split, ready_at, lease_until)
SELECT lpad(to_hex(n), 64, '0'), 'images/' || n, 100, 'READY', 28, 28, 1, 8, 0, 'test', CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END, now(), NULL
FROM generate_series(1, :count) n"""


@pytest.fixture
def many(sessions: Sessions) -> int:
    """Rows of 500 pictures; nothing here asks for their bytes."""
    execute(sessions, MANY, count=500)
    return 500


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_changes, "BATCH", 30)


def labels(sessions: Sessions) -> dict[int, str | None]:
    return dict(rows(sessions, "SELECT image_id, label FROM catalog.images"))  # type: ignore[arg-type]


def tags(sessions: Sessions) -> dict[int, list[str]]:
    return dict(rows(sessions, "SELECT image_id, tags FROM catalog.images"))  # type: ignore[arg-type]


@contextmanager
def statements(sessions: Sessions) -> Iterator[list[str]]:
    seen: list[str] = []

    def remember(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(sessions.engine, "before_cursor_execute", remember)
    yield seen
    event.remove(sessions.engine, "before_cursor_execute", remember)


def test_by_ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    first, second, third = (add_image(sessions, store, actor, label=label) for label in ("cat", "dog", None))
    gone = add_image(sessions, store, actor)
    delete_image(sessions, gone)
    chosen = Choice(ids=[second, first, second, gone, 987_654_321, 2**63 - 1])
    assert label_many(sessions, chosen, " dog ", actor=actor, dry_run=True) == Changed(2, 1)
    assert labels(sessions) == {first: "cat", second: "dog", third: None}
    assert label_many(sessions, chosen, " dog ", actor=actor) == Changed(2, 1)
    assert label_many(sessions, chosen, "dog", actor=actor) == Changed(2, 0)
    assert labels(sessions) == {first: "dog", second: "dog", third: None}
    assert label_many(sessions, Choice(ids=[first, third]), None, actor=actor) == Changed(2, 1)
    assert labels(sessions) == {first: None, second: "dog", third: None}
    changes = [(each.old_label, each.new_label, each.changed_by) for each in label_history(sessions, first)]
    assert changes == [("dog", None, "tester"), ("cat", "dog", "tester"), (None, "cat", "tester")]
    assert len(label_history(sessions, second)) == 1


def test_by_filter_a_batch_at_a_time(sessions: Sessions, many: int, actor: Actor, small_batches: None) -> None:
    even = Choice(wanted=ImageFilter(split="even"))
    with statements(sessions) as seen:
        assert label_many(sessions, even, "two", actor=actor) == Changed(many // 2, many // 2)
    batches = -(-(many // 2) // 30)
    assert len(seen) < 3 * batches + 10
    assert one(sessions, "SELECT count(*) FROM catalog.images WHERE (label = 'two') = (split = 'even')") == many // 2
    assert (
        one(sessions, "SELECT count(*) FROM catalog.label_history WHERE new_label = 'two' AND changed_by = 'tester'") == many // 2
    )
    # The filter restricts what the change itself alters.
    assert label_many(sessions, Choice(wanted=ImageFilter(label="two")), "deux", actor=actor) == Changed(many // 2, many // 2)
    assert tag_many(sessions, Choice(wanted=ImageFilter(label="deux")), TagChange(add=["a", "b"])) == Changed(
        many // 2, many // 2
    )
    assert tag_many(sessions, Choice(wanted=ImageFilter(tag=["a", "b"])), TagChange(remove=["a"])) == Changed(
        many // 2, many // 2
    )
    assert one(sessions, "SELECT count(*) FROM catalog.image_tags WHERE tag = 'b'") == many // 2
    assert one(sessions, "SELECT count(*) FROM catalog.image_tags") == many // 2


def test_tags(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    first = add_image(sessions, store, actor, tags=["a", "b"])
    second = add_image(sessions, store, actor, tags=["c"])
    both = Choice(ids=[first, second])
    change = TagChange(add=["b", "d"], remove=["c", "never seen"])
    assert tag_many(sessions, both, change, dry_run=True) == Changed(2, 2)
    assert tags(sessions) == {first: ["a", "b"], second: ["c"]}
    assert one(sessions, "SELECT count(*) FROM pixref.tag") == 3
    assert tag_many(sessions, both, change) == Changed(2, 2)
    assert tags(sessions) == {first: ["a", "b", "d"], second: ["b", "d"]}
    assert tag_many(sessions, both, change) == tag_many(sessions, both, change, dry_run=True) == Changed(2, 0)
    assert one(sessions, "SELECT count(*) FROM pixref.tag WHERE name = 'never seen'") == 0
    assert tag_many(sessions, both, TagChange(add=["b"], remove=["b"])) == Changed(2, 0)
    assert tag_many(sessions, both, TagChange(exactly=["b", "d"])) == Changed(2, 1)
    assert tags(sessions) == {first: ["b", "d"], second: ["b", "d"]}
    assert tag_many(sessions, both, TagChange(exactly=[])) == Changed(2, 2)
    assert tag_many(sessions, both, TagChange(exactly=[])) == Changed(2, 0)
    assert tags(sessions) == {first: [], second: []}


def test_no_picture_gets_more_tags_than_it_may_have(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    full = add_image(sessions, store, actor, tags=[f"t{n}" for n in range(100)])
    other = add_image(sessions, store, actor)
    with pytest.raises(Invalid, match=f"picture {full} would have more than 100 tags") as caught:
        tag_many(sessions, Choice(ids=[other, full]), TagChange(add=["one more"]))
    assert caught.value.field == "add"
    assert tags(sessions)[other] == []
    assert one(sessions, "SELECT count(*) FROM pixref.tag WHERE name = 'one more'") == 0
    assert tag_many(sessions, Choice(ids=[other, full]), TagChange(add=["one more"], remove=["t0"])) == Changed(2, 2)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Choice(), "ids"),
        (lambda: Choice(ids=[1], wanted=ImageFilter(label="x")), "ids"),
        (lambda: Choice(ids=range(10_001)), "ids"),
        (lambda: Choice(wanted=ImageFilter()), "filter"),
        (lambda: TagChange(), "add"),
        (lambda: TagChange(add=["a"], exactly=["b"]), "set"),
        (lambda: TagChange(add=["a\x00"]), "add"),
        (lambda: TagChange(exactly=[f"t{n}" for n in range(101)]), "set"),
    ],
)
def test_what_is_refused(make: object, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        make()  # type: ignore[operator]
    assert caught.value.field == field


def test_more_pictures_than_the_limit(sessions: Sessions, many: int, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_changes, "PICTURES_MAX", many - 1)
    for dry_run in (True, False):
        with pytest.raises(Invalid, match=f"more than {many - 1:,} pictures") as caught:
            label_many(sessions, Choice(wanted=ImageFilter(min_width=1)), "x", actor=actor, dry_run=dry_run)
        assert caught.value.field == "filter"
    assert one(sessions, "SELECT count(*) FROM pixref.label_event") == 0


def test_a_failure_half_way_changes_nothing(
    sessions: Sessions, many: int, actor: Actor, small_batches: None, admin_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "LOCK_TIMEOUT_MS", 200)
    middle = one(sessions, "SELECT max(id) / 2 FROM pixref.image")
    with create_engine(admin_url, poolclass=NullPool).begin() as admin:
        admin.execute(text("SELECT 1 FROM pixref.image WHERE id = :id FOR UPDATE"), {"id": middle})
        with pytest.raises(Exception, match="lock timeout"):
            label_many(sessions, Choice(wanted=ImageFilter(min_width=1)), "x", actor=actor)
    assert set(labels(sessions).values()) == {None}
    assert one(sessions, "SELECT count(*) FROM pixref.label_event") == one(sessions, "SELECT count(*) FROM pixref.label") == 0


def test_two_at_once_take_turns(sessions: Sessions, many: int, actor: Actor, small_batches: None) -> None:
    """Opposite changes of the same pictures, by label and by tags, again and again: no deadlock, and one of the two wins whole."""
    people = [local_actor(sessions, f"person {n}") for n in range(4)]
    everything = Choice(wanted=ImageFilter(min_width=1))
    ids = sorted(labels(sessions), reverse=True)
    for _ in range(3):
        together(4, lambda n: label_many(sessions, Choice(ids=ids) if n % 2 else everything, f"label {n}", actor=people[n]))
        assert len(set(labels(sessions).values())) == 1
        together(4, lambda n: tag_many(sessions, Choice(ids=ids) if n % 2 else everything, TagChange(exactly=[f"tag {n}", "x"])))
        assert len({tuple(found) for found in tags(sessions).values()}) == 1


def test_with_single_changes_between(sessions: Sessions, many: int, actor: Actor, small_batches: None) -> None:
    """Single pictures are labelled and tagged by others while everything is: each ends as the one or the other wanted, and nothing hangs."""
    ids = sorted(labels(sessions))
    stop = threading.Event()
    errors: list[BaseException] = []

    def single(start: int) -> None:
        try:
            for n in range(start, len(ids), 7):
                if stop.is_set():
                    return
                set_label(sessions, ids[n], "single", actor=actor)
                set_tags(sessions, ids[n], ["single"])
        except BaseException as exc:  # carried to the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=single, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    for n in range(4):
        label_many(sessions, Choice(wanted=ImageFilter(min_width=1)), f"round {n}", actor=actor)
        tag_many(sessions, Choice(ids=ids), TagChange(add=[f"round {n}"]))
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(labels(sessions).values()) <= {"round 3", "single"}


def test_a_picture_that_stopped_matching_is_left_alone(
    sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL
) -> None:
    """Somebody relabels a cat while the cats are about to become dogs: what they said stands."""
    first, second = (add_image(sessions, store, actor, label="cat") for _ in range(2))
    set_label(sessions, first, "bird", actor=actor)
    set_label(sessions, first, "cat", actor=actor)
    engine = create_engine(admin_url, poolclass=NullPool)
    begun = threading.Event()
    result: list[Changed] = []

    def bulk() -> None:
        begun.set()
        result.append(label_many(sessions, Choice(wanted=ImageFilter(label="cat")), "dog", actor=actor))

    with engine.begin() as admin:
        admin.execute(
            text("UPDATE pixref.image SET label_id = (SELECT id FROM pixref.label WHERE name = 'bird') WHERE id = :id"),
            {"id": first},
        )
        thread = threading.Thread(target=bulk)
        thread.start()
        begun.wait(5)
        # Until it waits for the row.
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        for _ in range(200):
            if admin.scalar(waiting):
                break
            threading.Event().wait(0.02)
        else:
            pytest.fail("the bulk change never met the lock")
    thread.join(10)
    assert result == [Changed(2, 1)]
    assert labels(sessions) == {first: "bird", second: "dog"}
