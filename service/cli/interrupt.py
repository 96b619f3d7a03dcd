"""Ctrl-C while PostgreSQL works: psycopg2 waits in C, where Python hears no signal until the statement is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import set_wait_callback
from psycopg2.extras import wait_select


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C cancel statements of connections that are open already; one that is opened inside knows no connect_timeout."""
    set_wait_callback(wait_select)
    try:
        yield
    finally:
        set_wait_callback(None)
