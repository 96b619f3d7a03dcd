"""Pixref's Python client: pictures, labels, predictions and SQL over HTTP.

    from pixref import Client

    with Client() as client:  # PIXREF_URL and PIXREF_TOKEN
        image = client.upload("giraffe.png", label="giraffe")

A package of its own: it needs httpx, and at first use Pillow and NumPy for pixels and pandas for frames. It imports nothing else of this project.
"""

from pixref.client import Client
from pixref.errors import (
    BadImage,
    Conflict,
    Forbidden,
    IntegrityError,
    Invalid,
    JobFailed,
    NotFound,
    NotSignedIn,
    PixrefError,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from pixref.pixels import Mode
from pixref.shapes import Changed, Facets, Image, Job, ModelVersion, Prediction, Trashed
from pixref.sources import Source
from pixref.sql import Result, Row
from pixref.uploads import Upload

__all__ = [
    "BadImage",
    "Changed",
    "Client",
    "Conflict",
    "Facets",
    "Forbidden",
    "Image",
    "IntegrityError",
    "Invalid",
    "Job",
    "JobFailed",
    "Mode",
    "ModelVersion",
    "NotFound",
    "NotSignedIn",
    "PixrefError",
    "Prediction",
    "Result",
    "Row",
    "Source",
    "Trashed",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "Upload",
]
