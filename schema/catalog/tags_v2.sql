CREATE OR REPLACE VIEW catalog.tags AS
SELECT t.name AS tag,
       -- All less those that are not to be seen, which are few: two scans of an index instead of a look at every picture.
       (SELECT count(*) FROM pixref.image_tag it WHERE it.tag_id = t.id)
           - (SELECT count(*) FROM pixref.image_tag it JOIN pixref.image i ON i.id = it.image_id AND i.state <> 'READY' WHERE it.tag_id = t.id)
           AS images,
       t.created_at
FROM pixref.tag t;

COMMENT ON VIEW catalog.tags IS 'Every tag, with the number of pictures that have it.';
COMMENT ON COLUMN catalog.tags.tag IS 'The word.';
COMMENT ON COLUMN catalog.tags.images IS 'Pictures with this tag.';
COMMENT ON COLUMN catalog.tags.created_at IS 'When it was first used.';
