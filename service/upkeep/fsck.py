"""Compare rows and bucket, object by object: what is missing, what is the wrong size, what nobody names. `deep` reads every byte as well.

Rows and listing are walked side by side in the order of the keys, so memory does not grow with the store, and what differs is looked at again
before it is believed: uploads, deletions and other checks may go on all the while. Nothing is changed unless `repair` is asked for; then

- a picture whose object is gone or altered is marked `lost` or `corrupt`, and healed at once where it is its own thumbnail; one whose object is
  sound again is cleared; so is a model version with its two files, but only registering its file again heals it;
- an object that no row names, and that is older than an hour, is put into the outbox with a week's delay: quarantine;
- but not where that would concern more than 1 % of the store and more than 100 pictures or objects. So many do not go astray by themselves: the
  bucket is the wrong one, or the database was restored from a backup. `force` says that it is meant.
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from schema.queries.references import NamedObject, named_objects, overdue, unnamed
from schema.session import Sessions
from schema.tables import ObjectDeletion
from service.failpoints import failpoint
from service.pictures.fetch import references
from service.upkeep.fixity import Health, Target, Verified, all_targets, settle, verify
from service.upkeep.model_files import VersionsVerified, verify_versions, version_targets
from storage.base import ObjectInfo, ObjectStore

# An object may be there before its row is seen, for as long as an upload can take; nobody is as slow as this.
GRACE = timedelta(hours=1)
QUARANTINE = timedelta(days=7)
# How much may look astray before nothing is done about it.
RATIO = 0.01
AT_LEAST = 100
BATCH = 500
EXAMPLES = 10
# States of pictures and model versions whose objects have to be there.
_AT_REST = frozenset({"READY", "RETIRED"})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Finding:
    """How many of one kind, and the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(what)


@dataclass(slots=True)
class Report:
    """What a check found, and what it did. `refused` says why a repair was not made."""

    objects: int = 0
    rows: int = 0
    lost: Finding = field(default_factory=Finding)
    corrupt: Finding = field(default_factory=Finding)
    mended: Finding = field(default_factory=Finding)
    astray: Finding = field(default_factory=Finding)
    models: Finding = field(default_factory=Finding)
    leases_overdue: int = 0
    removals_overdue: int = 0
    verified: int = 0
    marked: int = 0
    healed: int = 0
    quarantined: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether rows and bucket agree."""
        found = (self.lost, self.corrupt, self.mended, self.astray, self.models)
        return (
            not any(each.count for each in found) and not self.leases_overdue and not self.removals_overdue and not self.refused
        )

    def finding(self, health: Health) -> Finding:
        """Return where pictures in this health are counted."""
        return {"lost": self.lost, "corrupt": self.corrupt, "sound": self.mended}[health]

    def learn(self, verified: Verified) -> None:
        """Count what was read, and what was done about it."""
        self.marked += verified.marked
        self.healed += verified.healed
        for image_id, health in verified.pictures:
            self.finding(health).add(f"picture {image_id}")

    def learn_versions(self, verified: VersionsVerified) -> None:
        """Count what was read of models, and what was done about it."""
        self.marked += verified.marked
        for name, health in verified.versions:
            self.models.add(f"{name}: {health}")

    def to_json(self) -> dict[str, Any]:
        """Return all of it, as JSON values."""
        return {"clean": self.clean, **asdict(self)}


@dataclass(slots=True)
class _Suspects:
    """What the comparison cannot explain."""

    missing: list[NamedObject] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    sizes: list[NamedObject] = field(default_factory=list)
    found_again: list[NamedObject] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)


def side_by_side(
    rows: Iterable[NamedObject], objects: Iterable[ObjectInfo]
) -> Iterator[tuple[NamedObject | None, ObjectInfo | None]]:
    """Pair rows and objects by key; both come in the order of their keys' bytes, and None stands for what is missing."""
    rows, objects = iter(rows), iter(objects)
    row, found = next(rows, None), next(objects, None)
    while row is not None or found is not None:
        if found is None or (row is not None and row.key < found.key):
            yield row, None
            row = next(rows, None)
        elif row is None or found.key < row.key:
            yield None, found
            found = next(objects, None)
        else:
            yield row, found
            row, found = next(rows, None), next(objects, None)


def _compare(sessions: Sessions, store: ObjectStore, report: Report, *, grace: timedelta) -> _Suspects:
    suspects = _Suspects()
    old = datetime.now(UTC) - grace
    with sessions() as session:
        # The snapshot is taken before the listing begins: what it calls visible has its object already.
        for row, found in side_by_side(named_objects(session), store.list_objects()):
            report.rows += row is not None
            report.objects += found is not None
            if row is None:
                assert found is not None
                if found.last_modified < old:
                    suspects.astray.append(found.key)
            elif row.state not in _AT_REST:
                continue  # an upload or removal under way
            elif row.kind == "model":
                if found is None or row.byte_size != found.size or row.damage is not None:
                    suspects.versions.add(row.row_id)
            elif found is None:
                suspects.missing.append(row)
            elif row.byte_size != found.size:
                suspects.sizes.append(row)
            elif row.damage is not None:
                suspects.found_again.append(row)
    failpoint("fsck.compared")
    return suspects


def _look_again(
    sessions: Sessions, store: ObjectStore, rows: Iterable[NamedObject], report: Report
) -> list[tuple[Target, Health]]:
    """Read what looked damaged, and return what it is."""
    confirmed: list[tuple[Target, Health]] = []
    for row in rows:
        with sessions() as session:
            reference = references(session.connection(), [row.row_id], with_bytes=False).get(row.row_id)
        if reference is None or reference.object_key != row.key:
            continue  # deleted, or healed, in the meantime
        target = Target(row.row_id, row.key, reference.sha256, reference.byte_size, reference.damage)
        health = target.health(store)
        if health != "sound" or target.damage is not None:
            report.finding(health).add(f"picture {row.row_id}")
            confirmed.append((target, health))
    failpoint("fsck.confirmed")
    return confirmed


def _too_many(count: int, total: int) -> bool:
    return count > max(AT_LEAST, RATIO * total)


def _quarantine(sessions: Sessions, keys: list[str]) -> int:
    quarantined = 0
    for start in range(0, len(keys), BATCH):
        with sessions() as session, session.begin():
            rows = [
                {"object_key": key, "reason": "no row names it", "due_at": func.now() + QUARANTINE}
                for key in unnamed(session, keys[start : start + BATCH])
            ]
            if rows:
                session.execute(insert(ObjectDeletion).values(rows).on_conflict_do_nothing())
            failpoint("fsck.quarantining")
        quarantined += len(rows)
        failpoint("fsck.quarantined")
    return quarantined


def fsck(
    sessions: Sessions,
    store: ObjectStore,
    *,
    deep: bool = False,
    repair: bool = False,
    force: bool = False,
    grace: timedelta = GRACE,
) -> Report:
    """Check rows against bucket, and with `deep` every byte. Raises `StoreError` where the store does not answer: nothing is marked then."""
    report = Report()
    confirmed: list[tuple[Target, Health]] = []
    suspects = _compare(sessions, store, report, grace=grace)
    with sessions() as session:
        report.leases_overdue, report.removals_overdue = overdue(session)
        astray = [
            key
            for start in range(0, len(suspects.astray), BATCH)
            for key in unnamed(session, suspects.astray[start : start + BATCH])
        ]
    for key in astray:
        report.astray.add(key)
    missing = len(suspects.missing)
    if _too_many(missing, report.rows) and not force:
        report.lost.count = missing
        report.refused.append(
            f"{missing} of {report.rows} rows have no object: is this the right bucket? Nothing is marked; --force marks them"
        )
    else:
        confirmed = _look_again(sessions, store, [*suspects.missing, *suspects.sizes, *suspects.found_again], report)
        for target, health in confirmed if repair else ():
            done = Verified()
            settle(sessions, store, target, health, done)
            report.learn(done)
            failpoint("fsck.marked")
        # A version is read whole where one of its files looks damaged, and with `deep` each is.
        versions = version_targets(sessions, among=None if deep else suspects.versions)
        report.learn_versions(verify_versions(sessions, store, versions, repair=repair))
    if repair and astray:
        if _too_many(len(astray), report.objects) and not force:
            report.refused.append(
                f"{len(astray)} of {report.objects} objects are named by no row: was the database restored? Nothing is quarantined; "
                "--force puts them into quarantine"
            )
        else:
            report.quarantined = _quarantine(sessions, astray)
    if deep and not report.refused:
        _read_all(sessions, store, report, {target.image_id for target, _ in confirmed}, repair=repair)
    failpoint("fsck.done")
    log.info("checked", extra={"report": report.to_json()})
    return report


def _read_all(sessions: Sessions, store: ObjectStore, report: Report, seen: Collection[int], *, repair: bool) -> None:
    """Verify every picture but those that the comparison has read already."""
    for batch in all_targets(sessions):
        report.verified += len(batch)
        report.learn(verify(sessions, store, [target for target in batch if target.image_id not in seen], repair=repair))
