"""Labels and tags themselves: list, make, describe, rename, merge, delete.

A word that was merged into another stays as a row, so that the history goes on naming what was meant at the time, and its name leads to the
other one from then on (docs/decisions/0014).
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Select, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from schema.queries.words import Word, find_words
from schema.session import Sessions, constraint_of
from schema.tables import Image, ImageTag, Label, LabelEvent, ModelClass, Prediction, Tag
from service.errors import Conflict, Invalid, NotFound
from service.names import NAME_MAX, clean_colour, clean_description, clean_name
from service.pictures.search import BIGINT_MAX, PAGE_DEFAULT, PAGE_MAX


class Kind(Enum):
    """Labels or tags; the value is the word for one."""

    LABEL = "label"
    TAG = "tag"

    @property
    def table(self) -> Word:
        """Where they are kept."""
        return Label if self is Kind.LABEL else Tag


@dataclass(frozen=True, slots=True)
class WordInfo:
    """A label or tag; `images` is how many pictures have it, `synonyms` are names of words that were merged into it."""

    id: int
    name: str
    colour: str | None
    description: str | None
    images: int
    synonyms: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WordPage:
    """Some words by name, and the cursors of what follows and what comes before; None at the ends."""

    items: list[WordInfo]
    next: str | None
    prev: str | None


@dataclass(frozen=True, slots=True)
class WordChange:
    """What is to be changed: the fields named in `given`. Raises `Invalid`."""

    given: frozenset[str]
    name: str | None = None
    colour: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        if not self.given:
            raise Invalid("nothing to change: give name, colour or description", field="body")
        if "name" in self.given:
            object.__setattr__(self, "name", clean_name(self.name or "", field="name"))
        object.__setattr__(self, "colour", clean_colour(self.colour))
        object.__setattr__(self, "description", clean_description(self.description))

    @property
    def values(self) -> dict[str, str | None]:
        """The columns to set."""
        return {name: getattr(self, name) for name in sorted(self.given)}


def _images(table: Word) -> Any:
    if table is Label:
        return select(func.count()).where(Image.label_id == Label.id, Image.state == "READY").correlate(Label).scalar_subquery()
    # Few pictures are not READY, and an index knows them: two short counts instead of a join of all.
    having = select(func.count()).select_from(ImageTag).where(ImageTag.tag_id == Tag.id)
    hidden = having.join(Image, Image.id == ImageTag.image_id).where(Image.state != "READY")
    return having.correlate(Tag).scalar_subquery() - hidden.correlate(Tag).scalar_subquery()


def _query(table: Word) -> Select[Any]:
    synonym = aliased(table)
    names = select(synonym.name).where(synonym.merged_into_id == table.id).order_by(synonym.name)
    synonyms = func.array(names.correlate(table).scalar_subquery())
    return select(table.id, table.name, table.colour, table.description, _images(table), synonyms, table.created_at).where(
        table.merged_into_id.is_(None)
    )


def encode_name(name: str) -> str:
    """Return an opaque cursor at this name."""
    return base64.urlsafe_b64encode(f"n{name}".encode()).decode().rstrip("=")


def decode_name(cursor: str, *, field: str) -> str:
    """Return the name that a cursor stands at. Raises `Invalid`."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not text.startswith("n") or not 1 < len(text) <= NAME_MAX + 1 or "\x00" in text:
        raise Invalid(f"{field} is not a cursor: pass on the value of `next` or `prev` as it came", field=field)
    return text[1:]


def list_words(
    sessions: Sessions,
    kind: Kind,
    *,
    q: str | None = None,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
    before: str | None = None,
) -> WordPage:
    """Return a page of words by name, of those whose name has `q` in it: those that follow `after`,
    those right before `before`, or those between the two. Raises `Invalid`."""
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(f"limit must be 1 to {PAGE_MAX}", field="limit")
    table = kind.table
    query = _query(table)
    if q and q.strip():
        query = query.where(table.name.icontains(clean_name(q, field="q"), autoescape=True))
    if after:
        query = query.where(table.name > decode_name(after, field="after"))
    if before:
        query = query.where(table.name < decode_name(before, field="before"))
    backwards = bool(before and not after)
    query = query.order_by(table.name.desc() if backwards else table.name).limit(limit + 1)
    with sessions() as session:
        rows = [WordInfo(*row) for row in session.execute(query)]
    more, items = len(rows) > limit, rows[:limit]
    if backwards:
        items.reverse()
    behind, ahead = (True, more) if backwards else (more, bool(after))
    return WordPage(
        items,
        encode_name(items[-1].name) if behind and items else None,
        encode_name(items[0].name) if ahead and items else None,
    )


def get_word(sessions: Sessions, kind: Kind, word_id: int) -> WordInfo:
    """Return one word. Raises `NotFound`, which says where one that was merged is now."""
    with sessions() as session:
        return read_word(session, kind, word_id)


def find_word(sessions: Sessions, kind: Kind, name: str, *, field: str) -> WordInfo:
    """Return the word behind a name, which may be a synonym. Raises `Invalid` naming the field."""
    cleaned = clean_name(name, field=field)
    with sessions() as session:
        word_id = find_words(session, kind.table, [cleaned]).get(cleaned)
        if word_id is None:
            raise Invalid(f"there is no {kind.value} {cleaned!r}: make it first, or choose one of the list", field=field)
        return read_word(session, kind, word_id)


def read_word(session: Session, kind: Kind, word_id: int) -> WordInfo:
    """Return one word. Raises `NotFound`."""
    table = kind.table
    known = 0 < word_id <= BIGINT_MAX
    row = session.execute(_query(table).where(table.id == word_id)).one_or_none() if known else None
    if row is not None:
        return WordInfo(*row)
    target = session.scalar(select(table.merged_into_id).where(table.id == word_id)) if known else None
    if target is not None:
        raise NotFound(f"{kind.value} {word_id} was merged into {kind.value} {target}", extra={"merged_into": target})
    raise NotFound(f"there is no {kind.value} {word_id}")


def create_word(
    sessions: Sessions, kind: Kind, name: str, *, colour: str | None = None, description: str | None = None
) -> WordInfo:
    """Make a label or tag that nothing has yet. Raises `Invalid`, `Conflict` where the name is taken."""
    change = WordChange(frozenset({"name", "colour", "description"}), name, colour, description)
    table = kind.table
    with sessions() as session, session.begin():
        made = session.scalar(insert(table).values(change.values).on_conflict_do_nothing().returning(table.id))
        if made is None:
            raise _taken(session, kind, change.name or "")
        return read_word(session, kind, made)


def change_word(sessions: Sessions, kind: Kind, word_id: int, change: WordChange) -> WordInfo:
    """Rename or describe a word. Raises `Invalid`, `NotFound`, `Conflict` where the name is taken.

    The old name of a label that is a class of a model stays as a synonym: the model's own file goes on using it.
    """
    table = kind.table
    try:
        with sessions() as session, session.begin():
            before = read_word(session, kind, word_id)
            if change.name == before.name:
                change = replace(change, given=change.given - {"name"}) if len(change.given) > 1 else change
            if change.name in before.synonyms:
                _forget_synonym(session, kind, change.name)
            session.execute(update(table).where(table.id == word_id).values(change.values))
            renamed = "name" in change.given and change.name != before.name
            if renamed and kind is Kind.LABEL and session.scalar(_classes(word_id)):
                session.execute(insert(table).values(name=before.name, merged_into_id=word_id))
            return read_word(session, kind, word_id)
    except IntegrityError as exc:
        if constraint_of(exc) != f"uq_{table.__tablename__}_name":
            raise
        with sessions() as session:
            raise _taken(session, kind, change.name or "") from None


def _forget_synonym(session: Session, kind: Kind, name: str) -> None:
    """Free a synonym's name, for the very word that it leads to. Raises `Conflict` where the history needs it."""
    table = kind.table
    old = session.scalars(select(table.id).where(table.name == name).with_for_update()).one()
    if kind is Kind.LABEL and session.scalar(_events(old)):
        raise Conflict(f"{name!r} is the name that the history knows a merged label by: choose another")
    session.execute(delete(table).where(table.id == old))


def _taken(session: Session, kind: Kind, name: str) -> Conflict:
    table = kind.table
    row = session.execute(select(table.id, table.merged_into_id).where(table.name == name)).one_or_none()
    if row is None:
        return Conflict(f"{name!r} was taken a moment ago: try again")
    if row.merged_into_id is not None:
        return Conflict(
            f"{name!r} is a synonym of {kind.value} {row.merged_into_id}, which it was merged into",
            extra={"id": row.merged_into_id},
        )
    return Conflict(f"there is a {kind.value} {name!r} already, number {row.id}: change that one, or merge", extra={"id": row.id})


def _classes(label_id: int) -> Select[int]:
    return select(func.count()).select_from(ModelClass).where(ModelClass.label_id == label_id)


def _events(label_id: int) -> Select[int]:
    named = (LabelEvent.old_label_id == label_id) | (LabelEvent.new_label_id == label_id)
    return select(func.count()).select_from(LabelEvent).where(named)


def _uses(session: Session, kind: Kind, word_id: int) -> list[tuple[int, str, str]]:
    """Return how often what refers to a word: number, singular, plural."""
    table = kind.table
    ready = func.count(case((Image.state == "READY", 1)))
    if kind is Kind.LABEL:
        pictures = select(ready, func.count() - ready).select_from(Image).where(Image.label_id == word_id)
    else:
        pictures = select(ready, func.count() - ready).select_from(ImageTag).join(Image).where(ImageTag.tag_id == word_id)
    shown, hidden = session.execute(pictures).one()
    found = [(shown, "picture", "pictures"), (hidden, "picture in the trash", "pictures in the trash")]
    if kind is Kind.LABEL:
        found.append((session.scalar(_classes(word_id)) or 0, "class of a model", "classes of models"))
        predictions = select(func.count()).select_from(Prediction).where(Prediction.label_id == word_id)
        found.append((session.scalar(predictions) or 0, "prediction", "predictions"))
        found.append((session.scalar(_events(word_id)) or 0, "entry of the label history", "entries of the label history"))
    synonyms = select(func.count()).select_from(table).where(table.merged_into_id == word_id)
    found.append((session.scalar(synonyms) or 0, "synonym", "synonyms"))
    return [use for use in found if use[0]]


def delete_word(sessions: Sessions, kind: Kind, word_id: int) -> None:
    """Delete a word that nothing refers to. Raises `NotFound`, `Conflict` naming what uses it."""
    table = kind.table
    with sessions() as session, session.begin():
        # As long as it is locked nobody can begin to use it.
        session.execute(select(table.id).where(table.id == min(word_id, BIGINT_MAX)).with_for_update())
        name = read_word(session, kind, word_id).name
        if uses := _uses(session, kind, word_id):
            raise Conflict(
                f"{name!r} is used by {in_words(uses)}: merge it into another {kind.value} instead",
                extra={"uses": {many: number for number, _, many in uses}},
            )
        session.execute(delete(table).where(table.id == word_id))


def in_words(uses: Sequence[tuple[int, str, str]]) -> str:
    """Return numbers with their nouns as a phrase."""
    parts = [f"{number:,} {one if number == 1 else many}" for number, one, many in uses]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
