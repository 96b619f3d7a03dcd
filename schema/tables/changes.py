"""What can be taken back."""

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import AccountRef, Base, CreatedAt, Id


class BulkChange(Base):
    __tablename__ = "bulk_change"
    __table_args__ = (
        CheckConstraint("kind IN ('label', 'tag', 'untag', 'delete')", name="kind"),
        CheckConstraint("before IS NULL OR cardinality(before) = cardinality(image_ids)", name="before"),
        Index("ix_bulk_change_created_at", "created_at"),
        {"comment": "A change of many pictures that can be taken back; forgotten after a day."},
    )
    id: Mapped[Id]
    kind: Mapped[str]
    word_id: Mapped[int | None] = mapped_column(comment="the label or tag that was given or taken; NULL: none")
    image_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="the pictures that were changed by it")
    before: Mapped[list[int | None] | None] = mapped_column(ARRAY(BigInteger), comment="the label that each of them had")
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]
