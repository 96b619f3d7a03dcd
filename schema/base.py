"""The declarative base: one naming convention, so that every constraint has a name that a migration and an error can refer to."""

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

SCHEMA = "pixref"

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


Id = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]
AccountRef = Annotated[int | None, mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="SET NULL"))]

THUMBNAIL_MAX_BYTES = 16 * 1024
NAME_MAX = 200
DESCRIPTION_MAX = 1_000

# How long a PENDING row is left alone: longer than any upload can take (the store's own deadline is 15 s), so that the sweep never meets a
# living one. By the database's clock: it is the column's default.
LEASE = timedelta(minutes=10)

# Parts of constraints and of partial indexes.
SHA256 = "~ '^[0-9a-f]{64}$'"
COLOUR = "~ '^#[0-9a-f]{6}$'"
READY = text("state = 'READY'")

# Pictures with neighbouring ids, two to the power of this many, are a zone of the search (docs/decisions/0012).
ZONE_BITS = 12
ZONE = text(f"(image_id >> {ZONE_BITS})")
