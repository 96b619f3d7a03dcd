"""Options that say which stored pictures are meant: one meaning for `predict`, `train` and `evaluate`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from service.models.selection import Selection
from service.pictures.search import ImageFilter

_OPTIONS = (
    click.option("--all", "everything", is_flag=True, help="every picture"),
    click.option(
        "--where",
        "--query",
        "where",
        help='pictures for which this holds: a condition on catalog.images in SQL, such as "width > 100"',
    ),
    click.option("--tag", "tags", multiple=True, help="pictures with this tag; repeatable: with all of them"),
    click.option("--label", help="pictures with this label"),
    click.option("--split", help="pictures of this split"),
)


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--all`, `--where`, `--tag`, `--label` and `--split`; it gets `selection`."""

    @wraps(command)
    def with_selection(
        *, everything: bool, where: str | None, tags: tuple[str, ...], label: str | None, split: str | None, **rest: Any
    ) -> None:
        wanted = ImageFilter(label=label, tag=tags, split=split)
        if sum((everything, where is not None, bool(wanted.active))) != 1:
            raise click.UsageError(
                "say which pictures: --all, or --where, or --tag, --label and --split, which restrict together"
            )
        selection = Selection(where=where) if where is not None else Selection(wanted=wanted if wanted.active else None)
        command(selection=selection, **rest)

    for option in reversed(_OPTIONS):
        with_selection = option(with_selection)
    return with_selection
