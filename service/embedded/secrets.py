"""The passwords and keys of the local servers: random, made once, kept in one file that only its owner can read."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from service.embedded.errors import EmbeddedError


def _secret() -> str:
    # Hexadecimal: stands in URLs, shells and .env files without quoting. 160 bits; MinIO takes at most 40 characters.
    return secrets.token_hex(20)


@dataclass(frozen=True)
class LocalSecrets:
    """Every secret of a local installation. `repr` shows none of them."""

    postgres_password: str = field(default_factory=_secret, repr=False)
    app_password: str = field(default_factory=_secret, repr=False)
    reader_password: str = field(default_factory=_secret, repr=False)
    minio_root_user: str = field(default_factory=lambda: f"root-{secrets.token_hex(6)}", repr=False)
    minio_root_password: str = field(default_factory=_secret, repr=False)
    s3_access_key: str = field(default_factory=lambda: f"pixref-{secrets.token_hex(6)}", repr=False)
    s3_secret_key: str = field(default_factory=_secret, repr=False)
    secret_key: str = field(default_factory=_secret, repr=False)
    admin_token: str = field(default_factory=_secret, repr=False)
    analyst_password: str = field(default_factory=_secret, repr=False)


# A file that is older than these gets them; what else is missing from a file is damage.
_ADDED = frozenset({"analyst_password"})


def load_or_create_secrets(file: Path) -> LocalSecrets:
    """Return the secrets in `file`, which is made (mode 0600) at the first call; call it with the state folder locked.

    Raises `EmbeddedError` where the file cannot be written or was damaged.
    """
    try:
        known = json.loads(file.read_text())
        found = {
            each.name: _text(known[each.name]) for each in fields(LocalSecrets) if each.name in known or each.name not in _ADDED
        }
    except FileNotFoundError:
        return _keep(LocalSecrets(), file)
    except NotADirectoryError:
        raise _unwritable(file, "Not a directory") from None
    except (ValueError, KeyError, TypeError):
        raise EmbeddedError(
            f"{file} is damaged: bring it back from a copy, or set PIXREF_STATE_DIR to another folder to begin anew"
        ) from None
    except OSError as exc:
        raise _unwritable(file, exc.strerror) from None
    held = LocalSecrets(**found)
    return held if len(found) == len(fields(LocalSecrets)) else _keep(held, file)


def _keep(made: LocalSecrets, file: Path) -> LocalSecrets:
    unfinished = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(asdict(made), out, indent=2)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    except OSError as exc:
        raise _unwritable(file, exc.strerror) from None
    return made


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a secret is a string")
    return value


def _unwritable(file: Path, reason: str | None) -> EmbeddedError:
    return EmbeddedError(f"{file} cannot be used ({reason}): set PIXREF_STATE_DIR to a folder of yours")
