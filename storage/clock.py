"""How far the store's clock is from ours, as the `Date` of its answers says.

Requests are signed with our time. The store refuses them only beyond 15 minutes; a link that is signed by a clock that is minutes slow, though,
reaches its reader with those minutes of its life gone.
"""

import threading
from email.utils import parsedate_to_datetime
from time import monotonic

TOLERANCE_S = 60.0
# A difference may be mended at any time: what is known of one is asked for again after this long.
FRESH_S = 2.0


class StoreClock:
    """What the answers have told so far; thread-safe. Nothing is known, and nothing wrong, before the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._date = ""
        self._learnt_at = 0.0
        self.off_s: float | None = None
        """By how many seconds the store is ahead of us (negative: behind) at the least, where that is more than `TOLERANCE_S`; else None."""

    @property
    def stale(self) -> bool:
        """Whether the last answer is a while ago."""
        return monotonic() - self._learnt_at > FRESH_S

    def learn(self, date: str | None, asked_at: float, answered_at: float) -> None:
        """Compare the `Date` of an answer with our time (seconds since the epoch) before the request and after it."""
        if not date or (date == self._date and not self.stale):
            return
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        # They answered in between, and show whole seconds.
        ahead, behind = theirs - answered_at, theirs + 1 - asked_at
        off = ahead if ahead > TOLERANCE_S else behind if behind < -TOLERANCE_S else None
        with self._lock:
            self._date, self._learnt_at, self.off_s = date, monotonic(), off
