"""Ask PostgreSQL within limits, as `pixref_door`: a connection of its own for each question, a read-only transaction, a cursor with caps.

The connection is made anew and thrown away, so no question finds what another has left behind, and the server has its memory back. The question
stands in the middle of a query of ours, which measures each row on the server: what is beyond the caps does not reach this process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen

from service.errors import (
    Busy,
    DatabaseFull,
    DatabaseUnavailable,
    PixrefError,
    QueryError,
    QueryRefused,
    QueryTimeout,
    QueryTooLarge,
    SqlUnavailable,
)
from service.sql.guard import Question
from service.sql.limits import ANSWER, Limits
from service.sql.loading import adapters
from service.sql.parameters import bound, check_count
from service.sql.result import Column, Result

CONNECT_TIMEOUT_S = 2
# How often the server is asked again while the connections of questions that are over are on their way out.
KNOCK_S = 0.05
BATCH = 200
# PostgreSQL looks at its clock late while it moves hundreds of megabytes about. Nobody waits for that longer than this beyond the limit.
PATIENCE_S = 1.0
# How often a thread that waits looks up.
WAKE_S = 0.1

T = TypeVar("T")

_SETTINGS = {
    "lock_timeout": "500ms",
    "idle_in_transaction_session_timeout": "5s",
    "work_mem": "16MB",
    "hash_mem_multiplier": "1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "search_path": "catalog",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}


def run(url: str, question: Question, params: Sequence[Any] = (), *, limits: Limits = ANSWER) -> Result:
    """Ask and return the rows within the caps.

    Raises `QueryError` with PostgreSQL's message and the position in the text that was given, `QueryRefused` where rights or the transaction
    forbid it, `QueryTimeout`, `QueryTooLarge`, `Invalid` for params, `Busy`, `SqlUnavailable`, `DatabaseUnavailable`.
    """
    check_count(params, question.parameters)
    with _connected(url, limits) as connection:
        started = monotonic()
        connection.deadline = started + limits.time_s + PATIENCE_S
        with _translated(question):
            connection.execute(_begin(limits.time_s))
        asking = _Asking(connection, question, limits, deadline=started + limits.time_s)
        columns = asking.describe(params)
        rows, truncated = asking.fetch(len(columns))
        return Result(columns, rows, truncated, round((monotonic() - started) * 1000))


def _begin(time_s: float) -> str:
    settings = {**_SETTINGS, "statement_timeout": f"{time_s * 1000:.0f}ms"}
    return "BEGIN READ ONLY; " + "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())


class _Connection(psycopg.Connection[Any]):
    """A connection whose statements end by a deadline, with an answer or with `QueryTimeout`; it is of no use after that."""

    deadline = 0.0

    def wait(self, gen: PQGen[T], interval: float = WAKE_S, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, max(0.0, self.deadline - monotonic()) if timeout is None else timeout)
        except psycopg.OperationalError:
            if monotonic() < self.deadline:
                raise
            raise _timeout() from None


class _Asking:
    """One question on its way, within the time that is left of its own."""

    def __init__(self, connection: _Connection, question: Question, limits: Limits, *, deadline: float) -> None:
        self._connection, self._question, self._limits, self._deadline = connection, question, limits, deadline
        self._types: list[int] = []
        self._values: list[bytes | None] = []

    def describe(self, params: Sequence[Any]) -> list[Column]:
        """Have the question analysed, without running it, and bind its parameters. Returns its columns."""
        server = self._connection.pgconn
        with _translated(self._question):
            server.send_prepare(b"", self._question.text.encode())
            self._answer()
            server.send_describe_prepared(b"")
            answer = self._answer()
        self._types = [answer.param_type(place) for place in range(answer.nparams)]
        check_count(params, len(self._types))
        self._values = bound(params, self._types)
        if answer.nfields == 0:
            raise QueryError("the query returns no columns: name some after SELECT")
        return [self._column(answer, place) for place in range(answer.nfields)]

    def _column(self, answer: pq.abc.PGresult, place: int) -> Column:
        oid = answer.ftype(place)
        known = adapters().types.get(oid)
        name = f"{known.regtype}{'[]' if oid == known.array_oid else ''}" if known else "other"
        return Column((answer.fname(place) or b"").decode(), name, oid)

    def fetch(self, width: int) -> tuple[list[list[Any]], bool]:
        """Run the question and return its rows, and whether there are more than the caps let through."""
        before, after = _frame(width, self._limits)
        with _translated(self._question, len(before)):
            self._declare(before + self._question.text + after)
            return self._rows()

    def _declare(self, statement: str) -> None:
        self._hurry()
        self._connection.pgconn.send_query_params(statement.encode(), self._values, self._types)
        self._answer()

    def _answer(self) -> pq.abc.PGresult:
        answer: pq.abc.PGresult = self._connection.wait(generators.execute(self._connection.pgconn))[-1]
        if answer.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(answer)
        return answer

    def _rows(self) -> tuple[list[list[Any]], bool]:
        rows: list[list[Any]] = []
        while True:
            self._hurry()
            batch = self._connection.execute(f"FETCH FORWARD {BATCH} FROM door").fetchall()
            for total, *row in batch:
                if total > self._limits.bytes:
                    if not rows:
                        raise QueryTooLarge(
                            f"the first row alone has more than {self._limits.bytes:,} bytes: ask for less of it", field="query"
                        )
                    return rows, True
                if len(rows) == self._limits.rows:
                    return rows, True
                rows.append(row)
            if len(batch) < BATCH:
                return rows, False

    def _hurry(self) -> None:
        # Each statement has a timer of its own: it gets what is left for all of them.
        left_ms = max(1, round((self._deadline - monotonic()) * 1000))
        self._connection.execute(f"SET LOCAL statement_timeout = {left_ms}")


def _frame(width: int, limits: Limits) -> tuple[str, str]:
    """Return what stands before and after a question of `width` columns.

    Inside out: one row more than the cap, which also keeps the question from being taken apart; the size of each row as text, or as it is stored
    where that is beyond the cap already, for making a text of it would cost as much again; rows that are too large without their values; the
    sum of the sizes so far, and no values from where that is beyond the cap.
    """
    names = [f"c{place}" for place in range(width)]
    kept = ", ".join(f"CASE WHEN s.size <= {limits.bytes} THEN s.{name} END AS {name}" for name in names)
    shown = ", ".join(f"CASE WHEN t.total <= {limits.bytes} THEN t.{name} END" for name in names)
    before = (
        f"DECLARE door NO SCROLL CURSOR FOR SELECT t.total, {shown} "  # noqa: S608  (code on purpose: guard, role and transaction hold it)
        f"FROM (SELECT sum(r.size) OVER (ROWS UNBOUNDED PRECEDING) AS total, r.* FROM (SELECT s.size, {kept} "
        f"FROM (SELECT CASE WHEN pg_column_size(u) > {limits.bytes} THEN {limits.bytes} + 1 ELSE octet_length(u::text) END AS size, u.* "
        "FROM (SELECT * FROM (\n"
    )
    after = f"\n) AS q LIMIT {limits.rows + 1}) AS u ({', '.join(names)}) OFFSET 0) AS s) AS r) AS t"
    return before, after


@contextmanager
def _connected(url: str, limits: Limits) -> Iterator[_Connection]:
    deadline = monotonic() + limits.time_s
    while True:
        try:
            connection = _Connection.connect(
                url,
                autocommit=True,
                context=adapters(),
                prepare_threshold=None,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="pixref sql door",
                client_encoding="utf8",
            )
            break
        except psycopg.OperationalError as exc:
            error = _no_way_in(str(exc))
            if not isinstance(error, Busy) or monotonic() > deadline:
                raise error from None
            sleep(KNOCK_S)
    try:
        yield connection
    finally:
        connection.close()


_TOO_MANY = ("too many connections", "too many clients", "remaining connection slots")
_NOT_LET_IN = (
    "password authentication failed",
    "does not exist",
    "not permitted to log in",
    "no password supplied",
    "no pg_hba.conf entry",
)


def _no_way_in(message: str) -> PixrefError:
    """Say what it means that no connection was made. libpq has words for it and no code."""
    if any(words in message for words in _TOO_MANY):
        return Busy("as many questions as may be are being asked already: try again in a few seconds")
    if any(words in message for words in _NOT_LET_IN):
        return SqlUnavailable(
            "the SQL door cannot sign in to the database: whoever runs this service makes its role and password with `pixref init`"
        )
    return DatabaseUnavailable("the database cannot be reached: try again")


def _timeout() -> QueryTimeout:
    return QueryTimeout(
        "the query took longer than it may and was stopped: ask for less, or for fewer pictures at once", field="query"
    )


_STOPPED = frozenset({"57014", "55P03", "25P03", "25P04"})  # query_canceled, lock_not_available, timeouts of a transaction
_TOO_LARGE = frozenset(
    {"53400", "53200", "54000"}
)  # configuration_limit_exceeded (temporary files), out_of_memory, program_limit_exceeded
_FORBIDDEN = {"42501": "privilege", "25006": "read_only"}  # insufficient_privilege, read_only_sql_transaction


@contextmanager
def _translated(question: Question, before: int = 0) -> Iterator[None]:
    """Raise what PostgreSQL says in terms of the catalogue; `before` is how many of our characters stand before the question."""
    try:
        yield
    except psycopg.Error as exc:
        raise _meaning(exc, question, before) from None


def _meaning(exc: psycopg.Error, question: Question, before: int) -> PixrefError:
    state = exc.sqlstate or ""
    if state in _STOPPED:
        return _timeout()
    if state in _TOO_LARGE:
        return QueryTooLarge(
            "the query needs more memory or temporary space than it may have: ask for less at once", field="query"
        )
    if state == "53100":
        return DatabaseFull("the database has no space left: tell whoever runs it")
    if not state or state.startswith(("08", "57P")):
        return DatabaseUnavailable("the database cannot be reached: try again")
    message = exc.diag.message_primary or "the query failed"
    position = _position(exc.diag.statement_position, question, before)
    if state in _FORBIDDEN:
        return QueryRefused(_FORBIDDEN[state], message, position=position)
    return QueryError(message, position=position, sqlstate=state, hint=exc.diag.message_hint)


def _position(given: str | None, question: Question, before: int) -> int | None:
    place = int(given) - before if given else 0
    return place + question.offset if 1 <= place <= len(question.text) + 1 else None
