"""How psycopg reads values of a question's rows: as `service.sql.result` says."""

from functools import cache
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader

from service.sql.result import json_value, moment, number


def _text(data: Buffer) -> str:
    return bytes(data).decode()


class _Text(Loader):
    def load(self, data: Buffer) -> str:
        return _text(data)


class _Number(Loader):
    def load(self, data: Buffer) -> int | float | str:
        return number(_text(data))


class _Moment(Loader):
    def load(self, data: Buffer) -> str:
        return moment(_text(data))


class _Json(Loader):
    def load(self, data: Buffer) -> Any:
        return json_value(_text(data))


NUMBERS = ("float4", "float8", "numeric")
MOMENTS = ("timestamp", "timestamptz")
TEXTS = (
    *("date", "time", "timetz", "interval", "bytea", "uuid", "inet", "cidr", "record", "name", '"char"'),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
    *("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange"),
)


@cache
def adapters() -> AdaptersMap:
    """Return how values are loaded; arrays follow from their elements. What is not named here psycopg loads as bool, int or text."""
    found = AdaptersMap(psycopg.adapters)
    for loader, names in ((_Number, NUMBERS), (_Moment, MOMENTS), (_Text, TEXTS), (_Json, ("json", "jsonb"))):
        for name in names:
            found.register_loader(name, loader)
    return found
