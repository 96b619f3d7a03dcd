CREATE VIEW catalog.champion_predictions AS
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
       p.latency_ms
FROM pixref.model_alias a
JOIN pixref.model m ON m.id = a.model_id
JOIN pixref.model_version v ON v.id = a.model_version_id
JOIN pixref.prediction p ON p.model_version_id = a.model_version_id
JOIN pixref.image i ON i.id = p.image_id AND i.state = 'READY'
JOIN pixref.label l ON l.id = p.label_id
WHERE a.alias = 'champion';

COMMENT ON VIEW catalog.champion_predictions IS 'What the champion of each model made of each picture: one row at most for each picture and model.';
COMMENT ON COLUMN catalog.champion_predictions.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.champion_predictions.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.champion_predictions.version IS 'Number of its champion version.';
COMMENT ON COLUMN catalog.champion_predictions.label IS 'The best class.';
COMMENT ON COLUMN catalog.champion_predictions.score IS 'Its score, 0 to 1.';
COMMENT ON COLUMN catalog.champion_predictions.scores IS 'Every class with its score.';
COMMENT ON COLUMN catalog.champion_predictions.created_at IS 'When it was predicted.';
COMMENT ON COLUMN catalog.champion_predictions.latency_ms IS 'Preprocessing and model, in milliseconds.';
