"""Any order of requests, crashes, faults and upkeep, against a model of what a client may believe: a dictionary of pictures."""

import sys
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from service.accounts.tokens import local_actor
from service.errors import Conflict, ObjectCorrupt, ObjectLost
from service.models.serving import ModelRef, ModelServer
from service.pictures.delete import delete_image, list_trash, restore_image
from service.pictures.labels import set_label
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from storage.base import ObjectNotFound
from tests.factories import add_upload, object_key, one, replace_object, rows, sha256
from tests.faults.invariants import ABSENT, PRESENT, reconcile, violations
from tests.faults.proxy import Fault
from tests.faults.settling import empty, until_quiet
from tests.faults.victim import picture
from tests.faults.world import World

PICTURES = range(4)
WEEK = timedelta(days=7)

numbers = st.sampled_from(PICTURES)
labels = st.sampled_from("abc")
# Where each operation of the victim can be killed.
PLACES = {
    "upload": ["upload.checked", "upload.begun", "upload.stored", "upload.marked", "upload.ready", "heal.begun", "heal.stored"],
    "bulk": ["bulk.begun", "bulk.stored", "bulk.ready"],
    "delete": ["delete.marked", "delete.done"],
    "purge": ["delete.marked", "delete.done"],
    "restore": ["restore.unqueued", "restore.done"],
    "predict": ["predict.read", "predict.scored", "predict.stored"],
    "sweep": ["sweep.abandoned", "sweep.leases", "sweep.picked", "sweep.removed", "sweep.rows_gone", "sweep.done"],
    "fsck": ["fsck.compared", "fsck.confirmed", "fsck.marked", "heal.begun", "heal.stored", "heal.done", "fixity.done"],
}
operations = st.sampled_from([*PLACES, "label"])
crashes = st.sampled_from([(kind, place) for kind, places in PLACES.items() for place in places])
# A store that does not answer costs seconds of waiting.
store_modes = st.sampled_from(["refuse", "cut-up", "cut-down", "cut-up", "cut-down", "late", "mute"])
store_faults = st.builds(Fault, store_modes, st.integers(0, 12_000), st.booleans())
database_modes = st.sampled_from(["refuse", "cut-up", "cut-down"])
database_faults = st.builds(Fault, database_modes, st.integers(0, 12_000), st.booleans())


@dataclass(slots=True)
class Known:
    """What a client knows of one picture. `damage`: its object was harmed, and whether the service has noticed."""

    number: int
    label: str | None
    state: Literal["ready", "trash"] = "ready"
    predicted: bool = False
    damage: Literal["unseen", "noticed"] | None = None

    @property
    def inline(self) -> bool:
        """Whether the picture is its own thumbnail, so that its bytes are in the row too."""
        return self.number % 2 == 1


Pictures = dict[int, Known]


def ready(pictures: Pictures, number: int) -> int | None:
    """Return the id under which these bytes are visible."""
    return next((image_id for image_id, known in pictures.items() if (known.number, known.state) == (number, "ready")), None)


def trashed(pictures: Pictures, number: int) -> int | None:
    """Return the id that the victim would restore: the last deleted one."""
    return max(
        (image_id for image_id, known in pictures.items() if (known.number, known.state) == (number, "trash")), default=None
    )


class Service(RuleBasedStateMachine):
    """Requests go straight to the use cases; what dies or meets a fault is done by the victim, behind the proxies."""

    def __init__(self, world: World) -> None:
        super().__init__()
        empty(world)
        self.world = world
        self.actor = local_actor(world.sessions, "client")
        self.models = ModelServer(world.sessions, world.store)
        self.pictures: Pictures = {}

    @rule(number=numbers, label=labels)
    def upload(self, number: int, label: str) -> None:
        before = ready(self.pictures, number)
        done = add_upload(self.world.sessions, self.world.store, self.actor, picture(number), label=label, tags=["t"])
        assert done.created == (before is None)
        if before is None:
            self.pictures[done.image_id] = Known(number, label)
        else:
            assert done.image_id == before
            if self.pictures[before].damage == "noticed":
                self.pictures[before].damage = None

    @rule(number=numbers, keep=st.booleans())
    def delete(self, number: int, keep: bool) -> None:
        assume((image_id := ready(self.pictures, number)) is not None)
        delete_image(self.world.sessions, image_id, keep=WEEK if keep else timedelta())
        if keep:
            self.pictures[image_id].state = "trash"
        else:
            del self.pictures[image_id]

    @rule(number=numbers)
    def restore(self, number: int) -> None:
        assume((image_id := trashed(self.pictures, number)) is not None)
        if ready(self.pictures, number) is not None:
            with pytest.raises(Conflict):
                restore_image(self.world.sessions, image_id)
        else:
            restore_image(self.world.sessions, image_id)
            self.pictures[image_id].state = "ready"

    @rule(number=numbers, label=labels)
    def label(self, number: int, label: str) -> None:
        assume((image_id := ready(self.pictures, number)) is not None)
        set_label(self.world.sessions, image_id, label, actor=self.actor)
        self.pictures[image_id].label = label

    @rule(number=numbers)
    def predict(self, number: int) -> None:
        assume((image_id := ready(self.pictures, number)) is not None)
        known = self.pictures[image_id]
        if known.damage and not known.inline:
            with pytest.raises((ObjectLost, ObjectCorrupt)):
                self.models.predict_image(image_id, ModelRef(), actor=self.actor)
            known.damage = "noticed"
        else:
            self.models.predict_image(image_id, ModelRef(), actor=self.actor)
            known.predicted = True

    @rule(number=numbers, gone=st.booleans(), same_size=st.booleans())
    def harm(self, number: int, gone: bool, same_size: bool) -> None:
        """Remove or alter an object behind the service's back."""
        assume((image_id := ready(self.pictures, number)) is not None)
        assume(self.pictures[image_id].damage is None)
        key = object_key(self.world.sessions, image_id)
        if gone:
            self.world.store.delete_object(key)
        else:
            replace_object(self.world.store, key, b"x" * (len(picture(number)) if same_size else 7))
        self.pictures[image_id].damage = "unseen"

    @rule()
    def sweep(self) -> None:
        swept = sweep(self.world.sessions, self.world.store)
        assert swept.failed == 0

    @precondition(lambda self: self.pictures)
    @rule()
    def fsck(self) -> None:
        fsck(self.world.sessions, self.world.store, deep=True, repair=True)
        for known in self.pictures.values():
            if known.state == "ready" and known.damage:
                known.damage = None if known.inline else "noticed"

    @rule(crash=crashes, number=numbers, label=labels)
    def crash(self, crash: tuple[str, str], number: int, label: str) -> None:
        """Kill the victim at a place, if its operation leads there."""
        kind, place = crash
        self._let_victim(kind, number, label, f"{place}=kill")

    @rule(kind=operations, number=numbers, label=labels, fault=store_faults)
    def store_fails(self, kind: str, number: int, label: str, fault: Fault) -> None:
        self.world.to_minio.fail(fault)
        self._let_victim(kind, number, label)

    @rule(kind=operations, number=numbers, label=labels, fault=database_faults)
    def database_fails(self, kind: str, number: int, label: str, fault: Fault) -> None:
        self.world.to_postgres.fail(fault)
        self._let_victim(kind, number, label)

    @invariant()
    def what_is_seen_is_what_is_known(self) -> None:
        assert self._seen() == self._expected(self.pictures)

    @invariant()
    def every_sound_picture_has_its_bytes(self) -> None:
        for image_id, known in self.pictures.items():
            if known.damage is None:
                assert self.world.store.get_object(object_key(self.world.sessions, image_id)) == picture(known.number)

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            return  # a rule has failed: what is checked here would only hide that
        before = self._seen()
        assert reconcile(self.world) == []
        assert self._seen() == before
        model = {number: ABSENT if ready(self.pictures, number) is None else PRESENT for number in PICTURES}
        assert list(violations(self.world, model)) == []

    def _let_victim(self, kind: str, number: int, label: str, armed: str = "") -> None:
        asked = sorted({number, (number + 1) % len(PICTURES)}) if kind == "bulk" else [number]
        operation: dict[str, Any] = {"do": kind, "picture": number, "pictures": asked, "label": label, "deep": True}
        _, journal = self.world.run([operation], armed)
        self.world.to_minio.heal()
        self.world.to_postgres.heal()
        until_quiet(self.world)
        assert not [entry for entry in journal if entry.get("status") == 500], journal
        acknowledged = "result" in journal[-1] if journal else False
        self._learn(kind, asked, label, acknowledged=acknowledged)

    def _learn(self, kind: str, asked: Iterable[int], label: str, *, acknowledged: bool) -> None:
        """Bring the model up to what is so now: what was acknowledged has happened, anything else has happened as a whole or not at all."""
        seen = self._seen()
        after = deepcopy(self.pictures)
        for number in asked:
            self._apply(after, seen, kind, number, None if kind == "bulk" else label)
        possible = [after] if acknowledged else [self.pictures, after]
        assert seen in [self._expected(pictures) for pictures in possible], (kind, seen, self.pictures)
        self.pictures = next(pictures for pictures in possible if self._expected(pictures) == seen)
        for image_id, damage in rows(
            self.world.sessions, "SELECT id, damage FROM pixref.image WHERE state IN ('READY', 'DELETING')"
        ):
            known = self.pictures.get(image_id)
            if known is not None:
                assert damage is None or known.damage, f"picture {image_id} is marked {damage}, and nobody harmed it"
                known.damage = None if self._is_sound(image_id, known) else "noticed" if damage else "unseen"

    def _apply(self, pictures: Pictures, seen: dict[str, Any], kind: str, number: int, label: str | None) -> None:
        """Do to the model what an operation of the victim does when it succeeds."""
        image_id = ready(pictures, number)
        if kind in ("upload", "bulk"):
            if image_id is None:
                new = [found for found in seen["visible"] if found not in pictures and self._number(found) == number]
                pictures.update({found: Known(number, label) for found in new})
        elif kind == "restore":
            if image_id is None and (image_id := trashed(pictures, number)) is not None:
                pictures[image_id].state = "ready"
        elif image_id is None:
            return
        elif kind == "delete":
            pictures[image_id].state = "trash"
        elif kind == "purge":
            del pictures[image_id]
        elif kind == "label":
            pictures[image_id].label = label
        elif kind == "predict":
            pictures[image_id].predicted = True

    def _number(self, image_id: int) -> int:
        digest = one(self.world.sessions, "SELECT sha256 FROM pixref.image WHERE id = :id", id=image_id)
        return next(number for number in PICTURES if sha256(picture(number)) == digest)

    def _is_sound(self, image_id: int, known: Known) -> bool:
        try:
            return self.world.store.get_object(object_key(self.world.sessions, image_id)) == picture(known.number)
        except ObjectNotFound:
            return False

    def _seen(self) -> dict[str, Any]:
        """Return what people can see."""
        sessions = self.world.sessions
        return {
            "visible": dict(rows(sessions, "SELECT image_id, label FROM catalog.images")),
            "predicted": {row[0] for row in rows(sessions, "SELECT image_id FROM catalog.predictions")},
            "trash": {image.id for image in list_trash(sessions)},
        }

    @staticmethod
    def _expected(pictures: Pictures) -> dict[str, Any]:
        visible = {image_id: known for image_id, known in pictures.items() if known.state == "ready"}
        return {
            "visible": {image_id: known.label for image_id, known in visible.items()},
            "predicted": {image_id for image_id, known in visible.items() if known.predicted},
            "trash": pictures.keys() - visible.keys(),
        }


@pytest.fixture
def quiet_world(world: World) -> Iterator[World]:
    yield world
    world.to_minio.heal()
    world.to_postgres.heal()


def test_any_order(quiet_world: World) -> None:
    run_state_machine_as_test(
        lambda: Service(quiet_world),
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # A failure is printed as it came: making it smaller would repeat it on the servers for minutes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
