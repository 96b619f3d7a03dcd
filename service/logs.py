"""Structured logs: one JSON object a line on standard error, times in UTC, secrets never."""

import logging
import re
import sys
import time

from pythonjsonlogger.json import JsonFormatter

# Presigned links and credentials that slip into a message of a library. A backslash ends a secret, because the text is JSON already: it
# belongs to an escaped quote or line end.
_SECRETS = re.compile(
    r"""((?:X-Amz-(?:Signature|Credential|Security-Token)|token|password|secret)=|(?:bearer|basic)\s+)[^&\s"'\\]+"""
    r"""|(://[^:/\s@"'\\]*:)[^@\s"'\\]+(?=@)"""
    r"""|(pixref_)[A-Za-z0-9_-]{43}""",
    re.IGNORECASE,
)


class _Masked(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return _SECRETS.sub(lambda found: (found[1] or found[2] or found[3]) + "***", super().format(record))


def set_up(level: str) -> None:
    """Send everything to standard error as JSON; libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _Masked(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("WARNING")
    for name in ("service", "storage", "schema", "pixref"):
        logging.getLogger(name).setLevel(level)
