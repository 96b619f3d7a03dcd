"""The process in which a model is trained: `python -m service.models.training.trainer`, in the folder of the request.

Reads `request.json`, the pictures (`training.npy`, `validation.npy`: uint8 levels (n, height, width, channels)), what they show
(`training-classes.npy`, `validation-classes.npy`: int32 (n,)) and, to train on, `base.keras`. Appends a line of JSON to `progress.jsonl`
several times a second and at the end of every epoch, and writes `trained.keras` and `result.json`. It holds no secrets, and no pictures but as
numbers; what it may do is limited as for vetting.
"""

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import BadModel
from service.models.confinement import confine
from service.models.preprocessing import scale_levels
from service.models.spec import InputSpec, Preprocessing
from service.models.training.plan import Plan

REQUEST, PROGRESS, RESULT = "request.json", "progress.jsonl", "result.json"
BASE, TRAINED = "base.keras", "trained.keras"
TRAINING, VALIDATION = "training", "validation"
# A line of progress no more often than this.
EVERY_S = 0.25
# How soon it notices that nobody waits for its answer any more.
LOOK_S = 1.0


def _arrays(name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Map the pictures into memory: what is not looked at now needs none."""
    return np.load(f"{name}.npy", mmap_mode="r"), np.load(f"{name}-classes.npy")


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Train as asked, write `trained.keras`, and give what is kept of it. Raises `BadModel` when the loss is no number any more."""
    import keras
    import tensorflow as tf

    from service.models.training.network import augment, build_network

    plan = Plan.from_json(request["plan"])
    spec, recipe = InputSpec.from_json(request["input"]), Preprocessing.from_json(request["preprocessing"])
    fresh = not request["base"]
    batch_size, peak = plan.batch(len(_arrays(TRAINING)[1])), plan.peak(fresh=fresh)
    keras.utils.set_random_seed(plan.seed)
    tf.config.experimental.enable_op_determinism()

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """Batches in an order that follows from the seed and the epoch, each read from disk when its turn comes."""

        def __init__(self, name: str, *, training: bool) -> None:
            super().__init__()
            self._levels, self._classes = _arrays(name)
            self._training = training
            self._epoch = 0
            self._order = self._shuffled()

        def _shuffled(self) -> npt.NDArray[np.intp]:
            if not self._training:
                return np.arange(len(self._classes))
            return np.random.default_rng([plan.seed, self._epoch]).permutation(len(self._classes))

        def __len__(self) -> int:
            return -(-len(self._classes) // batch_size)

        def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
            # Sorted, since pictures that lie together are read together; the order within a batch means nothing.
            chosen = np.sort(self._order[index * batch_size : (index + 1) * batch_size])
            levels = self._levels[chosen]
            if self._training:
                random = np.random.default_rng([plan.seed, self._epoch, index])
                return scale_levels(augment(levels, plan.augmentation, random), recipe), self._classes[chosen]
            return scale_levels(levels, recipe), self._classes[chosen]

        def on_epoch_end(self) -> None:
            self._epoch += 1
            self._order = self._shuffled()

    class Report(keras.callbacks.Callback):  # type: ignore[misc]
        """Writes how it goes, for the parent to read."""

        def __init__(self, steps: int) -> None:
            super().__init__()
            self.epochs: list[dict[str, Any]] = []
            self._steps = steps
            self._began = self._last = time.monotonic()

        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self._began = time.monotonic()

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if (now := time.monotonic()) - self._last >= EVERY_S:
                self._last = now
                self._write({"epoch": len(self.epochs) + 1, "step": batch + 1, "steps": self._steps, **_numbers(logs)})

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            numbers = _numbers(logs)
            if not all(np.isfinite(value) for value in numbers.values()):
                raise BadModel("diverged", f"The loss became no number in epoch {epoch + 1}: give a lower learning rate.")
            self.epochs.append({"epoch": epoch + 1, "seconds": round(time.monotonic() - self._began, 2), **numbers})
            self._write({"ended": self.epochs[-1]})

        def _write(self, line: dict[str, Any]) -> None:
            with Path(PROGRESS).open("a") as file:
                file.write(json.dumps(line) + "\n")

    data = Batches(TRAINING, training=True)
    validation = Batches(VALIDATION, training=False) if request["validation"] else None
    model = build_network(spec, request["classes"]) if fresh else keras.saving.load_model(BASE, compile=False, safe_mode=True)
    steps = plan.epochs * len(data)
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        peak / 10,
        max(1, steps - warm_up),
        alpha=0.001,
        warmup_target=peak,
        warmup_steps=warm_up,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    report = Report(len(data))
    began = time.monotonic()
    model.fit(data, validation_data=validation, epochs=plan.epochs, shuffle=False, verbose=0, callbacks=[report])
    # Without the optimizer's state the file is a third of the size; a later training begins with one of its own.
    keras.Model(model.inputs, model.outputs, name="classifier").save(TRAINED)
    return {
        "plan": plan.to_json() | {"batch_size": batch_size, "learning_rate": peak},
        "epochs": report.epochs,
        "seconds": round(time.monotonic() - began, 1),
        "parameters": model.count_params(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def _numbers(logs: dict[str, float] | None) -> dict[str, float]:
    names = {"val_loss": "validation_loss", "val_accuracy": "validation_accuracy"}
    return {names.get(name, name): round(float(value), 6) for name, value in (logs or {}).items() if name != "learning_rate"}


def _end_with(parent: int) -> None:
    """End when whoever asked is gone, perhaps by `kill -9`, and with it whoever would tidy up: the job is taken up anew, by another process."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    shutil.rmtree(Path.cwd(), ignore_errors=True)
    os._exit(1)


def main() -> None:
    request = json.loads(Path(REQUEST).read_text())
    confine(Path.cwd(), cpu_seconds=request["cpu_seconds"])
    threading.Thread(target=_end_with, args=(request["parent"],), daemon=True).start()
    try:
        result: dict[str, Any] = {"trained": train(request)}
    except BadModel as exc:
        result = {"refused": {"reason": exc.reason, "detail": exc.detail}}
    except Exception as exc:  # TensorFlow's own out-of-memory error is no MemoryError
        if not isinstance(exc, MemoryError) and type(exc).__name__ != "ResourceExhaustedError":
            raise
        result = {
            "refused": {
                "reason": "memory",
                "detail": "Training needs more memory than it may have: give a smaller batch size or model.",
            }
        }
    Path(RESULT).write_text(json.dumps(result))
    # TensorFlow's threads may hang at exit, and the answer is complete.
    os._exit(0)


if __name__ == "__main__":
    main()
