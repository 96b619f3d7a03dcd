CREATE VIEW catalog.models AS
SELECT m.name AS model,
       v.number AS version,
       ARRAY(SELECT a.alias FROM pixref.model_alias a WHERE a.model_version_id = v.id ORDER BY a.alias) AS aliases,
       lower(v.state) AS state,
       ARRAY(SELECT l.name FROM pixref.model_class c JOIN pixref.label l ON l.id = c.label_id
             WHERE c.model_version_id = v.id ORDER BY c.position) AS labels,
       v.input_spec,
       v.preprocessing,
       v.metrics,
       v.artifact_sha256 AS sha256,
       v.created_at
FROM pixref.model_version v
JOIN pixref.model m ON m.id = v.model_id
WHERE v.state <> 'PENDING';

COMMENT ON VIEW catalog.models IS 'One row a version of a model.';
COMMENT ON COLUMN catalog.models.model IS 'The name.';
COMMENT ON COLUMN catalog.models.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN catalog.models.aliases IS 'Names that point at this version, such as champion.';
COMMENT ON COLUMN catalog.models.state IS 'ready or retired.';
COMMENT ON COLUMN catalog.models.labels IS 'What its outputs mean, in order.';
COMMENT ON COLUMN catalog.models.input_spec IS 'Height, width, channels and type of its input.';
COMMENT ON COLUMN catalog.models.preprocessing IS 'How a picture becomes that input.';
COMMENT ON COLUMN catalog.models.metrics IS 'What was measured of it, such as test accuracy.';
COMMENT ON COLUMN catalog.models.sha256 IS 'SHA-256 of the .keras file.';
COMMENT ON COLUMN catalog.models.created_at IS 'When it was registered.';
