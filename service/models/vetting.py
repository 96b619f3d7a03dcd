"""Vet a model file in a child process, and convert it for LiteRT.

The parent copies and hashes the file, starts `service.models.vetting_child` in a private folder, and reads its answer; it
never opens the file itself and never imports TensorFlow. Whatever happens in the child, the outcome is a `VettedModel` or
a `BadModel`, and the private folder is gone.
"""

import hashlib
import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import BadModel, Invalid
from service.models.archive import MAX_TOTAL_BYTES, MIB
from service.models.confinement import MAX_FILE_BYTES, Held
from service.models.spec import InputSpec, Preprocessing
from service.models.vetting_child import CONVERTED, MODEL, REAL, REQUEST, RESULT

log = logging.getLogger(__name__)

MAX_RESULT_BYTES = 64 * 1024
MAX_FALLBACK = 500
_LOG = "child.log"
_LOG_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class VettedModel:
    """An accepted model: the converted bytes, and the facts that the registry stores with the version.

    Where LiteRT cannot run the model there are no converted bytes, and `fallback` says why: Keras runs it then.
    """

    sha256: str
    byte_size: int
    tflite: bytes | None
    tflite_sha256: str | None
    input: InputSpec
    preprocessing: Preprocessing
    classes: int
    probabilities: bool
    parameters: int
    parity: float
    keras_version: str
    fallback: str | None = None
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    """Which layers of `service.models.confinement` held."""


def vet_model(
    path: Path,
    *,
    labels: Sequence[str] | None,
    preprocessing: Preprocessing | None,
    work_dir: Path,
    pictures: Sequence[bytes] = (),
    timeout_s: float = 180,
) -> VettedModel:
    """Check the `.keras` file in a limited child process, convert it, and compare both on the same pictures.

    `labels` are the class names in the order of the model's output, None for as many as there are; `preprocessing` None
    means the default recipe for the model's input; `pictures` are real PNGs, by which both forms are compared as well. Takes
    seconds. Raises `BadModel` with a reason and leaves nothing behind under `work_dir`.
    """
    if labels is not None and (len(set(labels)) != len(labels) or not all(label.strip() for label in labels)):
        raise BadModel("labels", "Every class needs a label of its own; one is empty or given twice.")
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="vetting-", ignore_cleanup_errors=True) as folder:
        private = Path(folder)
        sha256, byte_size = _copy(path, private / MODEL)
        request = {
            "labels": None if labels is None else len(labels),
            "preprocessing": None if preprocessing is None else preprocessing.to_json(),
            "cpu_seconds": math.ceil(timeout_s) * (os.cpu_count() or 1),
        }
        (private / REQUEST).write_text(json.dumps(request))
        for number, data in enumerate(pictures):
            (private / REAL.format(number)).write_bytes(data)
        _run_child(private, timeout_s)
        facts = _read_facts(private)
        fallback = facts.get("fallback")
        tflite = read_answer(private / CONVERTED, MAX_FILE_BYTES) if fallback is None else None
    try:
        return VettedModel(
            sha256=sha256,
            byte_size=byte_size,
            tflite=tflite,
            tflite_sha256=hashlib.sha256(tflite).hexdigest() if tflite is not None else None,
            input=InputSpec.from_json(facts["input"]),
            preprocessing=Preprocessing.from_json(facts["preprocessing"]),
            classes=int(facts["classes"]),
            probabilities=bool(facts["probabilities"]),
            parameters=int(facts["parameters"]),
            parity=float(facts["parity"]),
            keras_version=str(facts["keras_version"]),
            fallback=None if fallback is None else str(fallback)[:MAX_FALLBACK],
            sandbox={name: facts["sandbox"][name] for name in Held.__dataclass_fields__},
        )
    except (KeyError, TypeError, ValueError, Invalid) as exc:
        raise _no_answer() from exc


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy while hashing, so that what is vetted is what the hash names, even if the source changes meanwhile."""
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            while chunk := reader.read(MIB):
                size += len(chunk)
                if size > MAX_TOTAL_BYTES:
                    raise BadModel("too_large", f"The file has more than {MAX_TOTAL_BYTES // MIB} MiB.")
                digest.update(chunk)
                writer.write(chunk)
    except OSError as exc:
        raise BadModel("unreadable", f"The file cannot be read: {exc.strerror}.") from exc
    return digest.hexdigest(), size


def _run_child(private: Path, timeout_s: float) -> None:
    with (private / _LOG).open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-s", "-B", "-m", "service.models.vetting_child"],
            cwd=private,
            env=child_environment(private),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = child.wait(timeout_s)
    except subprocess.TimeoutExpired as exc:
        raise BadModel("timeout", f"Vetting took more than {timeout_s:g} s and was stopped.") from exc
    finally:
        # The group outlives its leader if the model started anything.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if status != 0:
        log.warning("model vetting ended with status %d: %s", status, _log_tail(private))
        if status == -signal.SIGXCPU:
            raise BadModel("timeout", "Vetting used up its CPU time and was stopped.")
        raise BadModel("crashed", "The process that opened the model broke down; the file is damaged or needs too much memory.")


def child_environment(private: Path) -> dict[str, str]:
    """All that a child knows of the world: its folder, and none of the service's settings or secrets."""
    home = str(private)
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "HOME": home,
        "TMPDIR": home,
        "KERAS_HOME": home,
        "LANG": "C.UTF-8",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        # Each thread and each malloc arena reserves address space, which is limited, on machines with many cores too.
        "OPENBLAS_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "2",
        "TF_NUM_INTEROP_THREADS": "2",
        "MALLOC_ARENA_MAX": "4",
    }


def _read_facts(private: Path) -> Mapping[str, Any]:
    try:
        result = json.loads(read_answer(private / RESULT, MAX_RESULT_BYTES))
        refused = result.get("refused")
        if refused is None:
            facts: Mapping[str, Any] = result["accepted"]
            return facts
        reason, detail = str(refused["reason"]), str(refused["detail"])
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _no_answer() from exc
    raise BadModel(reason, detail)


def read_answer(path: Path, limit: int) -> bytes:
    """Read what a child wrote; a link in its place is not followed, for it would be read with the parent's rights. Raises `BadModel`."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            content = stream.read(limit + 1)
    except OSError as exc:
        raise _no_answer() from exc
    if len(content) > limit:
        raise _no_answer()
    return content


def _log_tail(private: Path) -> str:
    with suppress(BadModel):
        return read_answer(private / _LOG, MAX_FILE_BYTES)[-_LOG_TAIL_BYTES:].decode(errors="replace")
    return ""


def _no_answer() -> BadModel:
    return BadModel("crashed", "The process that opened the model gave no usable answer.")
