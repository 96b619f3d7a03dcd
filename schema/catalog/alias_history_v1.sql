CREATE VIEW catalog.alias_history AS
SELECT e.id AS event_id,
       m.name AS model,
       e.alias,
       f.number AS from_version,
       t.number AS to_version,
       e.is_rollback,
       coalesce(a.name, e.database_user) AS changed_by,
       e.changed_at
FROM pixref.model_alias_event e
JOIN pixref.model m ON m.id = e.model_id
LEFT JOIN pixref.model_version f ON f.id = e.from_version_id
LEFT JOIN pixref.model_version t ON t.id = e.to_version_id
LEFT JOIN pixref.account a ON a.id = e.account_id;

COMMENT ON VIEW catalog.alias_history IS 'Every move of a model''s alias: which version was champion when, and who said so.';
COMMENT ON COLUMN catalog.alias_history.event_id IS 'Grows with time.';
COMMENT ON COLUMN catalog.alias_history.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.alias_history.alias IS 'Such as champion.';
COMMENT ON COLUMN catalog.alias_history.from_version IS 'The version that it named before; NULL: none.';
COMMENT ON COLUMN catalog.alias_history.to_version IS 'The version that it names from then on; NULL: it was removed.';
COMMENT ON COLUMN catalog.alias_history.is_rollback IS 'Whether this took an earlier move back.';
COMMENT ON COLUMN catalog.alias_history.changed_by IS 'Who; a database role where it came by plain SQL.';
COMMENT ON COLUMN catalog.alias_history.changed_at IS 'When.';
