CREATE VIEW catalog.uncertain AS
SELECT p.image_id,
       m.name AS model,
       v.number AS version,
       l.name AS predicted,
       p.score,
       p.margin,
       p.entropy
FROM pixref.model_alias a
JOIN pixref.model m ON m.id = a.model_id
JOIN pixref.model_version v ON v.id = a.model_version_id
JOIN pixref.prediction p ON p.model_version_id = a.model_version_id
JOIN pixref.image i ON i.id = p.image_id AND i.state = 'READY'
JOIN pixref.label l ON l.id = p.label_id
WHERE a.alias = 'champion';

COMMENT ON VIEW catalog.uncertain IS 'How sure the champion of each model is of each picture, by three measures: order by one of them to find what a person should look at.';
COMMENT ON COLUMN catalog.uncertain.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.uncertain.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.uncertain.version IS 'Number of its champion version.';
COMMENT ON COLUMN catalog.uncertain.predicted IS 'The best class.';
COMMENT ON COLUMN catalog.uncertain.score IS 'Its score, 0 to 1: the lower, the less sure.';
COMMENT ON COLUMN catalog.uncertain.margin IS 'Score of the best class less that of the second, 0 to 1: the lower, the less sure.';
COMMENT ON COLUMN catalog.uncertain.entropy IS 'Entropy of all scores, in nats: 0 is sure, the higher the less sure.';
