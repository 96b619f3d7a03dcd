"""Schema `catalog`: the views that people and `pixref_reader` read.

Revision: 0002, after 0001.
"""

from alembic import op

from schema import catalog

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

VIEWS = ("images_v1", "labels_v1", "tags_v1", "image_tags_v1", "label_history_v1", "models_v1", "predictions_v1")


def upgrade() -> None:
    op.execute("CREATE SCHEMA catalog")
    op.execute("COMMENT ON SCHEMA catalog IS 'What can be asked: views of pictures, labels, tags, models and predictions.'")
    op.execute("GRANT USAGE ON SCHEMA catalog TO pixref_reader, pixref_app")
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *VIEWS)
    op.execute("DROP SCHEMA catalog")
