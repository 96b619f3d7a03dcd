CREATE OR REPLACE VIEW catalog.model_versions AS
SELECT m.name AS model,
       v.number AS version,
       ARRAY(SELECT a.alias FROM pixref.model_alias a WHERE a.model_version_id = v.id ORDER BY a.alias) AS aliases,
       EXISTS (SELECT FROM pixref.model_alias a WHERE a.model_version_id = v.id AND a.alias = 'champion') AS champion,
       lower(v.state) AS state,
       ARRAY(SELECT l.name FROM pixref.model_class c JOIN pixref.label l ON l.id = c.label_id
             WHERE c.model_version_id = v.id ORDER BY c.position) AS labels,
       v.input_spec,
       v.preprocessing,
       v.metrics,
       v.artifact_sha256 AS sha256,
       v.artifact_size AS byte_size,
       v.damage,
       a.name AS created_by,
       v.created_at,
       v.runtime
FROM pixref.model_version v
JOIN pixref.model m ON m.id = v.model_id
LEFT JOIN pixref.account a ON a.id = v.created_by
WHERE v.state <> 'PENDING';

COMMENT ON VIEW catalog.model_versions IS 'One row a version of a model: exactly what makes a prediction.';
COMMENT ON COLUMN catalog.model_versions.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.model_versions.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN catalog.model_versions.aliases IS 'Names that point at this version, such as champion.';
COMMENT ON COLUMN catalog.model_versions.champion IS 'Whether the alias champion points at this version now.';
COMMENT ON COLUMN catalog.model_versions.state IS 'ready or retired.';
COMMENT ON COLUMN catalog.model_versions.labels IS 'What its outputs mean, in order.';
COMMENT ON COLUMN catalog.model_versions.input_spec IS 'Height, width, channels and type of its input.';
COMMENT ON COLUMN catalog.model_versions.preprocessing IS 'How a picture becomes that input.';
COMMENT ON COLUMN catalog.model_versions.metrics IS 'What was measured of it, such as test accuracy.';
COMMENT ON COLUMN catalog.model_versions.sha256 IS 'SHA-256 of the .keras file.';
COMMENT ON COLUMN catalog.model_versions.byte_size IS 'Bytes of the .keras file.';
COMMENT ON COLUMN catalog.model_versions.damage IS 'lost or corrupt where its files in the bucket are not those that were registered; NULL is sound.';
COMMENT ON COLUMN catalog.model_versions.created_by IS 'Who registered it.';
COMMENT ON COLUMN catalog.model_versions.created_at IS 'When it was registered.';
COMMENT ON COLUMN catalog.model_versions.runtime IS 'What runs it: litert, or keras where LiteRT cannot.';
