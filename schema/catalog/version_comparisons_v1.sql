CREATE VIEW catalog.version_comparisons AS
SELECT i.id AS image_id,
       m.name AS model,
       v.number AS version,
       w.number AS other_version,
       l.name AS label,
       pl.name AS predicted,
       ql.name AS other_predicted,
       i.split,
       CASE WHEN p.label_id = i.label_id AND q.label_id = i.label_id THEN 'both right'
            WHEN q.label_id = i.label_id THEN 'fixed'
            WHEN p.label_id = i.label_id THEN 'broken'
            ELSE 'both wrong' END AS outcome
FROM pixref.model m
JOIN pixref.model_version v ON v.model_id = m.id
JOIN pixref.model_version w ON w.model_id = m.id AND w.id <> v.id
JOIN pixref.prediction p ON p.model_version_id = v.id
JOIN pixref.prediction q ON q.model_version_id = w.id AND q.image_id = p.image_id
JOIN pixref.image i ON i.id = p.image_id AND i.state = 'READY'
JOIN pixref.label l ON l.id = i.label_id
JOIN pixref.label pl ON pl.id = p.label_id
JOIN pixref.label ql ON ql.id = q.label_id;

COMMENT ON VIEW catalog.version_comparisons IS 'Two versions of a model on the same labelled pictures. Name the model and both versions: SELECT outcome, count(*) ... WHERE model = ''mnist'' AND version = 1 AND other_version = 2.';
COMMENT ON COLUMN catalog.version_comparisons.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.version_comparisons.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.version_comparisons.version IS 'Number of the one version.';
COMMENT ON COLUMN catalog.version_comparisons.other_version IS 'Number of the other version.';
COMMENT ON COLUMN catalog.version_comparisons.label IS 'What the picture shows, as labelled now.';
COMMENT ON COLUMN catalog.version_comparisons.predicted IS 'What the one version makes of it.';
COMMENT ON COLUMN catalog.version_comparisons.other_predicted IS 'What the other version makes of it.';
COMMENT ON COLUMN catalog.version_comparisons.split IS 'The split of the picture.';
COMMENT ON COLUMN catalog.version_comparisons.outcome IS 'both right, fixed (by the other version), broken (by it), or both wrong.';
