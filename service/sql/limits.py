"""How much one question may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, rows, and bytes of the rows as text."""

    time_s: float = 2.0
    rows: int = 1_000
    bytes: int = 5_000_000


ANSWER = Limits()
# A file has more rows, and no more bytes.
FILE = Limits(rows=50_000)
