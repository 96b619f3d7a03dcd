"""Fixity: read objects back and compare them with what was uploaded, all of them within a month, a few at a time.

Bytes that nobody reads can rot unseen for years; the damage is found while the uploader may still have the file.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
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

    def health(self, store: ObjectStore) -> Health:
        """Read it. Raises `StoreError`."""
        return health_of(store, self.key, self.sha256, self.byte_size)


@dataclass(slots=True)
class Verified:
    """What a verification found, and did: how many were sound, marked or cleared, and healed from their rows.

    `pictures` has the id and the health of each that is damaged, or was marked so and is sound.
    """

    sound: int = 0
    marked: int = 0
    healed: int = 0
    pictures: list[tuple[int, Health]] = field(default_factory=list)

    def count(self, health: Health) -> int:
        """Return how many of `pictures` are in this health."""
        return sum(found == health for _, found in self.pictures)

    def add(self, other: "Verified") -> None:
        """Count what another verification found too."""
        self.sound += other.sound
        self.marked += other.marked
        self.healed += other.healed
        self.pictures += other.pictures


def health_of(store: ObjectStore, key: str, sha256: str, byte_size: int) -> Health:
    """Read an object to its end, in pieces. Raises `StoreError` where the store does not say: unknown is not lost."""
    digest = hashlib.sha256()
    try:
        with store.open_object(key) as stream:
            if stream.size != byte_size:
                return "corrupt"
            for chunk in stream.chunks:
                digest.update(chunk)
    except ObjectNotFound:
        return "lost"
    return "sound" if digest.hexdigest() == sha256 else "corrupt"


def settle(sessions: Sessions, store: ObjectStore, target: Target, health: Health, found: Verified) -> bool:
    """Write down what an object is, and heal its picture from the row where that is possible; `found` counts both.

    False for a picture that was deleted, or healed, since it was listed: what was read says nothing about it any more.
    """
    if health != (target.damage or "sound"):
        if health == "sound":
            changed = clear_damage(sessions, target.image_id, target.key)
        else:
            changed = mark_damaged(sessions, target.image_id, target.key, health)
        failpoint("fixity.marked")
        if not changed:
            return False
        found.marked += 1
    if health != "sound":
        found.healed += heal_from_row(sessions, store, target.image_id)
    return True


def verify(sessions: Sessions, store: ObjectStore, targets: Sequence[Target], *, repair: bool = True) -> Verified:
    """Read these objects, several at once, and with `repair` write down what they are, and when. Raises `StoreError`."""
    found = Verified()
    with ThreadPoolExecutor(READERS, thread_name_prefix="fixity") as pool:
        for target, health in zip(targets, pool.map(lambda target: target.health(store), targets), strict=True):
            if repair and not settle(sessions, store, target, health, found):
                continue
            found.sound += health == "sound"
            if health != "sound" or target.damage is not None:
                found.pictures.append((target.image_id, health))
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
    if found.pictures:
        log.error("pictures are damaged, or were", extra=asdict(found))
    return found
