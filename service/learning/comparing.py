"""Two versions of a model on the same labelled pictures: what the other one mends, what it breaks, and whether that is more than chance."""

import math
from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.orm import aliased

from schema.session import Sessions
from schema.tables import Image, Label, Prediction
from service.accounts.actor import Actor
from service.models.registry import find_version
from service.models.selection import Selection, chosen
from service.pictures.bulk_changes import allow_time
from service.sql.ask import Door


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many labelled pictures both versions have right, the other one fixed or broke, and both have wrong; `unseen` lack a prediction.

    `p_value` is McNemar's exact test, two-sided: how likely at least so uneven a share of fixed and broken is, if neither version is better.
    """

    model: str
    version: int
    other_version: int
    both_right: int
    fixed: int
    broken: int
    both_wrong: int
    unseen: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A picture on which one version is right and the other is not: its label, and what each sees."""

    image_id: int
    label: str
    seen: str
    other_seen: str


class Comparing:
    """Two versions of a model over labelled pictures that are there, by what both have predicted already."""

    def __init__(
        self, sessions: Sessions, door: Door, selection: Selection, *, model: str, version: int, other_version: int, actor: Actor
    ) -> None:
        """Raises `NotFound`, `Invalid`."""
        self._sessions = sessions
        self._names = (model, version, other_version)
        one, other = (find_version(sessions, model, version=number) for number in (version, other_version))
        self._first, self._second = aliased(Prediction), aliased(Prediction)
        self._right, self._other_right = (each.label_id == Image.label_id for each in (self._first, self._second))
        self._joined = [
            (each, and_(each.image_id == Image.id, each.model_version_id == artifact.version_id))
            for each, artifact in ((self._first, one), (self._second, other))
        ]
        self._which = (
            Image.id.in_(chosen(sessions, door, selection, actor=actor)),
            Image.state == "READY",
            Image.label_id.is_not(None),
        )

    def count(self) -> Comparison:
        """Count what the other version mends and breaks."""
        right, other_right = self._right, self._other_right
        seen = and_(self._first.label_id.is_not(None), self._second.label_id.is_not(None))
        query = select(
            func.count().filter(seen, right, other_right),
            func.count().filter(seen, ~right, other_right),
            func.count().filter(seen, right, ~other_right),
            func.count().filter(seen, ~right, ~other_right),
            func.count().filter(~seen),
        ).select_from(Image)
        for each, condition in self._joined:
            query = query.outerjoin(each, condition)
        with self._sessions() as session, session.begin():
            allow_time(session)
            both_right, fixed, broken, both_wrong, unseen = session.execute(query.where(*self._which)).one()
        return Comparison(*self._names, both_right, fixed, broken, both_wrong, unseen, p_value=mcnemar(fixed, broken))

    def differences(self, *, fixed: bool, most: int = 48) -> list[Difference]:
        """Return pictures that the other version mends, or those that it breaks, in the order of their ids."""
        label, seen, other_seen = aliased(Label), aliased(Label), aliased(Label)
        wanted = (~self._right, self._other_right) if fixed else (self._right, ~self._other_right)
        query = select(Image.id, label.name, seen.name, other_seen.name).select_from(Image)
        for each, condition in self._joined:
            query = query.join(each, condition)
        query = query.join(label, label.id == Image.label_id)
        query = query.join(seen, seen.id == self._first.label_id).join(other_seen, other_seen.id == self._second.label_id)
        with self._sessions() as session, session.begin():
            allow_time(session)
            found = session.execute(query.where(*self._which, *wanted).order_by(Image.id).limit(most))
            return [Difference(*row) for row in found]


def mcnemar(fixed: int, broken: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: that of a fair coin thrown for each picture on which only one version is right."""
    total = fixed + broken
    if not total:
        return 1.0
    # By logarithms: of thousands of pictures the terms themselves are too small for a float.
    terms = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(min(fixed, broken) + 1))
    return min(1.0, 2 * sum(math.exp(term - total * math.log(2)) for term in terms))
