"""Changes of many pictures that their author can take back for a day: label, tag, untag, delete.

The change and what it takes to undo it are one transaction. Taking back touches only what is still as the change left it: what somebody has
changed since stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    Text,
    any_,
    cast,
    column,
    delete,
    exists,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from schema.queries.deletions import RESTORABLE, start_deletions
from schema.queries.words import ensure_words, find_words, hold_words
from schema.session import Sessions, constraint_of
from schema.tables import BulkChange, Image, ImageTag, Label, ObjectDeletion, Tag
from service.accounts.actor import Actor
from service.errors import Conflict, NotFound
from service.names import clean_name
from service.pictures.bulk_changes import (
    Changed,
    Choice,
    allow_time,
    change_tags,
    count_matched,
    ids_array,
    in_batches,
    set_labels,
)
from service.pictures.delete import STILL_THERE
from service.pictures.labels import name_actor
from service.pictures.upload import READY_ONCE

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Done(Changed):
    """What was done, and the number by which it is taken back; None where nothing was changed."""

    change_id: int | None = None


def label_selected(sessions: Sessions, choice: Choice, label: str | None, *, actor: Actor) -> Done:
    """Give the pictures a label, or none, with history. Raises `Invalid`."""
    name = clean_name(label, field="label") if label is not None else None
    with sessions() as session, session.begin():
        allow_time(session)
        name_actor(session, actor)
        label_id = ensure_words(session, Label, [name])[name] if name else None
        before: dict[int, int | None] = {}

        def change(ids: list[int]) -> None:
            before.update(session.execute(select(Image.id, Image.label_id).where(Image.id == any_(ids_array(ids)))).all())
            set_labels(session, ids, label_id)

        count = count_matched(session, choice)
        in_batches(session, choice.query(), Image.label_id.is_distinct_from(label_id), change)
        return _kept(session, actor, "label", label_id, list(before), count, before=list(before.values()))


def tag_selected(sessions: Sessions, choice: Choice, tag: str, *, remove: bool = False, actor: Actor) -> Done:
    """Give the pictures a tag, or take it off. Raises `Invalid`, with nothing changed where a picture would have too many."""
    name = clean_name(tag, field="tag")
    with sessions() as session, session.begin():
        allow_time(session)
        known = find_words(session, Tag, [name]) if remove else ensure_words(session, Tag, [name])
        count = count_matched(session, choice)
        tag_id = known.get(name)
        if tag_id is None:
            return Done(count, 0)
        has = exists().where(ImageTag.image_id == Image.id, ImageTag.tag_id == tag_id)
        ids: list[int] = []
        add, gone = ([], [tag_id]) if remove else ([tag_id], [])
        in_batches(
            session, choice.query(), has if remove else ~has, _each(ids, lambda some: change_tags(session, some, add, gone))
        )
        return _kept(session, actor, "untag" if remove else "tag", tag_id, ids, count)


def delete_selected(sessions: Sessions, choice: Choice, *, keep: timedelta, actor: Actor) -> Done:
    """Delete the pictures; for `keep` they can be restored. Raises `Invalid`."""
    with sessions() as session, session.begin():
        allow_time(session)
        count = count_matched(session, choice)
        ids: list[int] = []
        in_batches(
            session, choice.query(), true(), _each(ids, lambda some: start_deletions(session, some, reason="deleted", delay=keep))
        )
        return _kept(session, actor, "delete", None, ids, count)


def _each(ids: list[int], change: Callable[[list[int]], object]) -> Callable[[list[int]], object]:
    def collect(some: list[int]) -> None:
        change(some)
        ids.extend(some)

    return collect


def _kept(
    session: Session,
    actor: Actor,
    kind: str,
    word_id: int | None,
    ids: Sequence[int],
    count: int,
    *,
    before: Sequence[int | None] | None = None,
) -> Done:
    if not ids:
        return Done(count, 0)
    row = {"kind": kind, "word_id": word_id, "image_ids": list(ids), "before": before, "created_by": actor.account_id}
    change_id = session.scalar(insert(BulkChange).values(row).returning(BulkChange.id))
    return Done(count, len(ids), change_id)


def undo(sessions: Sessions, change_id: int, *, actor: Actor) -> int:
    """Take a change back, where its pictures are still as it left them; returns how many there were. Only its author can, and once.

    Raises `NotFound` where there is nothing to take back, `Conflict` where a deleted picture is being uploaded anew in this moment.
    """
    try:
        with sessions() as session, session.begin():
            allow_time(session)
            name_actor(session, actor)
            taken = delete(BulkChange).where(
                BulkChange.id == change_id, BulkChange.created_by == actor.account_id, BulkChange.created_at > func.now() - KEPT
            )
            found = session.execute(
                taken.returning(BulkChange.kind, BulkChange.word_id, BulkChange.image_ids, BulkChange.before)
            ).one_or_none()
            if found is None:
                raise NotFound("there is nothing to undo: it was undone already, or is more than a day old", field="change")
            kind, word_id, ids, before = found
            if kind == "delete":
                return _restore(session, ids)
            if kind == "label":
                assert before is not None
                return _relabel(session, ids, before, word_id)
            assert word_id is not None
            return _retag(session, ids, word_id, add=kind == "untag")
    except IntegrityError as exc:
        if constraint_of(exc) != READY_ONCE:
            raise
        raise Conflict("one of these pictures is uploaded anew in this moment: undo once more") from None


def _ready(ids: Sequence[int]) -> Select[Any]:
    return select(Image.id).where(Image.state == "READY", Image.id == any_(ids_array(ids)))


def _relabel(session: Session, ids: Sequence[int], before: Sequence[int | None], given: int | None) -> int:
    # What was merged since is given back as what it became, and what was deleted cannot be.
    now: dict[int | None, int | None] = {None: None}
    now.update(hold_words(session, Label, (each for each in (*before, given) if each is not None)).items())
    had = {image_id: now[old] for image_id, old in zip(ids, before, strict=True) if old in now}
    if given not in now:
        return 0

    def change(some: list[int]) -> None:
        values = cast([had[image_id] for image_id in some], ARRAY(BigInteger))
        old = (
            func.unnest(ids_array(some), values)
            .table_valued(column("id", BigInteger), column("label_id", BigInteger))
            .render_derived()
        )
        session.execute(
            update(Image).where(Image.id == old.c.id).values(label_id=old.c.label_id),
            execution_options={"synchronize_session": False},
        )

    return in_batches(session, _ready(list(had)), Image.label_id.is_not_distinct_from(now[given]), change)


def _retag(session: Session, ids: Sequence[int], tag_id: int, *, add: bool) -> int:
    now = hold_words(session, Tag, [tag_id]).get(tag_id)
    # A tag that was deleted cannot be given back, and of one that was merged nobody knows any more which pictures had the other one.
    if now is None or (now != tag_id and not add):
        return 0
    has = exists().where(ImageTag.image_id == Image.id, ImageTag.tag_id == now)
    given, gone = ([now], []) if add else ([], [now])
    return in_batches(session, _ready(ids), ~has if add else has, lambda some: change_tags(session, some, given, gone))


def _restore(session: Session, ids: Sequence[int]) -> int:
    twin = aliased(Image)
    # The outbox row first, as the sweep does; what it holds is gone in this moment.
    still = (
        select(ObjectDeletion.object_key)
        .join(Image, Image.object_key == ObjectDeletion.object_key)
        .where(
            Image.id == any_(ids_array(ids)),
            RESTORABLE,
            *STILL_THERE,
            ~exists().where(twin.sha256 == Image.sha256, twin.state == "READY"),
        )
        .order_by(Image.id)
        .with_for_update(of=ObjectDeletion, skip_locked=True)
    )
    keys = cast(list(session.scalars(still)), ARRAY(Text))
    quietly = {"synchronize_session": False}
    session.execute(delete(ObjectDeletion).where(ObjectDeletion.object_key == any_(keys)), execution_options=quietly)
    restored = update(Image).where(Image.object_key == any_(keys), RESTORABLE).values(state="READY").returning(Image.id)
    return len(session.scalars(restored, execution_options=quietly).all())


def forget_old(session: Session) -> int:
    """Remove changes that are too old to be taken back; returns how many."""
    old = delete(BulkChange).where(BulkChange.created_at < func.now() - KEPT).returning(BulkChange.id)
    return len(session.scalars(old).all())
