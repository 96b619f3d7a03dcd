"""`pixref init`: from nothing to ready. Locked, so that any number may start at once; safe to repeat."""

import tempfile
from pathlib import Path

import click
from sqlalchemy.exc import OperationalError

from schema.provision import ensure_database, init_lock, provision_database
from schema.roles import ANALYST, DOOR, READER
from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token, local_actor
from service.cli.interrupt import interruptible
from service.cli.output import printable
from service.cli.trouble import reason_of
from service.errors import Conflict, DatabaseUnavailable
from service.models.folder import register_folder
from service.settings import PROJECT_DIR, InitSettings, SettingsError
from service.wiring import open_rows, open_store
from storage.base import ObjectStore, StoreDenied
from storage.provision import ensure_bucket, ensure_scoped_key

MODELS = PROJECT_DIR / "models"
OWNER = "owner"


def _store(settings: InitSettings) -> None:
    secret = settings.s3_secret_key.get_secret_value()
    if settings.s3_root_user is None or settings.s3_root_password is None:
        ensure_bucket(
            settings.s3_endpoint,
            access_key=settings.s3_access_key,
            secret_key=secret,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
        )
        return
    root, root_secret = settings.s3_root_user, settings.s3_root_password.get_secret_value()
    if settings.s3_access_key == root:
        raise SettingsError("S3_ACCESS_KEY: is MINIO_ROOT_USER; give the application a key of its own, which init will make")
    try:
        ensure_bucket(
            settings.s3_endpoint, access_key=root, secret_key=root_secret, bucket=settings.s3_bucket, region=settings.s3_region
        )
        ensure_scoped_key(
            settings.s3_endpoint,
            root_access_key=root,
            root_secret_key=root_secret,
            access_key=settings.s3_access_key,
            secret_key=secret,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
        )
    except StoreDenied as exc:
        raise SettingsError(f"MINIO_ROOT_USER, MINIO_ROOT_PASSWORD: {exc}") from exc


def _models(sessions: Sessions, store: ObjectStore) -> None:
    with tempfile.TemporaryDirectory() as work_dir:
        for found in register_folder(sessions, store, MODELS, actor=local_actor(sessions), work_dir=Path(work_dir)):
            name = printable(found.name)
            if found.error is not None:
                click.echo(f"model: {name} was not registered: {printable(found.error)}", err=True)
            else:
                click.echo(f"model: {name} version {found.version} is {'retired' if found.retired else 'registered'}")


@click.command()
def command() -> None:
    """Make database, roles, bucket and keys what they should be, and register the models of the folder `models`; safe to repeat.

    The only command that sees DATABASE_ADMIN_URL and the store's root key.
    """
    settings = InitSettings.load()
    app_url = settings.database_url.get_secret_value()
    admin_url = settings.database_admin_url.get_secret_value() if settings.database_admin_url else app_url
    try:
        created = ensure_database(admin_url)
    except OperationalError as exc:
        name = "DATABASE_ADMIN_URL" if settings.database_admin_url else "DATABASE_URL"
        raise DatabaseUnavailable(
            f"the database cannot be used ({reason_of(exc)}): check {name}, and that PostgreSQL runs"
        ) from exc
    if created:
        click.echo("database: created")
    with interruptible(), init_lock(admin_url):
        given = {READER: settings.reader_password, ANALYST: settings.analyst_password}
        passwords = {role: password.get_secret_value() for role, password in given.items() if password}
        passwords[DOOR] = settings.door_password
        missing = provision_database(admin_url, app_url=app_url, passwords=passwords)
        click.echo("database: roles and tables are at head")
        for guard in missing:
            click.echo(f"database: left open: {guard}", err=True)
        _store(settings)
        click.echo(f"bucket: {settings.s3_bucket} is ready")
        sessions, store = open_rows(settings, name="init"), open_store(settings)
        _models(sessions, store)
        if settings.admin_token:
            try:
                create_token(sessions, name=OWNER, role=Role.ADMIN, token=settings.admin_token.get_secret_value())
            except Conflict:
                click.echo(
                    "sign-in: the token of PIXREF_ADMIN_TOKEN was revoked; `pixref token create --role admin` makes another",
                    err=True,
                )
                return
            click.echo("sign-in: the token of PIXREF_ADMIN_TOKEN is registered")
