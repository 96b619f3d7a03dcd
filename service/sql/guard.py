"""Which SQL is let through: one SELECT, of which PostgreSQL's own parser sees nothing but listed parts (`service.sql.allowed`).

Pure: text in, verdict out. The tree is walked whole and without recursion, so a part that this file does not know is a part that is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast.parser import ParseError, parse_sql, scan

from service.errors import QueryError, QueryRefused
from service.sql.allowed import CLOCK, FUNCTIONS, NODES, STATEMENTS, TYPES

CATALOG = "catalog"
SYSTEM = "pg_catalog"
MAX_LENGTH = 10_000
# The parser recurses in C as deep as a query is nested, and a chain such as NOT NOT NOT nests with every word: 2,000 words take less than 1 MiB
# of stack, and threads have 2 MiB or more.
MAX_WORDS = 2_000
MAX_DEPTH = 64
MAX_PARAMETERS = 100

_OPENING = frozenset({"ASCII_40", "ASCII_91"})  # ( [
_CLOSING = frozenset({"ASCII_41", "ASCII_93"})
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})


@dataclass(frozen=True, slots=True)
class Question:
    """A query that may be asked: its text without what surrounds the statement, where that begins in what was given, and how many
    parameters it names."""

    text: str
    offset: int
    parameters: int


def check(text: str) -> Question:
    """Return what is to be asked. Raises `QueryRefused`, and `QueryError` where the text is not SQL; both know the position."""
    if not text.strip():
        raise QueryRefused("empty", "the query is empty: write a SELECT")
    if len(text) > MAX_LENGTH:
        raise QueryRefused(
            "too_long", f"the query has {len(text)} characters: at most {MAX_LENGTH}. Long lists belong into params"
        )
    try:
        _measure(text)
        statements = parse_sql(text)
    except ParseError as exc:
        raise _not_sql(exc, text) from None
    except UnicodeEncodeError as exc:
        raise QueryRefused("characters", "the query has half of a surrogate pair: leave it out", position=exc.start + 1) from None
    if not statements:
        raise QueryRefused("empty", "the query is nothing but comments: write a SELECT")
    if len(statements) > 1:
        where = _first_word(text, statements[1].stmt_location or 0)
        raise QueryRefused("not_one_statement", "one statement at a time: leave out what follows the semicolon", position=where)
    (statement,) = statements
    start = statement.stmt_location or 0
    end = start + statement.stmt_len if statement.stmt_len else len(text)
    if not isinstance(statement.stmt, ast.SelectStmt):
        name = _called(type(statement.stmt).__name__)
        raise QueryRefused("not_select", f"only SELECT can be asked here, not {name}", position=_first_word(text, start))
    highest = 0
    for node in _walk(statement):
        _judge(node)
        if isinstance(node, ast.ParamRef):
            highest = max(highest, _parameter(node))
    return Question(text[start:end], start, highest)


def _measure(text: str) -> None:
    depth = words = 0
    if "\0" in text:
        raise QueryRefused("characters", "the query has a NUL character: leave it out", position=text.index("\0") + 1)
    for token in scan(text):
        if token.name in _COMMENTS:
            continue
        words += 1
        depth += (token.name in _OPENING) - (token.name in _CLOSING)
        if depth > MAX_DEPTH:
            raise QueryRefused("too_deep", f"the query is nested more than {MAX_DEPTH} deep", position=token.start + 1)
        if words > MAX_WORDS:
            raise QueryRefused(
                "too_long", f"the query has more than {MAX_WORDS} words: long lists belong into params", position=token.start + 1
            )


def _not_sql(exc: ParseError, text: str) -> QueryError:
    message, place = (*exc.args, None)[:2]
    position = place + 1 if isinstance(place, int) and 0 <= place <= len(text) else None
    return QueryError(str(message), position=position, sqlstate="42601")


def _first_word(text: str, start: int) -> int:
    rest = text[start:]
    return start + len(rest) - len(rest.lstrip()) + 1


def _walk(root: Any) -> Iterator[ast.Node]:
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, ast.Node):
            yield item
            slots: Iterable[str] = type(item).__slots__  # type: ignore[attr-defined]
            waiting.extend(getattr(item, name, None) for name in slots)
        elif isinstance(item, (tuple, list)):
            waiting.extend(item)


def _position(node: ast.Node) -> int | None:
    location = getattr(node, "location", None)
    return location + 1 if isinstance(location, int) and location >= 0 else None


def _refused(reason: str, detail: str, node: ast.Node) -> QueryRefused:
    return QueryRefused(reason, detail, position=_position(node))


def _called(kind: str) -> str:
    """Return what people call a node type of the parser: InsertStmt is INSERT."""
    return STATEMENTS.get(kind) or kind.removesuffix("Stmt").upper()


def _judge(node: ast.Node) -> None:
    kind = type(node).__name__
    if kind == "IntoClause":
        raise QueryRefused("into", "SELECT INTO makes a table: leave INTO out")
    if kind == "LockingClause":
        raise QueryRefused("locking", "nothing can be locked here: leave out FOR UPDATE and FOR SHARE")
    if kind.endswith("Stmt") and kind not in NODES:
        raise _refused("not_select", f"nothing is changed here: {_called(kind)} is not let through", node)
    if kind not in NODES:
        raise _refused("construct", f"{_called(kind)} is not let through", node)
    judge = _JUDGES.get(kind)
    if judge is not None:
        judge(node)


def _names(parts: Any) -> list[str]:
    return [str(part.sval) for part in parts or ()]


def _own(names: list[str]) -> str | None:
    """Return a name that is alone or PostgreSQL's own, None for one of another schema."""
    if len(names) == 1 or (len(names) == 2 and names[0] == SYSTEM):
        return names[-1]
    return None


def _relation(node: Any) -> None:
    if node.catalogname or node.schemaname not in (None, CATALOG):
        outer = ".".join(filter(None, (node.catalogname, node.schemaname)))
        raise _refused("schema", f'"{outer}.{node.relname}" cannot be read here, only the views of schema {CATALOG}', node)
    if node.relname.startswith("pg_"):
        # PostgreSQL looks into its system catalogue first, and all relations there, and no others, begin so.
        raise _refused(
            "relation", f'"{node.relname}" is of the system catalogue: only the views of schema {CATALOG} can be read', node
        )


def _function(node: Any) -> None:
    names = _names(node.funcname)
    if _own(names) not in FUNCTIONS:
        raise _refused("function", f"the function {'.'.join(names)} is not one of those that can be called here", node)


def _type(node: Any) -> None:
    names = _names(node.names)
    if node.setof or node.pct_type or _own(names) not in TYPES:
        raise _refused("type", f"the type {'.'.join(names)} cannot be used here", node)


def _operator(names: Any, node: ast.Node) -> None:
    found = _names(names)
    if _own(found) is None:
        raise _refused("operator", f"the operator {'.'.join(found)} cannot be used here", node)


def _column(node: Any) -> None:
    # As `json_to_record(...) AS x(a int)` has it: a name and a type.
    if node.raw_default or node.constraints or node.fdwoptions or node.compression or node.storage_name:
        raise _refused("construct", "a column here has a name and a type, nothing else", node)


def _clock(node: Any) -> None:
    if node.op.name not in CLOCK:
        word = str(node.op.name).removeprefix("SVFOP_")
        raise _refused("function", f"{word} is not one of the functions that can be called here", node)


def _collation(node: Any) -> None:
    names = _names(node.collname)
    if _own(names) is None:
        raise _refused("collation", f"the collation {'.'.join(names)} cannot be used here", node)


def _parameter(node: Any) -> int:
    number = int(node.number or 0)
    if not 1 <= number <= MAX_PARAMETERS:
        raise _refused("parameter", f"parameters are $1 to ${MAX_PARAMETERS}", node)
    return number


_JUDGES = {
    "RangeVar": _relation,
    "FuncCall": _function,
    "TypeName": _type,
    "A_Expr": lambda node: _operator(node.name, node),
    "SubLink": lambda node: _operator(node.operName, node) if node.operName else None,
    "SortBy": lambda node: _operator(node.useOp, node) if node.useOp else None,
    "ColumnDef": _column,
    "SQLValueFunction": _clock,
    "CollateClause": _collation,
}
