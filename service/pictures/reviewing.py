"""Review: a person looks at a picture and says what it shows. Each verdict gives the label and the tag `reviewed`, and can be taken back.

What is reviewed is a tag and nothing hidden, so that SQL, filters and exports know it, and taking the tag off puts a picture back into the queues.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from schema.queries.words import ensure_words, find_words
from schema.session import DatabaseTrouble, Sessions, trouble_of
from schema.tables import Image, ImageTag, Label, Tag
from service.accounts.actor import Actor
from service.errors import Conflict
from service.names import clean_name
from service.pictures.bulk_changes import set_labels
from service.pictures.cursors import BIGINT_MAX, Sort
from service.pictures.filter import ImageFilter, conditions, look_up
from service.pictures.labels import name_actor
from service.pictures.search import no_such_image, read_image

REVIEWED = "reviewed"
COUNTED = 1_000
# The count is beside the point of the page, so it may not make it slow.
COUNT_MS = 150


class Queue(StrEnum):
    """What is worth a look first."""

    WRONG = "wrong"
    UNCERTAIN = "uncertain"
    UNLABELLED = "unlabelled"


def queue_of(queue: Queue, model: str) -> tuple[ImageFilter, Sort]:
    """Return which pictures wait in a queue, and in which order, by the predictions of the model's champion.

    wrong: the label and the model differ, the surest first; uncertain: the model hesitates, most first; unlabelled: newest first.
    """
    if queue is Queue.WRONG:
        return ImageFilter(model=model, agrees=False, no_tag=[REVIEWED]), Sort.SUREST
    if queue is Queue.UNCERTAIN:
        return ImageFilter(model=model, no_tag=[REVIEWED]), Sort.MOST_UNCERTAIN
    return ImageFilter(unlabelled=True, no_tag=[REVIEWED]), Sort.NEWEST


def count_waiting(sessions: Sessions, wanted: ImageFilter) -> int | None:
    """Count what waits, up to `COUNTED` and one more; None where that takes too long."""
    try:
        with sessions() as session, session.begin():
            session.execute(select(func.set_config("statement_timeout", str(COUNT_MS), True)))
            known = look_up(session.connection(), wanted)
            matches = conditions(wanted, known=known)
            found = select(Image.id).where(Image.state == "READY", *matches).limit(COUNTED + 1).subquery()
            return session.scalar(select(func.count()).select_from(found))
    except DBAPIError as exc:
        if trouble_of(exc) is DatabaseTrouble.TIMEOUT:
            return None
        raise


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody has said of a picture; `tagged`: it was not reviewed before."""

    image_id: int
    before: str | None
    label: str
    tagged: bool


def _label_of(session: Session, image_id: int) -> str | None:
    """Return the label of a picture that nobody else changes until the transaction ends. Raises `NotFound`."""
    query = select(Image.id).where(Image.id == image_id, Image.state == "READY").with_for_update(key_share=True)
    if not 0 < image_id <= BIGINT_MAX or session.scalar(query) is None:
        raise no_such_image(image_id)
    return read_image(session, image_id).label


def review(sessions: Sessions, image_id: int, label: str, *, expected: str | None, actor: Actor) -> Verdict:
    """Give a picture its label, which may be the one that it has, and mark it as reviewed.

    Raises `Conflict` where its label is not the `expected` one, which was seen when the verdict was made; `Invalid`, `NotFound`.
    """
    name = clean_name(label, field="label")
    with sessions() as session, session.begin():
        name_actor(session, actor)
        label_id = ensure_words(session, Label, [name])[name]
        tag_id = ensure_words(session, Tag, [REVIEWED])[REVIEWED]
        before = _label_of(session, image_id)
        if before != expected:
            raise Conflict(
                f"picture {image_id} is {_words(before)} and not {_words(expected)} any more: look again, then decide anew"
            )
        set_labels(session, [image_id], label_id)
        row = {"image_id": image_id, "tag_id": tag_id}
        tagged = session.scalar(insert(ImageTag).values(row).on_conflict_do_nothing().returning(ImageTag.tag_id)) is not None
        # By its name now: a label that was merged goes by another.
        return Verdict(image_id, before, read_image(session, image_id).label or name, tagged)


def take_back(sessions: Sessions, verdict: Verdict, *, actor: Actor) -> None:
    """Give a picture back the label that it had, and the state of being unreviewed. Raises `Conflict` where it was changed since; `NotFound`."""
    before = verdict.before
    with sessions() as session, session.begin():
        name_actor(session, actor)
        label_id = ensure_words(session, Label, [before])[before] if before is not None else None
        tag_id = find_words(session, Tag, [REVIEWED]).get(REVIEWED)
        now = _label_of(session, verdict.image_id)
        if now != verdict.label:
            raise Conflict(f"picture {verdict.image_id} is {_words(now)} by now, and was left so")
        set_labels(session, [verdict.image_id], label_id)
        if verdict.tagged:
            session.execute(delete(ImageTag).where(ImageTag.image_id == verdict.image_id, ImageTag.tag_id == tag_id))


def _words(label: str | None) -> str:
    return f"labelled {label}" if label is not None else "without a label"
