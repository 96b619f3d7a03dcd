"""The job of training a model on stored pictures: freeze them, lay them out, train in a process of its own, register what came of it.

What a model learned from is a snapshot, whose digest is kept with the version; with the plan's seed and the versions of Keras, TensorFlow and
NumPy that is all it takes to train it again.
"""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select

from schema.session import Sessions
from schema.tables import Image, ModelVersion, SnapshotImage
from service.accounts.actor import Actor
from service.errors import Invalid, PixrefError
from service.learning.evaluating import measure_by
from service.learning.feeding import lay_out
from service.learning.roles import TEST, Part, divide
from service.learning.snapshots import SnapshotInfo, find_snapshot, members, take_snapshot
from service.models.damage import read_file
from service.models.predicting import patiently
from service.models.registration import check_name, register_model
from service.models.registry import Artifact, find_version
from service.models.selection import Selection
from service.models.spec import InputSpec, Preprocessing, default_preprocessing
from service.models.training.plan import Epoch, Plan
from service.models.training.run import Step, Trained, run_training
from service.models.training.trainer import BASE, TRAINING, VALIDATION
from service.pictures.reading import read_many
from service.sql.ask import Door
from service.work.ledger import create_job
from service.work.running import Running
from storage.base import ObjectStore

TASK = "train"
VALIDATION_SHARE = 0.1
CLASSES_MAX = 1_000
# A new network takes pictures of the side that most have, within these.
SIDE_MIN, SIDE_MAX, SIDE_OF_LARGE = 8, 96, 64
# Of what the job has to do, in thousandths: laying out, then training; registering is the rest.
LAID_OUT, TRAINED, WHOLE = 200, 950, 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to train: the model's name, on which pictures, how, and from which version of it, None for a new network."""

    model: str
    selection: Selection
    plan: Plan
    from_version: int | None = None
    side: int | None = None
    validation: float = VALIDATION_SHARE

    def to_json(self) -> dict[str, Any]:
        """Give the parameters of a job."""
        rest = {"from_version": self.from_version, "side": self.side, "validation": self.validation}
        return {"model": self.model, "plan": self.plan.to_json(), **rest, **self.selection.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the parameters of a job."""
        return cls(
            data["model"],
            Selection.from_json(data),
            Plan.from_json(data["plan"]),
            data["from_version"],
            data["side"],
            data["validation"],
        )


def request_training(
    sessions: Sessions,
    selection: Selection,
    *,
    model: str,
    plan: Plan,
    from_version: int | None = None,
    from_alias: str | None = None,
    side: int | None = None,
    validation: float = VALIDATION_SHARE,
    actor: Actor,
) -> int:
    """Make the job of training a version of `model`; returns its id. With `from_version` or `from_alias` that version is trained on.

    Raises `NotFound`, `Invalid`.
    """
    check_name(model)
    if not 0 <= validation <= 0.5:
        raise Invalid("validation is the share that is kept aside: 0 to 0.5", field="validation")
    if side is not None and not SIDE_MIN <= side <= SIDE_MAX:
        raise Invalid(f"size is {SIDE_MIN} to {SIDE_MAX} pixels", field="size")
    if from_version is not None or from_alias is not None:
        if side is not None:
            raise Invalid("size is that of the version that is trained on: leave it out", field="size")
        from_version = find_version(sessions, model, version=from_version, alias=from_alias).number
    wanted = Wanted(model, selection, plan, from_version, side, validation)
    return create_job(sessions, TASK, wanted.to_json(), actor=actor)


def train_on_selected(running: Running, sessions: Sessions, store: ObjectStore, door: Door) -> dict[str, Any]:
    """Train as the job asks, and register the result as the next version of its model.

    Begun again after its runner died, it trains anew on the same snapshot; a version that it has registered already is not registered twice.
    Raises `Invalid`, `NotFound`, `TrainingFailed`, `BadModel`, `StorageUnavailable`.
    """
    wanted = Wanted.from_json(running.parameters)
    base = None if wanted.from_version is None else find_version(sessions, wanted.model, version=wanted.from_version)
    if "snapshot" not in running.noted:
        running.progress(0, WHOLE, message="freezing the pictures")
        taken = take_snapshot(sessions, door, wanted.selection, actor=running.actor)
        running.note(snapshot=taken.digest, pictures=taken.pictures)
    snapshot = find_snapshot(sessions, running.noted["snapshot"])
    if (known := _registered_by(sessions, running.job_id)) is not None:
        return _finish(running, sessions, store, door, wanted, known)
    parts = divide(members(sessions, snapshot.id), share=wanted.validation, seed=wanted.plan.seed)
    labels = _labels(base, {member.label for part in (Part.TRAINING, Part.VALIDATION) for member in parts[part]})
    spec, recipe = (base.spec, base.recipe) if base else _input(sessions, snapshot, wanted.side)
    running.note(**{part.value: len(found) for part, found in parts.items()})
    classes = {label: place for place, label in enumerate(labels)}
    with tempfile.TemporaryDirectory(prefix="pixref-training-", ignore_cleanup_errors=True) as private:
        folder = Path(private)
        if base is not None:
            file = base.keras
            (folder / BASE).write_bytes(patiently(running, lambda: read_file(sessions, store, base.version_id, file)))

        def read(image_ids: Sequence[int]) -> Mapping[int, bytes | PixrefError]:
            return patiently(running, lambda: read_many(sessions, store, image_ids))

        total = len(parts[Part.TRAINING]) + len(parts[Part.VALIDATION])
        before = 0
        for part, name in ((Part.TRAINING, TRAINING), (Part.VALIDATION, VALIDATION)):
            if parts[part]:
                report = _laying_out(running, before, total)
                lay_out(sessions, read, parts[part], classes, spec, recipe, folder, name, report=report)
                before += len(parts[part])
        trained = run_training(
            folder,
            wanted.plan,
            spec,
            recipe,
            classes=len(labels),
            validation=bool(parts[Part.VALIDATION]),
            report=_training(running, wanted.plan),
            check=running.check,
        )
        running.progress(TRAINED, WHOLE, message="registering")
        # Written down now, and with it is learned whether the job is still wanted and still ours; and if another runner had it meanwhile, it may
        # have registered what it trained.
        running.note(training_seconds=trained.seconds)
        running.check()
        if (known := _registered_by(sessions, running.job_id)) is not None:
            return _finish(running, sessions, store, door, wanted, known)
        number = patiently(
            running,
            lambda: register_model(
                sessions,
                store,
                trained.path,
                name=wanted.model,
                labels=labels,
                preprocessing=recipe,
                metrics=_metrics(running, wanted, trained),
                snapshot_id=snapshot.id,
                actor=running.actor,
                work_dir=folder,
            ),
        )
    return _finish(running, sessions, store, door, wanted, number)


def _registered_by(sessions: Sessions, job_id: int) -> int | None:
    query = select(ModelVersion.number).where(ModelVersion.metrics.contains({"job": job_id}), ModelVersion.state != "PENDING")
    with sessions() as session:
        return session.scalar(query)


def _labels(base: Artifact | None, found: set[str]) -> list[str]:
    """Return the classes in their order: those of the version that is trained on, else the labels as people would sort them."""
    if base is not None:
        if unknown := sorted(found - set(base.labels)):
            raise Invalid(
                f"version {base.number} has no class for {', '.join(map(repr, unknown[:10]))}: leave these pictures out, or train a new network",
                field="from_version",
            )
        return list(base.labels)
    if len(found) > CLASSES_MAX:
        raise Invalid(f"the pictures have {len(found)} labels: at most {CLASSES_MAX} can be told apart", field="where")
    return sorted(
        found, key=lambda label: [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", label)]
    )


def _input(sessions: Sessions, snapshot: SnapshotInfo, side: int | None) -> tuple[InputSpec, Preprocessing]:
    """Return what a new network takes: a square of the side that most pictures have, in colour where one of them is."""
    longest = func.greatest(Image.width, Image.height)
    query = (
        select(func.mode().within_group(longest), func.bool_or(Image.channels > 2))
        .join(SnapshotImage, SnapshotImage.image_id == Image.id)
        .where(SnapshotImage.snapshot_id == snapshot.id)
    )
    with sessions() as session:
        usual, colour = session.execute(query).one()
    if side is None:
        side = SIDE_OF_LARGE if usual is None or usual > SIDE_MAX else max(usual, SIDE_MIN)
    spec = InputSpec(height=side, width=side, channels=3 if colour else 1)
    return spec, default_preprocessing(spec)


def _laying_out(running: Running, before: int, total: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        running.check()
        running.progress(
            LAID_OUT * (before + done) // total, WHOLE, message=f"{before + done:,} of {total:,} pictures are read and prepared"
        )

    return report


def _training(running: Running, plan: Plan) -> Callable[[Step | Epoch], None]:
    epochs: list[dict[str, Any]] = []

    def report(told: Step | Epoch) -> None:
        if isinstance(told, Epoch):
            epochs.append(asdict(told))
            running.note(epochs=epochs)
            return
        past = told.epoch - 1 + told.step / told.steps
        done = LAID_OUT + round((TRAINED - LAID_OUT) * past / plan.epochs)
        running.progress(
            done,
            WHOLE,
            message=f"epoch {told.epoch} of {plan.epochs}: loss {told.loss:.4f}, accuracy {told.accuracy:.2%}",
        )

    return report


def _metrics(running: Running, wanted: Wanted, trained: Trained) -> dict[str, Any]:
    last = trained.epochs[-1]
    measured = {"validation_accuracy": last.validation_accuracy} if last.validation_accuracy is not None else {}
    return {
        **measured,
        "training_accuracy": last.accuracy,
        "training_seconds": trained.seconds,
        "snapshot": running.noted["snapshot"],
        "plan": trained.plan.to_json(),
        "epochs": [asdict(epoch) for epoch in trained.epochs],
        "versions": trained.versions,
        "from_version": wanted.from_version,
        "job": running.job_id,
    }


def _finish(running: Running, sessions: Sessions, store: ObjectStore, door: Door, wanted: Wanted, number: int) -> dict[str, Any]:
    """Measure the new version by those pictures of its snapshot that it has not learned from, where there are any."""
    made = {"model": wanted.model, "version": number, "from_version": wanted.from_version}
    if not running.noted[Part.TEST.value]:
        running.progress(WHOLE, WHOLE)
        return made
    artifact = find_version(sessions, wanted.model, version=number)
    test = Selection(snapshot=running.noted["snapshot"], split=TEST)
    return {**made, "measured": measure_by(running, sessions, store, door, artifact, test)}
