"""The training process: what it learns, that it repeats itself, what it is told of, and that it can be stopped."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from service.datasets.idx import load_split
from service.errors import Invalid, TrainingFailed
from service.models.archive import check_archive
from service.models.spec import InputSpec, default_preprocessing
from service.models.training.plan import Epoch, Plan
from service.models.training.run import Step, Trained, run_training
from service.models.training.trainer import BASE, TRAINING, VALIDATION
from service.settings import PROJECT_DIR

SPEC = InputSpec(height=12, width=16, channels=1)
RECIPE = default_preprocessing(SPEC)
CLASSES = 3


def stripes(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Pictures that are bright above, in the middle, or below, with noise."""
    random = np.random.default_rng(seed)
    shown = random.integers(0, CLASSES, count).astype(np.int32)
    levels = random.integers(0, 120, (count, 12, 16, 1)).astype(np.uint8)
    for picture, each in zip(levels, shown, strict=True):
        picture[each * 4 : each * 4 + 4] += 100
    return levels, shown


def put(folder: Path, name: str, count: int, seed: int) -> None:
    levels, shown = stripes(count, seed)
    np.save(folder / f"{name}.npy", levels)
    np.save(folder / f"{name}-classes.npy", shown)


def train(folder: Path, plan: Plan, told: list[Step | Epoch] | None = None) -> Trained:
    put(folder, TRAINING, 600, 1)
    put(folder, VALIDATION, 120, 2)
    report = [].append if told is None else told.append
    return run_training(folder, plan, SPEC, RECIPE, classes=CLASSES, validation=True, report=report, check=lambda: None)


def folder_in(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def told() -> list[Step | Epoch]:
    return []


@pytest.fixture(scope="module")
def trained(parent: Path, told: list[Step | Epoch]) -> Trained:
    return train(folder_in(parent, "first"), Plan(epochs=3, batch_size=50, seed=7), told)


def test_it_learns_and_tells_how_it_goes(trained: Trained, told: list[Step | Epoch]) -> None:
    assert [epoch.epoch for epoch in trained.epochs] == [1, 2, 3]
    assert trained.epochs[-1].loss < trained.epochs[0].loss
    assert (trained.epochs[-1].validation_accuracy or 0) > 0.95
    assert [each for each in told if isinstance(each, Epoch)] == trained.epochs
    assert all(1 <= each.step <= each.steps == 12 for each in told if isinstance(each, Step))
    assert trained.versions.keys() == {"keras", "tensorflow", "numpy"}
    # The file is one that the registry takes: nothing in it but layers and weights.
    assert check_archive(trained.path) == trained.versions["keras"]


def test_the_same_plan_gives_the_same_model_and_another_seed_another(parent: Path, trained: Trained) -> None:
    again = train(folder_in(parent, "again"), Plan(epochs=3, batch_size=50, seed=7))
    without_time = [(epoch.loss, epoch.accuracy, epoch.validation_loss) for epoch in again.epochs]
    assert without_time == [(epoch.loss, epoch.accuracy, epoch.validation_loss) for epoch in trained.epochs]
    other = train(folder_in(parent, "other"), Plan(epochs=1, batch_size=50, seed=8))
    assert other.epochs[0].loss != trained.epochs[0].loss


def test_a_trained_model_is_trained_on(parent: Path, trained: Trained) -> None:
    folder = folder_in(parent, "on")
    (folder / BASE).write_bytes(trained.path.read_bytes())
    on = train(folder, Plan(epochs=1, batch_size=50, augmentation="none"))
    assert on.epochs[0].loss < trained.epochs[0].loss / 2
    assert (on.epochs[0].validation_accuracy or 0) > 0.95


def test_a_thousand_digits_are_enough(parent: Path) -> None:
    folder = folder_in(parent, "digits")
    for name, split in ((TRAINING, "train"), (VALIDATION, "test")):
        levels, shown = load_split(PROJECT_DIR / "samples", split)
        np.save(folder / f"{name}.npy", levels[..., np.newaxis])
        np.save(folder / f"{name}-classes.npy", shown.astype(np.int32))
    spec = InputSpec(height=28, width=28, channels=1)
    trained = run_training(
        folder, Plan(epochs=5), spec, RECIPE, classes=10, validation=True, report=[].append, check=lambda: None
    )
    # 0.9 is what a person would expect of so few; Keras' own momentum gave 0.3 to 0.7 in three times the epochs, with batches of 128.
    assert (trained.epochs[-1].validation_accuracy or 0) > 0.9
    assert (trained.plan.batch_size, trained.plan.learning_rate) == (16, 0.003)


def test_a_batch_is_smaller_where_pictures_are_few() -> None:
    assert [Plan().batch(pictures) for pictures in (2, 1_023, 1_024, 4_095, 4_096, 60_000)] == [16, 16, 32, 64, 128, 128]
    assert Plan(batch_size=500).batch(2) == 500


def test_it_is_stopped_by_whoever_looks(parent: Path) -> None:
    folder = folder_in(parent, "stopped")
    put(folder, TRAINING, 600, 1)

    class Enough(Exception):
        pass

    def check() -> None:
        raise Enough

    began = time.monotonic()
    with pytest.raises(Enough):
        run_training(folder, Plan(epochs=1000), SPEC, RECIPE, classes=CLASSES, validation=False, report=[].append, check=check)
    assert time.monotonic() - began < 5
    assert not (folder / "result.json").exists()


def test_a_process_that_breaks_down_is_a_failure_with_its_last_words(parent: Path) -> None:
    folder = folder_in(parent, "broken")
    put(folder, TRAINING, 10, 1)
    (folder / "training-classes.npy").write_bytes(b"no array")
    with pytest.raises(TrainingFailed, match="broke down"):
        run_training(
            folder, Plan(epochs=1), SPEC, RECIPE, classes=CLASSES, validation=False, report=[].append, check=lambda: None
        )


def test_nonsense_in_a_plan_is_named() -> None:
    for wrong, field in (
        ({"epochs": 0}, "plan.epochs"),
        ({"epochs": "3"}, "plan.epochs"),
        ({"batch_size": 5000}, "plan.batch_size"),
        ({"learning_rate": float("nan")}, "plan.learning_rate"),
        ({"augmentation": "wild"}, "plan.augmentation"),
        ({"seeds": 1}, "plan.seeds"),
    ):
        with pytest.raises(Invalid) as refused:
            Plan.from_json(wrong)
        assert (refused.value.field or "").startswith(field)
    assert Plan.from_json(Plan(learning_rate=0.1).to_json()) == Plan(learning_rate=0.1)
