"""From settings to parts: the bucket, the rows, the limits. Nothing connects here. Shared by the web application, the worker and the commands."""

from sqlalchemy import make_url

from schema.roles import DOOR
from schema.session import Sessions, open_engine
from service.png import PngLimits
from service.settings import Settings
from service.sql.ask import Door, places
from storage.minio_store import MinioStore


def open_store(settings: Settings) -> MinioStore:
    """Return the bucket that the settings name; nothing connects yet."""
    return MinioStore(
        endpoint_url=settings.s3_endpoint,
        public_endpoint_url=settings.public_endpoint,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        bucket=settings.s3_bucket,
        region=settings.s3_region,
    )


def open_rows(settings: Settings, *, name: str) -> Sessions:
    """Return sessions on the database that the settings name; nothing connects yet."""
    return Sessions(open_engine(settings.database_url.get_secret_value(), application_name=f"pixref {name}"))


def open_door(settings: Settings) -> Door:
    """Return the SQL door of one web process into the database that the settings name; nothing connects yet."""
    url = make_url(settings.database_url.get_secret_value())
    url = url.set(drivername="postgresql", username=DOOR, password=settings.door_password)
    return Door(url.render_as_string(hide_password=False), places(settings.web_workers))


def limits_of(settings: Settings) -> PngLimits:
    """Return the limits on one picture."""
    return PngLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
