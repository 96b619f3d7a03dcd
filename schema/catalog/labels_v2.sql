CREATE OR REPLACE VIEW catalog.labels AS
SELECT l.name AS label,
       (SELECT count(*) FROM pixref.image i WHERE i.label_id = l.id AND i.state = 'READY') AS images,
       l.created_at,
       l.colour,
       l.description,
       ARRAY(SELECT s.name FROM pixref.label s WHERE s.merged_into_id = l.id ORDER BY s.name) AS synonyms
FROM pixref.label l
WHERE l.merged_into_id IS NULL;

COMMENT ON VIEW catalog.labels IS 'Every label, with the number of pictures that have it.';
COMMENT ON COLUMN catalog.labels.label IS 'The name.';
COMMENT ON COLUMN catalog.labels.images IS 'Pictures with this label.';
COMMENT ON COLUMN catalog.labels.created_at IS 'When it was first used.';
COMMENT ON COLUMN catalog.labels.colour IS 'Its colour on the pages, #rrggbb; NULL for none.';
COMMENT ON COLUMN catalog.labels.description IS 'What it means, in somebody''s own words.';
COMMENT ON COLUMN catalog.labels.synonyms IS 'Names of labels that were merged into it; they lead to it.';
