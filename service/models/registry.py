"""Model versions as rows: what there is, and the one behind a number or an alias."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, exists, func, literal_column, select

from schema.prepared import Prepared
from schema.session import Sessions, single
from schema.tables import Label, Model, ModelAlias, ModelClass, ModelVersion, Prediction
from service.errors import Invalid, NotFound
from service.models.damage import KeptFile, kept_files
from service.models.spec import InputSpec, Preprocessing
from service.names import clean_name

CHAMPION = "champion"
NAME_PATTERN, ALIAS_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}", r"[a-z][a-z0-9_-]{0,31}"
"""What a model and an alias may be called, as a whole."""


def is_name(text: str) -> bool:
    """Tell whether a model may be called this; nothing else is worth looking up."""
    return re.fullmatch(NAME_PATTERN, text) is not None


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version as lists show it."""

    model: str
    version: int
    aliases: list[str]
    state: str
    labels: list[str]
    input_spec: dict[str, Any]
    preprocessing: dict[str, Any]
    metrics: dict[str, Any]
    sha256: str
    created_at: datetime
    damage: str | None
    runtime: str


class ReadyVersion(NamedTuple):
    """A version that can predict, as forms offer it. `input_spec` is its `InputSpec` as JSON."""

    model: str
    version: int
    aliases: list[str]
    input_spec: Mapping[str, Any]
    damage: str | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """What it takes to run a version, or to train on it: where its files are, what they must be, and what goes in and comes out.

    `litert` is None where Keras runs it, from the `.keras` file.
    """

    version_id: int
    model: str
    number: int
    keras: KeptFile
    litert: KeptFile | None
    spec: InputSpec
    recipe: Preprocessing
    label_ids: tuple[int, ...]
    labels: tuple[str, ...]

    @property
    def runs(self) -> KeptFile:
        """The file that is run."""
        return self.litert or self.keras


def _aliases() -> ColumnElement[list[str]]:
    """Return the aliases of a query's version, in order."""
    aliases = select(ModelAlias.alias).where(ModelAlias.model_version_id == ModelVersion.id).order_by(ModelAlias.alias)
    return func.array(aliases.correlate(ModelVersion).scalar_subquery())


_READY = Prepared(
    "pixref_ready_versions",
    select(Model.name, ModelVersion.number, _aliases(), ModelVersion.input_spec, ModelVersion.damage)
    .join(Model, Model.id == ModelVersion.model_id)
    .where(ModelVersion.state == literal_column("'READY'", Text))
    .order_by(Model.name, ModelVersion.number.desc()),
)


def list_ready(sessions: Sessions) -> list[ReadyVersion]:
    """Return every version that can predict, by model and newest first."""
    with single(sessions) as connection:
        return [ReadyVersion(*row) for row in _READY.execute(connection, {})]


def champions(sessions: Sessions) -> list[str]:
    """Return the names of the models that have a champion: those whose champion has predicted pictures first, else by name."""
    has_predicted = exists().where(Prediction.model_version_id == ModelAlias.model_version_id)
    query = (
        select(Model.name)
        .join(ModelVersion, ModelVersion.model_id == Model.id)
        .join(ModelAlias, ModelAlias.model_version_id == ModelVersion.id)
        .where(ModelAlias.alias == CHAMPION)
        .order_by(has_predicted.desc(), Model.name)
    )
    with single(sessions) as connection:
        return list(connection.scalars(query))


def list_versions(sessions: Sessions, *, model: str | None = None) -> list[VersionInfo]:
    """Return every version that was ever ready, of one model or of all, by model and newest first."""
    labels = func.array(
        select(Label.name)
        .join(ModelClass, ModelClass.label_id == Label.id)
        .where(ModelClass.model_version_id == ModelVersion.id)
        .order_by(ModelClass.position)
        .correlate(ModelVersion)
        .scalar_subquery()
    )
    query = (
        select(
            Model.name,
            ModelVersion.number,
            _aliases(),
            func.lower(ModelVersion.state),
            labels,
            ModelVersion.input_spec,
            ModelVersion.preprocessing,
            ModelVersion.metrics,
            ModelVersion.artifact_sha256,
            ModelVersion.created_at,
            ModelVersion.damage,
            ModelVersion.runtime,
        )
        .join(Model, Model.id == ModelVersion.model_id)
        .where(ModelVersion.state != "PENDING")
        .order_by(Model.name, ModelVersion.number.desc())
    )
    if model is not None:
        query = query.where(Model.name == (model if is_name(model) else ""))
    with sessions() as session:
        return [VersionInfo(*row) for row in session.execute(query)]


def find_version(sessions: Sessions, model: str, *, version: int | None = None, alias: str | None = None) -> Artifact:
    """Return what it takes to run a version: by number, else by alias (default `champion`). Raises `NotFound`, `Invalid`."""
    if version is not None and alias is not None:
        raise Invalid("give version or alias, not both", field="alias")
    model = clean_name(model, field="model")
    alias = clean_name(alias, field="alias") if alias is not None else None
    query = (
        select(ModelVersion, Model.name)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(Model.name == model, ModelVersion.state == "READY")
    )
    if version is not None:
        query = query.where(ModelVersion.number == version)
    else:
        query = query.join(ModelAlias, ModelAlias.model_version_id == ModelVersion.id).where(
            ModelAlias.alias == (alias or CHAMPION)
        )
    with sessions() as session:
        found = session.execute(query).one_or_none() if version is None or 0 < version < 2**31 else None
        if found is None:
            wanted = f"version {version}" if version is not None else f"alias {alias or CHAMPION!r}"
            raise NotFound(
                f"there is no model {model!r} with {wanted}: `pixref models list` and GET /api/v1/models show them", field="model"
            )
        row: ModelVersion = found[0]
        classes = session.execute(
            select(ModelClass.label_id, Label.name)
            .join(Label, Label.id == ModelClass.label_id)
            .where(ModelClass.model_version_id == row.id)
            .order_by(ModelClass.position)
        ).all()
    files = kept_files(row)
    return Artifact(
        version_id=row.id,
        model=found[1],
        number=row.number,
        keras=files[0],
        litert=files[1] if len(files) > 1 else None,
        spec=InputSpec.from_json(row.input_spec),
        recipe=Preprocessing.from_json(row.preprocessing),
        label_ids=tuple(item.label_id for item in classes),
        labels=tuple(item.name for item in classes),
    )
