CREATE VIEW catalog.evaluation_classes AS
SELECT evaluation_id,
       name AS label,
       sum(labelled)::bigint AS pictures,
       (sum(right_ones) / nullif(sum(predicted), 0)::double precision)::real AS precision,
       (sum(right_ones) / nullif(sum(labelled), 0)::double precision)::real AS recall,
       (2 * sum(right_ones) / (sum(labelled) + sum(predicted))::double precision)::real AS f1
FROM (
    SELECT evaluation_id, label AS name, pictures AS labelled, 0 AS predicted,
           CASE WHEN label = predicted THEN pictures ELSE 0 END AS right_ones
    FROM pixref.evaluation_cell
    UNION ALL
    SELECT evaluation_id, predicted, 0, pictures, 0 FROM pixref.evaluation_cell
) x
GROUP BY evaluation_id, name;

COMMENT ON VIEW catalog.evaluation_classes IS 'How well each label was recognised in each evaluation.';
COMMENT ON COLUMN catalog.evaluation_classes.evaluation_id IS 'Number of the evaluation.';
COMMENT ON COLUMN catalog.evaluation_classes.label IS 'The label.';
COMMENT ON COLUMN catalog.evaluation_classes.pictures IS 'Pictures that have it.';
COMMENT ON COLUMN catalog.evaluation_classes.precision IS 'Of those that the version sees as it, the share that has it; NULL: it sees none.';
COMMENT ON COLUMN catalog.evaluation_classes.recall IS 'Of those that have it, the share that the version sees as it; NULL: none has it.';
COMMENT ON COLUMN catalog.evaluation_classes.f1 IS 'Harmonic mean of both.';
