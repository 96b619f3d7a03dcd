CREATE VIEW catalog.image_tags AS
SELECT it.image_id, t.name AS tag
FROM pixref.image_tag it
JOIN pixref.tag t ON t.id = it.tag_id
JOIN pixref.image i ON i.id = it.image_id AND i.state = 'READY';

COMMENT ON VIEW catalog.image_tags IS 'One row for each tag of each picture.';
COMMENT ON COLUMN catalog.image_tags.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.image_tags.tag IS 'One of its tags.';
