"""Start the training process, follow it, and stop it when it is no longer wanted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import BadModel, TrainingFailed
from service.models.spec import InputSpec, Preprocessing
from service.models.training.plan import Epoch, Plan
from service.models.training.trainer import BASE, PROGRESS, REQUEST, RESULT, TRAINED
from service.models.vetting import child_environment, read_answer

POLL_S = 0.2
LOG = "child.log"
MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_MODEL_BYTES = 512 * 1024**2
_LOG_TAIL_BYTES = 2000
# Far more than any training takes, and still an end for one that hangs.
MAX_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training is: so many of `steps` batches of epoch `epoch` are done."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: the model file in the private folder, the plan with nothing left open, how each epoch went, and with what it was made."""

    path: Path
    plan: Plan
    epochs: list[Epoch]
    seconds: float
    versions: dict[str, str]


def run_training(
    folder: Path,
    plan: Plan,
    spec: InputSpec,
    recipe: Preprocessing,
    *,
    classes: int,
    validation: bool,
    report: Callable[[Step | Epoch], None],
    check: Callable[[], None],
) -> Trained:
    """Train on what lies in `folder` (see `trainer`), and return the model there; `base.keras` in it is trained on.

    `report` is told of every epoch and of the steps between; `check` is called several times a second, and what it raises stops the training.
    Raises `TrainingFailed` with the reason.
    """
    request = {
        "plan": plan.to_json(),
        "input": spec.to_json(),
        "preprocessing": recipe.to_json(),
        "classes": classes,
        "validation": validation,
        "base": (folder / BASE).exists(),
        "cpu_seconds": MAX_SECONDS,
        "parent": os.getpid(),
    }
    (folder / REQUEST).write_text(json.dumps(request))
    with (folder / LOG).open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-s", "-B", "-m", "service.models.training.trainer"],
            cwd=folder,
            env=child_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    lines = _lines(folder / PROGRESS)
    try:
        while child.poll() is None:
            check()
            _tell(lines, report)
            time.sleep(POLL_S)
        _tell(lines, report)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.returncode != 0:
        raise TrainingFailed(f"the training process broke down ({_last_words(folder)}): it may need more memory than there is")
    return _trained(folder)


def _trained(folder: Path) -> Trained:
    try:
        result = json.loads(read_answer(folder / RESULT, MAX_RESULT_BYTES))
    except (BadModel, ValueError) as exc:
        raise TrainingFailed("the training process gave no usable answer") from exc
    if refused := result.get("refused"):
        raise TrainingFailed(str(refused["detail"]))
    done = result["trained"]
    return Trained(
        path=folder / TRAINED,
        plan=Plan.from_json(done["plan"]),
        epochs=[Epoch(**epoch) for epoch in done["epochs"]],
        seconds=float(done["seconds"]),
        versions={name: str(done[name]) for name in ("keras", "tensorflow", "numpy")},
    )


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Give each whole line as it is written, and None when there is no more for now."""
    while not path.exists():
        yield None
    with path.open("rb") as file:
        rest = b""
        while True:
            rest += file.read()
            *whole, rest = rest.split(b"\n")
            yield from (json.loads(line) for line in whole)
            yield None


def _tell(lines: Iterator[dict[str, Any] | None], report: Callable[[Step | Epoch], None]) -> None:
    while (line := next(lines)) is not None:
        report(Epoch(**line["ended"]) if "ended" in line else Step(**line))


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        text = (folder / LOG).read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return text.splitlines()[-1][:200] if text else "no word"
    return "no word"
