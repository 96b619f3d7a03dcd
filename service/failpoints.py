"""Named places where a test may end the process, as `kill -9` does, or hold it: how Pixref proves that it survives anywhere.

    arm("upload.stored=kill")            die when the upload gets there
    arm("upload.stored=kill:3")          at the third time
    arm("sweep.removed=sleep:0.5")       wait half a second, so that others can get in between

Only tests arm them. Otherwise a place costs one look at an empty dict. docs/reliability.md lists the places.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import count

_actions: dict[str, Callable[[], None]] = {}


def _kill_at(number: int) -> Callable[[], None]:
    passed = count(1)

    def act() -> None:
        if next(passed) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def arm(text: str) -> None:
    """Take comma-separated actions in place of the earlier ones; an empty text disarms. Raises `ValueError` for one that is not understood."""
    actions: dict[str, Callable[[], None]] = {}
    for part in filter(None, text.split(",")):
        name, _, action = part.partition("=")
        kind, _, value = action.partition(":")
        if kind == "kill":
            actions[name] = _kill_at(int(value or 1))
        elif kind == "sleep":
            actions[name] = partial(time.sleep, float(value))
        else:
            raise ValueError(f"{part!r} is not NAME=kill, NAME=kill:N or NAME=sleep:SECONDS")
    _actions.clear()
    _actions.update(actions)


def failpoint(name: str) -> None:
    """Do here what was asked for, which is nothing unless a test armed the place."""
    if _actions and (action := _actions.get(name)):
        action()
