CREATE VIEW catalog.evaluations AS
SELECT e.id AS evaluation_id,
       m.name AS model,
       v.number AS version,
       s.digest AS snapshot,
       e.pictures,
       e.failed,
       e.correct,
       (e.correct / nullif(e.pictures, 0)::double precision)::real AS accuracy,
       (SELECT avg(2.0 * c.right_ones / (c.labelled + c.predicted))::real
        FROM (SELECT name,
                     sum(labelled) AS labelled,
                     sum(predicted) AS predicted,
                     sum(right_ones) AS right_ones
              FROM (SELECT ec.label AS name, ec.pictures AS labelled, 0 AS predicted,
                           CASE WHEN ec.label = ec.predicted THEN ec.pictures ELSE 0 END AS right_ones
                    FROM pixref.evaluation_cell ec WHERE ec.evaluation_id = e.id
                    UNION ALL
                    SELECT ec.predicted, 0, ec.pictures, 0 FROM pixref.evaluation_cell ec WHERE ec.evaluation_id = e.id) x
              GROUP BY name) c
        WHERE c.labelled > 0) AS macro_f1,
       e.log_loss,
       e.calibration_error,
       e.leaked,
       e.leaked_near,
       a.name AS created_by,
       e.created_at
FROM pixref.evaluation e
JOIN pixref.model_version v ON v.id = e.model_version_id
JOIN pixref.model m ON m.id = v.model_id
JOIN pixref.snapshot s ON s.id = e.snapshot_id
LEFT JOIN pixref.account a ON a.id = e.created_by;

COMMENT ON VIEW catalog.evaluations IS 'How well model versions did on frozen sets of labelled pictures.';
COMMENT ON COLUMN catalog.evaluations.evaluation_id IS 'Number of the evaluation.';
COMMENT ON COLUMN catalog.evaluations.model IS 'Name of the model.';
COMMENT ON COLUMN catalog.evaluations.version IS 'Number of the version.';
COMMENT ON COLUMN catalog.evaluations.snapshot IS 'Digest of the set of pictures: evaluations of one set can be compared.';
COMMENT ON COLUMN catalog.evaluations.pictures IS 'Pictures that were predicted.';
COMMENT ON COLUMN catalog.evaluations.failed IS 'Pictures that could not be predicted, or were gone.';
COMMENT ON COLUMN catalog.evaluations.correct IS 'Pictures whose prediction is the label.';
COMMENT ON COLUMN catalog.evaluations.accuracy IS 'Share that is correct, 0 to 1.';
COMMENT ON COLUMN catalog.evaluations.macro_f1 IS 'Mean of the F1 of the labels, each label counting the same.';
COMMENT ON COLUMN catalog.evaluations.log_loss IS 'Mean of -ln of the label''s score, in nats; pictures whose label the version does not know are left out.';
COMMENT ON COLUMN catalog.evaluations.calibration_error IS 'Expected calibration error: how far scores are from the share that is right, 0 to 1.';
COMMENT ON COLUMN catalog.evaluations.leaked IS 'Pictures that the version was trained on; NULL: what it was trained on is not known.';
COMMENT ON COLUMN catalog.evaluations.leaked_near IS 'Pictures that look like one that it was trained on; NULL: not known.';
COMMENT ON COLUMN catalog.evaluations.created_by IS 'Who asked for it.';
COMMENT ON COLUMN catalog.evaluations.created_at IS 'When it was made.';
