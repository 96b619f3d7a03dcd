"""A model that LiteRT cannot run: registered all the same, and run by Keras in a process of its own, one by one and in bulk."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy.exc import IntegrityError

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Busy, ModelInput, ModelTimeout, ModelUnavailable, PredictorCrashed
from service.models import keras_process
from service.models.bulk import Predicted, predict_batch
from service.models.keras_process import KerasModel
from service.models.predicting import request_predictions
from service.models.registration import register_model
from service.models.registry import list_versions
from service.models.selection import Selection
from service.models.serving import ModelRef, ModelServer
from service.models.vetting import VettedModel, child_environment, vet_model
from service.png import PngLimits
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.upkeep.fsck import fsck
from service.upkeep.model_files import verify_versions, version_targets
from service.work.ledger import find_job
from storage.base import ObjectStore
from storage.minio_store import MinioStore
from tests.cli.conftest import eventually
from tests.conftest import MODELS
from tests.factories import add_image, assert_in_step, execute, make_png, one, rows

pytestmark = pytest.mark.timeout(300)

# LiteRT has no operation for this way to enlarge a picture. And pictures with what Keras makes of them.
BUILD = """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", KERAS_BACKEND="tensorflow")
import keras, numpy as np
from keras import layers
keras.utils.set_random_seed(1)
model = keras.Sequential([
    keras.Input((28, 28, 1)), layers.Conv2D(2, 5, strides=3, activation="relu"), layers.UpSampling2D(2, interpolation="lanczos3"),
    layers.Flatten(), layers.Dense(3, activation="softmax"),
])
model.save("upsampling.keras")
pictures = np.random.default_rng(0).random((300, 28, 28, 1), np.float32)
np.savez("known.npz", pictures=pictures, scores=model.predict_on_batch(pictures))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def vetted(folder: Path) -> VettedModel:
    return vet_model(folder / "upsampling.keras", labels=["a", "b", "c"], preprocessing=None, work_dir=folder)


@pytest.fixture(scope="module")
def model(folder: Path, vetted: VettedModel) -> Iterator[KerasModel]:
    model = KerasModel((folder / "upsampling.keras").read_bytes(), vetted.input, ["a", "b", "c"])
    model.await_start()
    yield model
    keras_process._end(model._children, model._folder)
    model._children.clear()


@pytest.fixture(scope="module")
def known(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "known.npz"))


@pytest.fixture
def register(sessions: Sessions, store: ObjectStore, actor: Actor, folder: Path, vetted: VettedModel) -> Callable[[], int]:
    return lambda: register_model(
        sessions,
        store,
        folder / "upsampling.keras",
        name="odd",
        labels=["a", "b", "c"],
        preprocessing=None,
        metrics={},
        actor=actor,
        work_dir=folder,
        vet=lambda *_args, **_kwargs: vetted,
    )


def pid_of(model: KerasModel) -> int:
    return model._children[0].process.pid


def test_it_is_vetted_and_not_converted(vetted: VettedModel) -> None:
    assert vetted.tflite is None
    assert vetted.tflite_sha256 is None
    assert "cannot be converted to LiteRT" in (vetted.fallback or "")
    assert vetted.probabilities
    assert vetted.classes == 3


# The built-in model converts, and answers as Keras does to the last digits: for a child that wants it nearer than that, it does not.
DIFFERING = """
import json, shutil, sys
from service.models import vetting_child as child
shutil.copy(sys.argv[1], child.MODEL)
child.MAX_PARITY_DIFFERENCE = -1
accepted = child.vet({"labels": None, "preprocessing": None})
print(json.dumps([accepted["fallback"], accepted["parity"]]))
"""


def test_one_that_litert_answers_otherwise_is_run_by_keras_too(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", DIFFERING, str(MODELS / "mnist.keras")]
    environment = child_environment(tmp_path)
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    fallback, parity = json.loads(done.stdout.splitlines()[-1])
    assert fallback.startswith("LiteRT and Keras differ by")
    assert parity == 0


def test_its_answers_are_those_of_keras(model: KerasModel, known: dict[str, np.ndarray]) -> None:
    pictures, scores = known["pictures"], known["scores"]
    np.testing.assert_allclose(model.predict(pictures), scores, atol=1e-5)
    np.testing.assert_allclose(model.answer(pictures[7]), scores[7], atol=1e-5)
    assert model.predict(pictures[:0]).shape == (0, 3)
    with pytest.raises(ModelInput):
        model.answer(pictures[7][:20])


def test_nothing_of_the_service_is_known_to_its_process(model: KerasModel) -> None:
    environment = psutil.Process(pid_of(model)).environ()
    assert not [name for name in environment if name.startswith(("PIXREF", "DATABASE", "S3", "MINIO"))]
    soft, hard = psutil.Process(pid_of(model)).rlimit(psutil.RLIMIT_AS)
    assert soft == hard == 8 * 1024**3


def test_a_process_that_dies_is_replaced(model: KerasModel, known: dict[str, np.ndarray]) -> None:
    picture, scores = known["pictures"][0], known["scores"][0]
    # Between two questions nobody notices but by the wait.
    before = pid_of(model)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: model._children[0].process.poll() is not None)
    model.await_start()  # which may take longer than a caller waits
    np.testing.assert_allclose(model.answer(picture), scores, atol=1e-5)
    assert pid_of(model) != before
    # In the middle of one, whoever asked is told, and the next one is answered.
    model._breakdowns.clear()
    stopped = pid_of(model)
    os.kill(stopped, signal.SIGSTOP)
    told: list[Exception] = []

    def ask() -> None:
        try:
            model.answer(picture)
        except Exception as exc:
            told.append(exc)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(model._lock.locked)
    os.kill(stopped, signal.SIGKILL)
    asking.join(30)
    assert [type(each) for each in told] == [PredictorCrashed]
    model.await_start()  # which may take longer than a caller waits
    np.testing.assert_allclose(model.answer(picture), scores, atol=1e-5)


def test_one_that_does_not_answer_is_stopped_and_the_queue_is_short(
    model: KerasModel, known: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, scores = known["pictures"][0], known["scores"][0]
    model._breakdowns.clear()
    model.await_start()
    model.answer(picture)
    monkeypatch.setattr(keras_process, "PATIENCE_S", 1.0)
    stopped = pid_of(model)
    os.kill(stopped, signal.SIGSTOP)
    told: list[type[Exception]] = []

    def ask() -> None:
        try:
            model.answer(picture)
        except Exception as exc:
            told.append(type(exc))

    asking = [threading.Thread(target=ask) for _ in range(keras_process.PLACES + 3)]
    for each in asking:
        each.start()
    for each in asking:
        each.join(60)
    assert told.count(Busy) == 2
    assert told.count(ModelTimeout) >= 1
    assert not psutil.pid_exists(stopped) or psutil.Process(stopped).status() == psutil.STATUS_ZOMBIE
    monkeypatch.undo()
    model._breakdowns.clear()
    model.await_start()  # which may take longer than a caller waits
    np.testing.assert_allclose(model.answer(picture), scores, atol=1e-5)


def test_one_that_breaks_down_again_and_again_is_left_alone(vetted: VettedModel) -> None:
    model = KerasModel(b"no model", vetted.input, ["a", "b", "c"])
    with pytest.raises(PredictorCrashed, match="while it loaded it"):
        model.await_start()
    with pytest.raises(PredictorCrashed, match="while it loaded it"):
        model.await_start()
    with pytest.raises(PredictorCrashed, match=r"broke down 2 times within an hour: it is started again in [1-5] s"):
        model.predict(np.zeros((1, 28, 28, 1), np.float32))
    folder = model._folder
    del model
    assert not folder.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from service.models.keras_process import KerasModel
from service.models.spec import InputSpec
model = KerasModel(Path(sys.argv[1]).read_bytes(), InputSpec(height=28, width=28, channels=1), ["a", "b", "c"])
model.await_start()
print(model._children[0].process.pid, model._folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_the_process_that_asks_it_and_leaves_an_empty_folder(folder: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(folder / "upsampling.keras")]
    died = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    pid, left = died.stdout.split()
    eventually(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    # The folder itself lies where a confined process removes nothing.
    eventually(lambda: not any(Path(left).iterdir()))
    Path(left).rmdir()


def test_registered_served_and_predicted_in_bulk(
    sessions: Sessions, store: MinioStore, actor: Actor, register: Callable[[], int], models: ModelServer
) -> None:
    assert [register(), register()] == [1, 1]
    (version,) = list_versions(sessions)
    assert version.runtime == "keras"
    assert "cannot be converted" in version.metrics["not_converted"]
    assert rows(sessions, "SELECT runtime, damage FROM catalog.model_versions") == [("keras", None)]
    assert_in_step(sessions, store)
    assert fsck(sessions, store, deep=True).clean
    ids = [add_image(sessions, store, actor) for _ in range(3)]
    models._shelf.patience_s = 120  # Keras may take longer to start than a caller waits
    outcome = models.predict_image(ids[0], ModelRef("odd"), actor=actor)
    assert outcome.version == 1
    assert sum(outcome.scores.values()) == pytest.approx(1, abs=1e-5)
    loaded = models.get(ModelRef("odd"))
    assert predict_batch(sessions, store, loaded, ids, actor=actor) == Predicted(done=3, failed=0)
    stored = rows(sessions, "SELECT scores FROM pixref.prediction WHERE image_id = :id", id=ids[0])[0][0]
    assert stored == pytest.approx(list(outcome.scores.values()), abs=1e-5)
    png = make_png(40, 30)
    answered = models.predict_bytes(png, ModelRef("odd"), limits=PngLimits())
    assert set(answered.scores) == {"a", "b", "c"}
    # As a job, with a process of its own.
    more = [add_image(sessions, store, actor) for _ in range(2)]
    job_id = request_predictions(sessions, Selection(), model="odd", actor=actor)
    do_job(Parts(sessions, store, Door("", places(1))), job_id)
    assert (find_job(sessions, job_id).state, find_job(sessions, job_id).done) == ("succeeded", 5)
    assert one(sessions, "SELECT count(*) FROM pixref.prediction WHERE error IS NULL") == 3 + len(more)


def test_damage_is_found_and_healed(sessions: Sessions, store: ObjectStore, actor: Actor, register: Callable[[], int]) -> None:
    register()
    key = one(sessions, "SELECT artifact_key FROM pixref.model_version")
    store.delete_object(key)
    with pytest.raises(ModelUnavailable, match="is missing"):
        ModelServer(sessions, store).get(ModelRef("odd"))
    assert [each.damage for each in list_versions(sessions)] == ["lost"]
    assert [health for _, health in verify_versions(sessions, store, version_targets(sessions)).versions] == ["lost"]
    assert register() == 1
    assert [(each.damage, each.runtime) for each in list_versions(sessions)] == [(None, "keras")]
    assert one(sessions, "SELECT artifact_key FROM pixref.model_version") != key


def test_a_version_has_a_converted_file_or_is_run_by_keras(sessions: Sessions, register: Callable[[], int]) -> None:
    register()
    for change in ("runtime = 'litert'", "litert_key = 'x'", "runtime = 'other'"):
        with pytest.raises(IntegrityError, match="ck_model_version_runtime"):
            execute(sessions, f"UPDATE pixref.model_version SET {change}")
