"""The job of measuring a model version by labelled pictures: freeze them, predict those that it has not predicted, count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import text
from sqlalchemy.orm import Session

from schema.session import Sessions
from schema.tables.evaluations import BINS
from service.accounts.actor import Actor
from service.errors import Invalid
from service.learning.snapshots import find_snapshot, take_snapshot
from service.models.predicting import predict_by
from service.models.registry import Artifact, find_version
from service.models.selection import Selection
from service.models.serving import BUILT_IN
from service.pictures.bulk_changes import allow_time
from service.pictures.likeness import look_at_new
from service.sql.ask import Door
from service.work.ledger import create_job
from service.work.running import Running
from storage.base import ObjectStore

TASK = "evaluate"
# Of a score that is nothing: a single picture must not make the mean infinite.
LEAST_SCORE = 1e-7

# One statement, so that all numbers are of one moment. Labels are compared by name: the set has names, and so have classes.
_MEASURE = text(
    f"""
    WITH seen AS MATERIALIZED (
        SELECT si.label, pl.name AS predicted, p.score, si.label = pl.name AS is_right, p.scores[c.position + 1] AS own
        FROM pixref.snapshot_image si
        LEFT JOIN pixref.prediction p ON p.image_id = si.image_id AND p.model_version_id = :version AND p.error IS NULL
        LEFT JOIN pixref.label pl ON pl.id = p.label_id
        LEFT JOIN (
            SELECT l.name, mc.position FROM pixref.model_class mc JOIN pixref.label l ON l.id = mc.label_id
            WHERE mc.model_version_id = :version
        ) c ON c.name = si.label
        WHERE si.snapshot_id = :snapshot
    ), binned AS (
        SELECT least({BINS - 1}, floor(score * {BINS}))::smallint AS bin, count(*) AS pictures, count(*) FILTER (WHERE is_right) AS correct,
               avg(score) AS mean_score
        FROM seen WHERE predicted IS NOT NULL GROUP BY 1
    ), made AS (
        INSERT INTO pixref.evaluation
            (model_version_id, snapshot_id, pictures, failed, correct, log_loss, calibration_error, leaked, leaked_near, created_by)
        SELECT :version, :snapshot, count(predicted), count(*) - count(predicted), count(*) FILTER (WHERE is_right),
               avg(-ln(greatest(own, {LEAST_SCORE}))) FILTER (WHERE predicted IS NOT NULL AND own IS NOT NULL),
               (SELECT sum(abs(correct - pictures * mean_score)) / sum(pictures) FROM binned), :leaked, :leaked_near, :actor
        FROM seen
        RETURNING id
    ), cells AS (
        INSERT INTO pixref.evaluation_cell (evaluation_id, label, predicted, pictures)
        SELECT made.id, label, predicted, count(*) FROM made, seen WHERE predicted IS NOT NULL GROUP BY made.id, label, predicted
    ), bins AS (
        INSERT INTO pixref.evaluation_bin (evaluation_id, bin, pictures, correct, mean_score)
        SELECT made.id, bin, pictures, correct, mean_score FROM made, binned
    )
    SELECT id FROM made"""  # noqa: S608  (our own numbers)
)

# What a version learned from is what it and the versions that it was trained on were trained on, but for what was kept for testing.
_LEAKS = text(
    """
    WITH RECURSIVE line AS (
        SELECT v.id, v.model_id, v.snapshot_id, (v.metrics ->> 'from_version')::bigint AS from_version
        FROM pixref.model_version v WHERE v.id = :version
        UNION
        SELECT v.id, v.model_id, v.snapshot_id, (v.metrics ->> 'from_version')::bigint
        FROM line JOIN pixref.model_version v ON v.model_id = line.model_id AND v.number = line.from_version
    ), learned AS MATERIALIZED (
        SELECT DISTINCT si.sha256, si.image_id FROM line JOIN pixref.snapshot_image si ON si.snapshot_id = line.snapshot_id
        WHERE si.split IS DISTINCT FROM 'test'
    ), measured AS MATERIALIZED (
        SELECT sha256, image_id FROM pixref.snapshot_image WHERE snapshot_id = :snapshot
    ), alike AS (
        SELECT image_id, other_id FROM pixref.near_duplicate
        UNION ALL
        SELECT other_id, image_id FROM pixref.near_duplicate
    )
    SELECT bool_and(snapshot_id IS NOT NULL) AS known,
           (SELECT count(*) FROM measured JOIN learned USING (sha256)) AS same,
           (SELECT count(DISTINCT m.image_id) FROM measured m JOIN alike a ON a.image_id = m.image_id
            JOIN learned l ON l.image_id = a.other_id) AS near
    FROM line"""
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure, and by which pictures. `again` repeats what this version has predicted already."""

    model: str
    version: int
    selection: Selection
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the parameters of a job."""
        return {"model": self.model, "version": self.version, "again": self.again, **self.selection.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the parameters of a job."""
        return cls(data["model"], data["version"], Selection.from_json(data), bool(data["again"]))


def request_evaluation(
    sessions: Sessions,
    selection: Selection,
    *,
    model: str = BUILT_IN,
    version: int | None = None,
    alias: str | None = None,
    again: bool = False,
    actor: Actor,
) -> int:
    """Make the job of measuring the version that the name stands for now; returns its id. Raises `NotFound`, `Invalid`."""
    artifact = find_version(sessions, model, version=version, alias=alias)
    return create_job(sessions, TASK, Wanted(artifact.model, artifact.number, selection, again).to_json(), actor=actor)


def evaluate_selected(running: Running, sessions: Sessions, store: ObjectStore, door: Door) -> dict[str, Any]:
    """Measure as the job asks. Raises `NotFound`, `Invalid`, `ModelUnavailable`, `StorageUnavailable`."""
    wanted = Wanted.from_json(running.parameters)
    artifact = find_version(sessions, wanted.model, version=wanted.version)
    return measure_by(running, sessions, store, door, artifact, wanted.selection, again=wanted.again)


def measure_by(
    running: Running,
    sessions: Sessions,
    store: ObjectStore,
    door: Door,
    artifact: Artifact,
    selection: Selection,
    *,
    again: bool = False,
) -> dict[str, Any]:
    """Measure a version by the labelled pictures that are meant, as part of a job; returns what came of it.

    Begun again, it goes on with the same pictures, and measures once. Raises `Invalid`, `ModelUnavailable`, `StorageUnavailable`.
    """
    if "evaluated" not in running.noted:
        taken = take_snapshot(sessions, door, selection, actor=running.actor)
        running.note(evaluated=taken.digest)
    snapshot = find_snapshot(sessions, running.noted["evaluated"])
    if "evaluation" not in running.noted:
        predict_by(running, sessions, store, door, artifact, Selection(snapshot=snapshot.digest), again=again)
        # Whoever is looking at new pictures already will be done with those that this set has by the time that it matters.
        look_at_new(sessions)
        running.check()
        with sessions() as session, session.begin():
            allow_time(session)
            running.note(evaluation=_measure(session, artifact, snapshot.id, running.actor))
    return {"model": artifact.model, "version": artifact.number, **_facts(sessions, running.noted["evaluation"])}


def _measure(session: Session, artifact: Artifact, snapshot_id: int, actor: Actor) -> int:
    which = {"version": artifact.version_id, "snapshot": snapshot_id}
    leaks = session.execute(_LEAKS, which).one()
    leaked = {"leaked": leaks.same, "leaked_near": leaks.near} if leaks.known else {"leaked": None, "leaked_near": None}
    evaluation_id: int = session.execute(_MEASURE, {**which, **leaked, "actor": actor.account_id}).scalar_one()
    return evaluation_id


def _facts(sessions: Sessions, evaluation_id: int) -> dict[str, Any]:
    columns = "pictures, failed, correct, accuracy, macro_f1, log_loss, calibration_error, leaked, leaked_near"
    query = text(f"SELECT {columns} FROM catalog.evaluations WHERE evaluation_id = :id")  # noqa: S608  (our own names)
    with sessions() as session:
        found = session.execute(query, {"id": evaluation_id}).one()
    if not found.pictures:
        raise Invalid("none of these pictures could be predicted: `pixref predict` says why", field="where")
    return dict(found._mapping)
