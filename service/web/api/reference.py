"""docs/api.md, printed from the OpenAPI document: `python -m service.web.api.reference > docs/api.md`, or `make reference`."""

import re
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from service.errors import PixrefError, Unavailable
from service.web.api.introduction import AFTER_ERRORS
from service.web.api.openapi import document, parameter_schema
from service.web.api.routes import PREFIX

WIDTH = 150
_HEALTH = """\
## Health

`GET /livez`: the process answers. `GET /readyz`: 503 unless the database is at head, the bucket answers a signed request and the model is
loaded; says which part is at fault. `GET /version`. `GET /api/v1/openapi.json`. These need no token.
"""
_ADDITIONAL = {"bad_image": "with `reason` and `offset`", "bad_model": "with `reason`", "conflict": "some with `id`"}


def _catalogue(kind: type[PixrefError] = PixrefError) -> Iterator[type[PixrefError]]:
    if kind is not Unavailable:  # the base of others
        yield kind
    for child in kind.__subclasses__():
        yield from _catalogue(child)


def _errors() -> str:
    rows = {(kind.status, kind.code, kind.title, kind.retryable) for kind in _catalogue()}
    rows |= {
        (400, "bad_request", "The request is not whole or not HTTP as it should be", False),
        (405, "method_not_allowed", "The address knows other methods: `Allow` names them", False),
    }
    lines = ["| status | code | | retryable |", "|---|---|---|---|"]
    for status, code, title, retryable in sorted(rows):
        more = f" ({_ADDITIONAL[code]})" if code in _ADDITIONAL else ""
        lines.append(f"| {status} | `{code}` | {title}{more} | {'yes' if retryable else ''} |")
    return "\n".join(lines)


def _paragraphs(text: str) -> str:
    """Return prose with lines of one width; code blocks stay as they are."""
    parts = re.split(r"(```.*?```)", text.strip(), flags=re.DOTALL)
    done = []
    for part in parts:
        if part.startswith("```"):
            done.append(part)
            continue
        paragraphs = [" ".join(paragraph.split()) for paragraph in part.strip().split("\n\n") if paragraph.strip()]
        done += [textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False) for paragraph in paragraphs]
    return "\n\n".join(done)


def _kind(schema: dict[str, Any], components: dict[str, Any]) -> str:
    """Return a type in a few words."""
    if "$ref" in schema:
        return _name(schema)
    options = schema.get("anyOf") or []
    if options:
        return " or ".join(dict.fromkeys(_kind(option, components) for option in options))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}), components)}"
    if kind == "string":
        kind = {"date-time": "time", "binary": "file"}.get(schema.get("format", ""), "text")
        if "enum" in schema:
            return " or ".join(f"`{value}`" for value in schema["enum"])
        if schema.get("maxLength", 1_001) <= 1_000:
            return f"{kind}, at most {schema['maxLength']:,} characters"
        return kind
    if kind in ("integer", "number") and "minimum" in schema and schema.get("maximum", 2**31) < 2**31 - 1:
        return f"{kind}, {schema['minimum']:,} to {schema['maximum']:,}"
    return str(kind)


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]


def _row(name: str, schema: dict[str, Any], components: dict[str, Any], *, required: bool, description: str = "") -> str:
    said = description or schema.get("description", "")
    if "maxItems" in schema:
        said = f"at most {schema['maxItems']:,}" + (f"; {said}" if said else "")
    default = schema.get("default")
    if default not in (None, [], {}):
        shown = str(default).lower() if isinstance(default, bool) else default
        said = (f"{said}; " if said else "") + f"default {shown}"
    return f"| `{name}` | {_kind(schema, components)}{'' if required else ', optional'} | {said} |"


def _fields(schema: dict[str, Any], components: dict[str, Any]) -> list[str]:
    required = schema.get("required", [])
    return [_row(name, field, components, required=name in required) for name, field in schema.get("properties", {}).items()]


def _input(operation: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    rows = [
        _row(
            parameter["name"],
            parameter_schema(parameter),
            components,
            required=parameter["required"],
            description=parameter.get("description", ""),
        )
        for parameter in operation["parameters"]
        if parameter["in"] != "path"
    ]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        resolved = components[_name(schema)] if "$ref" in schema else schema
        limit = operation.get("x-max-body-bytes")
        size = f", at most {limit // 1024:,} KiB" if limit else ""
        yield f"`{media_type}`{size}:" if not rows else f"Beside the header, `{media_type}`{size}:"
        rows += _fields(resolved, components)
    if rows:
        yield "\n".join(["| | | |", "|---|---|---|", *rows])


def _answers(operation: dict[str, Any]) -> str:
    good, bad = [], []
    for status, answer in operation["responses"].items():
        if status[0] in "45":
            if status not in ("401", "403", "408", "500", "503", "504", "507"):
                codes = re.findall(r"`(\w+)`", answer["description"])
                bad.append(f"{status} {', '.join(f'`{code}`' for code in codes)}")
            continue
        content = answer.get("content", {})
        shape = next((_name(each["schema"]) if "$ref" in each["schema"] else media for media, each in content.items()), "")
        good.append(f"{status} {shape}".strip())
    return f"Answers {', '.join(good)}; {'; '.join(bad)}."


def _shapes(components: dict[str, Any], operations: list[dict[str, Any]]) -> Iterator[str]:
    """Describe what answers and bodies are made of, those that no endpoint lists itself."""
    bodies = {
        _name(content["schema"])
        for operation in operations
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "$ref" in content["schema"]
    }
    for name, schema in sorted(components.items()):
        if name not in bodies and "properties" in schema:
            yield f"### `{name}`"
            if schema.get("description"):
                yield _paragraphs(schema["description"])
            yield "\n".join(["| | | |", "|---|---|---|", *_fields(schema, components)])


def reference() -> str:
    """Return the reference as Markdown."""
    described = document(blueprint="api", prefix=PREFIX, version=version("pixref"))
    components = described["components"]["schemas"]
    parts = [
        "# The API",
        "<!-- Made by `make reference` from the endpoints themselves; a test compares. -->",
        _paragraphs(described["info"]["description"]),
        _errors(),
        _paragraphs(AFTER_ERRORS),
    ]
    operations: list[dict[str, Any]] = []
    for tag in described["tags"]:
        parts += [f"## {tag['name']}", *([_paragraphs(tag["description"])] if tag["description"] else [])]
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                if operation["tags"] != [tag["name"]]:
                    continue
                operations.append(operation)
                role = f" ({operation['x-role']})" if "x-role" in operation else ""
                shown = re.sub(r"{(?!name}|alias})\w+}", "{id}", path)
                parts += [f"### `{method.upper()} {shown}`{role}", f"{operation['summary']}.".replace("?.", "?")]
                if operation["description"]:
                    parts.append(_paragraphs(operation["description"]))
                parts += [*_input(operation, components), _answers(operation)]
                parts += [f"```\n{sample['source']}\n```" for sample in operation.get("x-codeSamples", [])]
    parts += ["## Shapes", *_shapes(components, operations), _HEALTH.rstrip()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
