"""Structured logs: one JSON object a line on standard error, times in UTC, secrets never."""

import logging
import re
import sys
import time

from pythonjsonlogger.json import JsonFormatter

# Presigned links and credentials that slip into a message of a library.
_SECRETS = re.compile(r"((?:X-Amz-(?:Signature|Credential|Security-Token)|token)=|[Bb]earer\s+)[^&\s\"']+|(://[^:/\s@]+:)[^@\s\"']+(?=@)")


class _Masked(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return _SECRETS.sub(lambda found: (found[1] or found[2]) + "***", super().format(record))


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
