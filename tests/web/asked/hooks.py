"""Loaded by Schemathesis (SCHEMATHESIS_HOOKS): values that no schema can describe, and that a client has from us or from a file.

A cursor is opaque, a PNG is a PNG, and a key for one upload is new; all else is generated from the document alone.
"""

from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from service.pictures.cursors import Cursor, Sort, encode_cursor
from service.pictures.words import encode_name
from tests.pngs import png

schemathesis.openapi.format("idempotency-key", st.builds(lambda _: str(uuid4()), st.none()))
schemathesis.openapi.format("cursor", st.integers(1, 2**63 - 1).map(lambda n: encode_cursor(Sort.NEWEST, Cursor(n))))
schemathesis.openapi.format(
    "word-cursor", st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(encode_name)
)
schemathesis.openapi.media_type(
    "image/png",
    st.builds(
        png,
        st.integers(1, 40),
        st.integers(1, 40),
        color_type=st.sampled_from([0, 2, 6]),
        depth=st.sampled_from([8, 16]),
        seed=st.integers(0, 50),
    ),
)
schemathesis.openapi.format("labels", st.sampled_from(["a,b", "0,1,2", '["a, b", "c"]']))
schemathesis.openapi.format("preprocessing", st.just('{"color_mode": "rgb"}'))
schemathesis.openapi.media_type("application/octet-stream", st.binary(max_size=200).map(lambda rest: b"PK\x03\x04" + rest))

QUESTIONS = (
    ("select 1", []),
    ("select label, count(*) from images group by label order by label", []),
    ("select image_id, width, original_name from images where label = $1 limit 5", ["1"]),
    ("values (1, 'a'), (2, null)", []),
)
CONDITIONS = ("width > 10", "label = '1' and 'a' = any(tags)", "true")
WITH_SELECTIONS = frozenset({"predict_images", "train_model", "evaluate_model"})
WITH_QUESTIONS = frozenset({"run_sql", "sql_csv", "sql_parquet"})


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leave out the form that Schemathesis itself writes beside a file and holds for right: each required text is empty in it, whatever its
    `minLength`."""
    form = case.body if context.operation.definition.raw["operationId"] == "register_version" else None
    right = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    return not (right and isinstance(form, dict) and form.get("labels") == "")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make what is meant to be right as right as a client's is: a cursor belongs to the order of its list, scores are of one model, that model has a
    version, and a question is one that PostgreSQL understands. What is meant to be wrong stays so."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if any(component.mode != GenerationMode.POSITIVE for component in case.meta.components.values()):
        return
    name = case.operation.definition.raw["operationId"]
    if name == "list_images" and case.query:
        if case.query.get("sort", Sort.NEWEST.value) != Sort.NEWEST.value:
            case.query.pop("after", None)
            case.query.pop("before", None)
            case.query["model"] = "mnist"
        if "after" in case.query:
            case.query.pop("before", None)
    if name in WITH_SELECTIONS and isinstance(case.body, dict):
        base = {"from_version": None, "from_alias": None} if name == "train_model" else {"version": 1, "alias": None}
        case.body = {**case.body, **base}
        if case.body.get("where") is not None:
            case.body["where"] = CONDITIONS[len(case.body["where"]) % len(CONDITIONS)]
    if name in WITH_QUESTIONS and isinstance(case.body, dict):
        query, params = QUESTIONS[len(case.body["query"]) % len(QUESTIONS)]
        case.body = {**case.body, "query": query, "params": params}
