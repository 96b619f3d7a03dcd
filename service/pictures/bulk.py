"""Upload many pictures by the protocol of `service.pictures.upload`, a batch at a time: one transaction, one bulk PUT, one transaction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from schema.base import LEASE
from schema.queries.words import ensure_words
from schema.session import Sessions, constraint_of
from schema.tables import Image, ImageTag, Label, Tag, Thumbnail
from service.accounts.actor import Actor
from service.errors import PixrefError
from service.failpoints import failpoint
from service.pictures.damage import heal
from service.pictures.fetch import MEDIA_TYPE
from service.pictures.upload import READY_ONCE, Description, abandon, give_back, image_row, mark_ready, thumbnail_row
from service.png import PngFacts, PngLimits, inspect
from storage.base import ObjectStore, ObjectUpload, StoreError
from storage.keys import new_image_key

BATCH = 1_000
# A batch has one lease: it must be stored long before that ends, over a slow line too.
BATCH_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that is to be kept."""

    data: bytes
    description: Description


@dataclass(slots=True)
class Loaded:
    """How a bulk upload went: new pictures, those that were here already, and those that were refused, by name and reason."""

    added: int = 0
    present: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class _Checked:
    candidate: Candidate
    facts: PngFacts
    key: str


def _batches(items: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    """Cut into batches of at most `size` pictures and about `BATCH_BYTES` bytes."""
    batch: list[Candidate] = []
    weight = 0
    for item in items:
        batch.append(item)
        weight += len(item.data)
        if len(batch) == size or weight >= BATCH_BYTES:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _check(
    batch: Sequence[Candidate], limits: PngLimits, refuse: Callable[[Candidate, PixrefError], None]
) -> dict[str, _Checked]:
    """Return the batch's pictures by SHA-256, each once; a refused one is reported and left out."""
    checked: dict[str, _Checked] = {}
    for candidate in batch:
        try:
            facts = inspect(candidate.data, limits)
        except PixrefError as exc:
            refuse(candidate, exc)
            continue
        checked.setdefault(facts.sha256, _Checked(candidate, facts, new_image_key(facts.sha256)))
    return checked


def _known(session: Session, checked: dict[str, _Checked]) -> tuple[set[str], dict[int, _Checked]]:
    """Return the digests that are here already, and what those of them are that are damaged, by the picture's id."""
    query = select(Image.sha256, Image.id, Image.damage).where(Image.sha256.in_(list(checked)), Image.state == "READY")
    found = session.execute(query).all()
    return {row.sha256 for row in found}, {row.id: checked[row.sha256] for row in found if row.damage is not None}


def _begin(session: Session, checked: dict[str, _Checked], known: set[str], *, source: str, actor: Actor) -> dict[int, _Checked]:
    """U1 for a batch: PENDING rows for what is not here yet, by id."""
    fresh = [item for sha256, item in checked.items() if sha256 not in known]
    if not fresh:
        return {}
    descriptions = [item.candidate.description for item in fresh]
    label_ids = ensure_words(session, Label, [d.label for d in descriptions if d.label])
    tag_ids = ensure_words(session, Tag, [tag for d in descriptions for tag in d.tags])
    rows = [
        image_row(item.facts, d, key=item.key, label_id=label_ids[d.label] if d.label else None, source=source, actor=actor)
        for item, d in zip(fresh, descriptions, strict=True)
    ]
    ids = session.scalars(insert(Image).returning(Image.id, sort_by_parameter_order=True), rows).all()
    begun = dict(zip(ids, fresh, strict=True))
    session.execute(insert(Thumbnail), [thumbnail_row(item.facts, image_id) for image_id, item in begun.items()])
    links = [
        {"image_id": image_id, "tag_id": tag_ids[tag]}
        for image_id, item in begun.items()
        for tag in item.candidate.description.tags
    ]
    if links:
        session.execute(insert(ImageTag), links)
    return begun


def _finish(sessions: Sessions, begun: dict[int, _Checked]) -> int:
    """U3 for a batch; returns how many are new. Where another upload of the same bytes was faster, picture by picture, so that only that
    one is given up. Raises `UploadInterrupted` when the sweep took some of them while the batch was stored.
    """
    faster: list[int] = []
    try:
        with sessions() as session, session.begin():
            done = mark_ready(session, list(begun))
    except IntegrityError as exc:
        if constraint_of(exc) != READY_ONCE:
            raise
        done = []
        for image_id in begun:
            try:
                with sessions() as session, session.begin():
                    done += mark_ready(session, [image_id])
            except IntegrityError:
                faster.append(image_id)
        abandon(sessions, faster, "another upload of the same bytes was faster")
    taken = set(begun) - set(done) - set(faster)
    if taken:
        raise give_back(sessions, [begun[image_id].key for image_id in taken])
    return len(done)


def upload_many(
    sessions: Sessions,
    store: ObjectStore,
    candidates: Iterable[Candidate],
    *,
    limits: PngLimits,
    source: str,
    actor: Actor,
    refuse: Callable[[Candidate, PixrefError], None],
    progress: Callable[[int], None] = lambda done: None,
    batch_size: int = BATCH,
) -> Loaded:
    """Keep many pictures. Refused ones go to `refuse`, the rest goes on; `progress` gets the number dealt with so far.

    What was done stays done when a store fails in the middle (`StoreError`, database errors); running it again adds the rest.
    """
    total = Loaded()
    dealt = 0

    def count_refused(candidate: Candidate, error: PixrefError) -> None:
        total.refused += 1
        refuse(candidate, error)

    for batch in _batches(candidates, batch_size):
        refused_before = total.refused
        checked = _check(batch, limits, count_refused)
        with sessions() as session, session.begin():
            known, damaged = _known(session, checked)
            begun = _begin(session, checked, known, source=source, actor=actor)
        failpoint("bulk.begun")
        for image_id, item in damaged.items():
            heal(sessions, store, image_id, item.candidate.data, item.facts.sha256)
        try:
            store.put_objects(
                ObjectUpload(item.key, item.candidate.data, item.facts.sha256, MEDIA_TYPE) for item in begun.values()
            )
        except StoreError:
            abandon(sessions, begun, "the store did not take the bytes", delay=LEASE)
            raise
        failpoint("bulk.stored")
        added = _finish(sessions, begun) if begun else 0
        failpoint("bulk.ready")
        total.added += added
        total.present += len(batch) - (total.refused - refused_before) - added
        dealt += len(batch)
        progress(dealt)
    return total
