CREATE VIEW catalog.label_history AS
SELECT e.image_id,
       before.name AS old_label,
       after.name AS new_label,
       coalesce(a.name, e.database_user) AS changed_by,
       e.changed_at
FROM pixref.label_event e
JOIN pixref.image i ON i.id = e.image_id AND i.state = 'READY'
LEFT JOIN pixref.label before ON before.id = e.old_label_id
LEFT JOIN pixref.label after ON after.id = e.new_label_id
LEFT JOIN pixref.account a ON a.id = e.account_id;

COMMENT ON VIEW catalog.label_history IS 'Every change of a label; rows are only ever added.';
COMMENT ON COLUMN catalog.label_history.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.label_history.old_label IS 'Before; NULL for none.';
COMMENT ON COLUMN catalog.label_history.new_label IS 'After; NULL for none.';
COMMENT ON COLUMN catalog.label_history.changed_by IS 'Who; the database role when the change came by plain SQL.';
COMMENT ON COLUMN catalog.label_history.changed_at IS 'When.';
