"""What comes in, read strictly: JSON bodies, forms and addresses as pydantic models, errors with the name of the field."""

import json
import re
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import ClientDisconnected

from service.errors import Invalid

JSON = "application/json"
# How a field's own check says no (`service.web.api.fields`): its words are a whole sentence already.
REFUSED = "refused"
M = TypeVar("M", bound=BaseModel)

# How numbers and yes or no stand in an address; pydantic alone would take "1.0", " 1", "1_0" and "off", too.
_WRITTEN: dict[type, tuple[re.Pattern[str], str]] = {
    int: (re.compile(r"-?[0-9]{1,20}"), "an integer"),
    float: (re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?"), "a number"),
    bool: (re.compile(r"true|false|1|0"), "true or false"),
}


class Strict(BaseModel):
    """Base of every input: a field that nobody knows is an error, not silence. Built at its first use, so that the start need not wait."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class Shape(BaseModel):
    """Base of every output; `model_validate` takes what the use cases return, where the names are the same."""

    model_config = ConfigDict(frozen=True, from_attributes=True, ser_json_inf_nan="null", defer_build=True)


def plain_type(annotation: Any) -> Any:
    """Return what an annotation is about: X of `X | None`, `list[X]` and `Annotated[X, ...]`."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return plain_type(next(part for part in get_args(annotation) if part is not type(None)))
    if origin in (list, tuple) or hasattr(annotation, "__metadata__"):
        return plain_type(get_args(annotation)[0])
    return annotation


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (list, tuple)


class TextReader(Generic[M]):
    """Reads a model from the texts of an address or a form."""

    def __init__(self, model: type[M]) -> None:
        self._model = model
        fields = model.model_fields
        self._lists = frozenset(name for name, field in fields.items() if _is_list(field))
        self._written = {
            name: _WRITTEN[kind] for name, field in fields.items() if (kind := plain_type(field.annotation)) in _WRITTEN
        }

    def query(self) -> M:
        """Return what the address asks. Raises `Invalid`."""
        return self.read(request.args)

    def form(self) -> M:
        """Return the form's fields. Raises `Invalid`."""
        return self.read(request.form)

    def read(self, values: MultiDict[str, str]) -> M:
        """Return what these texts mean. Raises `Invalid` naming the field."""
        plain: dict[str, Any] = {}
        for name in values:
            given = values.getlist(name)
            if name not in self._lists and len(given) > 1:
                raise Invalid(f"{name} is given more than once", field=name)
            form, what = self._written.get(name, (None, ""))
            if form is not None and not all(form.fullmatch(text) for text in given):
                raise Invalid(f"{name} must be {what}", field=name)
            plain[name] = given if name in self._lists else given[0]
        return validated(self._model, plain, strict=False)


def no_query() -> None:
    """Refuse parameters in the address where none is known. Raises `Invalid`."""
    if request.query_string and request.args:
        name = next(iter(request.args))
        raise Invalid(f"{name} is not known here: this address takes no parameters", field=name)


def validated(model: type[M], value: Any, *, strict: bool = True) -> M:
    """Return the model of a value; `strict` takes no text for a number and no number for a truth. Raises `Invalid`."""
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        # A parameter that is given several times has one name.
        field = ".".join(str(part) for part in (problem["loc"] if strict else problem["loc"][:1]))
        if problem["type"] == "extra_forbidden":
            raise Invalid(f"{field} is not known here: use {', '.join(model.model_fields)}", field=field) from None
        if problem["type"] == REFUSED:
            raise Invalid(problem["msg"], field=field) from None
        message = problem["msg"].removeprefix("Value error, ")
        raise Invalid(f"{field or 'the body'}: {message[:1].lower()}{message[1:]}", field=field or "body") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid(f"{twice} is given more than once", field=twice)
    return found


def json_body() -> Any:
    """Return the body as JSON has it; NaN and Infinity are left to whom they are given, who can name the field. Raises `Invalid`."""
    if request.mimetype != JSON:
        raise Invalid(f"send Content-Type: {JSON}, not {request.mimetype or 'none'}", field="body")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        raise Invalid(f"JSON is UTF-8, not {charset}", field="body")
    try:
        return json.loads(request.get_data(cache=False).decode(), object_pairs_hook=_once)
    except ClientDisconnected:
        raise
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a number beyond all measure, or nested so
        raise Invalid("the body is not JSON", field="body") from None


def one_file(required: bool = True) -> FileStorage | None:
    """Return the request's single file under the name `file`. Raises `Invalid`."""
    files = request.files.getlist("file")
    others = sorted(set(request.files) - {"file"})
    if others:
        raise Invalid(f"a file is named {others[0]!r}: send one file, named 'file'", field="file")
    if len(files) > 1:
        raise Invalid("more than one file: send one a request", field="file")
    if not files and required:
        raise Invalid("no file: send multipart/form-data with the picture in a part named 'file'", field="file")
    return files[0] if files else None
