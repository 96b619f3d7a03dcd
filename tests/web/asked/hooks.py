"""Loaded by Schemathesis (SCHEMATHESIS_HOOKS): values that no schema can describe, and that a client has from us or from a file.

A cursor is opaque, a PNG is a PNG, and a key for one upload is new; all else is generated from the document alone.
"""

from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st

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


QUESTIONS = (
    ("select 1", []),
    ("select label, count(*) from images group by label order by label", []),
    ("select image_id, width, original_name from images where label = $1 limit 5", ["1"]),
    ("values (1, 'a'), (2, null)", []),
)
WITH_QUESTIONS = frozenset({"run_sql", "sql_csv", "sql_parquet"})


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A cursor belongs to the order of the list that it came from, and a page comes after one or before one."""
    if query and "sort" in query and query["sort"] != Sort.NEWEST.value:
        query.pop("after", None)
        query.pop("before", None)
    if query and "after" in query:
        query.pop("before", None)
    return query


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """A question is one that PostgreSQL understands."""
    name = context.operation.definition.raw.get("operationId") if context.operation else None
    if name in WITH_QUESTIONS and isinstance(body, dict) and isinstance(body.get("query"), str):
        query, params = QUESTIONS[len(body["query"]) % len(QUESTIONS)]
        return {**body, "query": query, "params": params}
    return body
