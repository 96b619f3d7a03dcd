CREATE VIEW catalog.unlabelled AS
SELECT i.id AS image_id,
       i.original_name,
       i.split,
       i.source,
       i.width,
       i.height,
       i.created_at,
       a.name AS created_by
FROM pixref.image i
LEFT JOIN pixref.account a ON a.id = i.created_by
WHERE i.state = 'READY' AND i.label_id IS NULL;

COMMENT ON VIEW catalog.unlabelled IS 'Pictures that nobody has labelled yet.';
COMMENT ON COLUMN catalog.unlabelled.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.unlabelled.original_name IS 'The name it was uploaded under.';
COMMENT ON COLUMN catalog.unlabelled.split IS 'train, test, validation or a word of your own.';
COMMENT ON COLUMN catalog.unlabelled.source IS 'How it came in: form, api, mnist.';
COMMENT ON COLUMN catalog.unlabelled.width IS 'Pixels, as stored in the file.';
COMMENT ON COLUMN catalog.unlabelled.height IS 'Pixels, as stored in the file.';
COMMENT ON COLUMN catalog.unlabelled.created_at IS 'When it was uploaded.';
COMMENT ON COLUMN catalog.unlabelled.created_by IS 'Who uploaded it.';
