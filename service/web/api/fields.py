"""The kinds of values that requests have: what is accepted, and the same said as JSON Schema.

The two must agree to the letter: what the schema allows is taken, and what it forbids is refused with the name of the field. So names are checked
here as they are sent, and then cleaned as all names are (`service.names`).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.errors import Invalid
from service.models.registry import ALIAS_PATTERN, NAME_PATTERN
from service.names import (
    DESCRIPTION_MAX,
    NAME_MAX,
    clean_attributes,
    clean_colour,
    clean_description,
    clean_name,
    clean_split,
    parse_attributes,
)
from service.pictures.filter import NAME_PART
from service.web.api.requests import REFUSED

_CONTROL = r"\x00-\x1f\x7f-\x9f"
_NAME = rf"[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*"
_WORDS = rf"[^{_CONTROL}]*"
_PROSE = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*"
_FREE = re.compile(_WORDS)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?")
BIT_DEPTHS = (1, 2, 4, 8, 16)
JSON_VALUE = "JsonValue"
T = TypeVar("T")


def _schema(pattern: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **more})


def _said(check: Callable[[], T]) -> T:
    """Let pydantic know of a refusal, so that it is told with the way to the field."""
    try:
        return check()
    except Invalid as exc:
        raise PydanticCustomError(REFUSED, "{detail}", {"detail": exc.detail}) from None


def _checked(value: str, field: str) -> str:
    if len(value) > NAME_MAX:
        raise Invalid(f"{field} has {len(value)} characters: at most {NAME_MAX} are kept", field=field)
    if not _FREE.fullmatch(value):
        raise Invalid(f"{field} has control characters: leave them out", field=field)
    return value


def _name(value: str, info: ValidationInfo) -> str:
    field = info.field_name or "it"
    return _said(lambda: clean_name(_checked(value, field), field=field))


def _name_or_blank(value: str, info: ValidationInfo) -> str:
    return _name(value, info) if value.strip() or not _FREE.fullmatch(value) else ""


def _name_part(value: str, info: ValidationInfo) -> str:
    if value and len(value) < NAME_PART:
        raise ValueError(f"{info.field_name} has fewer than {NAME_PART} characters: give more, or name_prefix")
    return _name_or_blank(value, info)


def _split(value: str) -> str:
    if not value:
        raise ValueError("split is empty: null is for none")
    return _split_or_empty(value)


def _split_or_empty(value: str) -> str:
    return _said(lambda: clean_split(value)) or ""


def _colour(value: str) -> str:
    if not value:
        raise ValueError("colour is empty: null is for none")
    return _said(lambda: clean_colour(value)) or ""


def whole(value: Any) -> Any:
    """Return 7 for 7.0, and all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _bit_depth(value: int) -> int:
    if value not in BIT_DEPTHS:
        raise ValueError(f"bit depth is one of {', '.join(map(str, BIT_DEPTHS))}")
    return value


def _written_moment(value: Any) -> Any:
    """Read a time by ourselves: pydantic would take 1 and "1e3" for seconds since 1970, and JSON has no kind of its own for it."""
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass
    raise ValueError("give a time such as 2026-11-23T08:00:00Z, or a date")


def _moment(value: datetime) -> datetime:
    try:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is beyond the calendar") from None


def _prose(value: str) -> str:
    if len(value) > DESCRIPTION_MAX:
        raise ValueError(f"description has {len(value)} characters: at most {DESCRIPTION_MAX} are kept")
    return _said(lambda: clean_description(value)) or ""


def _attributes(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    return _said(lambda: clean_attributes(value, field=info.field_name or "attributes"))


def _text_attributes(value: Any, info: ValidationInfo) -> dict[str, Any]:
    field = info.field_name or "attributes"
    if isinstance(value, str):
        return _said(lambda: parse_attributes(value, field=field))
    return _said(lambda: clean_attributes(value, field=field))


Name = Annotated[str, AfterValidator(_name), _schema(_NAME, minLength=1, maxLength=NAME_MAX)]
"""A label, tag or other name that somebody has given."""

NameOrBlank = Annotated[str, AfterValidator(_name_or_blank), _schema(_WORDS, maxLength=NAME_MAX)]
"""The same in forms and addresses, where an empty field says nothing."""

_PART = {"type": "string", "pattern": f"^(?:{_WORDS})$", "minLength": NAME_PART, "maxLength": NAME_MAX}
NamePart = Annotated[str, AfterValidator(_name_part), WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 0}, _PART]})]
"""A part of a name to search by, or nothing."""

Split = Annotated[str, AfterValidator(_split), _schema("[a-z0-9_-]{1,32}")]
SplitOrEmpty = Annotated[str, AfterValidator(_split_or_empty), _schema("[a-z0-9_-]{0,32}")]
Colour = Annotated[str, AfterValidator(_colour), _schema("#[0-9a-fA-F]{6}", examples=["#0f766e"])]
Prose = Annotated[str, AfterValidator(_prose), _schema(_PROSE, maxLength=DESCRIPTION_MAX)]
FileName = Annotated[str, StringConstraints(max_length=1000)]
_OBJECT = {
    "type": "object",
    "propertyNames": {"pattern": r"^[^\x00]*$"},
    "additionalProperties": {"$ref": f"#/components/schemas/{JSON_VALUE}"},
    "examples": [{"camera": "M3"}],
}
Attributes = Annotated[dict[str, Any], AfterValidator(_attributes), WithJsonSchema(_OBJECT)]
TextAttributes = Annotated[dict[str, Any], BeforeValidator(_text_attributes), WithJsonSchema(_OBJECT)]
"""The same as a field of a form, which is JSON text."""

# In JSON 7.0 is an integer, too, and some languages write it so; "7" and true are none.
Id = Annotated[int, Field(ge=1, le=2**63 - 1), BeforeValidator(whole)]
Side = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)]
Channels = Annotated[int, Field(ge=1, le=4), BeforeValidator(whole)]
BitDepth = Annotated[
    int, BeforeValidator(whole), AfterValidator(_bit_depth), WithJsonSchema({"type": "integer", "enum": list(BIT_DEPTHS)})
]
Score = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[
    datetime,
    BeforeValidator(_written_moment),
    AfterValidator(_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}),
]
"""A time without a zone is UTC, a date is its midnight; in UTC from here on."""

Version = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)]
ByteSize = Annotated[int, Field(ge=1, le=2**63 - 1), BeforeValidator(whole)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ModelName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
Alias = Annotated[str, StringConstraints(pattern=f"^{ALIAS_PATTERN}$")]

SCHEMAS: dict[str, Any] = {
    JSON_VALUE: {
        "description": "Any JSON value without NUL characters, nested at most eight deep.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", "pattern": r"^[^\x00]*$"},
            {"type": "array", "items": {"$ref": f"#/components/schemas/{JSON_VALUE}"}},
            {
                "type": "object",
                "propertyNames": {"pattern": r"^[^\x00]*$"},
                "additionalProperties": {"$ref": f"#/components/schemas/{JSON_VALUE}"},
            },
        ],
    }
}
"""What the schemas above refer to."""
