"""Check a `.keras` file before Keras sees it: the zip archive, its members, and every class that its configuration names.

`safe_mode=True` of Keras is a mitigation, not a boundary: it reads whatever the archive declares. What passes here is an
archive of exactly three plain members of bounded size, whose configuration names nothing but built-in layers of
feed-forward networks. The weights are checked by `service.models.weights`.
"""

import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.errors import BadModel

MIB = 1024**2
MAX_TOTAL_BYTES = 512 * MIB
MAX_RATIO = 50
MAX_CONFIG_BYTES = 8 * MIB
MAX_METADATA_BYTES = 64 * 1024
MAX_CONFIG_DEPTH = 100

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MEMBERS = frozenset({CONFIG, METADATA, WEIGHTS})

# Keras writes Python's own structures in the same form as classes; these two carry no code and no outside names.
_STRUCTURES = frozenset({"__keras_tensor__", "__tuple__"})

# Pure functions of numbers: any class in these modules is harmless.
_OPEN_MODULES = frozenset({"keras.initializers", "keras.regularizers", "keras.constraints"})

# Layers of feed-forward networks on pictures. Left out are those that run code (Lambda, TFSMLayer, TorchModuleWrapper), read
# files (StringLookup, TextVectorization) or make no sense for one picture at a time.
_LAYERS = """
    Activation ActivityRegularization Add AlphaDropout Average AveragePooling2D BatchNormalization CenterCrop Concatenate Conv1D
    Conv2D Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dot Dropout ELU Flatten GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization Identity InputLayer
    LayerNormalization LeakyReLU MaxPooling2D Maximum Minimum Multiply MultiHeadAttention Normalization PReLU Permute
    RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation RandomTranslation RandomZoom ReLU Rescaling Reshape
    Resizing SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D SpectralNormalization Subtract UnitNormalization
    UpSampling2D ZeroPadding2D
"""

_CLASSES: dict[str, frozenset[str]] = {
    "keras": frozenset({"DTypePolicy", "Functional", "Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.src.ops.numpy": frozenset({"Add", "Divide", "Multiply", "Subtract", "TrueDivide"}),
    "keras.layers": frozenset(_LAYERS.split()),
}


def check_archive(path: Path) -> str:
    """Check the archive and its configuration; return the version of Keras that wrote it.

    Reads every member to its end, so that sizes and checksums are those of the bytes and not of the directory's claims.
    Raises `BadModel` with the reason `not_keras`, `zip_member`, `encrypted`, `too_large`, `zip_ratio`, `damaged`, `config`
    or `class`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_directory(archive.infolist())
            contents = {name: _read(archive, name) for name in (CONFIG, METADATA)}
            _drain(archive, WEIGHTS)
    except zipfile.BadZipFile as exc:
        raise BadModel("not_keras", f"The file is not a complete .keras archive (a zip file): {exc}.") from exc
    except (OSError, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error, zlib.error) as exc:
        raise BadModel("damaged", f"The archive cannot be read: {exc}.") from exc
    _check_classes(_parse(CONFIG, contents[CONFIG]))
    version = _parse(METADATA, contents[METADATA]).get("keras_version")
    if not isinstance(version, str) or not re.fullmatch(r"3\.\d{1,4}\.[0-9a-z.]{1,20}", version):
        raise BadModel("config", "metadata.json names no version of Keras 3; save the model with Keras 3 as .keras.")
    return version


def _check_directory(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    for member in members:
        # `filename` ends at a NUL, `orig_filename` does not: two readers could see two names.
        if member.orig_filename not in MEMBERS:
            raise BadModel("zip_member", f"The archive holds {member.orig_filename!r}; only {_listed()} are accepted.")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BadModel("zip_member", f"{member.filename} is not a plain file in the archive.")
        if member.flag_bits & 0x41:
            raise BadModel("encrypted", f"{member.filename} is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadModel("zip_member", f"{member.filename} is compressed by a method other than deflate.")
        if member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise BadModel("zip_ratio", f"{member.filename} inflates to more than {MAX_RATIO} times its compressed size.")
    if len(set(names)) != len(names):
        raise BadModel("zip_member", "The archive holds a member twice.")
    if missing := MEMBERS.difference(names):
        raise BadModel("zip_member", f"The archive lacks {', '.join(sorted(missing))}; save the model with Keras 3 as .keras.")
    limits = {CONFIG: MAX_CONFIG_BYTES, METADATA: MAX_METADATA_BYTES, WEIGHTS: MAX_TOTAL_BYTES}
    for member in members:
        limit = limits[member.filename]
        if member.file_size > limit:
            raise BadModel("too_large", f"{member.filename} has {member.file_size} bytes; the limit is {limit}.")
    if sum(member.file_size for member in members) > MAX_TOTAL_BYTES:
        raise BadModel("too_large", f"The archive holds more than {MAX_TOTAL_BYTES // MIB} MiB.")


def _listed() -> str:
    return ", ".join(sorted(MEMBERS))


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as stream:
        return stream.read()


def _drain(archive: zipfile.ZipFile, name: str) -> None:
    """Read to the end for the sake of the checksum; `zipfile` never gives more than the size that was checked."""
    with archive.open(name) as stream:
        size = 0
        while chunk := stream.read(MIB):
            size += len(chunk)
    if size != archive.getinfo(name).file_size:
        raise BadModel("damaged", f"{name} ends before its declared size.")


def _parse(name: str, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise BadModel("config", f"{name} is not valid JSON, or is nested too deeply.") from exc
    if not isinstance(value, dict):
        raise BadModel("config", f"{name} is not a JSON object.")
    return value


def _check_classes(config: dict[str, Any]) -> None:
    if config.get("class_name") not in ("Functional", "Sequential"):
        raise BadModel("class", f"The model is a {config.get('class_name')!r}; functional and sequential models are accepted.")
    # How the model was compiled is never read (`compile=False`), so a loss or optimizer of one's own does no harm there.
    architecture = {key: value for key, value in config.items() if key != "compile_config"}
    for node in _nodes(architecture):
        if "class_name" in node:
            _check_class(node)


def _check_class(node: dict[str, Any]) -> None:
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    if module is None and registered is None and isinstance(name, str) and name in _STRUCTURES:
        return
    if not isinstance(name, str) or not isinstance(module, str):
        raise BadModel("class", f"config.json names the class {name!r} of module {module!r}, which is not one of Keras 3.")
    known = module in _OPEN_MODULES or name in _CLASSES.get(module, ())
    if not known or registered not in (None, name):
        raise BadModel("class", f"config.json uses {module}.{name}, which is not among the layers that are accepted.")


def _nodes(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give every JSON object at any depth, without recursion, so that depth is our limit and not the interpreter's."""
    pending: list[tuple[Any, int]] = [(root, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_CONFIG_DEPTH:
            raise BadModel("config", f"config.json is nested more than {MAX_CONFIG_DEPTH} levels deep.")
        if isinstance(value, dict):
            yield value
            pending.extend((child, depth + 1) for child in value.values())
        elif isinstance(value, list):
            pending.extend((child, depth + 1) for child in value)
