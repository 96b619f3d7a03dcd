"""A condition on `catalog.images`, as people write it behind WHERE: checked by the same guard as a question, and made part of ours."""

from typing import Any

from pglast import ast
from pglast.enums import BoolExprType
from pglast.parser import parse_sql

from service.errors import QueryError, QueryRefused
from service.sql.guard import check

_BEFORE = "SELECT image_id FROM images WHERE (\n"
_DENIED = "SELECT image_id FROM images WHERE NOT (\n"
_AFTER = "\n)"
_CLAUSES = (
    "distinctClause",
    "intoClause",
    "groupClause",
    "havingClause",
    "windowClause",
    "valuesLists",
    "sortClause",
    "limitOffset",
    "limitCount",
    "lockingClause",
    "withClause",
    "larg",
    "rarg",
)


def check_condition(condition: str) -> None:
    """Let through what can stand behind WHERE, and nothing beside it. Raises `QueryRefused` and `QueryError`; both know the position in it."""
    try:
        question = check(_DENIED + condition + _AFTER)
    except (QueryRefused, QueryError) as exc:
        raise _moved(exc, condition) from None
    if question.parameters:
        raise QueryRefused("parameter", "a condition has no parameters: write the value itself")
    statement: Any = parse_sql(question.text)[0].stmt
    # Whoever closes our bracket and opens another one has written more than a condition: then NOT is not the whole of it any more.
    denied = statement.whereClause
    whole = isinstance(denied, ast.BoolExpr) and denied.boolop == BoolExprType.NOT_EXPR
    if not whole or any(getattr(statement, name) for name in _CLAUSES):
        raise QueryRefused("not_a_condition", "only a condition can stand here, such as width > 100 AND label = '7'")


def paging(condition: str, limit: int) -> str:
    """Return the question for the ids of at most `limit` pictures above `$1` for which it holds, upwards."""
    return f"{_BEFORE}{condition}{_AFTER} AND image_id > $1::bigint ORDER BY image_id LIMIT {int(limit)}"


def _moved(exc: QueryRefused | QueryError, condition: str) -> QueryRefused | QueryError:
    """Have the position count from the condition's beginning; none where it is in our own words."""
    place = (exc.position or 0) - len(_DENIED)
    position = place if 1 <= place <= len(condition) + 1 else None
    if isinstance(exc, QueryRefused):
        return QueryRefused(exc.reason, exc.detail, position=position)
    return QueryError(exc.detail, position=position)
