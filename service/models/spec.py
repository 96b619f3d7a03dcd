"""What a model takes: the shape of its input, and the recipe that brings any picture to that shape.

Both are stored with the model version as JSON and are all that preprocessing needs, so a picture is prepared in the same way
for the first prediction and for one made years later.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from service.errors import Invalid

RECIPE_VERSION: Final = 1
MAX_SIDE = 2048

ColorMode = Literal["grayscale", "rgb"]
ResizePolicy = Literal["pad", "stretch", "crop"]
Interpolation = Literal["nearest", "bilinear", "lanczos", "box"]
Invert = Literal["never", "always", "auto"]

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Level = Annotated[int, Field(ge=0, le=255)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
T = TypeVar("T")
_config = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True, config=_config)
class InputSpec:
    """The model's input: `height` x `width` pixels of 1 (grayscale) or 3 (RGB) channels, channels last, float32."""

    height: _Side
    width: _Side
    channels: Literal[1, 3]
    dtype: Literal["float32"] = "float32"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    def to_json(self) -> dict[str, Any]:
        """Give a JSON object from which `from_json` makes an equal spec."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a spec from a JSON object; raises `Invalid` naming the field that is missing, unknown or out of range."""
        return from_json(cls, data, "input")


@dataclass(frozen=True, slots=True, kw_only=True, config=_config)
class Preprocessing:
    """The recipe from a decoded picture to the model's input. Its steps, in this order:

    1. 16-bit samples are divided by 257, so that every picture has levels from 0 to 255.
    2. Transparent pixels are laid over the grey level `background`.
    3. `color_mode`: `grayscale` takes ITU-R 601 luma (0.299 R + 0.587 G + 0.114 B); `rgb` repeats a grey channel.
    4. `invert`: `always` turns level v into 255 - v; `never` leaves it; `auto` inverts when the picture's outermost ring of
       pixels is on average lighter than mid-grey, so that dark digits on white paper suit a model of light digits on black.
    5. `resize` to the model's size with `interpolation`: `pad` keeps the aspect ratio and fills the rest with the grey level
       `pad_value` (letterbox), `crop` keeps it and cuts the middle out, `stretch` gives it up. A picture that already has
       the size is not touched.
    6. Value = (level * `scale` + `offset` - `mean`) / `std`; `mean` and `std` have one number per channel, or are left out.

    Levels of 8-bit pictures stay whole numbers up to step 6, rounded where a step makes fractions; those of 16-bit pictures do
    not.

    `version` is that of this format of recipes; it changes when the meaning of a field does.
    """

    color_mode: ColorMode
    resize: ResizePolicy = "pad"
    interpolation: Interpolation = "bilinear"
    scale: _Finite = 1 / 255
    offset: _Finite = 0.0
    mean: tuple[_Finite, ...] | None = None
    std: tuple[_Positive, ...] | None = None
    invert: Invert = "never"
    background: _Level = 255
    pad_value: _Level = 0
    version: Literal[1] = RECIPE_VERSION

    @property
    def channels(self) -> int:
        return 1 if self.color_mode == "grayscale" else 3

    def to_json(self) -> dict[str, Any]:
        """Give a JSON object from which `from_json` makes an equal recipe."""
        data = asdict(self)
        for name in ("mean", "std"):
            data[name] = None if data[name] is None else list(data[name])
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a recipe from a JSON object; raises `Invalid` naming the field that is missing, unknown or out of range."""
        recipe = from_json(cls, data, "preprocessing")
        for name, values in (("mean", recipe.mean), ("std", recipe.std)):
            if values is not None and len(values) != recipe.channels:
                raise Invalid(
                    f"preprocessing.{name} has {len(values)} numbers; {recipe.color_mode} needs {recipe.channels}.",
                    field=f"preprocessing.{name}",
                )
        return recipe

    def require_fit(self, spec: InputSpec) -> None:
        """Raise `Invalid` unless this recipe makes as many channels as the model takes."""
        if self.channels != spec.channels:
            raise Invalid(
                f"preprocessing.color_mode is {self.color_mode} ({self.channels} channels), but the model takes {spec.channels}.",
                field="preprocessing.color_mode",
            )


def default_preprocessing(spec: InputSpec) -> Preprocessing:
    """Give the recipe for a model registered without one: its colour mode, letterboxed, levels divided by 255."""
    return Preprocessing(color_mode="grayscale" if spec.channels == 1 else "rgb")


def from_json(cls: type[T], data: Mapping[str, Any], field: str) -> T:
    """Read such a dataclass from a JSON object; raises `Invalid` naming the field, below `field`, that is missing, unknown or out of range."""
    try:
        # Through JSON text, because only there does strict validation take a list for a tuple.
        return TypeAdapter(cls).validate_json(json.dumps(data))
    except (TypeError, ValueError) as exc:
        if not isinstance(exc, ValidationError):
            raise Invalid(f"{field} is not a JSON object.", field=field) from exc
        first = exc.errors(include_url=False)[0]
        name = ".".join([field, *(str(part) for part in first["loc"])])
        raise Invalid(f"{name}: {first['msg']}.", field=name) from exc
