"""The progress bar of long commands: rate and remaining time on a terminal, nothing in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error; call what it gives with the number done so far."""
    with open_bar(title, total) as move:
        yield lambda done: move(done, total, None)


@contextmanager
def open_bar(title: str, total: int | None = None) -> Iterator[Callable[[int, int | None, str | None], None]]:
    """Show a bar whose length may be told later: call what it gives with the number done, the total and a word on where it is."""
    if not sys.stderr.isatty():
        yield lambda done, total, message: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)

        def move(done: int, total: int | None, message: str | None) -> None:
            progress.update(task, completed=done, total=total, description=f"{title}: {message}" if message else title)

        yield move
