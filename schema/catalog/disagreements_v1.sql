CREATE VIEW catalog.disagreements AS
SELECT p.image_id,
       l.name AS label,
       pl.name AS predicted,
       p.score,
       m.name AS model,
       v.number AS version,
       EXISTS (SELECT FROM pixref.model_alias a WHERE a.model_version_id = v.id AND a.alias = 'champion') AS champion
FROM pixref.prediction p
JOIN pixref.image i ON i.id = p.image_id AND i.state = 'READY' AND i.label_id <> p.label_id
JOIN pixref.label l ON l.id = i.label_id
JOIN pixref.label pl ON pl.id = p.label_id
JOIN pixref.model_version v ON v.id = p.model_version_id
JOIN pixref.model m ON m.id = v.model_id;

COMMENT ON VIEW catalog.disagreements IS 'Where a prediction is not the label: a mistake of the model, or of whoever labelled.';
COMMENT ON COLUMN catalog.disagreements.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.disagreements.label IS 'What it shows, as labelled.';
COMMENT ON COLUMN catalog.disagreements.predicted IS 'What the model says instead.';
COMMENT ON COLUMN catalog.disagreements.score IS 'How sure the model is, 0 to 1.';
COMMENT ON COLUMN catalog.disagreements.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.disagreements.version IS 'Number of the version.';
COMMENT ON COLUMN catalog.disagreements.champion IS 'Whether the alias champion points at this version now.';
