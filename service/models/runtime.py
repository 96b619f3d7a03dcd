"""Run a converted model on LiteRT, in the process of the caller and without TensorFlow."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from service.errors import ModelInput, ModelOutputInvalid, ModelUnavailable
from service.models.combining import Combiner, loosely
from service.models.crashes import Slot, Watch, unwatched
from service.models.spec import InputSpec

CHUNK = 256
# Pictures that wait for the model run together, so many at a time, where that takes at most this share of their time one by one.
TOGETHER = 4
WORTH_IT = 0.8
TRIES = 3
# A model that takes longer than this for one picture computes, and does not wait for its weights.
SLOW_S = 0.05

Batch = npt.NDArray[np.float32]


class Runtime(Protocol):
    """A model version that is ready to run, shared by all threads of a process."""

    @property
    def size(self) -> int:
        """Bytes of the model's file, by which its memory is guessed."""

    def predict(self, batch: Batch) -> Batch:
        """Give the scores (n, classes) of n prepared pictures (n, height, width, channels), both float32.

        Raises `ModelInput` when the batch has another shape or type, `ModelOutputInvalid` when the model answers with NaN, infinity, or another
        number of scores than it has labels, `ModelUnavailable`, `PredictorCrashed`, `ModelLoading`, `ModelTimeout`.
        """

    def answer(self, picture: Batch) -> Batch:
        """Give the scores (classes,) of a single one, which waits its turn among others. Raises `Busy` and what `predict` raises."""


class LiteRTModel:
    """One model version, loaded once and shared by all threads of a process.

    Two interpreters are kept: one fixed at a single picture, because resizing between calls costs more than the prediction,
    and one of `CHUNK` pictures for bulk work, made at its first use. Create the model after the process has forked: the
    threads of LiteRT do not survive a fork.
    """

    def __init__(
        self, tflite: bytes, spec: InputSpec, labels: Sequence[str], *, threads: int = 2, watch: Watch | None = None
    ) -> None:
        """Load the model and run it once; `threads` is for bulk work. Raises `ModelUnavailable` when the bytes are not this model."""
        self.spec = spec
        self.labels = tuple(labels)
        self._tflite = tflite
        self._threads = threads
        self._watch = watch or unwatched()
        self._single = self._fixed(1, threads=1)
        self._single.warm()
        self._together = self._several()
        self._combiner = Combiner(loosely(self._run_few), most=TOGETHER if self._together else 1)
        self._bulk: _FixedBatch | None = None
        self._bulk_lock = threading.Lock()

    @property
    def size(self) -> int:
        return len(self._tflite)

    def _fixed(self, batch: int, *, threads: int) -> "_FixedBatch":
        return _FixedBatch(self._tflite, self.spec, len(self.labels), batch=batch, threads=threads, slot=self._watch.slot())

    def _several(self) -> "_FixedBatch | None":
        """Return the interpreter for pictures that wait together, where it is faster: with wide layers it is, with small ones it is not."""
        if self._single.warm() > SLOW_S:
            return None
        together = self._fixed(TOGETHER, threads=1)
        together.warm()
        one, several = (min(each.warm() for _ in range(TRIES)) for each in (self._single, together))
        return together if several < WORTH_IT * TOGETHER * one else None

    def answer(self, picture: Batch) -> Batch:
        """As in `Runtime`."""
        require_fit(picture[np.newaxis], self.spec)
        return self._combiner.ask(picture)

    def _run_few(self, batch: Batch) -> Batch:
        if len(batch) == 1 or self._together is None:
            return self._single.run(batch)
        return self._together.run(_padded(batch, TOGETHER))[: len(batch)]

    def predict(self, batch: Batch) -> Batch:
        """As in `Runtime`."""
        require_fit(batch, self.spec)
        if len(batch) == 1:
            return self._single.run(batch)
        out = np.empty((len(batch), len(self.labels)), np.float32)
        # A part-filled chunk costs as much as a full one; below half of it, picture by picture is faster.
        whole = len(batch) - len(batch) % CHUNK
        if len(batch) - whole >= CHUNK // 2:
            whole = len(batch)
        for start in range(0, whole, CHUNK):
            part = batch[start : start + CHUNK]
            out[start : start + len(part)] = self._chunk(part)
        for index in range(whole, len(batch)):
            out[index] = self._single.run(batch[index : index + 1])[0]
        return out

    def _chunk(self, part: Batch) -> Batch:
        with self._bulk_lock:
            if self._bulk is None:
                self._bulk = self._fixed(CHUNK, threads=self._threads)
        return self._bulk.run(_padded(part, CHUNK))[: len(part)]


def require_fit(batch: Batch, spec: InputSpec) -> None:
    """Raise `ModelInput` unless these are prepared pictures for the model."""
    if batch.ndim != 4 or batch.shape[1:] != spec.shape or batch.dtype != np.float32:
        raise ModelInput(f"The model takes float32 of (n, *{spec.shape}), not {batch.dtype} of {batch.shape}.")


def _padded(part: Batch, size: int) -> Batch:
    if len(part) == size:
        return part
    padded = np.zeros((size, *part.shape[1:]), np.float32)
    padded[: len(part)] = part
    return padded


class _FixedBatch:
    """An interpreter whose tensors are allocated for one batch size, guarded by a lock."""

    def __init__(self, tflite: bytes, spec: InputSpec, classes: int, *, batch: int, threads: int, slot: Slot) -> None:
        self._slot = slot
        try:
            with slot:
                self._interpreter = Interpreter(model_content=tflite, num_threads=threads)
                inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
                self._interpreter.resize_tensor_input(inputs[0]["index"], [batch, *spec.shape])
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, IndexError) as exc:
            raise ModelUnavailable("The converted model cannot be loaded; register the model again.") from exc
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._empty = (batch, *spec.shape)
        self._shape = (batch, classes)
        self._lock = threading.Lock()

    def warm(self) -> float:
        """Run on nothing, and return how many seconds that took. What is wrong with the answer is told to who asks for one."""
        started = time.perf_counter()
        with suppress(ModelOutputInvalid):
            self.run(np.zeros(self._empty, np.float32))
        return time.perf_counter() - started

    def run(self, batch: Batch) -> Batch:
        with self._lock:
            try:
                self._interpreter.set_tensor(self._input, batch)
                with self._slot:
                    self._interpreter.invoke()
                scores: Batch = self._interpreter.get_tensor(self._output)
            except (ValueError, RuntimeError) as exc:
                raise ModelUnavailable("The model failed on this input.") from exc
        if scores.shape != self._shape or scores.dtype != np.float32:
            raise ModelOutputInvalid(f"The model answered {scores.dtype} of {scores.shape} instead of float32 of {self._shape}.")
        if not np.isfinite(scores).all():
            raise ModelOutputInvalid("The model answered with NaN or infinity.")
        return scores
