CREATE VIEW catalog.jobs AS
SELECT j.id AS job_id,
       j.task_name::text AS task,
       CASE j.status WHEN 'todo' THEN 'queued' WHEN 'doing' THEN 'running' WHEN 'succeeded' THEN 'succeeded'
                     WHEN 'failed' THEN 'failed' ELSE 'cancelled' END AS state,
       j.attempts,
       (SELECT min(e.at) FROM jobs.procrastinate_events e WHERE e.job_id = j.id AND e.type = 'deferred') AS created_at,
       (SELECT max(e.at) FROM jobs.procrastinate_events e WHERE e.job_id = j.id AND e.type = 'started') AS started_at,
       CASE WHEN j.status NOT IN ('todo', 'doing') THEN
           (SELECT max(e.at) FROM jobs.procrastinate_events e
            WHERE e.job_id = j.id AND e.type IN ('succeeded', 'failed', 'cancelled', 'aborted')) END AS finished_at
FROM jobs.procrastinate_jobs j;

COMMENT ON VIEW catalog.jobs IS 'What the worker has to do, does, and could not do. Upkeep that went well is forgotten at once.';
COMMENT ON COLUMN catalog.jobs.job_id IS 'The job.';
COMMENT ON COLUMN catalog.jobs.task IS 'What is to be done, such as pixref:sweep.';
COMMENT ON COLUMN catalog.jobs.state IS 'queued, running, succeeded, failed or cancelled.';
COMMENT ON COLUMN catalog.jobs.attempts IS 'Tries that have ended.';
COMMENT ON COLUMN catalog.jobs.created_at IS 'When it was asked for.';
COMMENT ON COLUMN catalog.jobs.started_at IS 'When it was last begun; NULL before.';
COMMENT ON COLUMN catalog.jobs.finished_at IS 'When it ended; NULL before.';
