"""What went wrong, as one sentence for the person at the terminal, with the exit code."""

from sqlalchemy.exc import SQLAlchemyError

from schema.errors import InitLocked
from schema.roles import RolesError
from service.embedded.errors import EmbeddedError
from service.errors import Conflict, Invalid, NotFound, PixrefError
from service.faults import translate
from service.settings import SettingsError
from storage.base import BucketMissing, StoreDenied, StoreError, StoreMisconfigured, StoreTimeout, StoreUnavailable

FAILED, WRONG, INTERRUPTED = 1, 2, 130

# undefined_table, undefined_column, undefined_function, invalid_schema_name, insufficient_privilege: not our tables, or of another release.
_NOT_AT_HEAD = frozenset({"42P01", "42703", "42883", "3F000", "42501"})


def explain(exc: Exception) -> tuple[str, int] | None:
    """Return one clear sentence and the exit code for an error that is not a bug, None for a bug."""
    if isinstance(exc, SettingsError):
        return _settings(exc), WRONG
    if isinstance(exc, EmbeddedError):
        return str(exc), exc.exit_code
    if isinstance(exc, RolesError):
        return str(exc), WRONG
    if isinstance(exc, InitLocked):
        return str(exc), FAILED
    if isinstance(exc, PixrefError):
        return exc.detail, WRONG if isinstance(exc, (Invalid, NotFound, Conflict)) else FAILED
    if isinstance(exc, StoreError):
        return f"{exc}{_way_out(exc)}", WRONG if isinstance(exc, StoreMisconfigured) else FAILED
    if isinstance(exc, SQLAlchemyError):
        return _database(exc)
    if isinstance(exc, OSError) and exc.filename is not None:
        return f"{exc.filename} cannot be used ({exc.strerror})", FAILED
    return None


def reason_of(exc: Exception) -> str:
    """Return the first line of what the database's driver said."""
    lines = str(getattr(exc, "orig", None) or exc).strip().splitlines()
    return lines[0] if lines else type(exc).__name__


def _settings(exc: SettingsError) -> str:
    message = str(exc)
    if "DATABASE_URL: is not set" in message:
        message += "\n`make run` starts everything and sets all of them; or give them in the environment or in .env"
    return message


def _way_out(exc: StoreError) -> str:
    if isinstance(exc, StoreDenied):
        return ": check S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET"
    if isinstance(exc, BucketMissing):
        return ": check S3_BUCKET"
    if isinstance(exc, (StoreUnavailable, StoreTimeout)):
        return ": check S3_ENDPOINT"
    return ""


def _database(exc: SQLAlchemyError) -> tuple[str, int] | None:
    if "due to user request" in reason_of(exc):  # Ctrl-C, by way of the server
        return "interrupted; what was done stays done", INTERRUPTED
    if getattr(getattr(exc, "orig", None), "pgcode", None) in _NOT_AT_HEAD:
        return f"the database is not what this release needs ({reason_of(exc)}): run `pixref init`, or check DATABASE_URL", WRONG
    error = translate(exc)
    if error is None:
        return None
    return f"the database cannot be used ({reason_of(exc)}): check DATABASE_URL, and that PostgreSQL runs", FAILED
