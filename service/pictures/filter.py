"""What to look for among pictures, and the conditions in SQL that it means. Every list, count and bulk change that takes a filter takes this one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import REAL, ColumnElement, Connection, Select, Text, and_, cast, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm.util import AliasedClass

from schema.base import ZONE_BITS
from schema.queries.words import find_words, word_id
from schema.tables import Image, ImageFacts, ImageTag, Label, Model, ModelAlias, ModelVersion, Prediction, Tag
from service.errors import Invalid
from service.names import NAME_MAX, TAGS_MAX, clean_attributes, clean_name, clean_split

NAME_PART = 3
"""A picture's name is searched by at least this many characters: an index knows where each run of so many is."""
CHAMPION = "champion"
_NAMES = ("label", "predicted", "model")
_TAGS = ("tag", "any_tag", "no_tag")
_TIMES = ("created_from", "created_to", "taken_from", "taken_to")
_OBJECTS = ("attributes", "exif", "png")
_OF_PREDICTION = ("predicted", "min_score", "max_score", "agrees")
_NOTHING: tuple[Any, ...] = (None, (), [], "", {})

ImageEntity = type[Image] | AliasedClass[Image]
PredictionEntity = type[Prediction] | AliasedClass[Prediction]


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """What to look for; all of it holds at once. None and empty mean anything. Names are cleaned as they were when they were kept; raises
    `Invalid` naming the field.

    `tag`: all of them; `any_tag`: at least one; `no_tag`: none. Times are `from` included to `to` excluded; one without a zone is UTC.
    `name` is a part of the file's own name, `name_prefix` its beginning, in upper or lower case. `attributes`, `exif`, `png` are contained
    in the picture's, as `@>` has it.

    `predicted`, `min_score`, `max_score` and `agrees` are of one and the same prediction: by `version` of `model`; without a version by the
    champion of `model`, or without a model by that of any. `model` and `version` by themselves mean predicted by it at all. `agrees` compares with
    the label, so pictures without one neither agree nor disagree.
    """

    label: str | None = None
    unlabelled: bool | None = None
    tag: Sequence[str] = ()
    any_tag: Sequence[str] = ()
    no_tag: Sequence[str] = ()
    untagged: bool | None = None
    split: str | None = None
    min_width: int | None = None
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    min_byte_size: int | None = None
    max_byte_size: int | None = None
    channels: int | None = None
    bit_depth: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    taken_from: datetime | None = None
    taken_to: datetime | None = None
    name: str | None = None
    name_prefix: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    exif: Mapping[str, Any] = field(default_factory=dict)
    png: Mapping[str, Any] = field(default_factory=dict)
    predicted: str | None = None
    model: str | None = None
    version: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    agrees: bool | None = None
    damaged: bool | None = None

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            self._set(name, clean_name(value, field=name) if value and value.strip() else None)
        for name in _TAGS:
            tags = tuple(dict.fromkeys(clean_name(tag, field=name) for tag in getattr(self, name) if tag.strip()))
            if len(tags) > TAGS_MAX:
                raise Invalid(f"{name} has {len(tags)} tags: at most {TAGS_MAX}", field=name)
            self._set(name, tags)
        self._set("split", clean_split(self.split))
        # As it was given: what cleaning makes shorter is found all the same, only not by an index.
        if self.name and self.name.strip() and len(self.name) < NAME_PART:
            raise Invalid(f"name has fewer than {NAME_PART} characters: give more, or name_prefix", field="name")
        for name in ("name", "name_prefix"):
            value = getattr(self, name)
            self._set(name, clean_name(value, field=name) if value and value.strip() else None)
        for name in _OBJECTS:
            if (value := getattr(self, name)) != {}:
                self._set(name, clean_attributes(value, field=name))
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                self._set(name, value.replace(tzinfo=UTC))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def active(self) -> dict[str, Any]:
        """The parts that restrict anything, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) not in _NOTHING}


EVERYTHING = ImageFilter()


@dataclass(frozen=True, slots=True)
class Known:
    """The ids behind a filter's names, looked up beforehand: PostgreSQL plans better with a value that it has statistics of than with a
    subquery. A name that is not there is id 0, which nothing has."""

    labels: Mapping[str, int]
    tags: Mapping[str, int]
    versions: Sequence[int]


def look_up(connection: Connection, wanted: ImageFilter, *, ordering: bool = False) -> Known:
    """Return the ids that the filter's names stand for now; `ordering` as in `versions_of`."""
    labels = [name for name in (wanted.label, wanted.predicted) if name]
    tags = [*wanted.tag, *wanted.any_tag, *wanted.no_tag]
    of_prediction = ordering or _asks_for_prediction(wanted)
    found: list[dict[str, int]] = []
    for table, names in ((Label, labels), (Tag, tags)):
        known = find_words(connection, table, names) if names else {}
        found.append({name: known.get(name, 0) for name in names})
    versions = [row.id for row in connection.execute(versions_of(wanted, ordering=ordering))] if of_prediction else []
    return Known(found[0], found[1], versions or [0])


def apply_filter(query: Select[Any], wanted: ImageFilter) -> Select[Any]:
    """Restrict a query on `image` to what is looked for."""
    return query.where(*conditions(wanted))


def zone_of(image_id: Any) -> ColumnElement[int]:
    """Return the zone that a picture is in, as indexes have it."""
    zone: ColumnElement[int] = image_id.op(">>")(literal_column(str(ZONE_BITS)))
    return zone


def ids_in(zone: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a picture is in a zone, for the index of ids."""
    start = zone.op("<<")(literal_column(str(ZONE_BITS)))
    end = (zone + 1).op("<<")(literal_column(str(ZONE_BITS)))
    return and_(Image.id >= start, Image.id < end)


def conditions(wanted: ImageFilter, *, image: ImageEntity = Image, known: Known | None = None) -> list[ColumnElement[bool]]:
    """Return what must hold of a row of `image`."""
    found = [*_of_words(wanted, image, known), *_of_file(wanted, image), *contents_of(wanted, image)]
    if wanted.name_prefix:
        found.append(func.lower(image.original_name).like(_beginning(wanted.name_prefix)))
    if _asks_for_prediction(wanted):
        found.append(exists().where(Prediction.image_id == image.id, *of_prediction(wanted, image=image, known=known)))
    return found


def facts_in_zone(wanted: ImageFilter, zone: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """Return what must hold of a row of `image_facts` in a zone, where the filter is of nothing but the file's facts. What files contain is
    only narrowed down by it: `contents_of` must hold as well."""
    found: list[ColumnElement[bool]] = [zone_of(ImageFacts.image_id) == zone, *_of_file(wanted, ImageFacts)]
    if wanted.name_prefix:
        found.append(ImageFacts.name.like(_beginning(wanted.name_prefix)))
    if wanted.name or any(getattr(wanted, name) for name in _OBJECTS):
        # Taken apart once, for zone 0, and written with each zone's number after that.
        objects = (cast(getattr(wanted, name), JSONB) for name in _OBJECTS)
        parts = func.pixref.search_parts(0, cast(wanted.name, Text), *objects, type_=ImageFacts.parts.type)
        part = func.unnest(select(parts).scalar_subquery()).column_valued("part")
        in_zone = cast(zone, Text) + func.substr(part, 2)
        found.append(ImageFacts.parts.op("@>")(func.array(select(in_zone).correlate(zone.table).scalar_subquery())))
    return found


def of_prediction(
    wanted: ImageFilter,
    *,
    image: ImageEntity = Image,
    prediction: PredictionEntity = Prediction,
    known: Known | None = None,
    ordering: bool = False,
) -> list[ColumnElement[bool]]:
    """Return what must hold of a row of `prediction`."""
    found: list[ColumnElement[bool]] = [prediction.error.is_(None)]
    if known is None:
        found.append(prediction.model_version_id.in_(versions_of(wanted, ordering=ordering)))
    elif len(known.versions) == 1:
        found.append(prediction.model_version_id == known.versions[0])
    else:
        found.append(prediction.model_version_id.in_(known.versions))
    if wanted.predicted:
        found.append(prediction.label_id == _label_id(wanted.predicted, known))
    # Scores are kept as 4 bytes; 0.9 as 8 bytes is more than 0.9 as 4.
    if wanted.min_score is not None:
        found.append(prediction.score >= cast(wanted.min_score, REAL))
    if wanted.max_score is not None:
        found.append(prediction.score <= cast(wanted.max_score, REAL))
    if wanted.agrees is not None:
        found.append(prediction.label_id == image.label_id if wanted.agrees else prediction.label_id != image.label_id)
    return found


def _asks_for_prediction(wanted: ImageFilter) -> bool:
    named = wanted.model is not None or wanted.version is not None
    return named or any(getattr(wanted, name) is not None for name in _OF_PREDICTION)


def versions_of(wanted: ImageFilter, *, ordering: bool) -> Select[int]:
    """Return the query of the model versions whose predictions count; `ordering` where pictures are ordered or counted by their predictions."""
    query = select(ModelVersion.id)
    if wanted.model:
        query = query.join(Model, Model.id == ModelVersion.model_id).where(Model.name == wanted.model)
    if wanted.version is not None:
        return query.where(ModelVersion.number == wanted.version)
    if ordering or any(getattr(wanted, name) is not None for name in _OF_PREDICTION):
        query = query.where(exists().where(ModelAlias.model_version_id == ModelVersion.id, ModelAlias.alias == CHAMPION))
    return query


def _label_id(name: str, known: Known | None) -> Any:
    return known.labels[name] if known else word_id(Label, name)


def _tag_id(name: str, known: Known | None) -> Any:
    return known.tags[name] if known else word_id(Tag, name)


def _has_tag(image: ImageEntity, *tag_ids: Any) -> ColumnElement[bool]:
    which = ImageTag.tag_id == tag_ids[0] if len(tag_ids) == 1 else ImageTag.tag_id.in_(tag_ids)
    return exists().where(ImageTag.image_id == image.id, which)


def _of_words(wanted: ImageFilter, image: ImageEntity, known: Known | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.label:
        found.append(image.label_id == _label_id(wanted.label, known))
    if wanted.unlabelled is not None:
        found.append(image.label_id.is_(None) if wanted.unlabelled else image.label_id.is_not(None))
    if wanted.damaged is not None:
        found.append(image.damage.is_not(None) if wanted.damaged else image.damage.is_(None))
    found += [_has_tag(image, _tag_id(tag, known)) for tag in wanted.tag]
    if wanted.any_tag:
        found.append(_has_tag(image, *(_tag_id(tag, known) for tag in wanted.any_tag)))
    if wanted.no_tag:
        found.append(~_has_tag(image, *(_tag_id(tag, known) for tag in wanted.no_tag)))
    if wanted.untagged is not None:
        tagged = exists().where(ImageTag.image_id == image.id)
        found.append(~tagged if wanted.untagged else tagged)
    if wanted.split:
        found.append(image.split == wanted.split)
    return found


def _of_file(wanted: ImageFilter, facts: ImageEntity | type[ImageFacts]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for name in ("width", "height", "byte_size"):
        column = getattr(facts, name)
        if (least := getattr(wanted, f"min_{name}")) is not None:
            found.append(column >= least)
        if (most := getattr(wanted, f"max_{name}")) is not None:
            found.append(column <= most)
    for name in ("channels", "bit_depth"):
        if (value := getattr(wanted, name)) is not None:
            found.append(getattr(facts, name) == value)
    for name in ("created", "taken"):
        column = getattr(facts, f"{name}_at")
        if (start := getattr(wanted, f"{name}_from")) is not None:
            found.append(column >= start)
        if (end := getattr(wanted, f"{name}_to")) is not None:
            found.append(column < end)
    return found


def contents_of(wanted: ImageFilter, image: ImageEntity = Image) -> list[ColumnElement[bool]]:
    """Return what must hold of a row of `image` as to what the file's name and its JSON facts contain."""
    found: list[ColumnElement[bool]] = []
    if wanted.name:
        found.append(func.lower(image.original_name).like(func.lower(f"%{_literal(wanted.name)}%")))
    for name in _OBJECTS:
        if value := getattr(wanted, name):
            found.append(getattr(image, name).contains(value))
    return found


def _beginning(name: str) -> Any:
    return func.lower(f"{_literal(name)}%")


def _literal(text: str) -> str:
    """Return a pattern of LIKE that means this very text."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


__all__ = [
    "EVERYTHING",
    "NAME_MAX",
    "ImageFilter",
    "Known",
    "apply_filter",
    "conditions",
    "contents_of",
    "facts_in_zone",
    "look_up",
    "of_prediction",
    "zone_of",
]
