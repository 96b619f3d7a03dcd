"""What the service knows of pictures, predictions and models."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from pixref.errors import UnexpectedAnswer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Image:
    """A picture. Sizes in pixels and bytes, times in UTC; as it was at the moment of the answer."""

    id: int
    sha256: str
    byte_size: int
    width: int
    height: int
    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; a palette counts as its colours."""
    bit_depth: int
    original_name: str | None
    label: str | None
    tags: list[str] = field(hash=False)
    split: str | None
    attributes: dict[str, Any] = field(hash=False)
    created_at: datetime
    damage: str | None
    """`lost` or `corrupt` where the bytes in the bucket are not those that were uploaded; uploading them again heals it."""
    created: bool | None = field(default=None, compare=False)
    """By an upload: True where it made this picture, False where the same bytes were here already. None otherwise."""
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What else the service says of it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model version made of a picture."""

    image_id: int | None
    """None when the picture is not stored."""
    model: str
    version: int
    label: str
    score: float
    """0 to 1, of the label."""
    scores: dict[str, float] = field(hash=False)
    latency_ms: float
    stored: bool
    """Whether it is a row."""
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model."""

    model: str
    version: int
    aliases: list[str] = field(hash=False)
    state: str
    labels: list[str] = field(hash=False)
    input_spec: dict[str, Any] = field(hash=False)
    preprocessing: dict[str, Any] = field(hash=False)
    metrics: dict[str, Any] = field(hash=False)
    sha256: str
    created_at: datetime
    damage: str | None
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change of many pictures did: `changed` are those of the `matched` that were not so already."""

    matched: int
    changed: int
    dry_run: bool
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Facets:
    """How many pictures match, and how many of them have each label, tag, split: the most frequent 100 of each, None standing for none."""

    total: int
    labels: dict[str | None, int] = field(hash=False)
    tags: dict[str | None, int] = field(hash=False)
    splits: dict[str | None, int] = field(hash=False)
    predicted: dict[tuple[str, str], int] = field(hash=False)
    """By (model, predicted label)."""
    as_of: datetime
    """When they were counted."""
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Trashed:
    """A deleted picture that `restore` brings back until `gone_at`."""

    id: int
    original_name: str | None
    label: str | None
    byte_size: int
    deleted_at: datetime
    gone_at: datetime
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Job:
    """Long work that the service does, as it was at the moment of the answer."""

    id: int
    task: str
    state: str
    """queued, running, succeeded, failed or cancelled."""
    progress: float
    """0 to 1."""
    done: int
    failed: int
    """Parts that could not be done while the rest went on."""
    message: str | None
    error: dict[str, str] | None = field(hash=False)
    """`code` and `detail` of what made it fail."""
    result: dict[str, Any] | None = field(hash=False)
    created_at: datetime
    finished_at: datetime | None
    extra: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.finished_at is not None


_TIMES = ("created_at", "deleted_at", "gone_at", "as_of", "finished_at")


def read(kind: type[T], value: Any, **own: Any) -> T:
    """Make one of these classes of a JSON object; what they do not know goes to `extra`. Raises `UnexpectedAnswer`."""
    names = {f.name for f in fields(kind)} - {"created", "extra"}  # type: ignore[arg-type]
    if not isinstance(value, Mapping) or (missing := names - value.keys()):
        lacks = f"without {', '.join(sorted(missing))}" if isinstance(value, Mapping) else "that is no object"
        raise UnexpectedAnswer(
            f"the service answered with a {kind.__name__} {lacks}: is it older than this client?", code="unexpected_answer"
        )
    known = {name: value[name] for name in names}
    for name in _TIMES:
        if known.get(name) is not None:
            known[name] = datetime.fromisoformat(known[name])
    make: Any = kind
    made: T = make(**known, extra={name: item for name, item in value.items() if name not in names}, **own)
    return made


def read_facets(value: Any) -> Facets:
    """Make counts of a JSON object. Raises `UnexpectedAnswer`."""
    facets = read(Facets, value)
    return replace(
        facets,
        labels={item["value"]: item["count"] for item in value["labels"]},
        tags={item["value"]: item["count"] for item in value["tags"]},
        splits={item["value"]: item["count"] for item in value["splits"]},
        predicted={(item["model"], item["value"]): item["count"] for item in value["predicted"]},
    )
