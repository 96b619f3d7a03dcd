"""Changes of many pictures at once, by ids or by the filters of the list."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pixref.files import id_of
from pixref.ordered import batches
from pixref.shapes import Changed, Image, read
from pixref.transport import Transport

IDS_AT_ONCE = 10_000
# Filters that may be given more than once in an address are lists in a body.
_LISTS = ("tag", "any_tag", "no_tag")


def change(
    transport: Transport, path: str, what: Mapping[str, Any], pictures: Iterable[int | Image] | None, filters: Mapping[str, Any]
) -> Changed:
    """Send one change: for the pictures by ids, 10,000 a request, or for those that match. Raises `TypeError` where neither or both are given."""
    matched = changed = 0
    for chosen in _chosen(pictures, filters):
        done = read(Changed, transport.call("POST", path, send={**chosen, **what}).json())
        matched, changed = matched + done.matched, changed + done.changed
    return Changed(matched=matched, changed=changed, dry_run=bool(what["dry_run"]))


def _chosen(pictures: Iterable[int | Image] | None, filters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    conditions = filter_of(filters)
    if (pictures is None) != bool(conditions):
        raise TypeError("give pictures or filters, one of them: untagged=False or unlabelled=True are filters as well")
    if pictures is None:
        yield {"filter": conditions}
    else:
        for batch in batches(pictures, IDS_AT_ONCE):
            yield {"ids": [id_of(picture) for picture in batch]}


def filter_of(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters as a body has them."""
    return {name: _listed(name, value) for name, value in filters.items() if value is not None}


def _listed(name: str, value: Any) -> Any:
    if name in _LISTS:
        return [value] if isinstance(value, str) else list(value)
    return value
