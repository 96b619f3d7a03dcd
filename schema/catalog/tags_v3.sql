CREATE OR REPLACE VIEW catalog.tags AS
SELECT t.name AS tag,
       -- Few pictures are not READY, and an index knows them: two short counts instead of a join of all.
       (SELECT count(*) FROM pixref.image_tag it WHERE it.tag_id = t.id)
       - (SELECT count(*) FROM pixref.image_tag it JOIN pixref.image i ON i.id = it.image_id AND i.state <> 'READY' WHERE it.tag_id = t.id) AS images,
       t.created_at,
       t.colour,
       t.description,
       ARRAY(SELECT s.name FROM pixref.tag s WHERE s.merged_into_id = t.id ORDER BY s.name) AS synonyms
FROM pixref.tag t
WHERE t.merged_into_id IS NULL;

COMMENT ON VIEW catalog.tags IS 'Every tag, with the number of pictures that have it.';
COMMENT ON COLUMN catalog.tags.tag IS 'The word.';
COMMENT ON COLUMN catalog.tags.images IS 'Pictures with this tag.';
COMMENT ON COLUMN catalog.tags.created_at IS 'When it was first used.';
COMMENT ON COLUMN catalog.tags.colour IS 'Its colour on the pages, #rrggbb; NULL for none.';
COMMENT ON COLUMN catalog.tags.description IS 'What it means, in somebody''s own words.';
COMMENT ON COLUMN catalog.tags.synonyms IS 'Names of tags that were merged into it; they lead to it.';
