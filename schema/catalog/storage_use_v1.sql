CREATE VIEW catalog.storage_use AS
SELECT 'pictures' AS kind, count(*) AS items, coalesce(sum(byte_size), 0)::bigint AS bytes
FROM pixref.image WHERE state = 'READY'
UNION ALL
SELECT 'thumbnails', count(*), coalesce(sum(octet_length(data)), 0)::bigint
FROM pixref.thumbnail
UNION ALL
SELECT 'models', count(*), coalesce(sum(artifact_size + litert_size), 0)::bigint
FROM pixref.model_version WHERE state <> 'PENDING'
UNION ALL
SELECT 'trash', count(*), coalesce(sum(byte_size), 0)::bigint
FROM pixref.image WHERE state = 'DELETING'
UNION ALL
SELECT 'scratch', count(*), coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'scratch' AND c.relkind IN ('r', 'm');

COMMENT ON VIEW catalog.storage_use IS 'What takes space, kind by kind.';
COMMENT ON COLUMN catalog.storage_use.kind IS 'pictures, models and trash (deleted, not yet removed) in the bucket; thumbnails (those of the trash too) and scratch (tables of the analysts) in the database.';
COMMENT ON COLUMN catalog.storage_use.items IS 'How many: pictures, versions of models, tables.';
COMMENT ON COLUMN catalog.storage_use.bytes IS 'Bytes of the files; for scratch, bytes on disk with indexes.';
