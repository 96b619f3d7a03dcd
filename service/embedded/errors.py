"""Why local servers could not be started or kept running, in one sentence that names the setting and the way out."""

from typing import ClassVar


class EmbeddedError(Exception):
    """A server cannot be started as things are; the message is for the person at the terminal. Exit code 2."""

    exit_code: ClassVar[int] = 2


class ChildDied(EmbeddedError):
    """A child ended although nobody asked it to; the message carries its exit code and last log lines. Exit code 1."""

    exit_code: ClassVar[int] = 1
