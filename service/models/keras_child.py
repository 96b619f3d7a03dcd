"""The process in which a model runs that LiteRT cannot: `python -m service.models.keras_child`, in the folder that holds `model.keras`.

Loads the model, confined as in vetting, and answers questions on its standard input, which is a socket, until that ends. See
`service.models.keras_process`, which asks.
"""

import os
import select
import shutil
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from service.models.confinement import confine
from service.models.vetting_child import load_model

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]

LINE = 0
"""The socket, as a file descriptor."""
LENGTH = struct.Struct("<I")
"""Goes before every message: its length in bytes."""
ANSWERED, FAILED = b"\x00", b"\x01"
"""The first byte of an answer: the scores follow, float32, or a sentence that says why there are none."""
# All questions of its life together; then it is started anew.
CPU_SECONDS = 24 * 3600
IDLE_S = 600
MAX_REASON = 300
ORPHANED_WITHIN_S = 2.0


_PARENT = os.getppid()


def main() -> None:
    confine(Path.cwd(), cpu_seconds=CPU_SECONDS)
    # Before the first answer the other end cannot tell a slow start from a broken model.
    model = load_model()
    shape = tuple(model.inputs[0].shape[1:])
    for count in (1, 2):  # for two sizes, after which Keras makes it one for all
        model.predict_on_batch(np.zeros((count, *shape), np.float32))
    _send(ANSWERED)
    while (content := _receive()) is not None:
        _send(_answer(model, np.frombuffer(content, np.float32).reshape(-1, *shape)))
    # TensorFlow's threads may hang at exit.
    os._exit(0)


def _answer(model: "keras.Model", batch: Floats) -> bytes:
    try:
        return ANSWERED + np.ascontiguousarray(model.predict_on_batch(batch), np.float32).tobytes()
    except Exception as exc:  # whatever Keras raises, there is no answer
        return FAILED + f"{type(exc).__name__}: {exc}".splitlines()[0][:MAX_REASON].encode()


def _receive() -> bytes | None:
    """Return the next message; None when nobody has asked anything for long. Ends the process when nobody can ask any more."""
    if not select.select([LINE], [], [], IDLE_S)[0]:
        return None
    length = LENGTH.unpack(_exactly(LENGTH.size))[0]
    return _exactly(length)


def _exactly(size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = os.read(LINE, size - len(content))
        if not part:
            _tidy_up_after_a_dead_parent()
            os._exit(0)
        content += part
    return bytes(content)


def _tidy_up_after_a_dead_parent() -> None:
    """Empty the folder if whoever asked is gone, perhaps by `kill -9`, and with it whoever would do so; the folder itself is not ours to remove.

    A process that dies closes its sockets some time before its children get another parent, on a busy machine a good while.
    """
    until = time.monotonic() + ORPHANED_WITHIN_S
    while os.getppid() == _PARENT:
        if time.monotonic() > until:
            return
        time.sleep(0.01)
    shutil.rmtree(Path.cwd(), ignore_errors=True)


def _send(message: bytes) -> None:
    content = memoryview(LENGTH.pack(len(message)) + message)
    while content:
        content = content[os.write(LINE, content) :]


if __name__ == "__main__":
    main()
