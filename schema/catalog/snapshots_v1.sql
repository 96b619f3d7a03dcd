CREATE VIEW catalog.snapshots AS
SELECT s.id AS snapshot_id,
       s.digest,
       s.pictures,
       s.selection,
       a.name AS created_by,
       s.created_at
FROM pixref.snapshot s
LEFT JOIN pixref.account a ON a.id = s.created_by;

COMMENT ON VIEW catalog.snapshots IS 'Frozen sets of labelled pictures, on which models were trained or by which they were measured.';
COMMENT ON COLUMN catalog.snapshots.snapshot_id IS 'Number of the set.';
COMMENT ON COLUMN catalog.snapshots.digest IS 'SHA-256 over its pictures, labels and splits: the same pictures with the same labels are the same set.';
COMMENT ON COLUMN catalog.snapshots.pictures IS 'How many pictures it has.';
COMMENT ON COLUMN catalog.snapshots.selection IS 'What was asked for when it was first taken.';
COMMENT ON COLUMN catalog.snapshots.created_by IS 'Who took it.';
COMMENT ON COLUMN catalog.snapshots.created_at IS 'When.';
