"""Text that people type, made fit to be kept: one rule for labels, tags, file names and free attributes.

PostgreSQL keeps neither NUL nor lone surrogates, and a name with invisible control characters cannot be told from another. So: Unicode NFC,
outer space stripped, inner white space single, control characters refused in names and dropped from file names.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from service.errors import Invalid

NAME_MAX = 200
FILE_NAME_MAX_BYTES = 255
TAGS_MAX = 100
DESCRIPTION_MAX = 1_000
ATTRIBUTES_MAX_BYTES = 16 * 1024
_SPLIT = re.compile(r"[a-z0-9_-]{1,32}")
_COLOUR = re.compile(r"#[0-9a-f]{6}")


def _unkeepable(char: str) -> bool:
    # Cc: control, Cs: surrogate. Cf (joiners, direction marks) is part of real words and emoji and is kept.
    return unicodedata.category(char) in ("Cc", "Cs")


def clean_name(value: str, *, field: str) -> str:
    """Return a label's, tag's or account's name in the form that is kept. Raises `Invalid`."""
    name = " ".join(unicodedata.normalize("NFC", value).split())
    if not name:
        raise Invalid(f"{field} is empty: give 1 to {NAME_MAX} characters", field=field)
    if len(name) > NAME_MAX:
        raise Invalid(f"{field} has {len(name)} characters: at most {NAME_MAX} are kept", field=field)
    if any(_unkeepable(char) for char in name):
        raise Invalid(f"{field} has control characters: leave them out", field=field)
    return name


def clean_description(value: str | None) -> str | None:
    """Return what somebody wrote about a label or tag, lines kept; None when nothing is left. Raises `Invalid`."""
    text = unicodedata.normalize("NFC", value or "").replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > DESCRIPTION_MAX:
        raise Invalid(f"description has {len(text)} characters: at most {DESCRIPTION_MAX} are kept", field="description")
    if any(_unkeepable(char) for char in text if char not in "\n\t"):
        raise Invalid("description has control characters: leave them out", field="description")
    return text or None


def clean_colour(value: str | None) -> str | None:
    """Return a colour as #rrggbb in small letters, None for none. Raises `Invalid`."""
    if not value:
        return None
    if not _COLOUR.fullmatch(value.lower()):
        raise Invalid("colour is #rrggbb, such as #0f766e", field="colour")
    return value.lower()


def clean_tags(values: Iterable[str], *, field: str = "tags") -> list[str]:
    """Return tags cleaned, without repeats, in order. Raises `Invalid`."""
    tags = sorted({clean_name(value, field=field) for value in values})
    if len(tags) > TAGS_MAX:
        raise Invalid(f"{field} has {len(tags)} tags: at most {TAGS_MAX} on one picture", field=field)
    return tags


def clean_split(value: str | None) -> str | None:
    """Return a split's name. Raises `Invalid`."""
    if value is None or value == "":
        return None
    if not _SPLIT.fullmatch(value):
        raise Invalid("split is 1 to 32 of a-z, 0-9, '_' and '-', such as train, test or validation", field="split")
    return value


def clean_file_name(value: str | None) -> str | None:
    """Return a file's own name without folders, at most 255 bytes of UTF-8 with the extension kept; None when nothing is left."""
    if not value:
        return None
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", value)[-1])
    name = "".join(char for char in name if not _unkeepable(char)).strip()
    stem, dot, extension = name.rpartition(".")
    if len(name.encode()) > FILE_NAME_MAX_BYTES and dot and len(extension.encode()) < 16:
        room = FILE_NAME_MAX_BYTES - len(extension.encode()) - 1
        name = stem.encode()[:room].decode(errors="ignore") + dot + extension
    return name.encode()[:FILE_NAME_MAX_BYTES].decode(errors="ignore") or None


def _check_json(value: Any, field: str, depth: int = 0) -> None:
    if depth > 8:
        raise Invalid(f"{field} is nested more than 8 deep", field=field)
    if isinstance(value, str):
        if "\x00" in value or any(unicodedata.category(char) == "Cs" for char in value):
            raise Invalid(f"{field} has a NUL character or half of a surrogate pair in a text: leave it out", field=field)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_json(key, field, depth + 1)
            _check_json(item, field, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, field, depth + 1)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise Invalid(f"{field} has NaN or Infinity, which JSON does not know", field=field)


def clean_attributes(value: Any, *, field: str = "attributes") -> dict[str, Any]:
    """Return free attributes as PostgreSQL's jsonb accepts them: an object of at most 16 KiB. Raises `Invalid`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f'{field} must be a JSON object, such as {{"camera": "M3"}}', field=field)
    _check_json(value, field)
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > ATTRIBUTES_MAX_BYTES:
        raise Invalid(f"{field} has {size} bytes: at most {ATTRIBUTES_MAX_BYTES} are kept", field=field)
    return value


def parse_attributes(text: str | None, *, field: str = "attributes") -> dict[str, Any]:
    """Read attributes from a form field. Raises `Invalid`."""
    if not text or not text.strip():
        return {}
    try:
        return clean_attributes(json.loads(text), field=field)
    except (ValueError, RecursionError) as exc:
        raise Invalid(f'{field} is not JSON ({exc}): give an object, such as {{"camera": "M3"}}', field=field) from None
