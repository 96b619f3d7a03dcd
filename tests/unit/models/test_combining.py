"""The queue before a model: an answer of its own for each picture, bounded in number and time, and one bad picture hurts nobody else."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from service.errors import Busy, ModelOutputInvalid, ModelTimeout, PredictorCrashed
from service.models.combining import Combiner, Floats
from tests.cli.conftest import eventually


def picture(number: float) -> Floats:
    return np.full((2, 2, 1), number, np.float32)


class Model:
    """Answers with the picture's own number; holds still while it is closed. A negative number is one that it cannot answer."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.fault: Exception = ModelOutputInvalid("The model answered with NaN or infinity.")
        self._alone = threading.Lock()

    def __call__(self, batch: Floats) -> Floats:
        assert self._alone.acquire(blocking=False), "called twice at once"
        try:
            self.entered.release()
            assert self.open.wait(30)
            numbers = [float(each) for each in batch[:, 0, 0, 0]]
            self.batches.append(numbers)
            if min(numbers) < 0:
                raise self.fault
            return np.repeat(batch[:, :1, 0, 0], 3, axis=1)
        finally:
            self._alone.release()


@contextmanager
def queued(model: Model, combiner: Combiner, numbers: list[float]) -> Iterator[list[Future[Floats]]]:
    """Ask for 0, and for these in this order while it is running; then let the model go on."""
    model.open.clear()
    with ThreadPoolExecutor(len(numbers) + 1) as pool:
        first = pool.submit(combiner.ask, picture(0))
        assert model.entered.acquire(timeout=30)
        asked = []
        for place, number in enumerate(numbers, start=1):
            asked.append(pool.submit(combiner.ask, picture(number)))
            eventually(lambda place=place: len(combiner._queue) >= place)  # type: ignore[misc]
        model.open.set()
        assert first.result(30)[0] == 0
        yield asked


def test_what_has_queued_is_run_together_and_each_gets_its_own() -> None:
    model = Model()
    combiner = Combiner(model, most=3)
    with queued(model, combiner, [1, 2, 3, 4, 5]) as asked:
        assert [each.result(30).tolist() for each in asked] == [[n] * 3 for n in (1, 2, 3, 4, 5)]
    assert model.batches == [[0], [1, 2, 3], [4, 5]]


def test_many_threads_get_their_own_answers() -> None:
    model = Model()
    combiner = Combiner(model, most=4)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: combiner.ask(picture(number))[0], range(2000)))
    assert answers == list(range(2000))
    assert sorted(number for batch in model.batches for number in batch) == list(range(2000))


def test_a_picture_that_the_model_cannot_answer_is_alone_with_it() -> None:
    model = Model()
    combiner = Combiner(model, most=4)
    with queued(model, combiner, [1, -2, 3]) as asked:
        assert asked[0].result(30)[0] == 1
        with pytest.raises(ModelOutputInvalid):
            asked[1].result(30)
        assert asked[2].result(30)[0] == 3
    assert combiner.ask(picture(9))[0] == 9


def test_a_crash_is_told_to_all_whom_it_concerns_and_to_nobody_else() -> None:
    model = Model()
    model.fault = PredictorCrashed("gone")
    combiner = Combiner(model, most=2)
    with queued(model, combiner, [-1, 2, 3]) as asked:
        for each in asked[:2]:
            with pytest.raises(PredictorCrashed):
                each.result(30)
        assert asked[2].result(30)[0] == 3
    # Not tried again: whoever crashed it would crash it once more.
    assert model.batches == [[0], [-1, 2], [3]]


def test_the_queue_is_bounded() -> None:
    model = Model()
    combiner = Combiner(model, most=1, places=1)
    model.open.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(combiner.ask, picture(1))
        assert model.entered.acquire(timeout=30)
        second = pool.submit(combiner.ask, picture(2))
        eventually(lambda: len(combiner._queue) == 1)
        with pytest.raises(Busy, match="1 pictures wait"):
            combiner.ask(picture(3))
        model.open.set()
        assert [first.result(30)[0], second.result(30)[0]] == [1, 2]


def test_who_waits_too_long_goes_away_and_leaves_no_trace() -> None:
    model = Model()
    combiner = Combiner(model, most=1, patience_s=0.05)
    model.open.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(combiner.ask, picture(1))
        assert model.entered.acquire(timeout=30)
        with pytest.raises(ModelTimeout, match=r"0\.05 s"):
            combiner.ask(picture(2))
        model.open.set()
        assert first.result(30)[0] == 1
    assert combiner.ask(picture(3))[0] == 3
    assert model.batches == [[1], [3]]


def test_an_interrupted_run_does_not_block_the_model() -> None:
    def interrupted(_batch: Floats) -> Floats:
        raise KeyboardInterrupt

    combiner = Combiner(interrupted, most=1)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            combiner.ask(picture(1))
