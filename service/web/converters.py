"""Ids in addresses: one way to write each, so that a thing has one address."""

from werkzeug.routing import IntegerConverter


class IdConverter(IntegerConverter):
    """A number from 1, in ASCII digits, without leading zeros, and short enough for PostgreSQL. Stands in for `<int:...>`."""

    regex = r"[1-9][0-9]{0,18}"
