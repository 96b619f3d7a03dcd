CREATE OR REPLACE VIEW catalog.images AS
SELECT i.id AS image_id,
       l.name AS label,
       ARRAY(SELECT t.name FROM pixref.image_tag it JOIN pixref.tag t ON t.id = it.tag_id WHERE it.image_id = i.id ORDER BY t.name) AS tags,
       i.split,
       i.width,
       i.height,
       i.channels::integer AS channels,
       i.bit_depth::integer AS bit_depth,
       i.byte_size,
       i.sha256,
       i.original_name,
       i.attributes,
       i.created_at,
       i.source,
       i.taken_at,
       a.name AS created_by,
       i.damage
FROM pixref.image i
LEFT JOIN pixref.label l ON l.id = i.label_id
LEFT JOIN pixref.account a ON a.id = i.created_by
WHERE i.state = 'READY';

COMMENT ON VIEW catalog.images IS 'One row a picture.';
COMMENT ON COLUMN catalog.images.image_id IS 'The picture: /images/<image_id> is its page.';
COMMENT ON COLUMN catalog.images.label IS 'What it shows; at most one, NULL when nobody has said.';
COMMENT ON COLUMN catalog.images.tags IS 'All its tags in order; for speed join catalog.image_tags instead.';
COMMENT ON COLUMN catalog.images.split IS 'train, test, validation or a word of your own.';
COMMENT ON COLUMN catalog.images.width IS 'Pixels, as stored in the file.';
COMMENT ON COLUMN catalog.images.height IS 'Pixels, as stored in the file.';
COMMENT ON COLUMN catalog.images.channels IS '1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; a palette counts as its colours.';
COMMENT ON COLUMN catalog.images.bit_depth IS 'Bits a sample: 1, 2, 4, 8 or 16.';
COMMENT ON COLUMN catalog.images.byte_size IS 'Bytes of the file in the bucket.';
COMMENT ON COLUMN catalog.images.sha256 IS 'SHA-256 of the file, hex: what you uploaded is what you get.';
COMMENT ON COLUMN catalog.images.original_name IS 'The name it was uploaded under.';
COMMENT ON COLUMN catalog.images.attributes IS 'Free facts of your own, a JSON object.';
COMMENT ON COLUMN catalog.images.created_at IS 'When it was uploaded.';
COMMENT ON COLUMN catalog.images.source IS 'How it came in: form, api, mnist.';
COMMENT ON COLUMN catalog.images.taken_at IS 'When the camera says it was taken (EXIF).';
COMMENT ON COLUMN catalog.images.created_by IS 'Who uploaded it.';
COMMENT ON COLUMN catalog.images.damage IS 'lost or corrupt where the bytes in the bucket are not those that were uploaded; NULL is sound.';
