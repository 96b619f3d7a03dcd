"""The page of the API: every endpoint as the document has it, and a form to try each with the session that one is signed in by."""

import json
import re
from functools import cache
from typing import Any

from flask import render_template
from markupsafe import Markup, escape

from service.accounts.actor import Role
from service.web.access import access
from service.web.api.openapi import parameter_schema
from service.web.api.routes import described
from service.web.context import actor
from service.web.pages.blueprint import pages

_FENCE = re.compile(r"```\n?(.*?)```", re.DOTALL)
_INLINE = re.compile(r"(`[^`]+`|\*\*[^*]+\*\*)")


def _spans(text: str) -> Markup:
    done = Markup("")
    for part in _INLINE.split(text):
        if part.startswith("`"):
            done += Markup("<code>{}</code>").format(part[1:-1])
        elif part.startswith("**"):
            done += Markup("<strong>{}</strong>").format(part[2:-2])
        else:
            done += escape(part)
    return done


@pages.app_template_filter("prose")
def prose(text: str) -> Markup:
    """Return the little Markdown that the document's descriptions use as HTML: paragraphs, code, bold."""
    done = Markup("")
    for index, part in enumerate(_FENCE.split(text)):
        if index % 2:
            done += Markup("<pre><code>{}</code></pre>").format(part.rstrip())
            continue
        for paragraph in part.split("\n\n"):
            if paragraph.strip():
                done += Markup("<p>{}</p>").format(_spans(paragraph.strip()))
    return done


def resolve(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a reference leads to, or the first of several that is not null."""
    if "$ref" in schema:
        return resolve(components.get(schema["$ref"].rsplit("/", 1)[1], {}), components)
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    return resolve(options[0], components) if options and "properties" not in schema else schema


def sample(schema: dict[str, Any], components: dict[str, Any]) -> Any:
    """Return a value that shows the form of a body: what must be given, or else what may."""
    schema = resolve(schema, components)
    if schema.get("examples"):
        return schema["examples"][0]
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        wanted = schema.get("required") or list(schema["properties"])[:1]
        return {name: sample(schema["properties"][name], components) for name in wanted}
    if kind == "array":
        return [sample(schema.get("items", {}), components)]
    return {"integer": schema.get("minimum", 1), "number": 0.5, "boolean": False, "object": {}}.get(str(kind), "text")


@cache
def _sections() -> list[dict[str, Any]]:
    whole = described()
    components = whole["components"]["schemas"]
    sections: list[dict[str, Any]] = [{**tag, "operations": []} for tag in whole["tags"]]
    by_name = {section["name"]: section for section in sections}
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            contents = operation.get("requestBody", {}).get("content", {})
            form = contents.get("multipart/form-data", {}).get("schema", {})
            body = contents.get("application/json", {}).get("schema")
            fields = [{"name": name, **resolve(field, components)} for name, field in form.get("properties", {}).items()]
            by_name[operation["tags"][0]]["operations"].append(
                {
                    "method": method.upper(),
                    "path": path,
                    "form": fields,
                    "required": form.get("required", []),
                    "body": json.dumps(sample(body, components), indent=2, ensure_ascii=False) if body else None,
                    **operation,
                }
            )
    return sections


@pages.get("/api/docs")
@access(Role.VIEWER)
def api_docs() -> str:
    """Show the API."""
    role = actor().role
    return render_template(
        "api_docs.html",
        introduction=described()["info"]["description"],
        sections=_sections(),
        parameter_schema=parameter_schema,
        allowed={each.value for each in Role if role.allows(each)},
    )
