"""The process in which a foreign model file is opened: `python -m service.models.vetting_child`, in the folder of the request.

Reads `request.json`, `model.keras` and real pictures from its working directory, writes `result.json` and, when the model is accepted,
`model.tflite` beside them. It runs without secrets in its environment, in its own session, confined as far as the system allows
(`service.models.confinement`). See `service.models.vetting`.
"""

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from service.errors import BadModel, PixrefError
from service.models.archive import WEIGHTS, check_archive
from service.models.confinement import GIB, MAX_ADDRESS_SPACE, confine
from service.models.preprocessing import to_model_input
from service.models.spec import MAX_SIDE, InputSpec, Preprocessing, default_preprocessing
from service.png.pixels import decode_stored

if TYPE_CHECKING:
    import keras

MODEL, REQUEST, RESULT, CONVERTED = "model.keras", "request.json", "result.json", "model.tflite"
REAL = "picture-{:03}.png"

MAX_CLASSES = 10_000
# Of the largest score. Two sound runtimes add in different orders: of twelve random models over unscaled pixels of 0..255 one differed by 1.4e-5.
# What is to be caught is a layer that runs otherwise, and that changes the scores themselves.
MAX_PARITY_DIFFERENCE = 1e-4
# What LiteRT cannot convert, or answers otherwise, Keras runs. Everything else that is wrong with a model is a reason to refuse it.
RUN_BY_KERAS = frozenset({"conversion", "parity"})
PARITY_PICTURES = 32


def vet(request: dict[str, Any]) -> dict[str, Any]:
    """Run every check and the conversion; give what the registry stores, or raise `BadModel`."""
    keras_version = check_archive(Path(MODEL))
    # After the archive's checks and not before: h5py and Keras take seconds to import.
    from service.models.weights import check_weights

    with zipfile.ZipFile(MODEL) as archive:
        check_weights(archive.read(WEIGHTS))
    model = load_model()
    spec = _input_spec(model)
    classes = _class_count(model)
    if request["labels"] is not None and request["labels"] != classes:
        raise BadModel("labels", f"The model has {classes} classes, but {request['labels']} labels were given.")
    recipe = default_preprocessing(spec)
    if request["preprocessing"] is not None:
        recipe = Preprocessing.from_json(request["preprocessing"])
        recipe.require_fit(spec)
    inputs = _parity_inputs(spec, recipe)
    expected = _answers(model, inputs)
    difference, fallback = 0.0, None
    try:
        difference = _compare(expected, _convert(model), spec, inputs)
    except BadModel as exc:
        if exc.reason not in RUN_BY_KERAS:
            raise
        fallback = exc.detail
    return {
        "keras_version": keras_version,
        "input": spec.to_json(),
        "preprocessing": recipe.to_json(),
        "classes": classes,
        "probabilities": bool(expected.min() >= 0 and np.allclose(expected.sum(axis=1), 1, atol=1e-3)),
        "parameters": model.count_params(),
        "parity": difference,
        "fallback": fallback,
    }


def load_model() -> "keras.Model":
    import keras

    try:
        model = keras.saving.load_model(MODEL, compile=False, safe_mode=True)
        # A model saved with a fixed batch is rebuilt around a free one, since pictures come one by one and in bulk.
        if len(model.inputs) == 1 and model.inputs[0].shape[0] is not None:
            rebuilt = keras.models.clone_model(
                model, input_tensors=keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)
            )
            rebuilt.set_weights(model.get_weights())
            model = rebuilt
    except Exception as exc:  # whatever Keras raises, the file is what it could not load
        raise _fault(exc, "load", "Keras cannot load the model") from exc
    return model


def _input_spec(model: "keras.Model") -> InputSpec:
    if len(model.inputs) != 1:
        raise BadModel("input_shape", f"The model has {len(model.inputs)} inputs; exactly one picture is accepted.")
    shape, dtype = model.inputs[0].shape, model.inputs[0].dtype
    if len(shape) != 4 or shape[3] not in (1, 3) or not all(side is not None and 1 <= side <= MAX_SIDE for side in shape[1:3]):
        raise BadModel(
            "input_shape",
            f"The model's input is {tuple(shape)}; (None, height, width, channels) is accepted, with sides up to {MAX_SIDE} "
            "and 1 or 3 channels.",
        )
    if dtype != "float32":
        raise BadModel("input_dtype", f"The model's input is {dtype}; float32 is accepted.")
    return InputSpec(height=shape[1], width=shape[2], channels=shape[3])


def _class_count(model: "keras.Model") -> int:
    if len(model.outputs) != 1:
        raise BadModel("output_shape", f"The model has {len(model.outputs)} outputs; exactly one is accepted.")
    shape = tuple(model.outputs[0].shape)
    if len(shape) == 2 and shape[1] == 1:
        raise BadModel(
            "output_shape", "The model has one output: give it one for each class, for yes and no two behind a softmax."
        )
    if len(shape) != 2 or shape[1] is None or not 2 <= shape[1] <= MAX_CLASSES:
        raise BadModel(
            "output_shape", f"The model's output is {shape}; (None, classes) is accepted, with 2 to {MAX_CLASSES} classes."
        )
    classes: int = shape[1]
    return classes


def _convert(model: "keras.Model") -> bytes:
    try:
        model.export(CONVERTED, format="litert", verbose=False)
        return Path(CONVERTED).read_bytes()
    except OSError as exc:  # no fault of the model's
        raise _fault(exc, "disk", "There is no room to convert the model") from exc
    except Exception as exc:
        raise _fault(exc, "conversion", "The model cannot be converted to LiteRT") from exc


def _parity_inputs(spec: InputSpec, recipe: Preprocessing) -> npt.NDArray[np.float32]:
    """Prepare pictures of noise, of smooth shapes, of one level, and the real ones that were given, as users' pictures are prepared."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0 : 1 : spec.height * 1j, 0 : 1 : spec.width * 1j]
    pictures = []
    for index in range(PARITY_PICTURES):
        if index % 2:
            wave = np.sin(2 * np.pi * (rows * random.uniform(0, 3) + columns * random.uniform(0, 3) + random.uniform()))
            picture = np.repeat((127.5 + 127.5 * wave)[:, :, None], spec.channels, axis=2).astype(np.uint8)
        else:
            picture = random.integers(0, 256, spec.shape, dtype=np.uint8)
        pictures.append(picture)
    pictures += [np.zeros(spec.shape, np.uint8), np.full(spec.shape, 255, np.uint8)]
    real = [decode_stored(file.read_bytes()) for file in sorted(Path().glob(REAL.format(0).replace("000", "*")))]
    return np.stack([to_model_input(picture, spec, recipe) for picture in (*pictures, *real)])


def _answers(model: "keras.Model", inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    try:
        answers = np.asarray(model.predict_on_batch(inputs), np.float32)
    except Exception as exc:
        raise _fault(exc, "output", "The model cannot be run") from exc
    if not np.isfinite(answers).all():
        raise BadModel("output", "The model answers with NaN or infinity on ordinary pictures.")
    return answers


def _compare(expected: npt.NDArray[np.float32], tflite: bytes, spec: InputSpec, inputs: npt.NDArray[np.float32]) -> float:
    """Give the largest difference between Keras and LiteRT, one by one and in bulk.

    Scores beyond 1 are compared relative to the largest of them, since logits have no fixed scale.
    """
    from service.models.runtime import CHUNK, LiteRTModel

    try:
        converted = LiteRTModel(tflite, spec, [str(index) for index in range(expected.shape[1])])
        single = np.concatenate([converted.predict(picture[None]) for picture in inputs])
        bulk = converted.predict(np.resize(inputs, (CHUNK, *spec.shape)))[: len(inputs)]
    except PixrefError as exc:
        raise BadModel("conversion", f"The converted model does not run on LiteRT: {exc.detail}") from exc
    difference = max(float(np.abs(got - expected).max()) for got in (single, bulk)) / max(1.0, float(np.abs(expected).max()))
    if difference > MAX_PARITY_DIFFERENCE:
        raise BadModel(
            "parity",
            f"LiteRT and Keras differ by {difference:.2g} on the same pictures; the limit is {MAX_PARITY_DIFFERENCE:.0e}.",
        )
    return difference


def _fault(exc: Exception, reason: str, what: str) -> BadModel:
    # TensorFlow's own out-of-memory error is no MemoryError.
    if isinstance(exc, MemoryError) or type(exc).__name__ == "ResourceExhaustedError":
        return _out_of_memory()
    first_line = next(iter(str(exc).strip().splitlines()), type(exc).__name__)[:300]
    return BadModel(reason, f"{what}: {first_line}")


def _out_of_memory() -> BadModel:
    return BadModel("memory", f"The model needs more memory than the {MAX_ADDRESS_SPACE // GIB} GiB that vetting allows.")


def _refused(exc: BadModel) -> dict[str, Any]:
    return {"refused": {"reason": exc.reason, "detail": exc.detail}}


def main() -> None:
    request = json.loads(Path(REQUEST).read_text())
    held = confine(Path.cwd(), cpu_seconds=request["cpu_seconds"])
    try:
        result = {"accepted": {**vet(request), "sandbox": asdict(held)}}
    except BadModel as exc:
        result = _refused(exc)
    except PixrefError as exc:
        result = _refused(BadModel("preprocessing", exc.detail))
    except MemoryError:
        result = _refused(_out_of_memory())
    Path(RESULT).write_text(json.dumps(result))
    # TensorFlow's threads may hang at exit, and the answer is complete.
    os._exit(0)


if __name__ == "__main__":
    main()
