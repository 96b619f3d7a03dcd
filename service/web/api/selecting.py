"""The part of a request's body that says which stored pictures are meant."""

from typing import Any

from pydantic import Field

from service.errors import Invalid
from service.models.selection import IDS_MAX, Selection
from service.web.api.editing import FilterBody
from service.web.api.fields import Id
from service.web.api.requests import Strict
from service.web.api.shapes import FilterQuery

_ONE_OF = ("ids", "filter", "where", "all")


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"const": True} if name == "all" else {"not": {"type": "null"}}}}


ONE_SELECTION: dict[str, Any] = {"oneOf": [_given(name) for name in _ONE_OF]}
"""What a JSON schema says of it."""


class SelectionBody(Strict):
    """One of `ids`, `filter`, `where` and `all`."""

    ids: list[Id] | None = Field(None, max_length=IDS_MAX, description="these pictures; ids that are not there are passed over")
    filter: FilterBody | None = Field(None, description="or all that match")
    where: str | None = Field(
        None, description="or all for which this holds: a condition on `catalog.images` in SQL, such as `width > 100`"
    )
    all: bool = Field(False, description="or all pictures")

    def selection(self) -> Selection:
        """Return which pictures are meant. Raises `Invalid`, `QueryRefused`, `QueryError`."""
        given = [name for name in _ONE_OF if getattr(self, name) not in (None, False)]
        if len(given) != 1:
            raise Invalid(f"give one of {', '.join(_ONE_OF)}", field=given[-1] if given else "all")
        wanted = FilterQuery.model_validate(self.filter.model_dump(exclude_unset=True)).filter() if self.filter else None
        if wanted is not None and not wanted.active:
            raise Invalid('filter restricts nothing: {"all": true} is for every picture', field="filter")
        return Selection(wanted, self.ids, self.where)
