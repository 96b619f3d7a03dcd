"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}

Rules: one transaction, no data loss on upgrade, `downgrade` works; name every constraint; grant every new table to pixref_app and every new
view to pixref_reader; long tables get their indexes CONCURRENTLY in a migration of their own.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
