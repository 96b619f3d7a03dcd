"""Every setting of Pixref: name, default, unit and help, read once from the environment or `.env` into a frozen object.

`.env` is looked for beside `pyproject.toml`, never in the working directory of the moment. A wrong value stops the start with the
setting's name and the accepted form (`SettingsError`). Four views of the same file, so that no process sees more than it needs:

    Settings        web, worker and the commands of a running service
    ReaderSettings  adds the passwords of SQL clients, for `pixref sql`
    InitSettings    adds what only `pixref init` may see: the database administrator and the store's root key
    LocalSettings   `pixref dev` (`make run`): ports and folders of the servers that it starts itself
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_DIR = Path(__file__).resolve().parent.parent
KIB = 1024
MIB = 1024 * KIB

# Values that tutorials and example files spread; a service that starts with one of them is open to everybody.
WELL_KNOWN_SECRETS = frozenset({"", "change-me", "changeme", "minioadmin", "postgres", "password", "secret", "admin", "pixref"})


class SettingsError(Exception):
    """One or more settings cannot be used; the message has a line for each, with its name and the accepted form."""


def _has_usable_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:  # no number, or beyond 65535
        return False


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
        or parts.username
        or not _has_usable_port(parts)
    ):
        raise ValueError("give scheme, host and port only, such as http://127.0.0.1:9000")
    return value.rstrip("/")


def _database_url(value: SecretStr) -> SecretStr:
    # The password is in it, so neither pydantic's message nor ours may repeat the value.
    parts = urlsplit(value.get_secret_value())
    known = parts.scheme in ("postgresql", "postgres", "postgresql+psycopg2")
    if not known or not parts.path.strip("/") or not _has_usable_port(parts):
        raise ValueError("give postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    if parts.password is not None and unquote(parts.password).lower() in WELL_KNOWN_SECRETS:
        raise ValueError("its password is empty or a well-known default; `make env` writes random secrets into .env")
    return value


def _strong_secret(value: SecretStr) -> SecretStr:
    if value.get_secret_value().strip().lower() in WELL_KNOWN_SECRETS:
        raise ValueError("is empty or a well-known default; `make env` writes random secrets into .env")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Secret = Annotated[SecretStr, AfterValidator(_strong_secret)]
Port = Annotated[int, Field(ge=1, le=65535)]

# What only `pixref init` may see; no other process of ours gets it handed on.
PRIVILEGED = frozenset({"DATABASE_ADMIN_URL", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "PIXREF_ADMIN_TOKEN"})

# Written by `pixref dev` into its state folder, so that every other command finds the servers that it has started.
SERVICE_ENV = "service.env"
ENV_FILE = PROJECT_DIR / ".env"


def door_password(secret_key: str) -> str:
    """Return the password of the SQL door's role: made from the secret key, so that there is nothing to set or to forget.

    256 bits of HMAC-SHA-256 under a label of their own: they say nothing of the key, nor of what else is made from it.
    """
    return hmac.new(secret_key.encode(), b"pixref_door", hashlib.sha256).hexdigest()


class _Loadable(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment, else `.env`, else what a running `pixref dev` has written; `overrides` (by field name) win.

        Raises `SettingsError`.
        """
        try:
            return cls(_env_file=cls._files(), **overrides)
        except ValidationError as exc:
            lines = []
            for problem in exc.errors(include_url=False, include_context=False, include_input=False):
                name = str(problem["loc"][0]).upper() if problem["loc"] else ""
                field = next((f for f in cls.model_fields.values() if f.validation_alias == name), None)
                message = problem["msg"].removeprefix("Value error, ")
                if problem["type"] == "missing":
                    message = "is not set"
                hint = f" ({field.description})" if field is not None and field.description else ""
                lines.append(f"{name or 'settings'}: {message}{hint}")
            raise SettingsError("\n".join(lines)) from None

    @classmethod
    def _files(cls) -> tuple[Path, ...]:
        """Return what is read besides the environment; later files win."""
        return (_Place(_env_file=ENV_FILE).path / SERVICE_ENV, ENV_FILE)

    def effective(self) -> dict[str, Any]:
        """Return every setting by its environment name, secrets masked, for the log line at start."""
        shown = self.model_dump(mode="json")
        return {str(field.validation_alias): shown[name] for name, field in type(self).model_fields.items()}


class _Place(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    state_dir: Path = Field(Path("var"), validation_alias="PIXREF_STATE_DIR", description="folder for all state of `make run`")

    @property
    def path(self) -> Path:
        """The state folder; a relative one is beside `pyproject.toml`, wherever the command is started."""
        return self.state_dir if self.state_dir.is_absolute() else PROJECT_DIR / self.state_dir


class _Web(_Loadable):
    host: str = Field("127.0.0.1", validation_alias="PIXREF_HOST", description="address the web server listens on")
    port: Port = Field(8000, validation_alias="PIXREF_PORT", description="port of the web server, 1-65535")


class Settings(_Web):
    """What web, worker and commands need."""

    database_url: DatabaseUrl = Field(
        validation_alias="DATABASE_URL", description="postgresql://USER:PASSWORD@HOST:PORT/DATABASE of the application's role"
    )
    s3_endpoint: HttpUrl = Field(validation_alias="S3_ENDPOINT", description="URL at which this process reaches the S3 server")
    s3_public_endpoint: HttpUrl | None = Field(
        None, validation_alias="S3_PUBLIC_ENDPOINT", description="URL at which browsers reach it; default: S3_ENDPOINT"
    )
    s3_access_key: Annotated[str, Field(min_length=3, max_length=128)] = Field(
        validation_alias="S3_ACCESS_KEY", description="the application's own key, not the server's root key"
    )
    s3_secret_key: Annotated[Secret, Field(min_length=8)] = Field(
        validation_alias="S3_SECRET_KEY", description="its secret, at least 8 characters"
    )
    s3_bucket: str = Field(
        "pixref",
        validation_alias="S3_BUCKET",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="bucket name: 3-63 of a-z, 0-9, '.' and '-'",
    )
    s3_region: str = Field(
        "us-east-1", validation_alias="S3_REGION", pattern=r"^[a-z0-9-]{1,64}$", description="region that goes into signatures"
    )
    secret_key: Annotated[Secret, Field(min_length=32)] = Field(
        validation_alias="PIXREF_SECRET_KEY", description="signs session cookies: at least 32 random characters"
    )
    max_upload_mib: Annotated[int, Field(ge=1, le=1024)] = Field(
        20, validation_alias="PIXREF_MAX_UPLOAD_MIB", description="largest picture accepted, in MiB, 1-1024"
    )
    max_form_mib: Annotated[int, Field(ge=1, le=10240)] = Field(
        200, validation_alias="PIXREF_MAX_FORM_MIB", description="largest plain form with many files, in MiB, 1-10240"
    )
    max_model_mib: Annotated[int, Field(ge=1, le=512)] = Field(
        256,
        validation_alias="PIXREF_MAX_MODEL_MIB",
        description="largest model file that can be sent to be registered, in MiB, 1-512",
    )
    max_pixels: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        50_000_000, validation_alias="PIXREF_MAX_PIXELS", description="largest width x height accepted, in pixels"
    )
    url_lifetime_s: Annotated[int, Field(ge=10, le=3600)] = Field(
        300,
        validation_alias="PIXREF_URL_LIFETIME_S",
        description="a presigned URL stays valid at least this long, in seconds, 10-3600",
    )
    trash_days: Annotated[int, Field(ge=0, le=365)] = Field(
        7,
        validation_alias="PIXREF_TRASH_DAYS",
        description="a deleted picture can be restored for this long, in days, 0-365; 0 removes it at once",
    )
    file_delivery: Literal["redirect", "stream"] = Field(
        "redirect",
        validation_alias="PIXREF_FILE_DELIVERY",
        description="redirect: browsers fetch pictures from the bucket; stream: through this service, where they cannot reach it",
    )
    cookie_secure: bool = Field(
        False,
        validation_alias="PIXREF_COOKIE_SECURE",
        description="true where the service is reached by https: cookies are then sent by https only",
    )
    web_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        2, validation_alias="PIXREF_WEB_WORKERS", description="web server processes, 1-64"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="PIXREF_LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR"
    )

    @model_validator(mode="after")
    def _form_holds_a_picture(self) -> Self:
        if self.max_form_mib < self.max_upload_mib:
            raise ValueError("PIXREF_MAX_FORM_MIB must not be smaller than PIXREF_MAX_UPLOAD_MIB")
        return self

    @property
    def trash(self) -> timedelta:
        """How long a deleted picture can be restored."""
        return timedelta(days=self.trash_days)

    @property
    def door_password(self) -> str:
        """Password of `pixref_door`; known to `pixref init`, which sets it, and to the web process, which asks with it."""
        return door_password(self.secret_key.get_secret_value())

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mib * MIB

    @property
    def max_model_bytes(self) -> int:
        return self.max_model_mib * MIB

    @property
    def max_form_bytes(self) -> int:
        return self.max_form_mib * MIB

    @property
    def public_endpoint(self) -> str:
        return self.s3_public_endpoint or self.s3_endpoint


class ReaderSettings(Settings):
    """Adds what `pixref sql` signs in with."""

    reader_password: Secret | None = Field(
        None, validation_alias="PIXREF_READER_PASSWORD", description="password of pixref_reader, the role of SQL clients"
    )
    analyst_password: Secret | None = Field(
        None,
        validation_alias="PIXREF_ANALYST_PASSWORD",
        description="password of pixref_analyst, the role of SQL clients with tables of their own",
    )


class InitSettings(ReaderSettings):
    """Adds what only `pixref init` may see."""

    database_admin_url: DatabaseUrl | None = Field(
        None,
        validation_alias="DATABASE_ADMIN_URL",
        description="a role that may create roles and the database; default: DATABASE_URL",
    )
    s3_root_user: str | None = Field(
        None, validation_alias="MINIO_ROOT_USER", description="MinIO's root user; without it S3_ACCESS_KEY must exist already"
    )
    s3_root_password: Secret | None = Field(None, validation_alias="MINIO_ROOT_PASSWORD", description="MinIO's root password")
    admin_token: Annotated[Secret, Field(min_length=24)] | None = Field(
        None, validation_alias="PIXREF_ADMIN_TOKEN", description="token of the first sign-in link, at least 24 random characters"
    )

    @model_validator(mode="after")
    def _root_key_is_whole(self) -> Self:
        if (self.s3_root_user is None) != (self.s3_root_password is None):
            raise ValueError("MINIO_ROOT_USER and MINIO_ROOT_PASSWORD go together: set both or neither")
        return self


class LocalSettings(_Web, _Place):
    """What `pixref dev` needs to start servers of its own; a URL that is set here means that server is yours and not started."""

    s3_port: Port = Field(9000, validation_alias="S3_PORT", description="port of the S3 server, 1-65535")
    db_port: Port = Field(5437, validation_alias="DB_PORT", description="port of PostgreSQL for SQL clients, 1-65535")
    minio_bin: Path | None = Field(None, validation_alias="MINIO_BIN", description="path of a MinIO server binary")
    database_url: DatabaseUrl | None = Field(None, validation_alias="DATABASE_URL", description="use this PostgreSQL, start none")
    reader_password: Secret | None = Field(
        None, validation_alias="PIXREF_READER_PASSWORD", description="password of pixref_reader; default: a random one"
    )
    analyst_password: Secret | None = Field(
        None, validation_alias="PIXREF_ANALYST_PASSWORD", description="password of pixref_analyst; default: a random one"
    )
    s3_endpoint: HttpUrl | None = Field(None, validation_alias="S3_ENDPOINT", description="use this S3 server, start none")
    s3_access_key: str | None = Field(None, validation_alias="S3_ACCESS_KEY", description="key for S3_ENDPOINT")
    s3_secret_key: SecretStr | None = Field(None, validation_alias="S3_SECRET_KEY", description="secret for S3_ENDPOINT")

    @classmethod
    def _files(cls) -> tuple[Path, ...]:
        # Not what an earlier run has written: its servers would pass for the user's own.
        return (ENV_FILE,)

    @model_validator(mode="after")
    def _foreign_store_has_a_key(self) -> Self:
        if self.s3_endpoint and not (self.s3_access_key and self.s3_secret_key):
            raise ValueError("S3_ENDPOINT is set, so S3_ACCESS_KEY and S3_SECRET_KEY must be set too")
        if len({self.port, self.s3_port, self.db_port}) < 3:
            raise ValueError("PIXREF_PORT, S3_PORT and DB_PORT must be three different ports")
        return self


def child_environment(given: Mapping[str, str], *, privileged: bool = False) -> dict[str, str]:
    """Return the environment of a child process: ours, with `given` on top, and without what only `pixref init` may see."""
    merged = os.environ | given  # noqa: TID251  (this is the module that may)
    return {name: value for name, value in merged.items() if privileged or name not in PRIVILEGED}


def single_native_thread() -> None:
    """Keep numpy's linear algebra to the calling thread; to be called before numpy is imported. LiteRT has a setting of its own."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # noqa: TID251


def write_service_env(path: Path, given: Mapping[str, str]) -> None:
    """Keep what other commands need to reach the servers of this run, readable by the owner alone."""
    lines = [f"{name}={value}\n" for name, value in sorted(given.items()) if name not in PRIVILEGED]
    target = path / SERVICE_ENV
    target.unlink(missing_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.writelines(lines)
