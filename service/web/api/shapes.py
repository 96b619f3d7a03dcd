"""What goes in and out of the API: every name that clients rely on."""

from datetime import datetime
from typing import Annotated, Any

from flask import request
from pydantic import ConfigDict, Field

from service.names import TAGS_MAX
from service.pictures.cursors import CURSOR_MAX
from service.pictures.facets import Facets
from service.pictures.filter import EVERYTHING, NAME_PART
from service.pictures.json_pages import JsonPage
from service.pictures.search import PAGE_DEFAULT, PAGE_MAX, ImageFilter, ImageInfo, Sort
from service.web.api.fields import (
    Alias,
    Attributes,
    BitDepth,
    ByteSize,
    Channels,
    FileName,
    Id,
    ModelName,
    Moment,
    Name,
    NameOrBlank,
    NamePart,
    Score,
    Sha256,
    Side,
    Split,
    SplitOrEmpty,
    TextAttributes,
    Version,
)
from service.web.api.requests import Shape, Strict

IMAGES = "/api/v1/images"
Cursor = Annotated[str, Field(max_length=CURSOR_MAX, json_schema_extra={"format": "cursor"})]


class Problem(Shape):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str = Field(description="what was wrong, the limit and the way out")
    code: str = Field(description="stable: for programs")
    retryable: bool = Field(description="whether the same request may succeed later")
    request_id: str
    field: str | None = Field(None, description="the part of the request that is at fault")


class Links(Shape):
    self: str
    file: str = Field(description="the original: answers 302 to a presigned URL, or the bytes")
    thumbnail: str


class Image(Shape):
    """A picture."""

    id: int
    sha256: str
    byte_size: int
    width: int
    height: int
    channels: int
    bit_depth: int
    original_name: str | None
    label: str | None
    tags: list[str]
    split: str | None
    attributes: dict[str, Any]
    created_at: datetime
    damage: str | None = Field(description="lost or corrupt where the bytes in the bucket are not those that were uploaded")
    links: Links

    @classmethod
    def of(cls, info: ImageInfo) -> "Image":
        """Return what clients see of a picture."""
        # model_construct: the values come from typed columns.
        return cls.model_construct(
            **info._asdict(), links=Links.model_construct(None, **links_of(info.id, root=request.script_root))
        )


class ImagePage(Shape):
    items: list[Image]
    next: str | None = Field(description="pass as `after` for the page that follows; null at the end")
    prev: str | None = Field(description="pass as `before` for the page that comes before; null at the beginning")


def links_of(image_id: int, *, root: str) -> dict[str, str]:
    """Return the links of a picture, where the application is at `root`; `url_for` takes a hundred times as long."""
    address = f"{root}{IMAGES}/{image_id}"
    return {"self": address, "file": f"{address}/file", "thumbnail": f"{address}/thumbnail"}


def page_of(page: JsonPage) -> str:
    """Return a page of pictures that are JSON already, in the shape of `ImagePage`."""
    following, previous = (f'"{cursor}"' if cursor else "null" for cursor in (page.next, page.prev))
    return f'{{"items":[{page.items}],"next":{following},"prev":{previous}}}'


class Count(Shape):
    value: str | None = Field(description="null: pictures that have none")
    count: int


class PredictedCount(Shape):
    model: str
    value: str
    count: int


class FacetCounts(Shape):
    """How many pictures match, and how they divide; of each kind the most frequent values."""

    total: int
    labels: list[Count]
    tags: list[Count]
    splits: list[Count]
    predicted: list[PredictedCount] = Field(description="by the version that the filter names, else by champions")
    as_of: datetime = Field(description="when they were counted")

    @classmethod
    def of(cls, facets: Facets) -> "FacetCounts":
        """Return what clients see of counts."""
        return cls(
            total=facets.total,
            labels=[Count(value=value, count=count) for value, count in facets.labels],
            tags=[Count(value=value, count=count) for value, count in facets.tags],
            splits=[Count(value=value, count=count) for value, count in facets.splits],
            predicted=[PredictedCount(model=model, value=value, count=count) for model, value, count in facets.predicted],
            as_of=facets.as_of,
        )


class Trashed(Shape):
    """A deleted picture that can be restored until `gone_at`."""

    id: int
    original_name: str | None
    label: str | None
    byte_size: int
    deleted_at: datetime
    gone_at: datetime


class Trash(Shape):
    items: list[Trashed]


class FilterQuery(Strict):
    """The filter as a query string has it; the meaning of its parts is that of `service.pictures.filter.ImageFilter`."""

    label: NameOrBlank | None = Field(None, description="exactly this label")
    unlabelled: bool | None = Field(None, description="true: pictures without a label; false: pictures with one")
    tag: list[NameOrBlank] = Field(default_factory=list, description="repeatable: pictures that have all of them")
    any_tag: list[NameOrBlank] = Field(default_factory=list, description="repeatable: pictures that have at least one of them")
    no_tag: list[NameOrBlank] = Field(default_factory=list, description="repeatable: pictures that have none of them")
    untagged: bool | None = Field(None, description="true: pictures without any tag; false: pictures with one or more")
    split: SplitOrEmpty | None = Field(None, description="exactly this split")
    min_width: Side | None = Field(None, description="pixels, as stored; all bounds include what they name")
    max_width: Side | None = None
    min_height: Side | None = None
    max_height: Side | None = None
    min_byte_size: ByteSize | None = Field(None, description="bytes of the file")
    max_byte_size: ByteSize | None = None
    channels: Channels | None = Field(
        None, description="1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; a palette counts as its colours"
    )
    bit_depth: BitDepth | None = Field(None, description="bits a sample as stored in the file: 1, 2, 4, 8 or 16")
    created_from: Moment | None = Field(
        None, description="uploaded at or after; a time without a zone is UTC, a date is its midnight"
    )
    created_to: Moment | None = Field(None, description="uploaded before: the time itself is not included")
    taken_from: Moment | None = Field(
        None, description="taken at or after, by the file's own EXIF; pictures without a time are left out"
    )
    taken_to: Moment | None = Field(None, description="taken before: the time itself is not included")
    name: NamePart | None = Field(
        None,
        description=f"a part of the file's own name, of {NAME_PART} characters or more, in upper or lower case",
    )
    name_prefix: NameOrBlank | None = Field(None, description="the beginning of the file's own name, in upper or lower case")
    attributes: TextAttributes = Field(
        default_factory=dict, description='a JSON object that the picture\'s attributes contain: {"camera": "M3"}'
    )
    exif: TextAttributes = Field(
        default_factory=dict, description='a JSON object that the picture\'s EXIF fields contain: {"Model": "M3"}'
    )
    png: TextAttributes = Field(
        default_factory=dict, description="a JSON object that the picture's PNG facts contain, such as its text chunks"
    )
    predicted: NameOrBlank | None = Field(None, description="label given by `version` of `model`; see `model`")
    model: NameOrBlank | None = Field(
        None,
        description="whose predictions `predicted`, `min_score`, `max_score` and `agrees` are about, all of them about the same prediction: those "
        "of its version `version`, else of its champion; without a model those of every model's champion. Alone: predicted by it at all",
    )
    version: Version | None = Field(None, description="number of a version of `model`")
    min_score: Score | None = Field(None, description="score of the predicted label, 0 to 1")
    max_score: Score | None = None
    agrees: bool | None = Field(
        None, description="true: the predicted label is the picture's; false: it is another than the picture's. Both need a label"
    )
    damaged: bool | None = Field(None, description="true: bytes lost or altered in the bucket; false: nothing known of that")

    def filter(self) -> ImageFilter:
        """Return what to look for. Raises `Invalid`."""
        given = {name: getattr(self, name) for name in self.model_fields_set if name in _OF_FILTER}
        return ImageFilter(**given) if given else EVERYTHING


_OF_FILTER = frozenset(FilterQuery.model_fields)


class PlaceQuery(FilterQuery):
    """A filter, an order and a place in it."""

    sort: Sort = Field(
        Sort.NEWEST,
        description="`id` (the order of upload), `date` (created_at), `score`, `uncertainty` (one less the score); `-` before it is downwards. Equal "
        "ones follow their ids. By score or uncertainty come only pictures that `model` has predicted (its `version`, else its champion)",
    )
    after: Cursor | None = Field(None, description="`next` of a page in the same order: the page that follows it")
    before: Cursor | None = Field(None, description="`prev` of a page in the same order: the page that comes before it")


class ImageQuery(PlaceQuery):
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)


class UploadForm(Strict):
    label: NameOrBlank | None = None
    tags: list[NameOrBlank] = Field(default_factory=list, description="repeatable", max_length=TAGS_MAX)
    split: SplitOrEmpty | None = None
    attributes: TextAttributes | None = Field(None, description="facts of your own, a JSON object of at most 16 KiB")


class LabelBody(Strict):
    label: Name | None = Field(description="null takes it off")


class TagsBody(Strict):
    tags: list[Name] = Field(description="exactly these from now on", max_length=TAGS_MAX)


class IdsBody(Strict):
    ids: list[Id] = Field(max_length=1000)


class HashesBody(Strict):
    sha256: list[Sha256] = Field(max_length=1000)


class Url(Shape):
    id: int
    url: str
    expires_at: datetime


class Urls(Shape):
    items: list[Url]


class HashHit(Shape):
    sha256: str
    id: int | None


class HashHits(Shape):
    items: list[HashHit]


ONE_VERSION: dict[str, Any] = {"anyOf": [{"properties": {name: {"type": "null"}}} for name in ("version", "alias")]}
"""What a JSON schema says of it."""


class ModelChoice(Strict):
    """Which version of which model: by `version` or by `alias`, else the champion."""

    model_config = ConfigDict(json_schema_extra={**ONE_VERSION})

    model: ModelName = "mnist"
    version: Version | None = None
    alias: Alias | None = None


class Prediction(Shape):
    """What a model made of a picture."""

    image_id: int | None = Field(description="null when the picture was not stored")
    model: str
    version: int
    label: str
    score: float
    scores: dict[str, float]
    latency_ms: float
    stored: bool = Field(description="whether it is a row")


class ModelVersionInfo(Shape):
    """One version of a model."""

    model: str
    version: int
    aliases: list[str]
    state: str
    labels: list[str]
    input_spec: dict[str, Any]
    preprocessing: dict[str, Any]
    metrics: dict[str, Any]
    sha256: str
    created_at: datetime
    damage: str | None = Field(description="lost or corrupt where its files in the bucket are not those that were registered")
    runtime: str = Field(description="what runs it: litert, or keras where LiteRT cannot")


class ModelList(Shape):
    items: list[ModelVersionInfo]


class DirectUploadBody(Strict):
    sha256: Sha256
    byte_size: ByteSize = Field(description="of the file that will be sent, exactly")
    name: FileName | None = Field(None, description="the file's own name")
    label: Name | None = None
    tags: list[Name] = Field(default_factory=list, max_length=TAGS_MAX)
    split: Split | None = None
    attributes: Attributes = Field(default_factory=dict, description="facts of your own, at most 16 KiB")


class DirectUpload(Shape):
    """A form by which a client puts a picture's bytes into the bucket itself. Whoever has it can put these bytes: keep it secret."""

    id: int
    url: str = Field(description="post here, as multipart/form-data")
    fields: dict[str, str] = Field(description="send all of them as they are, and after them the bytes as a part named `file`")
    expires_at: datetime = Field(description="when the form stops working")
    complete_url: str = Field(description="post here once the bytes are there")
