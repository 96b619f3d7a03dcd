"""docs/api.md names every endpoint and every error code."""

import re

import service.web.api.routes  # noqa: F401  (registers the endpoints)
from service import errors
from service.settings import PROJECT_DIR
from service.web.api.contract import ENDPOINTS

TEXT = (PROJECT_DIR / "docs" / "api.md").read_text()


def test_every_endpoint_is_described() -> None:
    missing = []
    for endpoint in ENDPOINTS["api"]:
        path = "/api/v1" + re.sub(r"<int:\w+>", "{id}", endpoint.path)
        if f"`{endpoint.method.upper()} {path}`" not in TEXT:
            missing.append(f"{endpoint.method.upper()} {path}")
    assert not missing


def test_every_query_parameter_and_form_field_is_named() -> None:
    missing = {
        f"{endpoint.name}: {name}"
        for endpoint in ENDPOINTS["api"]
        for model in (endpoint.query, endpoint.form)
        if model is not None
        for name in model.model_fields
        if not re.search(rf"\b{name}\b", TEXT)
    }
    assert not missing


def _catalogue(kind: type[errors.PixrefError]) -> set[str]:
    return {kind.code}.union(*(_catalogue(child) for child in kind.__subclasses__()))


def test_every_error_code_is_listed() -> None:
    # The base of what depends on others; `pixref doctor` uses it, the API does not.
    missing = {code for code in _catalogue(errors.PixrefError) if f"`{code}`" not in TEXT} - {"unavailable"}
    assert not missing
