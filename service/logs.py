"""Structured logs: one JSON object a line on standard error, times in UTC, secrets never."""

import json
import logging
import re
import sys
import time
from typing import Any

# Presigned links and credentials that slip into a message of a library. A backslash ends a secret, because the text is JSON already: it
# belongs to an escaped quote or line end.
_SECRETS = re.compile(
    r"""((?:X-Amz-(?:Signature|Credential|Security-Token)|token|password|secret)=|(?:bearer|basic)\s+)[^&\s"'\\]+"""
    r"""|(://[^:/\s@"'\\]*:)[^@\s"'\\]+(?=@)"""
    r"""|(pixref_)[A-Za-z0-9_-]{43}""",
    re.IGNORECASE,
)
# Without any of these there is nothing to mask, and most lines have none: looking for them costs a tenth of the expression.
_MARKERS = ("=", "://", "bearer", "basic", "pixref_")

# What every record has; the rest was given as `extra`.
_STANDARD = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})

_to_json = json.JSONEncoder(default=str).encode


class _JsonLine(logging.Formatter):
    """A line is written for every request, so this is a dict and one call of the C encoder, and no library's general way to it."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                entry[name] = value
        if record.exc_info:
            entry["exc_info"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack_info"] = record.stack_info
        return _masked(_to_json(entry))


def _masked(text: str) -> str:
    lowered = text.lower()
    if not any(marker in lowered for marker in _MARKERS):
        return text
    return _SECRETS.sub(lambda found: (found[1] or found[2] or found[3]) + "***", text)


def set_up(level: str) -> None:
    """Send everything to standard error as JSON; libraries speak from WARNING on."""
    # What our lines do not show need not be found out: https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("WARNING")
    for name in ("service", "storage", "schema", "pixref"):
        logging.getLogger(name).setLevel(level)
