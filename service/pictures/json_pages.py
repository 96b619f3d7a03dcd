"""Pages as the JSON text that clients get, written by PostgreSQL, and kept for as long as nothing in the database changes.

A snapshot says which transactions a statement sees (`pg_current_snapshot`, https://www.postgresql.org/docs/current/functions-info.html). Two
statements with equal snapshots see exactly the same rows. So a page comes with its snapshot, and whoever asks for it again sends that along: while it
is still the current one, PostgreSQL answers with nothing, and the page that is here is the answer. Nobody ever gets an old page; a list that many
look at is written once for each change and not once for each look (docs/decisions/0023).
"""

import sys
import threading
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache
from sqlalchemy import event

from schema.session import Sessions, single
from service.pictures.cursors import Cursor, Sort
from service.pictures.filter import ImageFilter
from service.pictures.paging import PAGE_DEFAULT, cursors_around
from service.pictures.prepared_pages import KEPT, prepared_json
from service.pictures.rows import ADDRESS, Shown
from service.pictures.search import place_of, read_page

KEPT_BYTES = 8 * 1024 * 1024

_Key = tuple[str, tuple[Any, ...], str]


@dataclass(frozen=True, slots=True)
class JsonPage:
    """The pictures of a page, each a JSON object, with commas between them; the cursor of what follows and that of what comes before."""

    items: str
    next: str | None
    prev: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    snapshot: str
    page: JsonPage


def _size(kept: _Kept) -> int:
    # Python holds a text with letters beyond Latin in two or four bytes each.
    return sys.getsizeof(kept.page.items) + 500


class JsonPages:
    """Writes pages, and keeps those that are asked for most. Thread-safe; make it after the process has forked."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._lock = threading.Lock()
        self._kept: LRUCache[_Key, _Kept] = LRUCache(KEPT_BYTES, getsizeof=_size)
        self._servers = 0
        event.listen(sessions.engine, "connect", self._forget)

    def page(
        self,
        wanted: ImageFilter,
        *,
        address: str,
        limit: int = PAGE_DEFAULT,
        after: str | None = None,
        before: str | None = None,
        sort: Sort = Sort.NEWEST,
    ) -> JsonPage:
        """Return the first page of the pictures that match, or that after or before a cursor; links begin with `address`. Raises `Invalid`."""
        place = place_of(sort, limit, after, before)
        prepared = prepared_json(wanted, place)
        if prepared is None:
            found = read_page(self._sessions, wanted, place, Shown.JSON, {ADDRESS: address})
            return JsonPage(",".join([row.item for row in found.items]), found.next, found.prev)
        statement, values = prepared
        key = (statement.name, tuple(values.values()), address)
        with single(self._sessions) as connection:
            # With a connection in hand: had the server begun anew since, making this one would have made us forget.
            with self._lock:
                kept, servers = self._kept.get(key), self._servers
            given = {**values, ADDRESS: address, KEPT: kept.snapshot if kept else ""}
            row = statement.one_or_none(connection, given)
        if row is None:
            assert kept is not None
            return kept.page
        ends = (row.lowest, row.highest)
        first, last = (Cursor(each) if row.items else None for each in (ends[::-1] if place.sort.descending else ends))
        page = JsonPage(row.items or "", *cursors_around(place, first, last, more=row.found > place.limit))
        if row.snapshot is not None and _size(fresh := _Kept(row.snapshot, page)) < KEPT_BYTES // 8:
            with self._lock:
                if servers == self._servers:
                    self._kept[key] = fresh
        return page

    def _forget(self, *_: object) -> None:
        """A new connection may lead to a server that has recovered from a crash or taken another's place, and that counts transactions anew."""
        with self._lock:
            self._servers += 1
            self._kept.clear()
