"""Schema `jobs`: the tables of the job queue, as Procrastinate ships them.

Revision: 0003, after 0002. The tables are the library's own, so they are installed from its package; when a later release changes them, its
migration goes into one of ours.
"""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

GRANTS = """
GRANT USAGE ON SCHEMA jobs TO pixref_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO pixref_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO pixref_app;
"""


def upgrade() -> None:
    connection = op.get_bind()
    op.execute("CREATE SCHEMA jobs")
    # Its statements name no schema.
    op.execute("SET LOCAL search_path = jobs")
    connection.exec_driver_sql(SchemaManager.get_schema(), execution_options={"no_parameters": True})
    op.execute("RESET search_path")
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("DROP SCHEMA jobs CASCADE")
