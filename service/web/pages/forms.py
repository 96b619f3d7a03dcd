"""Numbers in the fields of forms."""

from flask import request

from service.errors import Invalid
from service.pictures.cursors import BIGINT_MAX

_DIGITS_MAX = 19


def number_in(text: str, field: str, *, least: int = 0, most: int = BIGINT_MAX) -> int:
    """Return a whole number that was written in plain digits. Raises `Invalid` naming the field."""
    plain = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
    if not plain or not least <= int(text) <= most:
        raise Invalid(f"{field} is a whole number from {least} to {most}", field=field)
    return int(text)


def number_field(field: str, *, least: int = 0, most: int = BIGINT_MAX, default: int | None = None) -> int:
    """Return the number in a field of the form; `default` where it is empty. Raises `Invalid`."""
    text = request.form.get(field, "").strip()
    return default if not text and default is not None else number_in(text, field, least=least, most=most)
