"""What is known of a model version, as people read it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.models.confinement import Held
from service.web.pages.words import json_text, percent

# Drawn on the page of the training's job.
_ELSEWHERE = frozenset({"epochs"})
# Written by Pixref itself, and shown in its own words; whoever registers a version may give any others.
_SHARES = frozenset({"training_accuracy", "validation_accuracy", "test_accuracy"})
_SHORT = 12
_NAMES = {"keras": "Keras", "tensorflow": "TensorFlow", "numpy": "NumPy"}


def metrics_in_words(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give name and value of each line about a version, the most telling first."""
    rest = {key: value for key, value in metrics.items() if key not in _ELSEWHERE and value is not None}
    for key in ("test_accuracy", "validation_accuracy", "training_accuracy", "parameters", "plan"):
        if key in rest:
            yield _line(key, rest.pop(key))
    if isinstance(rest.get("versions"), Mapping):
        rest.pop("keras", None)
    for key, value in rest.items():
        yield _line(key, value)


def _line(key: str, value: Any) -> tuple[str, str]:
    match key, value:
        case "plan", {
            "epochs": int(epochs),
            "batch_size": batch,
            "learning_rate": rate,
            "seed": seed,
            "augmentation": augmentation,
        }:
            return (
                "Trained",
                f"{_count(epochs, 'epoch')}, batches of {batch}, learning rate {rate}, augmentation {augmentation}, seed {seed}",
            )
        case "versions", {}:
            return "Made with", ", ".join(f"{_NAMES.get(name, name)} {number}" for name, number in value.items())
        case "keras", str():
            return "Saved by", f"Keras {value}"
        case "sandbox", {"limits": bool(), "network": bool(), "landlock": int(), "seccomp": bool(), **more} if not more:
            missing = Held(**value).missing
            return "Opened", f"in a sandbox, without {'; '.join(missing)}" if missing else "in a sandbox whose every wall held"
        case "litert_max_difference", float():
            return "LiteRT and Keras", f"differ by {value:.1e} at most"
        case "not_converted", str():
            return "Not on LiteRT", value
        case "training_seconds", int() | float():
            return "Training took", f"{value:,.0f} s"
        case "from_version", int():
            return "Trained on from", f"version {value}"
        case "snapshot", str():
            return "Snapshot", value[:_SHORT]
        case name, float() if name in _SHARES:
            return _capital(name), percent(value)
    return _capital(key), value_in_words(value)


def value_in_words(value: Any) -> str:
    """Return a value of JSON: numbers as people write them, anything else as it is."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
    return json_text(value)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _capital(name: str) -> str:
    return name.replace("_", " ").capitalize()
