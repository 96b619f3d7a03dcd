"""The one place that names objects.

Every key is new: the content's SHA-256 lets anyone verify an object from its name, the UUID makes the key unique to one
attempt. A late PUT or DELETE can therefore only touch its own attempt.
"""

import re
from typing import Literal
from uuid import uuid4

IMAGES = "images/"
MODELS = "models/"
UPLOADS = "uploads/"
PROBE = "probe/"

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(
    rf"{IMAGES}(?P<shard>[0-9a-f]{{2}})/(?P<image>(?P=shard)[0-9a-f]{{62}})/{_UUID}\.png"
    rf"|{MODELS}(?P<model>[0-9a-f]{{64}})/{_UUID}\.(?:keras|tflite)"
)


def new_image_key(sha256: str) -> str:
    """Make a fresh key for a picture with this digest (64 lower-case hex digits; otherwise ValueError)."""
    return f"{IMAGES}{_checked(sha256)[:2]}/{sha256}/{uuid4()}.png"


def new_model_key(sha256: str, suffix: Literal[".keras", ".tflite"]) -> str:
    """Make a fresh key for a model file with this digest (64 lower-case hex digits; otherwise ValueError)."""
    return f"{MODELS}{_checked(sha256)}/{uuid4()}{suffix}"


def new_staging_key(sha256: str) -> str:
    """Make a fresh key for bytes that a client puts itself, and that are no picture yet (64 lower-case hex digits; otherwise ValueError).

    The only keys that may be written more than once: a form can be sent again until it expires.
    """
    return f"{UPLOADS}{_checked(sha256)[:2]}/{sha256}/{uuid4()}"


def new_probe_key() -> str:
    """Make a fresh key for an object that is written to learn what a server can do, and removed at once."""
    return f"{PROBE}{uuid4()}"


def sha256_of_key(key: str) -> str | None:
    """Return the digest that a picture's or model's key carries; None for any other key."""
    match = _KEY.fullmatch(key)
    return (match["image"] or match["model"]) if match else None


def _checked(sha256: str) -> str:
    if not _DIGEST.fullmatch(sha256):
        raise ValueError(f"not a SHA-256 in lower-case hex: {sha256!r}")
    return sha256
