CREATE VIEW catalog.models AS
SELECT m.name AS model,
       (SELECT v.number FROM pixref.model_alias a JOIN pixref.model_version v ON v.id = a.model_version_id
        WHERE a.model_id = m.id AND a.alias = 'champion') AS champion,
       (SELECT count(*) FROM pixref.model_version v WHERE v.model_id = m.id AND v.state <> 'PENDING') AS versions,
       (SELECT max(v.number) FROM pixref.model_version v WHERE v.model_id = m.id AND v.state <> 'PENDING') AS newest,
       m.created_at
FROM pixref.model m
WHERE EXISTS (SELECT FROM pixref.model_version v WHERE v.model_id = m.id AND v.state <> 'PENDING');

COMMENT ON VIEW catalog.models IS 'One row a model; model_versions has what belongs to a version.';
COMMENT ON COLUMN catalog.models.model IS 'The name.';
COMMENT ON COLUMN catalog.models.champion IS 'Number of the version that answers for it (alias champion); NULL for none.';
COMMENT ON COLUMN catalog.models.versions IS 'How many versions it has.';
COMMENT ON COLUMN catalog.models.newest IS 'Highest number among them.';
COMMENT ON COLUMN catalog.models.created_at IS 'When it was first registered.';
