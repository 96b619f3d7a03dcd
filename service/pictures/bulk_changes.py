"""Label or tag many pictures at once: those with given ids, or all that match a filter, in one transaction.

A million pictures take some fifty batches of three statements each, none a picture: find, lock, change. Batches go up by id, so that two
changes of the same pictures meet in one order and cannot wait for each other in a ring. The filter is asked again under the lock: a picture
that somebody else has changed meanwhile is changed only if it still matches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    any_,
    cast,
    delete,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.queries.words import ensure_words, find_words
from schema.session import Sessions
from schema.tables import Image, ImageTag, Label, Tag
from service.accounts.actor import Actor
from service.errors import Invalid
from service.names import TAGS_MAX, clean_name, clean_tags
from service.pictures.labels import name_actor
from service.pictures.search import ImageFilter, apply_filter

IDS_MAX = 10_000
PICTURES_MAX = 1_000_000
BATCH = 20_000
# A batch takes about a second; a filter that no index serves reads every row.
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which pictures: by id, where ids that are not there are passed over, or by a filter that restricts something. Raises `Invalid`."""

    ids: Sequence[int] | None = None
    wanted: ImageFilter | None = None

    def __post_init__(self) -> None:
        if (self.ids is None) == (self.wanted is None):
            raise Invalid("give either ids or filter", field="ids")
        if self.ids is not None and len(self.ids) > IDS_MAX:
            raise Invalid(f"ids has {len(self.ids)} ids: at most {IDS_MAX} at once, or a filter", field="ids")
        if self.wanted is not None and not self.wanted.active:
            raise Invalid('filter restricts nothing: for every picture there is say {"min_width": 1}', field="filter")

    def query(self) -> Select[Any]:
        """Return the query of the pictures' ids."""
        ready = select(Image.id).where(Image.state == "READY")
        if self.wanted is not None:
            return apply_filter(ready, self.wanted)
        return ready.where(Image.id == any_(ids_array(self.ids or ())))


@dataclass(frozen=True, slots=True)
class TagChange:
    """What becomes of each picture's tags: some removed and some added, or (`exactly`) all replaced. Raises `Invalid`."""

    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    exactly: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name in ("add", "remove", "exactly"):
            value = getattr(self, name)
            object.__setattr__(
                self, name, None if value is None else clean_tags(value, field="set" if name == "exactly" else name)
            )
        if self.exactly is not None and (self.add or self.remove):
            raise Invalid("set stands alone: it replaces all tags", field="set")
        if self.exactly is None and not self.add and not self.remove:
            raise Invalid("nothing to do: give add, remove or set", field="add")


@dataclass(frozen=True, slots=True)
class Changed:
    """How many pictures were meant, and how many of them were not so already."""

    matched: int
    changed: int


def ids_array(ids: Sequence[int]) -> ColumnElement[Any]:
    """Return ids as one SQL value."""
    return cast(list(ids), ARRAY(BigInteger))


def allow_time(session: Session) -> None:
    """Let this transaction's statements take longer than a page's."""
    limits = (("statement_timeout", STATEMENT_TIMEOUT_MS), ("lock_timeout", LOCK_TIMEOUT_MS))
    session.execute(select(*(func.set_config(name, str(value), True) for name, value in limits)))


def in_batches(session: Session, pictures: Select[Any], needs: Condition, change: Callable[[list[int]], object]) -> int:
    """Lock the pictures that need it, a batch at a time and upwards, and hand their ids to `change`; returns how many there were."""
    changed = last = 0
    while batch := session.scalars(pictures.where(needs, Image.id > last).order_by(Image.id).limit(BATCH)).all():
        last = batch[-1]
        still = pictures.where(needs, Image.id == any_(ids_array(batch))).order_by(Image.id)
        if locked := list(session.scalars(still.with_for_update(key_share=True, of=Image))):
            change(locked)
            changed += len(locked)
    return changed


def label_many(sessions: Sessions, choice: Choice, label: str | None, *, actor: Actor, dry_run: bool = False) -> Changed:
    """Give the pictures their label, or none. Each change is in the history. Raises `Invalid`."""
    name = clean_name(label, field="label") if label is not None else None
    with sessions() as session, session.begin():
        allow_time(session)
        if dry_run:
            known = find_words(session, Label, [name] if name else [])
            new = name is not None and name not in known
            return _count(session, choice, true() if new else Image.label_id.is_distinct_from(known.get(name or "")))
        name_actor(session, actor)
        label_id = ensure_words(session, Label, [name])[name] if name else None
        needs = Image.label_id.is_distinct_from(label_id)
        matched = count_matched(session, choice)
        return Changed(matched, in_batches(session, choice.query(), needs, lambda ids: set_labels(session, ids, label_id)))


def set_labels(session: Session, image_ids: Sequence[int], label_id: int | None) -> None:
    """Give pictures that are locked a label."""
    session.execute(
        update(Image).where(Image.id == any_(ids_array(image_ids))).values(label_id=label_id),
        execution_options={"synchronize_session": False},
    )


def tag_many(sessions: Sessions, choice: Choice, change: TagChange, *, dry_run: bool = False) -> Changed:
    """Change the pictures' tags. Raises `Invalid`, with nothing changed where a picture would have more than 100 tags."""
    with sessions() as session, session.begin():
        allow_time(session)
        adding = change.add if change.exactly is None else change.exactly
        if dry_run:
            known = find_words(session, Tag, [*adding, *change.remove])
            new = any(name not in known for name in adding)
        else:
            known = {**ensure_words(session, Tag, adding), **find_words(session, Tag, change.remove)}
            new = False
        add = sorted({known[name] for name in adding if name in known})
        remove = sorted({known[name] for name in change.remove if name in known} - set(add))
        needs = true() if new else _needs_tags(add, remove, exactly=change.exactly is not None)
        if dry_run:
            return _count(session, choice, needs)
        matched = count_matched(session, choice)
        act = lambda ids: change_tags(session, ids, add, remove, exactly=change.exactly is not None)  # noqa: E731
        return Changed(matched, in_batches(session, choice.query(), needs, act))


def _needs_tags(add: Sequence[int], remove: Sequence[int], *, exactly: bool) -> Condition:
    of_picture = ImageTag.image_id == Image.id
    conditions: list[Condition] = []
    if add:
        present = select(func.count()).where(of_picture, ImageTag.tag_id == any_(ids_array(add))).correlate(Image)
        conditions.append(present.scalar_subquery() < len(add))
    if exactly:
        conditions.append(exists().where(of_picture, not_(ImageTag.tag_id == any_(ids_array(add)))))
    if remove:
        conditions.append(exists().where(of_picture, ImageTag.tag_id == any_(ids_array(remove))))
    return or_(false(), *conditions)


def change_tags(
    session: Session, image_ids: list[int], add: Sequence[int], remove: Sequence[int], *, exactly: bool = False
) -> None:
    """Change the tags of pictures that are locked; `exactly` leaves no others. Raises `Invalid` where one would have too many."""
    of_pictures = ImageTag.image_id == any_(ids_array(image_ids))
    if exactly:
        session.execute(delete(ImageTag).where(of_pictures, not_(ImageTag.tag_id == any_(ids_array(add)))))
    if remove:
        session.execute(delete(ImageTag).where(of_pictures, ImageTag.tag_id == any_(ids_array(remove))))
    if not add:
        return
    images = select(func.unnest(ids_array(image_ids)).label("image_id")).subquery("images")
    tags = select(func.unnest(ids_array(add)).label("tag_id")).subquery("tags")
    pairs = select(images.c.image_id, tags.c.tag_id).join(tags, true())
    session.execute(insert(ImageTag).from_select(["image_id", "tag_id"], pairs).on_conflict_do_nothing())
    crowded = select(ImageTag.image_id).where(of_pictures).group_by(ImageTag.image_id).having(func.count() > TAGS_MAX)
    if (image_id := session.scalar(crowded.limit(1))) is not None:
        raise Invalid(f"picture {image_id} would have more than {TAGS_MAX} tags: nothing was changed", field="add")


def count_matched(session: Session, choice: Choice) -> int:
    matched = session.scalar(select(func.count()).select_from(choice.query().limit(PICTURES_MAX + 1).subquery())) or 0
    if matched > PICTURES_MAX:
        raise Invalid(f"filter matches more than {PICTURES_MAX:,} pictures: narrow it down, by split for example", field="filter")
    return matched


def _count(session: Session, choice: Choice, needs: Condition) -> Changed:
    matched = count_matched(session, choice)
    return Changed(matched, session.scalar(select(func.count()).select_from(choice.query().where(needs).subquery())) or 0)
