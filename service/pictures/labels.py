"""Label and tag pictures after they were uploaded. The history of labels is written by the database itself (migration 0001)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from schema.queries.words import ensure_words
from schema.session import Sessions
from schema.tables import Account, Image, ImageTag, Label, LabelEvent, Tag
from service.accounts.actor import Actor
from service.names import clean_name, clean_tags
from service.pictures.search import BIGINT_MAX, ImageInfo, no_such_image, read_image


@dataclass(frozen=True, slots=True)
class LabelChange:
    """One entry of a picture's label history."""

    old_label: str | None
    new_label: str | None
    changed_by: str
    changed_at: datetime


def name_actor(session: Session, actor: Actor) -> None:
    """Tell the database who acts, for the history that its triggers write in this transaction."""
    session.execute(select(func.set_config("pixref.account_id", str(actor.account_id), True)))


def set_label(sessions: Sessions, image_id: int, label: str | None, *, actor: Actor) -> ImageInfo:
    """Give a picture its label, or none. The same label again changes nothing. Raises `Invalid`, `NotFound`."""
    name = clean_name(label, field="label") if label is not None else None
    with sessions() as session, session.begin():
        read_image(session, image_id)
        name_actor(session, actor)
        label_id = ensure_words(session, Label, [name])[name] if name else None
        session.execute(update(Image).where(Image.id == image_id, Image.state == "READY").values(label_id=label_id))
        return read_image(session, image_id)


def set_tags(sessions: Sessions, image_id: int, tags: Sequence[str]) -> ImageInfo:
    """Give a picture exactly these tags. Raises `Invalid`, `NotFound`."""
    names = clean_tags(tags)
    with sessions() as session, session.begin():
        wanted = set(ensure_words(session, Tag, names).values())
        # The lock makes two writers of one picture's tags take turns.
        locked = select(Image.id).where(Image.id == image_id, Image.state == "READY").with_for_update(key_share=True)
        if not 0 < image_id <= BIGINT_MAX or session.scalar(locked) is None:
            raise no_such_image(image_id)
        present = set(session.scalars(select(ImageTag.tag_id).where(ImageTag.image_id == image_id)))
        if present - wanted:
            session.execute(delete(ImageTag).where(ImageTag.image_id == image_id, ImageTag.tag_id.in_(present - wanted)))
        if wanted - present:
            session.execute(insert(ImageTag), [{"image_id": image_id, "tag_id": tag_id} for tag_id in sorted(wanted - present)])
        return read_image(session, image_id)


def label_history(sessions: Sessions, image_id: int) -> list[LabelChange]:
    """Return every change of a picture's label, newest first."""
    old, new = aliased(Label), aliased(Label)
    query = (
        select(old.name, new.name, func.coalesce(Account.name, LabelEvent.database_user), LabelEvent.changed_at)
        .outerjoin(old, old.id == LabelEvent.old_label_id)
        .outerjoin(new, new.id == LabelEvent.new_label_id)
        .outerjoin(Account, Account.id == LabelEvent.account_id)
        .where(LabelEvent.image_id == image_id)
        .order_by(LabelEvent.id.desc())
    )
    with sessions() as session:
        return [LabelChange(*row) for row in session.execute(query)]
