"""Break something in the middle of something, mend it, let the upkeep run, and look whether anything was lost: as often as asked."""

import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

from service.settings import PROJECT_DIR
from service.upkeep.fsck import fsck
from tests.factories import replace_object, rows, sha256
from tests.faults.invariants import ABSENT, IN_DOUBT, PRESENT, dangling, reconcile, violations
from tests.faults.proxy import Fault, Mode
from tests.faults.settling import until_quiet
from tests.faults.victim import HUNG, picture
from tests.faults.world import World, running_world

PICTURES = range(10)
Operation = dict[str, Any]


def failpoints() -> list[str]:
    """Return the names of all places in the code where it can be killed."""
    found: set[str] = set()
    for file in (PROJECT_DIR / "service").rglob("*.py"):
        found.update(re.findall(r'failpoint\("([a-z_.]+)"\)', file.read_text()))
    return sorted(found)


# The operations that lead past a failpoint, by the first part of its name.
_LEADS_TO: dict[str, tuple[str, ...]] = {
    "upload": ("upload",),
    "delete": ("delete", "purge"),
    "restore": ("restore",),
    "sweep": ("sweep",),
    "bulk": ("bulk",),
    "direct": ("direct",),
    "register": ("register",),
    "predict": ("predict",),
    "fsck": ("fsck",),
    "fixity": ("fsck",),
    "heal": ("fsck", "upload"),
    "heal_model": ("register again",),
}


# How often each is chosen.
_OPERATIONS = {
    "upload": 30,
    "direct": 6,
    "bulk": 6,
    "upload nonsense": 3,
    "delete": 12,
    "purge": 5,
    "restore": 8,
    "label": 8,
    "predict": 8,
    "register": 1,
    "register again": 2,
    "sweep": 8,
    "fsck": 5,
    "verify": 2,
}
# And each fault. Crashing a server takes a second, killing our own process a few milliseconds.
_FAULTS = {
    "kill": 40,
    "store cut": 13,
    "store refuses": 4,
    "store silent": 2,
    "store mute": 2,
    "store late": 2,
    "store slow": 1,
    "database cut": 12,
    "database refuses": 3,
    "database slow": 1,
    "object gone": 6,
    "object altered": 6,
    "store emptied": 1,
    "store read-only": 3,
    "model gone": 2,
    "model altered": 2,
    "postgres crashes": 0.5,
    "minio is killed": 0.5,
    "none": 4,
}
_KEEP = ("upload", "direct", "bulk")

_NAMED = """
    SELECT object_key, byte_size, damage FROM pixref.image
    UNION SELECT artifact_key, artifact_size, damage FROM pixref.model_version
    UNION SELECT litert_key, litert_size, damage FROM pixref.model_version
"""

_COUNTS = ("operations", "faults", "kills", "answers")


@dataclass(slots=True)
class Tally:
    """What was done, and what it broke."""

    seed: int
    injections: int = 0
    killed: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another run did, too."""
        self.injections += other.injections
        self.killed += other.killed
        self.violations += other.violations
        for name in _COUNTS:
            getattr(self, name).update(getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        """Return everything, as JSON values."""
        counts = {name: dict(sorted(getattr(self, name).items())) for name in _COUNTS}
        return {"seed": self.seed, "injections": self.injections, "killed": self.killed, **counts, "violations": self.violations}


class Injector:
    """Runs injections one after the other on the same rows and objects. `model` is what must be true of each picture."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._names = [name for name in failpoints() if name.partition(".")[0] in _LEADS_TO]
        self._keys = 0
        self._timer: Timer | None = None
        # What an earlier run on the same servers has harmed is none of ours; nobody has noticed yet what is in the trash.
        stored = {info.key: info.size for info in world.store.list_objects()}
        self._harmed = {str(key) for key, size, damage in rows(world.sessions, _NAMED) if damage or stored.get(key) != size}
        self.model: dict[int, str] = dict.fromkeys(PICTURES, IN_DOUBT)
        self.tally = Tally(seed)
        self._settle()

    def run(self, count: int) -> Tally:
        """Run `count` injections and return what they did."""
        for _ in range(count):
            self._inject()
        return self.tally

    def _inject(self) -> None:
        fault = self._choose_fault()
        armed = ""
        if fault == "kill":
            name = self._random.choice(self._names)
            armed = f"{name}=kill"
            kind = self._random.choice(_LEADS_TO[name.partition(".")[0]])
            operations = [*self._operations(self._random.randint(0, 2)), self._suited(kind)]
            if name.startswith("heal."):
                self._damage(size=True)
            elif name.startswith("heal_model."):
                self._damage_model(gone=True)
                fsck(self._world.sessions, self._world.store, repair=True)
            elif name == "upload.abandoning":
                self._break("store refuses")
        else:
            operations = self._operations(self._random.randint(2, 4))
            self._break(fault)
        status, journal = self._world.run(operations, armed)
        if self._timer is not None:
            # On a busy machine it may be late, and must not meet the server that is started again.
            self._timer.join()
            self._timer = None
        self._world.to_minio.heal()
        self._world.to_postgres.heal()
        self._world.may_write = True
        if fault == "postgres crashes":
            self._world.crash_postgres()
        elif fault == "minio is killed":
            self._world.kill_minio()
        until_quiet(self._world)
        self.tally.injections += 1
        self.tally.faults[fault] += 1
        if status == HUNG:
            self.tally.violations.append(f"{fault}: {operations[-1]} did not end: {journal[-1:]}")
        elif status < 0:
            self.tally.killed += 1
            if armed:
                self.tally.kills[armed.partition("=")[0]] += 1
        self._believe(operations, journal, fault)
        self._settle()

    def _choose_fault(self) -> str:
        return self._random.choices(list(_FAULTS), list(_FAULTS.values()))[0]

    def _break(self, fault: str) -> None:
        world = self._world
        direction: Mode = self._random.choice(["cut-up", "cut-down"])
        after, once = self._random.randint(0, 12_000), self._random.random() < 0.5
        match fault:
            case "store cut":
                world.to_minio.fail(Fault(direction, after, once))
            case "database cut":
                world.to_postgres.fail(Fault(direction, after, once))
            case "store silent":
                world.to_minio.fail(Fault("silent", after))
            case "store mute":
                world.to_minio.fail(Fault("mute", after))
            case "store late":
                world.to_minio.fail(Fault("late", after))
            case "store slow":
                world.to_minio.fail(Fault("slow", 1_000 + 5 * after))
            case "store refuses":
                world.to_minio.fail(Fault("refuse"))
            case "database slow":
                world.to_postgres.fail(Fault("slow", 10_000 + 10 * after))
            case "database refuses":
                world.to_postgres.fail(Fault("refuse"))
            case "object gone" | "object altered":
                self._damage(size=self._random.random() < 0.5, gone=fault == "object gone")
            case "store read-only":
                world.may_write = False
            case "store emptied":
                doomed = [info.key for info in world.store.list_objects()]
                self._harmed.update(doomed)
                world.store.delete_objects(doomed)
            case "model gone" | "model altered":
                self._damage_model(gone=fault == "model gone")
            case "postgres crashes":
                self._later(world.postgres.kill)
            case "minio is killed":
                self._later(world.minio.kill)

    def _later(self, kill: Callable[[], None]) -> None:
        self._timer = Timer(self._random.uniform(0, 0.1), kill)
        self._timer.start()

    def _damage(self, *, size: bool, gone: bool = False) -> None:
        """Remove or alter the object of one visible picture behind the service's back."""
        visible = rows(self._world.sessions, "SELECT object_key FROM pixref.image WHERE state = 'READY' ORDER BY id")
        if not visible:
            return
        (key,) = self._random.choice(visible)
        self._harmed.add(key)
        found = self._world.store.stat_object(key)
        if gone or found is None:
            self._world.store.delete_object(key)
        else:
            replace_object(self._world.store, key, b"x" * (found.size + size))

    def _damage_model(self, *, gone: bool) -> None:
        """Remove or alter one of the files of one model version."""
        keys = rows(self._world.sessions, "SELECT unnest(ARRAY[artifact_key, litert_key]) FROM pixref.model_version ORDER BY 1")
        (key,) = self._random.choice(keys)
        self._harmed.add(key)
        if gone:
            self._world.store.delete_object(key)
        else:
            replace_object(self._world.store, key, b"not a model")

    def _operations(self, count: int) -> list[Operation]:
        return [self._operation(kind) for kind in self._random.choices(list(_OPERATIONS), list(_OPERATIONS.values()), k=count)]

    def _suited(self, kind: str) -> Operation:
        """Return an operation on a picture that gives it something to do, as far as is known."""
        needed = ABSENT if kind in (*_KEEP, "restore") else PRESENT
        suited = [number for number, state in self.model.items() if state == needed]
        return self._operation(kind) | ({"picture": self._random.choice(suited)} if suited and kind != "bulk" else {})

    def _operation(self, kind: str) -> Operation:
        operation: Operation = {"do": kind, "picture": self._random.choice(PICTURES)}
        if kind == "bulk":
            operation["pictures"] = self._random.sample(PICTURES, 3)
        elif kind == "register":
            operation["order"] = self._random.randrange(1_000)
        elif kind in ("upload", "direct", "label"):
            operation["label"] = self._random.choice("abc")
            if kind == "upload" and self._random.random() < 0.3:
                self._keys += 1
                operation["key"] = f"key-{self.tally.seed}-{self._keys}"
        elif kind == "fsck":
            operation["deep"] = self._random.random() < 0.5
        return operation

    def _believe(self, operations: list[Operation], journal: list[dict[str, Any]], fault: str) -> None:
        """Bring the model up to what the victim was told. What was begun and not answered, or answered with an error, is in doubt."""
        answers = {entry["n"]: entry for entry in journal if "begins" not in entry}
        for entry in (entry for entry in journal if "begins" in entry):
            operation, answer = operations[entry["n"]], answers.get(entry["n"])
            self.tally.operations[operation["do"]] += 1
            code = "died" if answer is None else answer.get("error", "ok")
            self.tally.answers[code] += 1
            if code.startswith("bug"):
                self.tally.violations.append(f"{fault}: {operation} was answered with {code}")
            for number in operation.get("pictures", [operation["picture"]]):
                self._learn(number, operation["do"], answer)

    def _learn(self, number: int, kind: str, answer: dict[str, Any] | None) -> None:
        outcome = PRESENT if kind in _KEEP else {"delete": ABSENT, "purge": ABSENT, "restore": PRESENT}.get(kind)
        if outcome is None:
            return
        if answer is None or "error" in answer:
            # It may have happened, or not: both are right, but only what it would have led to, or what was so before.
            if self.model[number] != outcome:
                self.model[number] = IN_DOUBT
        elif kind in _KEEP or answer["result"]["id"] is not None:
            self.model[number] = outcome

    def _settle(self) -> None:
        """Let the upkeep run, check everything, and write down what is true of the pictures that were in doubt."""
        found = list(dangling(self._world, self._harmed))  # first, because the upkeep may heal it
        found += [*reconcile(self._world), *dangling(self._world, self._harmed), *violations(self._world, self.model)]
        self.tally.violations += [f"injection {self.tally.injections} of seed {self.tally.seed}: {text}" for text in found]
        visible = {row[0] for row in rows(self._world.sessions, "SELECT sha256 FROM pixref.image WHERE state = 'READY'")}
        for number in PICTURES:
            self.model[number] = PRESENT if sha256(picture(number)) in visible else ABSENT


def run_round(seed: int, count: int) -> Tally:
    """Run injections in a world of their own."""
    with tempfile.TemporaryDirectory(prefix="pixref-faults-") as folder, running_world(Path(folder)) as world:
        return Injector(world, seed).run(count)
