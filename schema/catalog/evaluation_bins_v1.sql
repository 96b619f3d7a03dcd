CREATE VIEW catalog.evaluation_bins AS
SELECT evaluation_id,
       (bin / 15.0)::real AS score_from,
       ((bin + 1) / 15.0)::real AS score_to,
       pictures,
       mean_score,
       (correct / pictures::double precision)::real AS accuracy
FROM pixref.evaluation_bin;

COMMENT ON VIEW catalog.evaluation_bins IS 'Calibration of each evaluation: of the pictures with such a score, how many are right.';
COMMENT ON COLUMN catalog.evaluation_bins.evaluation_id IS 'Number of the evaluation.';
COMMENT ON COLUMN catalog.evaluation_bins.score_from IS 'Lowest score of this part.';
COMMENT ON COLUMN catalog.evaluation_bins.score_to IS 'Highest score of this part.';
COMMENT ON COLUMN catalog.evaluation_bins.pictures IS 'How many pictures have a best score in it.';
COMMENT ON COLUMN catalog.evaluation_bins.mean_score IS 'Mean of their scores.';
COMMENT ON COLUMN catalog.evaluation_bins.accuracy IS 'Share of them that is right; a calibrated model has its mean score here.';
