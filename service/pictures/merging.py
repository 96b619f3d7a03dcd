"""Merge a label or tag into another: everything that has the one has the other from then on."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, any_, delete, exists, func, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.session import Sessions
from schema.tables import Image, ImageTag, Model, ModelClass, ModelVersion, Prediction
from service.accounts.actor import Actor
from service.errors import Conflict
from service.pictures.bulk_changes import BATCH, allow_time, ids_array, in_batches, set_labels
from service.pictures.labels import name_actor
from service.pictures.search import BIGINT_MAX
from service.pictures.words import Kind, WordInfo, read_word


@dataclass(frozen=True, slots=True)
class Merged:
    """The word that is left, and how many pictures (in the trash, too) and predictions were changed."""

    word: WordInfo
    images: int
    predictions: int


def merge_words(sessions: Sessions, kind: Kind, word_id: int, into_id: int, *, actor: Actor) -> Merged:
    """Make one word a synonym of another, in one transaction. Repeated, it changes nothing.

    Pictures get the other word, which for labels is an entry of their history by whoever merges; earlier entries keep the name that was meant.
    Predictions and classes of models follow. Raises `NotFound`, and `Conflict` where there is nothing to merge
    into or one version of a model has both as classes.
    """
    if word_id == into_id:
        raise Conflict(f"a {kind.value} cannot be merged into itself", field="into")
    table = kind.table
    with sessions() as session, session.begin():
        allow_time(session)
        # Nobody who writes a label or tag comes between (`schema.queries.words`).
        pair = select(table.id, table.merged_into_id).where(table.id.in_([min(word_id, BIGINT_MAX), into_id]))
        became = {row.id: row.merged_into_id for row in session.execute(pair.order_by(table.name).with_for_update())}
        if into_id not in became or became[into_id] is not None:
            gone = f", it was merged into {became[into_id]}" if became.get(into_id) else ""
            raise Conflict(f"into: there is no {kind.value} {into_id}{gone}", field="into")
        if became.get(word_id) == into_id:
            return Merged(read_word(session, kind, into_id), 0, 0)
        read_word(session, kind, word_id)
        if kind is Kind.LABEL:
            _refuse_both_classes(session, word_id, into_id)
            name_actor(session, actor)
            images = _merge_labels(session, word_id, into_id)
            predictions = _merge_predictions(session, word_id, into_id)
        else:
            images, predictions = _merge_tags(session, word_id, into_id), 0
        mine = (table.id == word_id) | (table.merged_into_id == word_id)
        session.execute(update(table).where(mine).values(merged_into_id=into_id))
        return Merged(read_word(session, kind, into_id), images, predictions)


def _refuse_both_classes(session: Session, word_id: int, into_id: int) -> None:
    both = (
        select(Model.name, ModelVersion.number)
        .join(ModelVersion, ModelVersion.model_id == Model.id)
        .join(ModelClass, ModelClass.model_version_id == ModelVersion.id)
        .where(ModelClass.label_id.in_([word_id, into_id]))
        .group_by(Model.name, ModelVersion.number)
        .having(func.count() > 1)
        .order_by(Model.name, ModelVersion.number)
    )
    if (version := session.execute(both.limit(1)).one_or_none()) is not None:
        raise Conflict(
            f"model {version.name} version {version.number} tells the two labels apart, as classes of its own: "
            "relabel the pictures instead (POST /api/v1/images/label with the filter label)"
        )


def _merge_labels(session: Session, word_id: int, into_id: int) -> int:
    pictures = select(Image.id).where(Image.label_id == word_id)
    return in_batches(session, pictures, true(), lambda ids: set_labels(session, ids, into_id))


def _merge_predictions(session: Session, word_id: int, into_id: int) -> int:
    versions = session.scalars(
        update(ModelClass).where(ModelClass.label_id == word_id).values(label_id=into_id).returning(ModelClass.model_version_id)
    ).all()
    changed = 0
    batch = (
        select(Prediction.id)
        .where(Prediction.model_version_id == any_(ids_array(versions)), Prediction.label_id == word_id)
        .order_by(Prediction.image_id)
        .limit(BATCH)
    )
    while ids := session.scalars(batch).all():
        session.execute(
            # Once more, because a row may have been predicted anew while we waited for it.
            update(Prediction)
            .where(Prediction.id == any_(ids_array(ids)), Prediction.label_id == word_id)
            .values(label_id=into_id),
            execution_options={"synchronize_session": False},
        )
        changed += len(ids)
    return changed


def _merge_tags(session: Session, word_id: int, into_id: int) -> int:
    having = exists().where(ImageTag.image_id == Image.id, ImageTag.tag_id == word_id)

    def change(image_ids: list[int]) -> None:
        # Only those that still have it, now that they are locked.
        still = (ImageTag.image_id == any_(ids_array(image_ids)), ImageTag.tag_id == word_id)
        pairs = select(ImageTag.image_id, literal(into_id, BigInteger)).where(*still)
        session.execute(insert(ImageTag).from_select(["image_id", "tag_id"], pairs).on_conflict_do_nothing())
        session.execute(delete(ImageTag).where(*still))

    return in_batches(session, select(Image.id).where(having), true(), change)
