"""Values as people read them. Pure; the templates know these as filters."""

import json
from base64 import b64encode
from typing import Any

from service.models.spec import InputSpec, Preprocessing
from service.pictures.search import ThumbnailInfo

_UNITS = ("kB", "MB", "GB")
_COLOURS = {1: "grey", 3: "RGB"}
_RESIZE = {
    "pad": "scaled to fit, aspect kept, the rest filled with grey level {pad_value}",
    "stretch": "stretched to the size, aspect given up",
    "crop": "scaled to cover, aspect kept, the middle cut out",
}
_INVERT = {
    "always": "Levels are inverted",
    "auto": "Levels are inverted when the picture's edge is light, so that dark on light becomes light on dark",
}


def byte_size(size: int) -> str:
    """Return bytes with a unit, in powers of 1,000."""
    if size < 1000:
        return f"{size} bytes" if size != 1 else "1 byte"
    amount = float(size)
    for unit in _UNITS:
        amount /= 1000
        if amount < 999.95 or unit == _UNITS[-1]:
            break
    return f"{amount:,.1f} {unit}"


def percent(share: float) -> str:
    """Return a share of one as per cent with two decimals."""
    return f"{share * 100:.2f} %"


def milliseconds(amount: float) -> str:
    """Return a time that may be as short as a picture among hundreds takes."""
    return f"{amount:.1f} ms" if amount >= 0.05 else f"{amount:.3f} ms"


def sentence(text: str) -> str:
    """Return a detail of an error as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".")


def json_text(value: Any) -> str:
    """Return a JSON value as text that keeps letters of all scripts."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sql_type(name: str) -> str:
    """Return the short one of PostgreSQL's two names for a type of times."""
    for kind in ("timestamp", "time"):
        name = name.replace(f"{kind} with time zone", f"{kind}tz").replace(f"{kind} without time zone", kind)
    return name


def data_uri(thumbnail: ThumbnailInfo) -> str:
    """Return the small picture as an address that holds it."""
    return f"data:{thumbnail.media_type};base64,{b64encode(thumbnail.data).decode()}"


def input_in_words(spec: InputSpec) -> str:
    """Say what a model takes."""
    return f"{spec.width} by {spec.height} pixels, {_COLOURS[spec.channels]}"


def recipe_in_words(recipe: Preprocessing) -> list[str]:
    """Say, step by step and in the order of `Preprocessing`, what is done to a picture before the model sees it."""
    steps = [f"Transparent pixels are laid over grey level {recipe.background}"]
    colour = "grey by luma (0.299 R + 0.587 G + 0.114 B)" if recipe.color_mode == "grayscale" else "RGB"
    steps.append(f"Colours become {colour}")
    if recipe.invert in _INVERT:
        steps.append(_INVERT[recipe.invert])
    resize = _RESIZE[recipe.resize].format(pad_value=recipe.pad_value)
    steps.append(f"Pictures of another size are {resize} ({recipe.interpolation} interpolation)")
    scale = f"divided by {1 / recipe.scale:g}" if 0 < recipe.scale < 1 else f"multiplied by {recipe.scale:g}"
    offset = f", then {recipe.offset:+g}" if recipe.offset else ""
    steps.append(f"Levels from 0 to 255 are {scale}{offset}")
    if recipe.mean:
        steps.append(f"The mean {', '.join(f'{value:g}' for value in recipe.mean)} is taken off")
    if recipe.std:
        steps.append(f"The result is divided by {', '.join(f'{value:g}' for value in recipe.std)}")
    return steps
