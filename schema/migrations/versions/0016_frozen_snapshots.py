"""Snapshots are frozen for everybody: by triggers, not by rights alone, and whoever took one may leave.

Revision: 0016, after 0015.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# A set is whole from the statement that makes it, so any other number of pictures than its row says is one that was added to. (Which transaction
# made the row says less: the foreign key to an account that goes writes the row anew.)
WHOLE = """
CREATE OR REPLACE FUNCTION pixref.snapshot_is_frozen() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM snapshot s
        WHERE s.id IN (SELECT a.snapshot_id FROM added a)
          AND s.pictures <> (SELECT count(*) FROM snapshot_image i WHERE i.snapshot_id = s.id)
    ) THEN
        RAISE EXCEPTION 'a snapshot is never added to' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;
"""
WHOLE_BEFORE = """
CREATE OR REPLACE FUNCTION pixref.snapshot_is_frozen() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added a JOIN snapshot s ON s.id = a.snapshot_id WHERE s.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'a snapshot is never added to' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;
"""
# Only foreign keys write to these rows: a picture or an account that goes leaves NULL.
KEPT = """
CREATE FUNCTION pixref.refuse_snapshot_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a snapshot is never changed' USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;

CREATE TRIGGER snapshot_is_kept BEFORE UPDATE ON pixref.snapshot FOR EACH ROW
    WHEN (NEW.created_by IS NOT NULL OR (OLD.id, OLD.digest, OLD.pictures, OLD.selection, OLD.created_at)
          IS DISTINCT FROM (NEW.id, NEW.digest, NEW.pictures, NEW.selection, NEW.created_at))
    EXECUTE FUNCTION pixref.refuse_snapshot_change();
CREATE TRIGGER snapshot_image_is_kept BEFORE UPDATE ON pixref.snapshot_image FOR EACH ROW
    WHEN (NEW.image_id IS NOT NULL OR (OLD.snapshot_id, OLD.sha256, OLD.label, OLD.split)
          IS DISTINCT FROM (NEW.snapshot_id, NEW.sha256, NEW.label, NEW.split))
    EXECUTE FUNCTION pixref.refuse_snapshot_change();
"""
TABLES = ("snapshot", "snapshot_image")


def upgrade() -> None:
    op.execute(WHOLE)
    op.execute(KEPT)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_is_not_removed BEFORE DELETE OR TRUNCATE ON pixref.{table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION pixref.refuse_snapshot_change()"
        )


def downgrade() -> None:
    for table in TABLES:
        for name in ("kept", "not_removed"):
            op.execute(f"DROP TRIGGER {table}_is_{name} ON pixref.{table}")
    op.execute("DROP FUNCTION pixref.refuse_snapshot_change()")
    op.execute(WHOLE_BEFORE)
