"""How well model versions did on frozen sets of pictures.

Revision: 0013, after 0012.
"""

import sqlalchemy as sa
from alembic import op

from schema import catalog

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

VIEWS = ("evaluations_v1", "evaluation_cells_v1", "evaluation_classes_v1", "evaluation_bins_v1", "version_comparisons_v1")


def upgrade() -> None:
    op.create_table(
        "evaluation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column("pictures", sa.BigInteger(), nullable=False, comment="that were predicted"),
        sa.Column("failed", sa.BigInteger(), nullable=False, comment="that could not be predicted, or were gone"),
        sa.Column("correct", sa.BigInteger(), nullable=False, comment="whose prediction is the label"),
        sa.Column(
            "log_loss",
            sa.REAL(),
            nullable=True,
            comment="mean of -ln of the label's score, in nats, over pictures whose label the version knows",
        ),
        sa.Column(
            "calibration_error",
            sa.REAL(),
            nullable=True,
            comment="expected calibration error: how far scores are from the share that is right, mean over pictures",
        ),
        sa.Column(
            "leaked",
            sa.BigInteger(),
            nullable=True,
            comment="pictures that the version was trained on; NULL: what it was trained on is not known",
        ),
        sa.Column("leaked_near", sa.BigInteger(), nullable=True, comment="pictures that look like one that it was trained on"),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("correct BETWEEN 0 AND pictures AND failed >= 0", name=op.f("ck_evaluation_counts")),
        sa.CheckConstraint("calibration_error BETWEEN 0 AND 1", name=op.f("ck_evaluation_calibration_error")),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["pixref.model_version.id"],
            name=op.f("fk_evaluation_model_version_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["pixref.snapshot.id"], name=op.f("fk_evaluation_snapshot_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["pixref.account.id"], name=op.f("fk_evaluation_created_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        schema="pixref",
        comment="What came of measuring a model version by a frozen set of pictures. Never changed.",
    )
    op.create_index("ix_evaluation_model_version_id", "evaluation", ["model_version_id", "id"], schema="pixref")
    op.create_index("ix_evaluation_snapshot_id", "evaluation", ["snapshot_id"], schema="pixref")
    op.create_table(
        "evaluation_cell",
        sa.Column("evaluation_id", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False, comment="what the pictures show, as the set says"),
        sa.Column("predicted", sa.Text(), nullable=False, comment="what the version made of them"),
        sa.Column("pictures", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("pictures > 0", name=op.f("ck_evaluation_cell_pictures")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["pixref.evaluation.id"], name=op.f("fk_evaluation_cell_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "label", "predicted", name=op.f("pk_evaluation_cell")),
        schema="pixref",
        comment="A cell of the confusion matrix that is not empty.",
    )
    op.create_table(
        "evaluation_bin",
        sa.Column("evaluation_id", sa.BigInteger(), nullable=False),
        sa.Column("bin", sa.SmallInteger(), nullable=False),
        sa.Column("pictures", sa.BigInteger(), nullable=False),
        sa.Column("correct", sa.BigInteger(), nullable=False),
        sa.Column("mean_score", sa.REAL(), nullable=False),
        sa.CheckConstraint("bin BETWEEN 0 AND 14", name=op.f("ck_evaluation_bin_bin")),
        sa.CheckConstraint("pictures > 0 AND correct BETWEEN 0 AND pictures", name=op.f("ck_evaluation_bin_counts")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["pixref.evaluation.id"], name=op.f("fk_evaluation_bin_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "bin", name=op.f("pk_evaluation_bin")),
        schema="pixref",
        comment="Pictures whose best score lies in one of 15 equal parts of 0 to 1.",
    )
    op.execute("GRANT SELECT, INSERT ON pixref.evaluation, pixref.evaluation_cell, pixref.evaluation_bin TO pixref_app")
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *reversed(VIEWS))
    op.drop_table("evaluation_bin", schema="pixref")
    op.drop_table("evaluation_cell", schema="pixref")
    op.drop_table("evaluation", schema="pixref")
