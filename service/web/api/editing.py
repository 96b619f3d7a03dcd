"""Endpoints that change pictures' words and facts: one by PATCH, many by ids or by a filter."""

from typing import Annotated, Any, get_args

from pydantic import ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from service.accounts.actor import Role
from service.names import TAGS_MAX
from service.pictures import bulk_changes
from service.pictures.bulk_changes import IDS_MAX, Choice, TagChange
from service.pictures.details import ImageChange, change_image
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.fields import Attributes, FileName, Id, Name, NameOrBlank, Split, SplitOrEmpty
from service.web.api.requests import Shape, Strict
from service.web.api.shapes import FilterQuery, Image
from service.web.context import actor, context

HEADERS = "-H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json'"


# An address may have empty fields, which say nothing; here what is given is meant.
_MEANT: tuple[tuple[Any, Any], ...] = (
    (NameOrBlank, Name),
    (SplitOrEmpty, Split),
    (list[NameOrBlank], Annotated[list[Name], Field(min_length=1)]),
)
# JSON in JSON needs no text around it.
_OBJECTS = frozenset({"attributes", "exif", "png"})


def _present(name: str, field: FieldInfo) -> Any:
    """Return X of `X | None`: a condition that is given as null could mean two things, so it is refused."""
    parts = get_args(field.annotation)
    kind = next(part for part in parts if part is not type(None)) if type(None) in parts else field.annotation
    kind = next((strict for loose, strict in _MEANT if kind == loose), kind)
    if name in _OBJECTS:
        return Attributes
    return Annotated[(kind, *field.metadata)] if field.metadata else kind


class _FilterBase(Strict):
    """The parameters of `GET /api/v1/images`: all of them must hold, and at least one must be given."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})


FilterBody = create_model(
    "FilterBody",
    __base__=_FilterBase,
    **{  # type: ignore[call-overload]
        name: (_present(name, field), Field(None, description=field.description))
        for name, field in FilterQuery.model_fields.items()
    },
)


class _ChoiceBody(Strict):
    ids: list[Id] | None = Field(None, max_length=IDS_MAX, description="these pictures; ids that are not there are passed over")
    filter: FilterBody | None = Field(None, description="or all that match")
    dry_run: bool = Field(False, description="only count")

    def choice(self) -> Choice:
        """Return which pictures are meant. Raises `Invalid`."""
        wanted = FilterQuery.model_validate(self.filter.model_dump(exclude_unset=True)).filter() if self.filter else None
        return Choice(self.ids, wanted)


_EITHER: dict[str, Any] = {
    "oneOf": [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("ids", "filter")]
}


class BulkLabelBody(_ChoiceBody):
    model_config = ConfigDict(json_schema_extra=_EITHER)

    label: Name | None = Field(description="null takes it off")


_SET = {"required": ["set"], "properties": {"set": {"type": "array"}, "add": {"maxItems": 0}, "remove": {"maxItems": 0}}}
_SOME: dict[str, Any] = {
    "anyOf": [
        _SET,
        *({"required": [name], "properties": {"set": {"type": "null"}, name: {"minItems": 1}}} for name in ("add", "remove")),
    ]
}


class BulkTagsBody(_ChoiceBody):
    model_config = ConfigDict(json_schema_extra={"allOf": [_EITHER, _SOME]})

    add: list[Name] = Field(default_factory=list, max_length=TAGS_MAX)
    remove: list[Name] = Field(default_factory=list, max_length=TAGS_MAX, description="but for those of `add`")
    set: list[Name] | None = Field(None, max_length=TAGS_MAX, description="exactly these from now on; stands alone")


class Changed(Shape):
    matched: int = Field(description="pictures that were meant")
    changed: int = Field(description="of these, pictures that were not so already")
    dry_run: bool


class ImagePatch(Strict):
    """What is given is changed: at least one of them. What the file says of itself never changes."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    split: Split | None = Field(None, description="null takes it off")
    attributes: Attributes = Field(default_factory=dict, description="exactly these from now on, at most 16 KiB")
    original_name: FileName | None = Field(None, description="null takes it off")


@endpoint(
    api,
    "PATCH",
    "/images/<int:image_id>",
    Role.EDITOR,
    summary="Change split, attributes or name",
    body=ImagePatch,
    answers={200: Image},
    max_body=128 * KIB,
)
def patch_image(image_id: int, body: ImagePatch) -> Answer:
    """`{"split": "test", "attributes": {"camera": "M3"}, "original_name": "a.png"}`, or some of these. `attributes` are replaced as a whole.
    Label and tags have addresses of their own."""
    change = ImageChange(frozenset(body.model_fields_set), body.split, body.attributes, body.original_name)
    return Image.of(change_image(context().sessions, image_id, change))


@endpoint(
    api,
    "POST",
    "/images/label",
    Role.EDITOR,
    summary="Label many pictures",
    body=BulkLabelBody,
    answers={200: Changed},
    max_body=512 * KIB,
    example=f'curl -s {HEADERS} -d \'{{"filter": {{"tag": ["animal"]}}, "label": "giraffe"}}\' $PIXREF/api/v1/images/label',
)
def label_images(body: BulkLabelBody) -> Answer:
    """`{"ids": [1, 2], "label": "7"}` for at most 10,000 ids, or `{"filter": {"tag": ["animal"]}, "label": "giraffe"}` for all that match: the
    filter has the parameters of `GET /api/v1/images`. One transaction, at most 1,000,000 pictures; each change is in its picture's history.
    `changed` are those that had another label: repeated, it is 0. With `"dry_run": true` nothing is changed. While it runs (minutes
    for a million) other changes of the same pictures wait, and are 503 `database_timeout` after two seconds."""
    result = bulk_changes.label_many(context().sessions, body.choice(), body.label, actor=actor(), dry_run=body.dry_run)
    return Changed(matched=result.matched, changed=result.changed, dry_run=body.dry_run)


@endpoint(
    api,
    "POST",
    "/images/tags",
    Role.EDITOR,
    summary="Tag many pictures",
    body=BulkTagsBody,
    answers={200: Changed},
    max_body=1024 * KIB,
    example=f'curl -s {HEADERS} -d \'{{"ids": [1, 2], "add": ["checked"]}}\' $PIXREF/api/v1/images/tags',
)
def tag_images(body: BulkTagsBody) -> Answer:
    """`add` and `remove` some tags, or `set` exactly these. Pictures as for `POST /api/v1/images/label`. 422, and nothing changed, where a
    picture would have more than 100 tags."""
    change = TagChange(body.add, body.remove, body.set)
    result = bulk_changes.tag_many(context().sessions, body.choice(), change, dry_run=body.dry_run)
    return Changed(matched=result.matched, changed=result.changed, dry_run=body.dry_run)
