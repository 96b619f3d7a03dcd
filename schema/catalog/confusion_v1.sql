CREATE VIEW catalog.confusion AS
SELECT m.name AS model,
       v.number AS version,
       l.name AS label,
       pl.name AS predicted,
       n.images,
       EXISTS (SELECT FROM pixref.model_alias a WHERE a.model_version_id = v.id AND a.alias = 'champion') AS champion
FROM (SELECT p.model_version_id, i.label_id, p.label_id AS predicted_id, count(*) AS images
      FROM pixref.prediction p
      JOIN pixref.image i ON i.id = p.image_id AND i.state = 'READY'
      WHERE i.label_id IS NOT NULL AND p.label_id IS NOT NULL
      GROUP BY p.model_version_id, i.label_id, p.label_id) n
JOIN pixref.model_version v ON v.id = n.model_version_id
JOIN pixref.model m ON m.id = v.model_id
JOIN pixref.label l ON l.id = n.label_id
JOIN pixref.label pl ON pl.id = n.predicted_id;

COMMENT ON VIEW catalog.confusion IS 'How often each version took which label for which: one row for each pair that occurs. Pictures without a label are not counted.';
COMMENT ON COLUMN catalog.confusion.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.confusion.version IS 'Number of the version.';
COMMENT ON COLUMN catalog.confusion.label IS 'What the pictures show.';
COMMENT ON COLUMN catalog.confusion.predicted IS 'What the version made of them.';
COMMENT ON COLUMN catalog.confusion.images IS 'How many pictures.';
COMMENT ON COLUMN catalog.confusion.champion IS 'Whether the alias champion points at this version now.';
