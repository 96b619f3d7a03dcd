"""What pictures look like, and which look alike."""

from datetime import datetime

from sqlalchemy import REAL, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import SCHEMA, Base

BANDS = 4


def band(number: int) -> str:
    """Return the expression of a quarter of a hash: two hashes that differ in fewer than four bits have a quarter in common."""
    return f"((phash >> {16 * number}) & 65535)"


class ImageLikeness(Base):
    __tablename__ = "image_likeness"
    __table_args__ = (
        Index("ix_image_likeness_due", "image_id", postgresql_where=text("looked_at IS NULL")),
        *(
            Index(f"ix_image_likeness_band_{number}", text(band(number)), postgresql_where=text("phash IS NOT NULL"))
            for number in range(BANDS)
        ),
        CheckConstraint("phash IS NULL OR looked_at IS NOT NULL", name="hash_has_time"),
        {"comment": "What a picture looks like, worked out by the worker from its thumbnail."},
    )
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"), primary_key=True)
    phash: Mapped[int | None] = mapped_column(
        comment="64 bits; NULL for a picture of one colour, or one that could not be decoded"
    )
    looked_at: Mapped[datetime | None] = mapped_column(comment="when this was worked out; NULL: it is still to be done")


class NearDuplicate(Base):
    __tablename__ = "near_duplicate"
    __table_args__ = (
        Index("ix_near_duplicate_other_id", "other_id"),
        CheckConstraint("image_id > other_id", name="once"),
        CheckConstraint("distance BETWEEN 0 AND 64", name="distance"),
        {"comment": "Two pictures that look alike, once: the later is image_id."},
    )
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"), primary_key=True)
    other_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"), primary_key=True)
    distance: Mapped[int] = mapped_column(SmallInteger, comment="bits of the hash that differ")
    likeness: Mapped[float] = mapped_column(REAL, comment="correlation of the two thumbnails' gray levels, 1 at most")
