"""What must hold after any fault once it is mended and the upkeep has run: invariants I1 to I14 of docs/reliability.md."""

from collections.abc import Iterator, Mapping, Set
from datetime import timedelta

from service.errors import PixrefError
from service.pictures.fetch import get_thumbnail, read_bytes, reference
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from storage.base import ObjectStore
from storage.keys import PROBE
from tests.factories import execute, one, rows, sha256
from tests.faults.settling import NAMED
from tests.faults.victim import picture
from tests.faults.world import World

# What the model of a picture says: surely visible, surely not, or either because the answer was never seen.
PRESENT, ABSENT, IN_DOUBT = "present", "absent", "in doubt"

_VISIBLE = "SELECT id, sha256, object_key, byte_size, damage FROM pixref.image WHERE state = 'READY' ORDER BY id"
_VERSIONS = """
    SELECT id, damage, artifact_key, artifact_size, litert_key, litert_size FROM pixref.model_version WHERE state <> 'PENDING' ORDER BY id
"""
NO_GRACE = timedelta(minutes=-1)


def reconcile(world: World) -> list[str]:
    """Let the time pass after which leases end, and run the upkeep; the trash keeps what it has.

    Returns a sentence where an object was left for fsck to find: only what no row has ever named may be.
    """
    sessions, store = world.sessions, world.store
    execute(sessions, "UPDATE pixref.image SET lease_until = now() - interval '1 s' WHERE state = 'PENDING'")
    execute(sessions, "UPDATE pixref.model_version SET created_at = now() - interval '1 h' WHERE state = 'PENDING'")
    execute(sessions, "UPDATE pixref.direct_upload SET lease_until = now() - interval '1 s'")
    _soon(world)
    sweep(sessions, store)
    _soon(world)
    sweep(sessions, store)
    report = fsck(sessions, store, deep=True, repair=True, force=True, grace=NO_GRACE)
    # What fsck has put into quarantine goes now, as it would in a week.
    _soon(world, "reason = 'no row names it'")
    sweep(sessions, store)
    return [f"I3: the sweep has left {key}" for key in report.astray.examples if not key.startswith(PROBE)]


def _soon(world: World, which: str = "due_at < now() + interval '1 hour'") -> None:
    execute(world.sessions, f"UPDATE pixref.object_deletion SET due_at = now() - interval '1 s' WHERE {which}")


def dangling(world: World, harmed: Set[str]) -> Iterator[str]:
    """Yield a sentence for every visible picture and model whose object is not there, or marked as damaged, though nobody harmed it: at any time."""
    for image_id, _, key, size, damage in rows(world.sessions, _VISIBLE):
        found = world.store.stat_object(key)
        if key not in harmed and (damage is not None or found is None or found.size != size):
            yield f"I2: picture {image_id} is ready, marked {damage}, and its object is {found}"
    for version_id, damage, *files in rows(world.sessions, _VERSIONS):
        keys, sizes = files[0::2], files[1::2]
        if harmed.isdisjoint(keys):
            stored = [world.store.stat_object(key) for key in keys]
            if damage is not None or [info and info.size for info in stored] != sizes:
                yield f"I2: model version {version_id} is marked {damage}, and its objects are {stored}"


def violations(world: World, model: Mapping[int, str]) -> Iterator[str]:
    """Yield a sentence for every invariant that does not hold."""
    sessions, store = world.sessions, world.store
    visible = {row[1]: row for row in rows(sessions, _VISIBLE)}
    for number, expected in model.items():
        found = visible.get(sha256(picture(number)))
        if expected == PRESENT and found is None:
            yield f"I1: picture {number} was acknowledged and is gone"
        if expected == ABSENT and found is not None:
            yield f"I6: picture {number} was deleted, or never acknowledged as kept, and is visible"
    for image_id, digest, _, _, damage in visible.values():
        yield from _sound(world, image_id, digest, damage)
    yield from _objects(world, store)
    doomed = "SELECT count(*) FROM pixref.object_deletion JOIN pixref.image USING (object_key) WHERE state = 'READY'"
    if one(sessions, doomed):
        yield "I2: the outbox names the object of a visible picture"
    if pending := one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'PENDING'"):
        yield f"I4: {pending} uploads are still pending"
    if begun := one(sessions, "SELECT count(*) FROM pixref.direct_upload"):
        yield f"I4: {begun} direct uploads are still open"
    if registering := one(sessions, "SELECT count(*) FROM pixref.model_version WHERE state = 'PENDING'"):
        yield f"I4: {registering} registrations are still pending"
    shown = {row[0] for row in rows(sessions, "SELECT image_id FROM catalog.images")}
    if shown != {row[0] for row in visible.values()}:
        yield "I5: the catalogue shows other pictures than those that are ready"
    twice = "SELECT image_id FROM pixref.prediction GROUP BY image_id, model_version_id HAVING count(*) > 1"
    if rows(sessions, twice):
        yield "I10: a picture has two predictions by one version"
    champions = "SELECT count(*) FROM pixref.model_alias WHERE alias = 'champion'"
    if one(sessions, champions) != 1:
        yield "I11: there is not exactly one champion"
    again = sweep(sessions, store)
    if again.abandoned or again.deleted or again.failed:
        yield f"I12: a second sweep found something to do: {again}"
    report = fsck(sessions, store, repair=True, force=True, grace=NO_GRACE)
    if report.marked or report.healed or report.quarantined or report.astray.count:
        yield f"I12: a second check found something to do: {report}"
    for path, count in world.to_minio.puts.items():
        if b"/images/" in path and count > 2:  # one retry of the same attempt is allowed
            yield f"I14: {path.decode()} was put {count} times"


def _sound(world: World, image_id: int, digest: str, damage: str | None) -> Iterator[str]:
    try:
        found_thumbnail = get_thumbnail(world.sessions, image_id)
        if not found_thumbnail.data:
            yield f"I9: picture {image_id} has an empty thumbnail"
        data = read_bytes(world.store, reference(world.sessions, image_id))
    except PixrefError as exc:
        if damage is None:
            yield f"I1: picture {image_id} cannot be read: {exc.detail}"
    else:
        if sha256(data) != digest:
            yield f"I1: picture {image_id} came back with other bytes"


def _objects(world: World, store: ObjectStore) -> Iterator[str]:
    named = {row[0] for row in rows(world.sessions, NAMED)}
    for info in store.list_objects():
        if info.key not in named and not info.key.startswith("probe/"):
            yield f"I3: no row names the object {info.key}"
