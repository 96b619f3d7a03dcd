CREATE VIEW catalog.predictions AS
SELECT p.image_id,
       m.name AS model,
       v.number AS version,
       l.name AS label,
       p.score,
       (SELECT jsonb_object_agg(cl.name, s.score)
        FROM unnest(p.scores) WITH ORDINALITY AS s (score, ordinal)
        JOIN pixref.model_class c ON c.model_version_id = p.model_version_id AND c.position = s.ordinal - 1
        JOIN pixref.label cl ON cl.id = c.label_id) AS scores,
       p.created_at,
       p.latency_ms,
       EXISTS (SELECT FROM pixref.model_alias a WHERE a.model_version_id = v.id AND a.alias = 'champion') AS champion
FROM pixref.prediction p
JOIN pixref.image i ON i.id = p.image_id AND i.state = 'READY'
JOIN pixref.model_version v ON v.id = p.model_version_id
JOIN pixref.model m ON m.id = v.model_id
JOIN pixref.label l ON l.id = p.label_id;

COMMENT ON VIEW catalog.predictions IS 'What each model version made of each picture: one row at most for each pair.';
COMMENT ON COLUMN catalog.predictions.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.predictions.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.predictions.version IS 'Number of the version.';
COMMENT ON COLUMN catalog.predictions.label IS 'The best class.';
COMMENT ON COLUMN catalog.predictions.score IS 'Its score, 0 to 1.';
COMMENT ON COLUMN catalog.predictions.scores IS 'Every class with its score.';
COMMENT ON COLUMN catalog.predictions.created_at IS 'When it was predicted.';
COMMENT ON COLUMN catalog.predictions.latency_ms IS 'Preprocessing and model, in milliseconds.';
COMMENT ON COLUMN catalog.predictions.champion IS 'Whether the alias champion points at this version now.';
