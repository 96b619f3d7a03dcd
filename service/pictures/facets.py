"""Facets: how many of the pictures that match have each label, tag, split and predicted label.

Counting a million takes about a second, so what took long is kept for a while and says when it was counted (docs/decisions/0012).
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cachetools import TTLCache
from sqlalchemy import BigInteger, Select, Text, cast, column, func, literal, null, select, text, union_all

from schema.session import Sessions
from schema.tables import Image, ImageTag, Label, Model, ModelVersion, Prediction, Tag
from service.pictures.filter import ImageFilter, conditions, look_up, versions_of

log = logging.getLogger(__name__)

VALUES_MAX = 100
"""Of each kind so many values are told, the most frequent."""
QUICK_S = 0.1
"""What was counted in less time is counted anew each time."""
FRESH_S = 30
"""Counts that are older are counted anew behind the answer."""
KEPT_S = 600
"""Counts that are older are not given any more."""
KEPT_MAX = 256
COUNTING_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of pictures. `labels` and `splits` have None for those without; `predicted` are (model, label, count)."""

    total: int
    labels: Sequence[tuple[str | None, int]]
    tags: Sequence[tuple[str, int]]
    splits: Sequence[tuple[str | None, int]]
    predicted: Sequence[tuple[str, str, int]]
    as_of: datetime


class FacetCounter:
    """Counts, and remembers what took long. One for each process."""

    def __init__(self, sessions: Sessions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions = sessions
        self._clock = clock
        self._kept: TTLCache[str, tuple[float, Facets]] = TTLCache(KEPT_MAX, KEPT_S, timer=clock)
        self._lock = threading.Lock()
        self._counting: dict[str, threading.Lock] = {}
        self._refreshing = threading.Lock()

    def count(self, wanted: ImageFilter) -> Facets:
        """Return the counts: new ones, or kept ones of at most `KEPT_S` seconds ago. Raises what any statement does."""
        key = json.dumps(wanted.active, sort_keys=True, default=str)
        kept = self._look(key)
        if kept is None:
            with self._one_at_a_time(key):
                kept = self._look(key)
                return kept[1] if kept is not None else self._count(key, wanted)
        counted_at, facets = kept
        if self._clock() - counted_at > FRESH_S and self._refreshing.acquire(blocking=False):
            threading.Thread(target=self._refresh, args=(key, wanted), name="facets", daemon=True).start()
        return facets

    def _look(self, key: str) -> tuple[float, Facets] | None:
        with self._lock:
            return self._kept.get(key)

    def _one_at_a_time(self, key: str) -> threading.Lock:
        with self._lock:
            if len(self._counting) > KEPT_MAX:
                self._counting = {each: lock for each, lock in self._counting.items() if lock.locked()}
            return self._counting.setdefault(key, threading.Lock())

    def _count(self, key: str, wanted: ImageFilter) -> Facets:
        started = self._clock()
        facets = count_facets(self._sessions, wanted)
        with self._lock:
            if self._clock() - started >= QUICK_S:
                self._kept[key] = (started, facets)
            else:
                self._kept.pop(key, None)
        return facets

    def _refresh(self, key: str, wanted: ImageFilter) -> None:
        try:
            self._count(key, wanted)
        except Exception:
            # Nobody waits for it: the kept counts are given until they are too old, and then whoever asks is told what is wrong.
            log.warning("counting facets anew failed", exc_info=True)
        finally:
            self._refreshing.release()


def count_facets(sessions: Sessions, wanted: ImageFilter) -> Facets:
    """Count now, in one snapshot. Raises what any statement does."""
    as_of = datetime.now(UTC)
    found: dict[str, list[tuple[Any, Any, int]]] = {"label": [], "tag": [], "split": [], "predicted": []}
    with sessions() as session, session.begin():
        session.execute(text(f"SET LOCAL statement_timeout = {COUNTING_TIMEOUT_MS}"))
        known = look_up(session.connection(), wanted)
        total = 0
        for row in session.execute(_counts(wanted, conditions(wanted, known=known))):
            if row.kind == "total":
                total = row.pictures
            else:
                found[row.kind].append((row.first, row.second, row.pictures))
    return Facets(
        total,
        [(value, count) for value, _, count in found["label"]],
        [(value, count) for value, _, count in found["tag"]],
        [(value, count) for value, _, count in found["split"]],
        found["predicted"],
        as_of,
    )


def _counts(wanted: ImageFilter, matches: Sequence[Any]) -> Select[Any]:
    """Return the query of all counts: `kind`, one or two names and the number of pictures, the most frequent first within its kind."""
    hits: Any = select(Image.id, Image.label_id, Image.split).where(Image.state == "READY", *matches)
    # Where nothing is looked for, each count has an index of its own to read.
    hits = hits.cte("hits").prefix_with("MATERIALIZED") if matches else hits.subquery("hits")
    pictures = func.count().label("pictures")
    labels = select(hits.c.label_id.label("value"), pictures).group_by(hits.c.label_id).cte("labels")
    splits = select(hits.c.split.label("value"), pictures).group_by(hits.c.split).cte("splits")
    tags = select(ImageTag.tag_id.label("value"), pictures).join(hits, hits.c.id == ImageTag.image_id).group_by(ImageTag.tag_id)
    predicted = (
        select(Prediction.model_version_id, Prediction.label_id, pictures)
        .join(hits, hits.c.id == Prediction.image_id)
        .where(Prediction.error.is_(None), Prediction.model_version_id.in_(versions_of(wanted, ordering=True)))
        .group_by(Prediction.model_version_id, Prediction.label_id)
    )
    tagged, guessed = tags.cte("tagged"), predicted.cte("guessed")
    total = cast(func.coalesce(func.sum(labels.c.pictures), 0), BigInteger)
    label = (
        select(*_named("label", Label.name, labels.c.pictures)).select_from(labels).outerjoin(Label, Label.id == labels.c.value)
    )
    tag = select(*_named("tag", Tag.name, tagged.c.pictures)).select_from(tagged).join(Tag, Tag.id == tagged.c.value)
    split = select(*_named("split", splits.c.value, splits.c.pictures))
    guess = (
        select(*_named("predicted", Model.name, guessed.c.pictures, Label.name))
        .select_from(guessed)
        .join(ModelVersion, ModelVersion.id == guessed.c.model_version_id)
        .join(Model, Model.id == ModelVersion.model_id)
        .join(Label, Label.id == guessed.c.label_id)
    )
    whole = select(*_named("total", null(), total)).select_from(labels).subquery()
    parts = [whole, *(_most(each).subquery() for each in (label, tag, split, guess))]
    everything = union_all(*(select(each) for each in parts)).subquery()
    return select(everything)


def _named(kind: str, first: Any, pictures: Any, second: Any = None) -> list[Any]:
    names = (cast(null() if name is None else name, Text) for name in (first, second))
    return [
        literal(kind, Text).label("kind"),
        *(name.label(as_) for name, as_ in zip(names, ("first", "second"), strict=True)),
        pictures.label("pictures"),
    ]


def _most(query: Select[Any]) -> Select[Any]:
    """Keep the most frequent; equal ones are in the order of their names."""
    return query.order_by(column("pictures").desc(), column("first"), column("second")).limit(VALUES_MAX)
