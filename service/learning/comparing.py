"""Two versions of a model on the same labelled pictures: what the other one mends, what it breaks, and whether that is more than chance."""

import math
from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.orm import aliased

from schema.session import Sessions
from schema.tables import Image, Prediction
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


def compare(
    sessions: Sessions, door: Door, selection: Selection, *, model: str, version: int, other_version: int, actor: Actor
) -> Comparison:
    """Compare what two versions have predicted already. Raises `NotFound`, `Invalid`."""
    one, other = (find_version(sessions, model, version=number) for number in (version, other_version))
    first, second = aliased(Prediction), aliased(Prediction)
    right, other_right = first.label_id == Image.label_id, second.label_id == Image.label_id
    seen = and_(first.label_id.is_not(None), second.label_id.is_not(None))
    query = (
        select(
            func.count().filter(seen, right, other_right),
            func.count().filter(seen, ~right, other_right),
            func.count().filter(seen, right, ~other_right),
            func.count().filter(seen, ~right, ~other_right),
            func.count().filter(~seen),
        )
        .select_from(Image)
        .outerjoin(first, and_(first.image_id == Image.id, first.model_version_id == one.version_id))
        .outerjoin(second, and_(second.image_id == Image.id, second.model_version_id == other.version_id))
        .where(Image.id.in_(chosen(sessions, door, selection, actor=actor)), Image.state == "READY", Image.label_id.is_not(None))
    )
    with sessions() as session, session.begin():
        allow_time(session)
        both_right, fixed, broken, both_wrong, unseen = session.execute(query).one()
    return Comparison(
        model, version, other_version, both_right, fixed, broken, both_wrong, unseen, p_value=mcnemar(fixed, broken)
    )


def mcnemar(fixed: int, broken: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: that of a fair coin thrown for each picture on which only one version is right."""
    total = fixed + broken
    if not total:
        return 1.0
    # By logarithms: of thousands of pictures the terms themselves are too small for a float.
    terms = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(min(fixed, broken) + 1))
    return min(1.0, 2 * sum(math.exp(term - total * math.log(2)) for term in terms))
