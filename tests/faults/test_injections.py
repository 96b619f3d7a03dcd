"""500 injections in every run of the tests; `make faults N=10000 SEED=...` for more."""

import pytest

from tests.faults.inject import Injector, failpoints
from tests.faults.world import World

EACH = 50


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost(world: World, seed: int) -> None:
    tally = Injector(world, seed).run(EACH)
    assert tally.violations == []
    assert tally.injections == EACH
    assert tally.killed > 0


def test_there_are_enough_places_to_be_killed_at() -> None:
    assert len(failpoints()) >= 25
