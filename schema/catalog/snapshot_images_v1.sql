CREATE VIEW catalog.snapshot_images AS
SELECT si.snapshot_id,
       i.id AS image_id,
       si.sha256,
       si.label,
       si.split
FROM pixref.snapshot_image si
LEFT JOIN pixref.image i ON i.id = si.image_id AND i.state = 'READY';

COMMENT ON VIEW catalog.snapshot_images IS 'The pictures of each frozen set, as they were.';
COMMENT ON COLUMN catalog.snapshot_images.snapshot_id IS 'Number of the set.';
COMMENT ON COLUMN catalog.snapshot_images.image_id IS 'The picture; NULL: it was deleted since.';
COMMENT ON COLUMN catalog.snapshot_images.sha256 IS 'SHA-256 of its bytes.';
COMMENT ON COLUMN catalog.snapshot_images.label IS 'The label that it had.';
COMMENT ON COLUMN catalog.snapshot_images.split IS 'The split that it had; NULL: none.';
