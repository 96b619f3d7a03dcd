"""What a scenario has measured: raw samples, checks against required bounds, and facts beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Series:
    """One contender. `samples` has a value for each round under every metric's name, which ends in its unit."""

    name: str
    samples: Mapping[str, Sequence[float]]

    def to_json(self) -> dict[str, Any]:
        """Return the raw samples with their medians."""
        return {
            "name": self.name,
            "samples": {metric: list(values) for metric, values in self.samples.items()},
            "medians": {metric: median(values) for metric, values in self.samples.items()},
        }


@dataclass(frozen=True, slots=True)
class Check:
    """A figure, by round, with the bound that its median has to keep; without a bound it is told for information."""

    name: str
    values: Sequence[float]
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def met(self) -> bool:
        """Whether the median keeps the bound."""
        return (self.at_least is None or self.value >= self.at_least) and (self.at_most is None or self.value <= self.at_most)

    @property
    def required(self) -> str:
        """The bound in words, empty where there is none."""
        if self.at_least is not None:
            return f"at least {self.at_least:g} {self.unit}"
        return f"at most {self.at_most:g} {self.unit}" if self.at_most is not None else ""

    def to_json(self) -> dict[str, Any]:
        """Return the values by round, their median, and the bound."""
        return {
            "name": self.name,
            "unit": self.unit,
            "values": list(self.values),
            "median": self.value,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario's outcome. `facts` are JSON-safe and belong to no round: sizes, settings, versions."""

    scenario: str
    series: Sequence[Series]
    checks: Sequence[Check]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-safe."""
        return {
            "scenario": self.scenario,
            "series": [each.to_json() for each in self.series],
            "checks": [each.to_json() for each in self.checks],
            "facts": dict(self.facts),
        }


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the quotient of each round, so that what disturbs a round disturbs both of its figures."""
    return [a / b for a, b in zip(over, under, strict=True)]
