CREATE VIEW catalog.labels AS
SELECT l.name AS label,
       (SELECT count(*) FROM pixref.image i WHERE i.label_id = l.id AND i.state = 'READY') AS images,
       l.created_at
FROM pixref.label l;

COMMENT ON VIEW catalog.labels IS 'Every label, with the number of pictures that have it.';
COMMENT ON COLUMN catalog.labels.label IS 'The name.';
COMMENT ON COLUMN catalog.labels.images IS 'Pictures with this label.';
COMMENT ON COLUMN catalog.labels.created_at IS 'When it was first used.';
