"""What goes in and out of the API: every name that clients rely on."""

from datetime import datetime
from typing import Annotated, Any

from flask import url_for
from pydantic import Field, StringConstraints

from service.pictures.search import PAGE_DEFAULT, PAGE_MAX, ImageFilter, ImageInfo, Page
from service.web.api.contract import Shape, Strict

Side = Annotated[int, Field(ge=1, le=2**31 - 1)]
ImageId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(max_length=1000)]


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
        # model_construct: the values come from typed columns, and a page of 500 is built per request.
        return cls.model_construct(
            id=info.id,
            sha256=info.sha256,
            byte_size=info.byte_size,
            width=info.width,
            height=info.height,
            channels=info.channels,
            bit_depth=info.bit_depth,
            original_name=info.original_name,
            label=info.label,
            tags=info.tags,
            split=info.split,
            attributes=info.attributes,
            created_at=info.created_at,
            damage=info.damage,
            links=Links.model_construct(
                self=url_for("api.get_image", image_id=info.id),
                file=url_for("api.get_file", image_id=info.id),
                thumbnail=url_for("api.get_thumbnail", image_id=info.id),
            ),
        )


class ImagePage(Shape):
    items: list[Image]
    next: str | None = Field(description="pass as `after` for the next page; null at the end")

    @classmethod
    def of(cls, page: Page[ImageInfo]) -> "ImagePage":
        """Return what clients see of a page."""
        return cls.model_construct(items=[Image.of(item) for item in page.items], next=page.next)


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


class ImageQuery(Strict):
    label: Name | None = None
    tag: list[Name] = Field(default_factory=list, description="repeatable: pictures that have all of them")
    split: Name | None = None
    min_width: Side | None = None
    max_width: Side | None = None
    min_height: Side | None = None
    max_height: Side | None = None
    predicted: Name | None = Field(None, description="label given by the champion version of `model`, or of any model")
    model: Name | None = Field(None, description="alone: pictures that this model has predicted")
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)
    after: str | None = Field(None, description="`next` of the page before", max_length=64)

    def filter(self) -> ImageFilter:
        """Return what to look for."""
        return ImageFilter(**self.model_dump(exclude={"limit", "after"}))


class UploadForm(Strict):
    label: Name | None = None
    tags: list[Name] = Field(default_factory=list, description="repeatable")
    split: Name | None = None
    attributes: str | None = Field(None, description="a JSON object of facts of your own")


class LabelBody(Strict):
    label: Name | None = Field(description="null takes it off")


class TagsBody(Strict):
    tags: list[Name] = Field(description="exactly these from now on")


class IdsBody(Strict):
    ids: list[ImageId] = Field(max_length=1000)


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


class ModelChoice(Strict):
    model: Annotated[str, StringConstraints(max_length=63)] = "mnist"
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    alias: Annotated[str, StringConstraints(max_length=32)] | None = None


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


class ModelList(Shape):
    items: list[ModelVersionInfo]


class DirectUploadBody(Strict):
    sha256: Sha256
    byte_size: int = Field(ge=1, le=2**63 - 1, description="of the file that will be sent, exactly")
    name: Name | None = Field(None, description="the file's own name")
    label: Name | None = None
    tags: list[Name] = Field(default_factory=list)
    split: Name | None = None
    attributes: dict[str, Any] = Field(default_factory=dict, description="facts of your own")


class DirectUpload(Shape):
    """A form by which a client puts a picture's bytes into the bucket itself. Whoever has it can put these bytes: keep it secret."""

    id: int
    url: str = Field(description="post here, as multipart/form-data")
    fields: dict[str, str] = Field(description="send all of them as they are, and after them the bytes as a part named `file`")
    expires_at: datetime = Field(description="when the form stops working")
    complete_url: str = Field(description="post here once the bytes are there")
