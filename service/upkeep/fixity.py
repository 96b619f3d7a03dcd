"""Fixity: read objects back and compare them with what was uploaded, all of them within a month, a few at a time.

Bytes that nobody reads can rot unseen for years; the damage is found while the uploader may still have the file.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import any_, bindparam, func, select, update
from sqlalchemy.types import ARRAY, BigInteger

from schema.session import Sessions
from schema.tables import Image
from service.failpoints import failpoint
from service.pictures.damage import clear_damage, heal_from_row, mark_damaged
from storage.base import ObjectNotFound, ObjectStore

WHOLE_STORE_WITHIN = timedelta(days=30)
# How often the worker verifies; each time it takes the share that is due, and never less than this.
RUNS_A_DAY = 24
LEAST_A_RUN = 100
READERS = 8
BATCH = 500

log = logging.getLogger(__name__)

Health = Literal["sound", "lost", "corrupt"]


@dataclass(frozen=True, slots=True)
class Target:
    """An object with what it must be. `damage` is what is known already."""

    image_id: int
    key: str
    sha256: str
    byte_size: int
    damage: str | None


@dataclass(slots=True)
class Verified:
    """What a verification found. `mended`: marked as damaged, and sound; `healed`: damaged, and brought back from the row."""

    sound: int = 0
    lost: int = 0
    corrupt: int = 0
    mended: int = 0
    healed: int = 0

    def add(self, other: "Verified") -> None:
        """Count what another verification found too."""
        for name in ("sound", "lost", "corrupt", "mended", "healed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def health_of(store: ObjectStore, target: Target) -> Health:
    """Read an object to its end, in pieces. Raises `StoreError` where the store does not say: unknown is not lost."""
    digest = hashlib.sha256()
    try:
        with store.open_object(target.key) as stream:
            if stream.size != target.byte_size:
                return "corrupt"
            for chunk in stream.chunks:
                digest.update(chunk)
    except ObjectNotFound:
        return "lost"
    return "sound" if digest.hexdigest() == target.sha256 else "corrupt"


def verify(sessions: Sessions, store: ObjectStore, targets: Sequence[Target], *, repair: bool = True) -> Verified:
    """Verify these objects, several at once, and write down what was found: damage, its end, and when. Raises `StoreError`."""
    found = Verified()
    with ThreadPoolExecutor(READERS, thread_name_prefix="fixity") as pool:
        for target, health in zip(targets, pool.map(lambda target: health_of(store, target), targets), strict=True):
            if health == "sound":
                found.sound += 1
                if target.damage is not None and (not repair or clear_damage(sessions, target.image_id, target.key)):
                    found.mended += 1
            # A picture that was deleted, or healed, since it was listed is not damaged.
            elif target.damage == health or not repair or mark_damaged(sessions, target.image_id, target.key, health):
                found.lost += health == "lost"
                found.corrupt += health == "corrupt"
                failpoint("fixity.marked")
                found.healed += repair and heal_from_row(sessions, store, target.image_id)
    if repair:
        with sessions() as session, session.begin():
            session.execute(
                update(Image)
                .where(Image.id == any_(bindparam("ids", type_=ARRAY(BigInteger))), Image.state == "READY")
                .values(verified_at=func.now()),
                {"ids": [target.image_id for target in targets]},
            )
    failpoint("fixity.done")
    return found


def _targets(sessions: Sessions, *, limit: int, after: int | None = None, older_than: timedelta | None = None) -> list[Target]:
    query = (
        select(Image.id, Image.object_key, Image.sha256, Image.byte_size, Image.damage).where(Image.state == "READY").limit(limit)
    )
    if older_than is not None:
        query = query.where(Image.verified_at < func.now() - older_than).order_by(Image.verified_at, Image.id)
    else:
        query = query.where(Image.id > (after or 0)).order_by(Image.id)
    with sessions() as session:
        return [Target(*row) for row in session.execute(query)]


def all_targets(sessions: Sessions) -> Iterator[list[Target]]:
    """Walk over all visible pictures, in batches."""
    after = 0
    while batch := _targets(sessions, limit=BATCH, after=after):
        after = batch[-1].image_id
        yield batch


def verify_due(sessions: Sessions, store: ObjectStore) -> Verified:
    """Verify what has not been read for a month, at most this run's share of the whole store. Raises `StoreError`."""
    with sessions() as session:
        total = session.scalar(select(func.count()).select_from(Image).where(Image.state == "READY")) or 0
    share = max(LEAST_A_RUN, 2 * total // (WHOLE_STORE_WITHIN.days * RUNS_A_DAY))
    found = Verified()
    while share > 0 and (batch := _targets(sessions, limit=min(share, BATCH), older_than=WHOLE_STORE_WITHIN)):
        done = verify(sessions, store, batch)
        found.add(done)
        share -= len(batch)
    if found.lost or found.corrupt:
        log.error("pictures are damaged", extra=asdict(found))
    return found
