"""What people ask is let through: 5,000 generated questions pass the guard and are answered by the whole door's lower layers."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Busy, PixrefError, QueryRefused
from service.sql.allowed import FUNCTIONS, TYPES
from service.sql.browser import EXAMPLES, views
from service.sql.guard import check
from service.sql.run import run
from storage.base import ObjectStore
from tests.benign import Asker, Columns
from tests.factories import add_image, rows

EACH = 500
SEEDS = range(10)
SHARE = 0.01


@pytest.fixture
def columns(sessions: Sessions, store: ObjectStore, actor: Actor) -> Columns:
    for number in range(6):
        add_image(
            sessions,
            store,
            actor,
            label=["giraffe", "7", None][number % 3],
            tags=["a", "b"][: number % 3],
            split=["train", None][number % 2],
            attributes={"camera": "M3", "a": [1, number]},
            original_name=f"picture {number}.png",
        )
    return {view.name: {column.name: column.type for column in view.columns} for view in views(sessions)}


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_questions_are_answered(columns: Columns, door_url: str, seed: int) -> None:
    asker = Asker(columns, seed)
    questions = [asker.question() for _ in range(EACH)]
    assert len(set(questions)) > EACH * 0.8

    def answer(question: str) -> str:
        while True:
            try:
                run(door_url, check(question))
            except Busy:
                continue
            except QueryRefused as error:
                return f"refused {error.reason}: {error.detail}"
            except PixrefError as error:
                return f"failed {error.code}: {error.detail}"
            return "answered"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(answer, questions))
    found = Counter(outcome.split(":")[0].split(" ")[0] for outcome in outcomes)
    wrong = {outcome: question for outcome, question in zip(outcomes, questions, strict=True) if outcome != "answered"}
    assert found["refused"] <= EACH * SHARE, wrong
    # The grammar makes valid SQL: what fails is a value, such as a number that is too large.
    assert found["failed"] <= EACH * SHARE, wrong


def test_the_grammar_makes_what_it_says() -> None:
    asker = Asker({"images": {"image_id": "bigint", "label": "text"}, "predictions": {"image_id": "bigint", "label": "text"}}, 1)
    made = " ".join(asker.question() for _ in range(3000))
    for part in (
        " join ",
        " group by ",
        " over (",
        "with c as",
        " union ",
        " lateral ",
        "distinct on",
        "rollup",
        "filter (where",
        "within group",
        "values ",
    ):
        assert part in made


def test_the_examples_of_the_page_are_answered(columns: Columns, door_url: str) -> None:
    for example in EXAMPLES:
        run(door_url, check(example.query))


def test_every_listed_function_and_type_is_postgresqls(sessions: Sessions, admin_url: URL) -> None:
    known = {
        name for (name,) in rows(sessions, "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")
    }
    # Newer than 16: an older server refuses them by itself.
    assert sorted(FUNCTIONS - known) == []
    types = {name for (name,) in rows(sessions, "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace")}
    assert sorted(TYPES - types) == []


def test_no_listed_function_changes_anything(sessions: Sessions) -> None:
    query = """
        SELECT DISTINCT proname FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(:names) AND provolatile = 'v'"""
    with sessions() as session:
        volatile = set(session.scalars(text(query), {"names": sorted(FUNCTIONS)}))
    # The clock and chance.
    assert volatile == {
        "array_sample",
        "array_shuffle",
        "clock_timestamp",
        "gen_random_uuid",
        "random",
        "random_normal",
        "timeofday",
        "uuidv4",
        "uuidv7",
    }
