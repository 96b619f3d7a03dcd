"""Aliases: moved by compare-and-swap, taken back step by step, with a history that nobody bends; and versions that are retired."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import DBAPIError

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Conflict, Invalid, NotFound
from service.models.aliases import history, move_alias, remove_alias, restore, retire, roll_back
from service.models.registry import find_version, list_versions
from tests.factories import execute, one, rows, together

REGISTERED = 4


@pytest.fixture(autouse=True)
def versions(register_mnist: Callable[[list[str]], int]) -> list[int]:
    """Four versions of one file, which differ in the names of their classes; the first is champion."""
    return [register_mnist([f"{letter}{number}" for number in range(10)]) for letter in "abcd"]


@pytest.fixture
def move(sessions: Sessions, actor: Actor) -> Callable[[int], None]:
    return lambda version: move_alias(sessions, "mnist", "champion", version, actor=actor) and None


def champion(sessions: Sessions) -> int:
    return find_version(sessions, "mnist").number


def test_an_alias_moves_if_it_is_where_it_was_expected(sessions: Sessions, actor: Actor) -> None:
    moved = move_alias(sessions, "mnist", "champion", 2, expected=1, actor=actor)
    assert (moved.from_version, moved.to_version, champion(sessions)) == (1, 2, 2)
    with pytest.raises(Conflict, match="names version 2 and not version 1"):
        move_alias(sessions, "mnist", "champion", 3, expected=1, actor=actor)
    assert champion(sessions) == 2
    assert move_alias(sessions, "mnist", "champion", 2, expected=2, actor=actor).from_version == 2
    with pytest.raises(Conflict, match="does not exist and not version 1"):
        move_alias(sessions, "mnist", "challenger", 3, expected=1, actor=actor)
    move_alias(sessions, "mnist", "challenger", 3, expected=None, actor=actor)
    with pytest.raises(Conflict, match="names version 3 and not missing"):
        move_alias(sessions, "mnist", "challenger", 4, expected=None, actor=actor)
    assert find_version(sessions, "mnist", alias="challenger").number == 3
    assert remove_alias(sessions, "mnist", "challenger", expected=3, actor=actor).to_version is None
    with pytest.raises(NotFound):
        find_version(sessions, "mnist", alias="challenger")


def test_of_two_who_promote_at_once_one_wins(sessions: Sessions, actor: Actor) -> None:
    def promote(index: int) -> str:
        try:
            move_alias(sessions, "mnist", "champion", 2 + index % 3, expected=1, actor=actor)
        except Conflict:
            return "conflict"
        return "moved"

    assert sorted(together(6, promote)) == ["conflict"] * 5 + ["moved"]
    assert one(sessions, "SELECT count(*) FROM catalog.alias_history WHERE from_version = 1") == 1


def test_each_rollback_goes_one_step_further_back(sessions: Sessions, actor: Actor, move: Callable[[int], None]) -> None:
    for version in (2, 3, 4):
        move(version)
    assert [roll_back(sessions, "mnist", actor=actor).to_version for _ in range(2)] == [3, 2]
    move(4)
    assert roll_back(sessions, "mnist", actor=actor).to_version == 2
    assert roll_back(sessions, "mnist", actor=actor).to_version == 1
    with pytest.raises(Conflict, match="no version before 1"):
        roll_back(sessions, "mnist", actor=actor)
    kinds = [(event.from_version, event.to_version, event.is_rollback) for event in history(sessions, "mnist")]
    assert kinds == [
        (2, 1, True),
        (4, 2, True),
        (2, 4, False),
        (3, 2, True),
        (4, 3, True),
        (3, 4, False),
        (2, 3, False),
        (1, 2, False),
        (None, 1, False),
    ]


def test_a_rollback_passes_over_what_cannot_serve(sessions: Sessions, actor: Actor, move: Callable[[int], None]) -> None:
    for version in (2, 3, 4):
        move(version)
    retire(sessions, "mnist", 3)
    execute(sessions, "UPDATE pixref.model_version SET damage = 'lost', damaged_at = now() WHERE number = 2")
    assert roll_back(sessions, "mnist", actor=actor).to_version == 1
    with pytest.raises(Conflict, match="no version before 1"):
        roll_back(sessions, "mnist", actor=actor)


def test_a_retired_version_predicts_nothing_and_comes_back(sessions: Sessions, actor: Actor) -> None:
    with pytest.raises(Conflict, match="is champion: let the alias name another version first"):
        retire(sessions, "mnist", 1)
    for _ in range(2):
        retire(sessions, "mnist", 3)
    with pytest.raises(NotFound):
        find_version(sessions, "mnist", version=3)
    with pytest.raises(Conflict, match="retired"):
        move_alias(sessions, "mnist", "champion", 3, actor=actor)
    assert {each.version: each.state for each in list_versions(sessions)} == {1: "ready", 2: "ready", 3: "retired", 4: "ready"}
    for _ in range(2):
        restore(sessions, "mnist", 3)
    assert find_version(sessions, "mnist", version=3).number == 3


def test_one_that_retires_and_one_that_promotes_never_both_win(sessions: Sessions, actor: Actor) -> None:
    def act(index: int) -> bool:
        try:
            if index % 2:
                retire(sessions, "mnist", 2)
            else:
                move_alias(sessions, "mnist", "champion", 2, actor=actor)
        except Conflict:
            return False
        return True

    won = together(2, act)
    assert won.count(True) == 1
    assert champion(sessions) == (2 if won[0] else 1)


def test_plain_sql_is_in_the_history_and_nobody_bends_it(sessions: Sessions) -> None:
    execute(sessions, "UPDATE pixref.model_alias SET model_version_id = (SELECT id FROM pixref.model_version WHERE number = 4)")
    assert rows(
        sessions,
        "SELECT model, alias, from_version, to_version, changed_by FROM catalog.alias_history ORDER BY event_id DESC LIMIT 1",
    ) == [("mnist", "champion", 1, 4, "pixref_app")]
    for change in (
        "UPDATE pixref.model_alias_event SET alias = 'x'",
        "DELETE FROM pixref.model_alias_event",
        "INSERT INTO pixref.model_alias_event (model_id, alias, to_version_id) SELECT model_id, 'x', model_version_id FROM pixref.model_alias",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            execute(sessions, change)


def test_what_is_not_there_is_said(sessions: Sessions, actor: Actor) -> None:
    for call in (
        lambda: move_alias(sessions, "nobody", "champion", 1, actor=actor),
        lambda: move_alias(sessions, "mnist", "champion", 9, actor=actor),
        lambda: move_alias(sessions, "mnist", "champion", 2**40, actor=actor),
        lambda: roll_back(sessions, "mnist", "other", actor=actor),
        lambda: retire(sessions, "mnist", 0),
        lambda: restore(sessions, "nobody", 1),
        lambda: history(sessions, "nobody"),
        lambda: remove_alias(sessions, "mnist", "other", actor=actor),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(Invalid, match="an alias is"):
        move_alias(sessions, "mnist", "No Alias", 1, actor=actor)
    with pytest.raises(Conflict, match="everybody"):
        remove_alias(sessions, "mnist", "champion", actor=actor)
