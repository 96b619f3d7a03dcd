CREATE VIEW catalog.jobs AS
SELECT j.id AS job_id,
       j.task,
       j.state,
       CASE WHEN j.state = 'succeeded' OR j.total = 0 THEN 1.0 ELSE least(1.0, j.done::numeric / j.total) END::real AS progress,
       j.total,
       j.done,
       j.failed,
       j.message,
       j.error ->> 'code' AS error_code,
       j.error ->> 'detail' AS error,
       a.name AS created_by,
       j.created_at,
       j.started_at,
       j.finished_at
FROM pixref.job j
LEFT JOIN pixref.account a ON a.id = j.created_by;

COMMENT ON VIEW catalog.jobs IS 'Long work that somebody asked for, such as predicting many pictures: how far it is, and what came of it.';
COMMENT ON COLUMN catalog.jobs.job_id IS 'The job.';
COMMENT ON COLUMN catalog.jobs.task IS 'What is to be done, such as predict.';
COMMENT ON COLUMN catalog.jobs.state IS 'queued, running, succeeded, failed or cancelled.';
COMMENT ON COLUMN catalog.jobs.progress IS '0 to 1; NULL while nobody knows how much there is to do.';
COMMENT ON COLUMN catalog.jobs.total IS 'How much there is to do; NULL while nobody knows.';
COMMENT ON COLUMN catalog.jobs.done IS 'How much of it is done, what failed included.';
COMMENT ON COLUMN catalog.jobs.failed IS 'Parts that could not be done while the rest went on.';
COMMENT ON COLUMN catalog.jobs.message IS 'Where it is, for people.';
COMMENT ON COLUMN catalog.jobs.error_code IS 'What made it fail, as the API calls it; NULL where it did not.';
COMMENT ON COLUMN catalog.jobs.error IS 'What made it fail, for people.';
COMMENT ON COLUMN catalog.jobs.created_by IS 'Who asked for it.';
COMMENT ON COLUMN catalog.jobs.created_at IS 'When it was asked for.';
COMMENT ON COLUMN catalog.jobs.started_at IS 'When it was first begun; NULL before.';
COMMENT ON COLUMN catalog.jobs.finished_at IS 'When it ended; NULL before.';
