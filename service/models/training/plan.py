"""What a training was asked to do, as it is kept with the model version that came of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from service.models.spec import from_json

Augmentation = Literal["none", "light", "flip"]
MAX_EPOCHS: Final = 1000
# Batches of an epoch where there are enough pictures, and how large one is at least and at most unless it is said.
_BATCHES = 32
_SMALLEST, _LARGEST = 16, 128


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid"))
class Plan:
    """How to train. The same plan on the same pictures gives the same model on the same machine and versions: all chance follows `seed`.

    `batch_size` None means 128, or less where an epoch would have fewer than 32 batches, down to 16. `learning_rate` is the peak of a cosine
    schedule that warms up over a twentieth of the steps; None means 0.003 for a new network and 0.0005 for one that was trained before.
    `augmentation`: `light` turns, scales, shears and shifts each picture a little, anew in every epoch; `flip` mirrors half of them as well,
    which suits photographs and not digits.
    """

    epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] = 3
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    augmentation: Augmentation = "light"

    def batch(self, pictures: int) -> int:
        """How many of so many pictures make one batch: a power of two unless it is said."""
        return self.batch_size or min(_LARGEST, max(_SMALLEST, 1 << (pictures // _BATCHES).bit_length() >> 1))

    def peak(self, *, fresh: bool) -> float:
        """The highest learning rate, for a new network or for one that was trained before."""
        return self.learning_rate or (3e-3 if fresh else 5e-4)

    def to_json(self) -> dict[str, Any]:
        """Give a JSON object from which `from_json` makes an equal plan."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a plan from a JSON object; raises `Invalid` naming the field that is missing, unknown or out of range."""
        return from_json(cls, data, "plan")


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid"))
class Epoch:
    """How one epoch went. Accuracy is 0 to 1; of validation None where no pictures were kept aside for it."""

    epoch: int
    seconds: float
    loss: float
    accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
