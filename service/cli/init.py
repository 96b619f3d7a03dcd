"""`pixref init`: from nothing to ready. Locked, so that any number may start at once; safe to repeat."""

import json
import tempfile
from pathlib import Path

import click

from schema.provision import ensure_database, init_lock, provision_database
from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token, local_actor
from service.models.registry import register_model
from service.models.serving import BUILT_IN
from service.models.spec import Preprocessing
from service.settings import PROJECT_DIR, InitSettings
from service.wiring import open_rows, open_store
from storage.base import ObjectStore
from storage.provision import ensure_bucket, ensure_scoped_key

MODEL = PROJECT_DIR / "models" / "mnist.keras"
RECORD = PROJECT_DIR / "models" / "mnist.json"
OWNER = "owner"


def _store(settings: InitSettings) -> None:
    secret = settings.s3_secret_key.get_secret_value()
    key, root_secret = settings.s3_access_key, secret
    if settings.s3_root_user and settings.s3_root_password:
        key, root_secret = settings.s3_root_user, settings.s3_root_password.get_secret_value()
    ensure_bucket(
        settings.s3_endpoint, access_key=key, secret_key=root_secret, bucket=settings.s3_bucket, region=settings.s3_region
    )
    if settings.s3_root_user:
        ensure_scoped_key(
            settings.s3_endpoint,
            root_access_key=key,
            root_secret_key=root_secret,
            access_key=settings.s3_access_key,
            secret_key=secret,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
        )


def _built_in_model(sessions: Sessions, store: ObjectStore) -> int:
    record = json.loads(RECORD.read_text())
    with tempfile.TemporaryDirectory() as work_dir:
        return register_model(
            sessions,
            store,
            MODEL,
            name=BUILT_IN,
            labels=record["labels"],
            preprocessing=Preprocessing.from_json(record["preprocessing"]),
            metrics=record["metrics"],
            actor=local_actor(sessions),
            work_dir=Path(work_dir),
        )


@click.command()
def command() -> None:
    """Make database, roles, bucket, keys and the built-in model what they should be; safe to repeat.

    The only command that sees DATABASE_ADMIN_URL and the store's root key.
    """
    settings = InitSettings.load()
    app_url = settings.database_url.get_secret_value()
    admin_url = settings.database_admin_url.get_secret_value() if settings.database_admin_url else app_url
    if ensure_database(admin_url):
        click.echo("database: created")
    with init_lock(admin_url):
        reader = settings.reader_password.get_secret_value() if settings.reader_password else None
        provision_database(admin_url, app_url=app_url, reader_password=reader)
        click.echo("database: roles and tables are at head")
        _store(settings)
        click.echo(f"bucket: {settings.s3_bucket} is ready")
        sessions, store = open_rows(settings, name="init"), open_store(settings)
        number = _built_in_model(sessions, store)
        click.echo(f"model: {BUILT_IN} version {number} is registered")
        if settings.admin_token:
            create_token(sessions, name=OWNER, role=Role.ADMIN, token=settings.admin_token.get_secret_value())
            click.echo("sign-in: the token of PIXREF_ADMIN_TOKEN is registered")
