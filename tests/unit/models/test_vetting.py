"""A good model is accepted and converted; every hostile or broken file is refused with its reason and leaves nothing behind."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadModel
from service.models.archive import CONFIG, METADATA, WEIGHTS, check_archive
from service.models.spec import InputSpec, Preprocessing
from service.models.vetting import VettedModel, vet_model
from tests.pngs import png

MNIST = Path(__file__).parents[3] / "models" / "mnist.keras"

Members = dict[str, bytes]


def members_of_mnist() -> Members:
    with zipfile.ZipFile(MNIST) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: Members, *extra: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in [*members.items(), *extra]:
            archive.writestr(name, content)
    return buffer.getvalue()


def with_config(change: Callable[[dict[str, Any]], object]) -> bytes:
    members = members_of_mnist()
    config = json.loads(members[CONFIG])
    change(config)
    return packed(members | {CONFIG: json.dumps(config).encode()})


def with_layer(**changes: object) -> bytes:
    """Change what the configuration says of the dense layer `hidden`."""

    def change(config: dict[str, Any]) -> None:
        next(layer for layer in config["config"]["layers"] if layer["name"] == "hidden").update(changes)

    return with_config(change)


def with_weights(change: Callable[[h5py.File], object]) -> bytes:
    members = members_of_mnist()
    buffer = io.BytesIO(members[WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return packed(members | {WEIGHTS: buffer.getvalue()})


def symlink_member() -> bytes:
    members = members_of_mnist()
    link = zipfile.ZipInfo(METADATA)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    return packed({name: members[name] for name in (CONFIG, WEIGHTS)}, (link, b"/etc/passwd"))


def encrypted_member() -> bytes:
    content = bytearray(packed(members_of_mnist()))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def flipped_byte() -> bytes:
    content = bytearray(MNIST.read_bytes())
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


def deep_config() -> bytes:
    return with_layer(config=json.loads("[" * 200 + "]" * 200))


def doubled_member() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return packed(members_of_mnist(), (CONFIG, b"{}"))


def nan_weights(file: h5py.File) -> None:
    file["layers/dense/vars/0"][3, 3] = np.nan


def external_data(file: h5py.File) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars"].create_dataset("1", (64,), "f4", external=[("/etc/passwd", 0, 256)])


def virtual_data(file: h5py.File) -> None:
    del file["layers/dense/vars/1"]
    layout = h5py.VirtualLayout((64,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (64,))
    file["layers/dense/vars"].create_virtual_dataset("1", layout)


def external_link(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers/dense/vars/1")


def endless_group(file: h5py.File) -> None:
    file["layers/again"] = file["layers"]


def shape_bomb(file: h5py.File) -> None:
    file["layers/dense/vars"].create_dataset("2", (1 << 20, 1 << 14), "f4", chunks=(1024, 1024))


def strings(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = ["text"]


# Each is refused before Keras is imported, so that the whole list takes seconds.
HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("not_keras", lambda: b""),
    "not a zip": ("not_keras", lambda: b"\x89HDF\r\n\x1a\n" + bytes(2048)),
    "truncated": ("not_keras", lambda: MNIST.read_bytes()[:-2000]),
    "flipped byte": ("not_keras", flipped_byte),
    "path out of the folder": ("zip_member", lambda: packed(members_of_mnist(), ("../evil.py", b"x"))),
    "absolute path": ("zip_member", lambda: packed(members_of_mnist(), ("/tmp/evil.py", b"x"))),
    "name cut by NUL": ("zip_member", lambda: packed(members_of_mnist()).replace(METADATA.encode(), b"config.json\0.")),
    "extra member": ("zip_member", lambda: packed(members_of_mnist(), ("assets/vocabulary.txt", b"x"))),
    "missing member": ("zip_member", lambda: packed({CONFIG: b"{}"})),
    "member twice": ("zip_member", doubled_member),
    "symbolic link": ("zip_member", symlink_member),
    "encrypted": ("encrypted", encrypted_member),
    "bzip2": ("zip_member", lambda: packed(members_of_mnist(), method=zipfile.ZIP_BZIP2)),
    "zip bomb": ("zip_ratio", lambda: packed(members_of_mnist() | {WEIGHTS: bytes(1 << 22)}, method=zipfile.ZIP_DEFLATED)),
    "large config": ("too_large", lambda: packed(members_of_mnist() | {CONFIG: b" " * (9 << 20)})),
    "config is no JSON": ("config", lambda: packed(members_of_mnist() | {CONFIG: b"{'a': 1}"})),
    "config is a list": ("config", lambda: packed(members_of_mnist() | {CONFIG: b"[]"})),
    "deep config": ("config", deep_config),
    "very deep config": ("config", lambda: packed(members_of_mnist() | {CONFIG: b"[" * 1_000_000})),
    "Keras 2": ("config", lambda: packed(members_of_mnist() | {METADATA: b'{"keras_version": "2.15.0"}'})),
    "Lambda": ("class", lambda: with_layer(class_name="Lambda", config={"function": {"class_name": "__lambda__"}})),
    "TFSMLayer": ("class", lambda: with_layer(class_name="TFSMLayer", config={"filepath": "/etc"})),
    "TorchModuleWrapper": ("class", lambda: with_layer(class_name="TorchModuleWrapper", config={"module": "gASV"})),
    "vocabulary from a path": ("class", lambda: with_layer(class_name="StringLookup", config={"vocabulary": "/etc/passwd"})),
    "module of Python": ("class", lambda: with_layer(module="os", class_name="system")),
    "hidden in an activation": (
        "class",
        lambda: with_layer(config={"activation": {"module": "builtins", "class_name": "function", "config": "eval"}}),
    ),
    "registered class of one's own": ("class", lambda: with_layer(registered_name="mine>Dense")),
    "class without a module": ("class", lambda: with_layer(module=None)),
    "class name is no string": ("class", lambda: with_layer(class_name=["Dense"])),
    "model of one's own": ("class", lambda: with_config(lambda config: config.update(module="mine", class_name="Net"))),
    "NaN weights": ("not_finite", lambda: with_weights(nan_weights)),
    "external data": ("weights", lambda: with_weights(external_data)),
    "virtual data": ("weights", lambda: with_weights(virtual_data)),
    "external link": ("weights", lambda: with_weights(external_link)),
    "soft link": ("weights", lambda: with_weights(soft_link)),
    "group within itself": ("weights", lambda: with_weights(endless_group)),
    "declares 64 GiB": ("weights", lambda: with_weights(shape_bomb)),
    "strings": ("weights", lambda: with_weights(strings)),
    "weights are no HDF5": ("weights", lambda: packed(members_of_mnist() | {WEIGHTS: b"x" * 4096})),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_file_is_refused_with_its_reason(tmp_path: Path, name: str) -> None:
    reason, build = HOSTILE[name]
    file, work = tmp_path / "upload.keras", tmp_path / "work"
    file.write_bytes(build())
    work.mkdir()
    with pytest.raises(BadModel) as refused:
        vet_model(file, labels=None, preprocessing=None, work_dir=work)
    assert refused.value.reason == reason, refused.value.detail
    assert str(tmp_path) not in refused.value.detail
    assert list(work.iterdir()) == []


@given(
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=6),
    cut=st.none() | st.integers(0, 2**20),
)
def test_damage_anywhere_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, method: int, flips: list[tuple[int, int]], cut: int | None
) -> None:
    config = json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": []}, "registered_name": None})
    members = {CONFIG: config.encode(), METADATA: b'{"keras_version": "3.15.1"}', WEIGHTS: b"weights"}
    content = bytearray(packed(members, method=method))
    for position, mask in flips:
        content[position % len(content)] ^= mask
    file = tmp_path_factory.mktemp("damaged") / "model.keras"
    file.write_bytes(content if cut is None else content[: cut % len(content)])
    # What passes has flips only where no reader looks, such as a time stamp.
    with suppress(BadModel):
        assert check_archive(file) == "3.15.1"


def test_the_builtin_model_is_accepted_and_its_record_is_true(vetted_mnist: VettedModel, record: dict[str, Any]) -> None:
    assert vetted_mnist.sha256 == record["sha256"] == hashlib.sha256(MNIST.read_bytes()).hexdigest()
    assert vetted_mnist.byte_size == record["byte_size"] == MNIST.stat().st_size < 2 * 1024**2
    assert vetted_mnist.tflite_sha256 == hashlib.sha256(vetted_mnist.tflite).hexdigest()
    assert vetted_mnist.input == InputSpec(height=28, width=28, channels=1)
    assert vetted_mnist.preprocessing == Preprocessing.from_json(record["preprocessing"])
    assert vetted_mnist.classes == len(record["labels"]) == 10
    assert vetted_mnist.parameters == record["parameters"]
    assert vetted_mnist.keras_version == record["training"]["keras"]
    assert vetted_mnist.probabilities
    assert vetted_mnist.parity <= 1e-5
    assert record["metrics"]["test_accuracy"] >= 0.99


# Models that only Keras can write, and what the child's `vet` says of them, all in one process: importing TensorFlow takes
# seconds, and this process must stay without it.
BUILD_AND_VET = """
import json, os, shutil, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
import keras
from keras import layers
from service.errors import PixrefError
from service.models.vetting_child import MODEL, REAL, vet

vector = keras.Input((16,))
keras.Model(vector, layers.Dense(3)(vector)).save("vector.keras")
image = keras.Input((8, 8, 3))
flat = layers.Flatten()(layers.RandomFlip()(image))
keras.Model(image, [layers.Dense(3)(flat), layers.Dense(2)(flat)]).save("two_outputs.keras")
keras.Model(image, layers.Conv2D(3, 3)(image)).save("map.keras")
anything = keras.Input((None, None, 3))
keras.Model(anything, layers.Dense(3)(layers.GlobalAveragePooling2D()(anything))).save("any_size.keras")
fixed = keras.Input(batch_shape=(1, 8, 8, 3))
hidden = layers.BatchNormalization()(layers.Conv2D(4, 3)(layers.Rescaling(2.0, -1.0)(fixed)))
keras.Model(fixed, layers.Dense(3)(layers.Flatten()(hidden))).save("fixed_batch.keras")
photo = keras.Input((96, 96, 3))
inside = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(layers.CenterCrop(64, 64)(layers.Resizing(80, 80)(photo)))
pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(inside))
keras.Model(photo, layers.Dense(4, activation="softmax")(pooled)).save("photo.keras")
keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.Flatten()(image))).save("sigmoid.keras")
pair = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
keras.Model(pair, layers.Dense(3)(layers.Flatten()(layers.Add()(pair)))).save("two_inputs.keras")
shutil.copyfile(sys.argv[2], REAL.format(0))

outcomes = {}
for case, (name, request) in json.loads(sys.argv[1]).items():
    shutil.copyfile(name, MODEL)
    try:
        outcomes[case] = vet({"labels": None, "preprocessing": None} | request)
    except PixrefError as exc:
        outcomes[case] = [exc.extra.get("reason"), exc.detail]
with open("outcomes.json", "w") as file:
    json.dump(outcomes, file)
"""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vector": ("vector.keras", {}),
    "two outputs": ("two_outputs.keras", {}),
    "map": ("map.keras", {}),
    "any size": ("any_size.keras", {}),
    "fixed batch": ("fixed_batch.keras", {"labels": 3}),
    "photo": ("photo.keras", {"labels": 4}),
    "sigmoid": ("sigmoid.keras", {}),
    "two inputs": ("two_inputs.keras", {}),
    "labels": (str(MNIST), {"labels": 3}),
    "recipe": (str(MNIST), {"preprocessing": Preprocessing(color_mode="rgb").to_json()}),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("built")
    real = folder / "real.png"
    real.write_bytes(png(50, 40, color_type=6, seed=1))
    command = [sys.executable, "-c", BUILD_AND_VET, json.dumps(CASES), str(real)]
    environment = {"PYTHONPATH": str(MNIST.parents[1]), "HOME": str(folder)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    found: dict[str, Any] = json.loads((folder / "outcomes.json").read_text())
    return found


@pytest.mark.parametrize(
    ("case", "reason", "detail"),
    [
        ("vector", "input_shape", "(None, 16)"),
        ("any size", "input_shape", "(None, None, None, 3)"),
        ("two outputs", "output_shape", "2 outputs"),
        ("map", "output_shape", "(None, 6, 6, 3)"),
        ("sigmoid", "output_shape", "one for each class"),
        ("two inputs", "input_shape", "2 inputs"),
        ("labels", "labels", "10 classes, but 3 labels"),
        ("recipe", None, "preprocessing.color_mode is rgb"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(outcomes: dict[str, Any], case: str, reason: str | None, detail: str) -> None:
    assert outcomes[case][0] == reason
    assert detail in outcomes[case][1]


def test_a_colour_model_with_its_preprocessing_inside_is_accepted(outcomes: dict[str, Any]) -> None:
    accepted = outcomes["photo"]
    assert accepted["input"] == InputSpec(height=96, width=96, channels=3).to_json()
    assert accepted["classes"] == 4
    assert accepted["probabilities"]
    assert accepted["fallback"] is None
    assert accepted["parity"] <= 1e-4


def test_logits_of_a_model_saved_with_a_fixed_batch_are_accepted(outcomes: dict[str, Any]) -> None:
    accepted = outcomes["fixed batch"]
    assert accepted["input"] == InputSpec(height=8, width=8, channels=3).to_json()
    assert accepted["preprocessing"] == Preprocessing(color_mode="rgb").to_json()
    assert accepted["classes"] == 3
    assert not accepted["probabilities"]
    assert accepted["parity"] <= 1e-4


@pytest.mark.parametrize("labels", [["a", "a"], ["a", " "]])
def test_labels_must_be_distinct_words(tmp_path: Path, labels: list[str]) -> None:
    with pytest.raises(BadModel) as refused:
        vet_model(MNIST, labels=labels, preprocessing=None, work_dir=tmp_path)
    assert refused.value.reason == "labels"


def test_a_model_larger_than_memory_is_refused(tmp_path: Path) -> None:
    def enlarge(config: dict[str, Any]) -> None:
        hidden = next(layer for layer in config["config"]["layers"] if layer["name"] == "hidden")
        hidden["config"]["units"] = 100_000_000

    file = tmp_path / "huge.keras"
    file.write_bytes(with_config(enlarge))
    with pytest.raises(BadModel) as refused:
        vet_model(file, labels=None, preprocessing=None, work_dir=tmp_path)
    assert refused.value.reason == "memory", refused.value.detail
    assert list(tmp_path.iterdir()) == [file]


def test_a_child_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(BadModel) as refused:
        vet_model(MNIST, labels=None, preprocessing=None, work_dir=tmp_path, timeout_s=0.2)
    assert refused.value.reason == "timeout"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel) as refused:
        vet_model(tmp_path / "absent.keras", labels=None, preprocessing=None, work_dir=tmp_path)
    assert refused.value.reason == "unreadable"
    assert list(tmp_path.iterdir()) == []
