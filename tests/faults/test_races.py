"""Histories of eight clients that upload, delete, restore, label and predict the same few pictures at once, while sweeps and checks run.

Afterwards the answers must be those of some order of the requests. A picture can be deleted only while it is visible and restored only while it
is not, so what was acknowledged decides what is visible in the end.

`PIXREF_TEST_HISTORIES=2000` runs more of them than the usual 50.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from service import failpoints
from service.accounts.actor import Actor
from service.accounts.tokens import local_actor
from service.faults import translate
from service.models.serving import ModelRef, ModelServer
from service.pictures.delete import delete_image, restore_image
from service.pictures.labels import set_label
from service.pictures.upload import Description, upload_image
from service.png import PngLimits
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from tests.factories import execute, rows, sha256, together
from tests.faults.invariants import IN_DOUBT, reconcile, violations
from tests.faults.settling import empty
from tests.faults.victim import picture
from tests.faults.world import World

HISTORIES = int(os.environ.get("PIXREF_TEST_HISTORIES", "50"))
EACH = 5
CLIENTS = 8
REQUESTS = 6
PICTURES = range(3)
REQUEST_WEIGHTS = {"upload": 10, "delete": 4, "purge": 3, "restore": 5, "label": 3, "predict": 4, "sweep": 3, "fsck": 1}
WEEK = timedelta(days=7)

# What a client may be told while others are at the same picture; anything else is a fault of ours.
EXPECTED = {"ok", "not_found", "conflict", "upload_interrupted"}
# Where the others may get in between: beside every commit and every call of the store.
PLACES = (
    "upload.checked",
    "upload.begun",
    "upload.stored",
    "upload.marked",
    "delete.marked",
    "restore.unqueued",
    "predict.read",
    "predict.scored",
    "sweep.abandoned",
    "sweep.leases",
    "sweep.picked",
    "sweep.removed",
    "fsck.compared",
    "fsck.confirmed",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one client asked for and was told; `image_id` is 0 where the answer names no picture."""

    asked: str
    image_id: int
    told: str
    label: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """One of the clients of a history, with its own chance."""

    world: World
    models: ModelServer
    actor: Actor
    history: int
    chance: random.Random

    def run(self) -> list[Answer]:
        """Send the requests one after the other."""
        kinds, weights = list(REQUEST_WEIGHTS), list(REQUEST_WEIGHTS.values())
        return [self._ask(kind) for kind in self.chance.choices(kinds, weights, k=REQUESTS)]

    def _ask(self, kind: str) -> Answer:
        number = self.chance.choice(PICTURES)
        label = self.chance.choice("abc") if kind == "label" else None
        key = f"history-{self.history}-{number}" if kind == "upload" and self.chance.random() < 0.4 else None
        state = "DELETING" if kind == "restore" else "READY"
        query = "SELECT id FROM pixref.image WHERE sha256 = :sha256 AND state = :state ORDER BY id"
        known = [row[0] for row in rows(self.world.sessions, query, sha256=sha256(picture(number)), state=state)]
        target = self.chance.choice(known) if known else 0
        try:
            if kind == "upload":
                target = self._upload(number, key)
            else:
                self._act(kind, target, label)
        except Exception as exc:
            error = translate(exc)
            return Answer(kind, target, error.code if error else repr(exc), label, key)
        return Answer(kind, target, "ok", label, key)

    def _upload(self, number: int, key: str | None) -> int:
        return upload_image(
            self.world.sessions,
            self.world.store,
            picture(number),
            Description(),
            limits=PngLimits(),
            source="race",
            actor=self.actor,
            idempotency_key=key,
        ).image_id

    def _act(self, kind: str, image_id: int, label: str | None) -> None:
        sessions, store = self.world.sessions, self.world.store
        match kind:
            case "delete" | "purge":
                delete_image(sessions, image_id, keep=WEEK if kind == "delete" else timedelta())
            case "restore":
                restore_image(sessions, image_id)
            case "label":
                set_label(sessions, image_id, label, actor=self.actor)
            case "predict":
                self.models.predict_image(image_id, ModelRef(), actor=self.actor)
            case "sweep":
                if self.chance.random() < 0.3:
                    # As if a client had been away for longer than a lease, and came back.
                    execute(sessions, "UPDATE pixref.image SET lease_until = now() - interval '1 s' WHERE state = 'PENDING'")
                sweep(sessions, store)
            case "fsck":
                fsck(sessions, store, repair=True)


def contradictions(world: World, answers: list[Answer]) -> Iterator[str]:
    """Yield a sentence for every answer that no order of the requests explains."""
    told = [answer for answer in answers if answer.told == "ok"]
    for answer in answers:
        if answer.told not in EXPECTED:
            yield f"{answer} is no answer to expect"
    visible = dict(rows(world.sessions, "SELECT image_id, label FROM catalog.images"))
    predicted = {row[0] for row in rows(world.sessions, "SELECT image_id FROM catalog.predictions")}
    deletes = Counter(answer.image_id for answer in told if answer.asked in ("delete", "purge"))
    restores = Counter(answer.image_id for answer in told if answer.asked == "restore")
    for image_id in {answer.image_id for answer in told if answer.asked == "upload"} | deletes.keys() | visible.keys():
        away = deletes[image_id] - restores[image_id]
        if away not in (0, 1):
            yield f"I6: picture {image_id} was deleted {deletes[image_id]} times and restored {restores[image_id]} times"
        if (away == 0) != (image_id in visible):
            yield f"I1, I6: picture {image_id} is {'' if image_id in visible else 'not '}visible after {away} more deletes than restores"
    for image_id, label in visible.items():
        given = {answer.label for answer in told if answer.asked == "label" and answer.image_id == image_id} or {None}
        if label not in given:
            yield f"picture {image_id} has the label {label}, and was given {given}"
        if image_id not in predicted and any(answer.asked == "predict" and answer.image_id == image_id for answer in told):
            yield f"I10: the prediction of picture {image_id} was acknowledged and is gone"
    # What was purged takes its key along.
    purged = {answer.image_id for answer in told if answer.asked == "purge"}
    for key in {answer.key for answer in told if answer.key}:
        led_to = {answer.image_id for answer in told if answer.key == key} - purged
        if len(led_to) > 1:
            yield f"I8: one Idempotency-Key led to {led_to}"


@pytest.fixture(scope="module")
def models(world: World) -> ModelServer:
    return ModelServer(world.sessions, world.store)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


@pytest.mark.parametrize("first", range(0, HISTORIES, EACH))
def test_racing_clients_are_told_the_truth(world: World, models: ModelServer, first: int) -> None:
    actor = local_actor(world.sessions, "racer")
    told: Counter[tuple[str, str]] = Counter()
    for history in range(first, min(first + EACH, HISTORIES)):
        empty(world)
        chance = random.Random(history)
        failpoints.arm(",".join(f"{name}=sleep:{chance.uniform(0, 0.01):.4f}" for name in chance.sample(PLACES, 4)))
        clients = [Client(world, models, actor, history, random.Random(f"{history} {n}")) for n in range(CLIENTS)]
        answers = [answer for each in together(CLIENTS, lambda n, clients=clients: clients[n].run()) for answer in each]
        failpoints.arm("")
        told.update((answer.asked, answer.told) for answer in answers)
        assert list(contradictions(world, answers)) == [], f"history {history}: {answers}"
        assert reconcile(world) == [], f"history {history}"
        assert list(contradictions(world, answers)) == [], f"history {history}, after the upkeep: {answers}"
        assert list(violations(world, dict.fromkeys(PICTURES, IN_DOUBT))) == [], f"history {history}"
    assert {asked for asked, answer in told if answer == "ok"} >= {"upload", "delete", "predict"}
