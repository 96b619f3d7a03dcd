"""The list that a page is about: filter and order, as its address says them. A picture's page has them too, to know what comes before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from flask import request, url_for
from werkzeug.datastructures import MultiDict

from service.pictures.search import ImageFilter, Sort
from service.web.api.requests import TextReader
from service.web.api.shapes import PlaceQuery

_READER = TextReader(PlaceQuery)


@dataclass(frozen=True)
class Listing:
    """Filter and order, and the `parts` of an address that say them; empty for all pictures, newest first."""

    query: PlaceQuery
    wanted: ImageFilter
    parts: Mapping[str, Any]

    @classmethod
    def of_request(cls) -> Self:
        """Read it from the address of the request; empty fields, as a form sends them, say nothing. Raises `Invalid`."""
        query = _READER.read(MultiDict((name, value) for name, value in request.args.items(multi=True) if value.strip()))
        wanted = query.filter()
        parts: dict[str, Any] = {}
        for name, value in wanted.active.items():
            parts[name] = list(value) if isinstance(value, tuple) else value if isinstance(value, str) else request.args[name]
        return cls(query, wanted, parts | ({"sort": query.sort.value} if query.sort is not Sort.NEWEST else {}))

    @property
    def filters(self) -> dict[str, Any]:
        """The parts that restrict what is shown."""
        return {name: value for name, value in self.parts.items() if name != "sort"}

    def gallery(self, **place: Any) -> str:
        """Return the address of the gallery that shows it."""
        return url_for("pages.gallery", **self.parts, **place)

    def picture(self, image_id: int) -> str:
        """Return the address of a picture in it."""
        before, after = self._around_id
        return f"{before}{image_id}{after}"

    @cached_property
    def _around_id(self) -> tuple[str, str]:
        # A page has sixty such addresses, and making one takes as long as the rest of a tile.
        path, mark, query = url_for("pages.image", image_id=0, **self.parts).partition("?")
        return path.removesuffix("0"), mark + query
