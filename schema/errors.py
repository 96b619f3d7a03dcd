"""What bringing a database to head may fail with, apart from the migrations: the command line knows it without importing them."""


class InitLocked(Exception):
    """Another init, or a client with the same advisory lock, holds the lock for too long; the message says so."""
