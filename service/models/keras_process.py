"""A model that LiteRT cannot run, in a Keras process of its own: started at its first use, asked over a socket, started again when it breaks down.

The process is as limited as the one that vetted the model. TensorFlow takes it some 600 MiB and seconds to start, and never comes into this process.
"""

import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import numpy as np

from service.errors import (
    BadModel,
    ModelLoading,
    ModelOutputInvalid,
    ModelTimeout,
    ModelUnavailable,
    PixrefError,
    PredictorCrashed,
)
from service.models.combining import Combiner, loosely
from service.models.confinement import MAX_FILE_BYTES
from service.models.keras_child import ANSWERED, LENGTH, MAX_REASON
from service.models.runtime import CHUNK, Batch, require_fit
from service.models.spec import InputSpec
from service.models.vetting import child_environment, read_answer
from service.models.vetting_child import MODEL

# A start beyond this is given up.
START_S = 60.0
# What a caller waits for: the start of the process, and then for an answer.
PATIENCE_S = 10.0
BULK_PATIENCE_S = 120.0
# With the one that is running three of a web process's four threads: the last one is for everything else.
PLACES = 2
# What goes over at once in bulk.
BULK_BYTES = 64 * 1024**2
# After so many breakdowns within `REMEMBERED_S` it is not started for so long.
PAUSES_S = (0, 5, 60, 600)
REMEMBERED_S = 3600
LOG = "child.log"
_LOG_TAIL_BYTES = 4000

log = logging.getLogger(__name__)


class KerasModel:
    """One model version in a process of its own, shared by all threads. The process ends with the last reference to this."""

    def __init__(self, content: bytes, spec: InputSpec, labels: Sequence[str]) -> None:
        """Start the process, and do not wait for it. Raises `ModelUnavailable` where there is no room for the model's file."""
        self.spec = spec
        self.labels = tuple(labels)
        self.size = len(content)
        self._lock = threading.Lock()
        self._combiner = Combiner(loosely(self._run_few), most=PLACES + 1, places=PLACES)
        self._breakdowns: list[float] = []
        # The one that runs, or none: a list, so that it can be ended without this object.
        self._children: list[_Child] = []
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="pixref-keras-"))
            weakref.finalize(self, _end, self._children, self._folder)
            (self._folder / MODEL).write_bytes(content)
        except OSError as exc:
            raise ModelUnavailable(f"there is no room for the model's file: {exc.strerror}") from exc
        self._child()

    def await_start(self) -> None:
        """Wait until the model is loaded, a minute at most. Raises `PredictorCrashed`, `ModelLoading`."""
        with self._lock:
            self._ready(START_S)

    def answer(self, picture: Batch) -> Batch:
        """As in `Runtime`."""
        require_fit(picture[np.newaxis], self.spec)
        return self._combiner.ask(picture)

    def predict(self, batch: Batch) -> Batch:
        """As in `Runtime`."""
        require_fit(batch, self.spec)
        out = np.empty((len(batch), len(self.labels)), np.float32)
        step = max(1, min(CHUNK, BULK_BYTES // (4 * math.prod(self.spec.shape))))
        for start in range(0, len(batch), step):
            part = batch[start : start + step]
            out[start : start + len(part)] = self._run(part, BULK_PATIENCE_S)
        return out

    def _run_few(self, batch: Batch) -> Batch:
        return self._run(batch, PATIENCE_S)

    def _run(self, batch: Batch, patience_s: float) -> Batch:
        with self._lock:
            answer = self._ask(batch, patience_s)
        if answer[:1] != ANSWERED:
            log.warning("a model failed on its input", extra={"reason": answer[1:].decode(errors="replace")})
            raise ModelUnavailable("The model failed on this input.")
        if len(answer) != 1 + 4 * len(batch) * len(self.labels):
            raise ModelOutputInvalid(
                f"The model answered {len(answer) - 1} bytes instead of {len(self.labels)} scores a picture."
            )
        scores: Batch = np.frombuffer(answer, np.float32, offset=1).reshape(len(batch), len(self.labels))
        if not np.isfinite(scores).all():
            raise ModelOutputInvalid("The model answered with NaN or infinity.")
        return scores

    def _ask(self, batch: Batch, patience_s: float) -> bytes:
        limit = 1 + max(MAX_REASON * 4, 4 * len(batch) * len(self.labels))
        for _ in range(2):
            child = self._ready(min(patience_s, START_S))
            try:
                return child.ask(np.ascontiguousarray(batch).tobytes(), limit=limit, patience_s=patience_s)
            except TimeoutError:
                # What it answers now would be taken for the answer to the next question.
                self._broke_down(child, ModelTimeout(f"the model took more than {patience_s:g} s, and was stopped"))
            except OSError:
                if child.end() == 0:
                    # It had been idle for long, and ended just when it was asked.
                    self._children.clear()
                else:
                    self._broke_down(child, PredictorCrashed("the process that runs the model broke down, and is started again"))
        raise PredictorCrashed("the process that runs the model ended twice: try again")

    def _ready(self, patience_s: float) -> "_Child":
        """Return a process that has loaded the model. Raises `ModelLoading` where that takes longer, `PredictorCrashed`."""
        child = self._child()
        try:
            child.await_ready(patience_s)
        except TimeoutError:
            if time.monotonic() - child.started >= START_S:
                self._broke_down(child, PredictorCrashed(f"the model was not loaded within {START_S:g} s"))
            raise ModelLoading("the model is being loaded: try again in a few seconds") from None
        except OSError:
            self._broke_down(child, PredictorCrashed("the process that was to run the model broke down while it loaded it"))
        return child

    def _child(self) -> "_Child":
        """Return the process that runs, and start one where there is none. Raises `PredictorCrashed` while it is left alone."""
        if self._children and self._children[0].process.poll() is not None and self._children[0].is_ready:
            # Between two questions: it was idle for long, or somebody ended it.
            self._forget(self._children[0])
        if not self._children:
            now = time.monotonic()
            self._breakdowns = [at for at in self._breakdowns if now - at < REMEMBERED_S]
            left_s = 0.0
            if self._breakdowns:
                left_s = self._breakdowns[-1] + PAUSES_S[min(len(self._breakdowns), len(PAUSES_S)) - 1] - now
            if left_s > 0:
                raise PredictorCrashed(
                    f"the process that runs the model broke down {len(self._breakdowns)} times within an hour: it is started again in {left_s:.0f} s"
                )
            try:
                self._children.append(_Child(self._folder))
            except OSError as exc:
                raise PredictorCrashed(f"there is no room for a process that runs the model: {exc.strerror}") from exc
        return self._children[0]

    def _forget(self, child: "_Child") -> None:
        status = child.end()
        self._children.clear()
        if status != 0:
            self._breakdowns.append(time.monotonic())
            log.warning("the process that ran a model ended", extra={"status": status, "output": _log_tail(self._folder)})

    def _broke_down(self, child: "_Child", error: PixrefError) -> NoReturn:
        """Let a process go, start another where it may be started already, and raise `error`."""
        self._forget(child)
        with suppress(PixrefError):
            self._child()
        try:
            raise error from None
        finally:
            # The error holds this frame by its traceback, and with it the model.
            del error


class _Child:
    """A process, and the line to it. Its errors are those of a socket: `TimeoutError`, and `OSError` when it is gone."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs, (folder / LOG).open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-s", "-B", "-m", "service.models.keras_child"],
                    cwd=folder,
                    env=child_environment(folder),
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            raise
        self.process: subprocess.Popen[bytes] = process
        self._line = ours
        self.started = time.monotonic()
        self.is_ready = False

    def await_ready(self, patience_s: float) -> None:
        """Wait until it says that it has loaded the model."""
        if not self.is_ready:
            self._receive(1, time.monotonic() + patience_s)
            self.is_ready = True

    def ask(self, content: bytes, *, limit: int, patience_s: float) -> bytes:
        """Send a question, and return the answer of at most `limit` bytes."""
        deadline = time.monotonic() + patience_s
        self._line.settimeout(patience_s)
        self._line.sendall(LENGTH.pack(len(content)) + content)
        return self._receive(limit, deadline)

    def _receive(self, limit: int, deadline: float) -> bytes:
        length = LENGTH.unpack(self._exactly(LENGTH.size, deadline))[0]
        if length > limit:
            raise ConnectionError(f"an answer of {length} bytes")
        return self._exactly(length, deadline)

    def _exactly(self, size: int, deadline: float) -> bytes:
        content = bytearray()
        while len(content) < size:
            self._line.settimeout(max(0.001, deadline - time.monotonic()))
            part = self._line.recv(size - len(content))
            if not part:
                raise ConnectionResetError("the process is gone")
            content += part
        return bytes(content)

    def end(self, *, grace_s: float = 0.2) -> int:
        """End it with all that it has started, and return its exit status; 0 where it has ended by itself, for want of questions."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._line.close()
        return self.process.wait()


def _end(children: list[_Child], folder: Path) -> None:
    for child in children:
        child.end(grace_s=0)
    shutil.rmtree(folder, ignore_errors=True)


def _log_tail(folder: Path) -> str:
    with suppress(BadModel):
        return read_answer(folder / LOG, MAX_FILE_BYTES)[-_LOG_TAIL_BYTES:].decode(errors="replace")
    return ""
