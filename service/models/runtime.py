"""Run a converted model on LiteRT, in the process of the caller and without TensorFlow."""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from service.errors import ModelInput, ModelOutputInvalid, ModelUnavailable
from service.models.spec import InputSpec

CHUNK = 256

Batch = npt.NDArray[np.float32]


class LiteRTModel:
    """One model version, loaded once and shared by all threads of a process.

    Two interpreters are kept: one fixed at a single picture, because resizing between calls costs more than the prediction,
    and one of `CHUNK` pictures for bulk work, made at its first use. Create the model after the process has forked: the
    threads of LiteRT do not survive a fork.
    """

    def __init__(self, tflite: bytes, spec: InputSpec, labels: Sequence[str], *, threads: int = 2) -> None:
        """Load the model; `threads` is for bulk work. Raises `ModelUnavailable` when the bytes are not this model."""
        self.spec = spec
        self.labels = tuple(labels)
        self._shape = spec.shape
        self._tflite = tflite
        self._threads = threads
        self._single = _FixedBatch(tflite, spec, len(self.labels), batch=1, threads=1)
        self._bulk: _FixedBatch | None = None
        self._bulk_lock = threading.Lock()

    def predict(self, batch: Batch) -> Batch:
        """Give the scores (n, classes) of n prepared pictures (n, height, width, channels), both float32.

        Raises `ModelInput` when the batch has another shape or type, `ModelOutputInvalid` when the model answers with NaN,
        infinity, or another number of scores than it has labels.
        """
        if batch.ndim != 4 or batch.shape[1:] != self._shape or batch.dtype != np.float32:
            raise ModelInput(f"The model takes float32 of (n, *{self.spec.shape}), not {batch.dtype} of {batch.shape}.")
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
                self._bulk = _FixedBatch(self._tflite, self.spec, len(self.labels), batch=CHUNK, threads=self._threads)
        if len(part) == CHUNK:
            return self._bulk.run(part)
        padded = np.zeros((CHUNK, *self.spec.shape), np.float32)
        padded[: len(part)] = part
        return self._bulk.run(padded)[: len(part)]


class _FixedBatch:
    """An interpreter whose tensors are allocated for one batch size, guarded by a lock."""

    def __init__(self, tflite: bytes, spec: InputSpec, classes: int, *, batch: int, threads: int) -> None:
        try:
            self._interpreter = Interpreter(model_content=tflite, num_threads=threads)
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            self._interpreter.resize_tensor_input(inputs[0]["index"], [batch, *spec.shape])
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, IndexError) as exc:
            raise ModelUnavailable("The converted model cannot be loaded; register the model again.") from exc
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._shape = (batch, classes)
        self._lock = threading.Lock()

    def run(self, batch: Batch) -> Batch:
        with self._lock:
            try:
                self._interpreter.set_tensor(self._input, batch)
                self._interpreter.invoke()
                scores: Batch = self._interpreter.get_tensor(self._output)
            except (ValueError, RuntimeError) as exc:
                raise ModelUnavailable("The model failed on this input.") from exc
        if scores.shape != self._shape or scores.dtype != np.float32:
            raise ModelOutputInvalid(f"The model answered {scores.dtype} of {scores.shape} instead of float32 of {self._shape}.")
        if not np.isfinite(scores).all():
            raise ModelOutputInvalid("The model answered with NaN or infinity.")
        return scores
