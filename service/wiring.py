"""From settings to parts: the bucket, the rows, the limits. Nothing connects here. Shared by the web application, the worker and the commands."""

from schema.session import Sessions, open_engine
from service.png import PngLimits
from service.settings import Settings
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


def limits_of(settings: Settings) -> PngLimits:
    """Return the limits on one picture."""
    return PngLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
