"""What one would try on a door that takes SQL, by what it is after. Every test of a layer walks through all of it.

`{pid}` is the session of somebody else. None of them may read what is not in the catalogue, change anything, outlast its transaction, or harm others.
"""

FILES = """
COPY (SELECT 1) TO PROGRAM 'touch /tmp/pixref-attack'
COPY (SELECT 1) TO '/tmp/pixref-attack'
COPY images FROM '/etc/passwd'
COPY images TO STDOUT
COPY (SELECT 1) TO STDOUT
COPY catalog.images FROM PROGRAM 'id'
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_file('postgresql.conf', 0, 100)
SELECT pg_read_binary_file('/etc/passwd')
SELECT pg_catalog.pg_read_file('/etc/passwd')
SELECT "pg_read_file"('/etc/passwd')
SELECT U&"pg\\005fread\\005ffile"('/etc/passwd')
SELECT pg_ls_dir('.')
SELECT * FROM pg_ls_dir('/')
SELECT pg_ls_logdir()
SELECT pg_ls_waldir()
SELECT pg_ls_tmpdir()
SELECT pg_ls_archive_statusdir()
SELECT pg_stat_file('postgresql.conf')
SELECT pg_current_logfile()
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/pixref-attack')
SELECT * FROM pg_hba_file_rules
SELECT pg_hba_file_rules()
SELECT pg_show_all_file_settings()
SELECT * FROM pg_file_settings
SHOW data_directory
SELECT current_setting('data_directory')
SELECT current_setting('config_file')
SELECT pg_get_loaded_modules()
SELECT pg_relation_filepath('pixref.image')
SELECT (SELECT pg_read_file('/etc/passwd')) FROM images
WITH f AS (SELECT pg_read_file('/etc/passwd') AS t) SELECT t FROM f
SELECT * FROM images WHERE label = pg_read_file('/etc/passwd')
SELECT 1 ORDER BY pg_read_file('/etc/passwd')
SELECT count(*) FILTER (WHERE pg_read_file('/etc/passwd') IS NULL) FROM images
SELECT row_number() OVER (ORDER BY pg_read_file('/etc/passwd'))
SELECT * FROM LATERAL (SELECT pg_read_file('/etc/passwd')) x
VALUES (pg_read_file('/etc/passwd'))
SELECT CASE WHEN true THEN pg_read_file('/etc/passwd') END
SELECT coalesce(NULL, pg_read_file('/etc/passwd'))
SELECT ARRAY[pg_read_file('/etc/passwd')]
SELECT json_object('a': pg_read_file('/etc/passwd'))
SELECT x FROM json_table(pg_read_file('/etc/passwd'), '$[*]' COLUMNS (x text PATH '$')) t
SELECT 1 LIMIT length(pg_read_file('/etc/passwd'))
SELECT 1 UNION SELECT length(pg_read_file('/etc/passwd'))
"""

SECRETS = """
SELECT * FROM pixref.api_token
SELECT * FROM pixref.account
SELECT object_key FROM pixref.image
TABLE pixref.object_deletion
SELECT * FROM pixref.audit_event
SELECT * FROM "pixref"."api_token"
SELECT * FROM ONLY pixref.image
SELECT * FROM catalog.images, pixref.api_token
SELECT (SELECT token_sha256 FROM pixref.api_token LIMIT 1)
SELECT * FROM images WHERE EXISTS (SELECT FROM pixref.api_token)
WITH t AS (TABLE pixref.api_token) SELECT * FROM t
SELECT * FROM images UNION ALL SELECT * FROM pixref.image
SELECT * FROM jobs.procrastinate_jobs
SELECT * FROM public.secrets
SELECT * FROM pg_authid
SELECT * FROM pg_catalog.pg_authid
SELECT rolpassword FROM pg_authid
SELECT * FROM pg_shadow
SELECT passwd FROM pg_shadow
SELECT * FROM pg_user_mapping
SELECT * FROM pg_largeobject
SELECT * FROM pg_statistic
SELECT * FROM pg_stats
SELECT * FROM pg_stats WHERE schemaname = 'pixref'
SELECT * FROM pg_stats_ext
SELECT * FROM pg_subscription
SELECT query FROM pg_stat_activity WHERE query LIKE '%CANARY%'
SELECT pg_stat_get_activity(NULL)
SELECT pg_stat_get_backend_activity(1)
SELECT * FROM pg_stat_get_activity(NULL::int)
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_cursors
SELECT query_to_xml('SELECT * FROM pixref.api_token', true, true, '')
SELECT query_to_xml_and_xmlschema('SELECT * FROM pixref.api_token', true, true, '')
SELECT query_to_xmlschema('SELECT * FROM pixref.api_token', true, true, '')
SELECT table_to_xml('pixref.api_token', true, true, '')
SELECT schema_to_xml('pixref', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT cursor_to_xml('c', 1, true, true, '')
SELECT * FROM ts_stat('SELECT to_tsvector(token_sha256) FROM pixref.api_token')
SELECT ts_rewrite('a'::tsquery, 'SELECT token_sha256::tsquery, ''a''::tsquery FROM pixref.api_token')
SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(a int)
SELECT dblink_connect('host=127.0.0.1')
SELECT xpath('/a', xmlparse(document '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'))
SELECT xmlparse(document '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')
SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x text)
SELECT has_table_privilege('pixref.api_token', 'SELECT')
SELECT pg_get_userbyid(10)
SELECT * FROM pg_roles
SELECT * FROM pg_settings
SELECT * FROM pg_db_role_setting
SELECT * FROM information_schema.tables
SELECT * FROM pg_class
SELECT * FROM pg_proc
SELECT 'pixref.api_token'::regclass
SELECT 'pg_read_file'::regproc
SELECT 'pixref'::regnamespace
SELECT 'postgres'::regrole
SELECT CAST('pixref.api_token' AS pg_catalog.regclass)
SELECT pg_get_viewdef('catalog.images'::regclass)
SELECT pg_relation_size('pixref.api_token')
SELECT pg_total_relation_size(16384)
SELECT obj_description(1, 'pg_class')
SELECT version()
SELECT current_user
SELECT session_user
SELECT user
SELECT current_role
SELECT current_catalog
SELECT current_schema
SELECT system_user
SELECT inet_server_addr()
SELECT inet_client_addr()
SELECT pg_backend_pid()
SELECT pg_postmaster_start_time()
SELECT pg_conf_load_time()
SELECT current_setting('is_superuser')
SELECT current_schemas(true)
SELECT NULL::pixref.image
SELECT jsonb_populate_record(NULL::pixref.image, '{}')
SELECT 1 OPERATOR(pixref.+) 1
SELECT pixref.forget_audit_events()
SELECT 'x' COLLATE pixref."C"
"""

WRITES = """
INSERT INTO labels (label) VALUES ('x')
INSERT INTO pixref.tag (name) VALUES ('x')
INSERT INTO images SELECT * FROM images
UPDATE images SET label = 'x'
UPDATE pixref.image SET state = 'DELETING'
DELETE FROM images
DELETE FROM pixref.audit_event
MERGE INTO pixref.tag t USING (SELECT 1) s ON false WHEN NOT MATCHED THEN INSERT (name) VALUES ('x')
TRUNCATE pixref.image
WITH d AS (DELETE FROM pixref.image RETURNING *) SELECT * FROM d
WITH d AS (UPDATE pixref.image SET label_id = NULL RETURNING *) SELECT * FROM d
WITH d AS (INSERT INTO pixref.tag (name) VALUES ('x') RETURNING *) SELECT * FROM d
SELECT * FROM (WITH d AS (DELETE FROM pixref.image RETURNING *) SELECT * FROM d) x
SELECT * INTO mine FROM images
SELECT * INTO TEMP mine FROM images
SELECT 1 INTO UNLOGGED mine
CREATE TABLE mine (id int)
CREATE TABLE public.mine (id int)
CREATE TEMP TABLE mine (id int)
CREATE TABLE mine AS SELECT * FROM images
CREATE VIEW mine AS SELECT 1
CREATE MATERIALIZED VIEW mine AS SELECT 1
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'
CREATE SCHEMA mine
CREATE EXTENSION dblink
CREATE EXTENSION plpython3u
CREATE ROLE mine SUPERUSER
CREATE SEQUENCE mine
CREATE DATABASE mine
CREATE TRIGGER t BEFORE INSERT ON pixref.image FOR EACH ROW EXECUTE FUNCTION f()
CREATE RULE r AS ON SELECT TO pixref.image DO INSTEAD SELECT 1
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
CREATE PUBLICATION p FOR ALL TABLES
CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p
CREATE SERVER s FOREIGN DATA WRAPPER w
CREATE TYPE mine AS (a int)
CREATE DOMAIN mine AS int
CREATE CAST (int AS text) WITH INOUT
CREATE OPERATOR + (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)
DROP VIEW images
DROP SCHEMA pixref CASCADE
DROP DATABASE postgres
ALTER VIEW images RENAME TO gone
ALTER TABLE pixref.image ADD COLUMN x int
ALTER ROLE pixref_door SUPERUSER
ALTER ROLE pixref_door SET work_mem = '1GB'
ALTER ROLE pixref_door PASSWORD 'x'
ALTER ROLE pixref_door CONNECTION LIMIT -1
ALTER SYSTEM SET work_mem = '1GB'
ALTER DATABASE postgres SET work_mem = '1GB'
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC
GRANT pixref_app TO pixref_door
GRANT SELECT ON pixref.image TO PUBLIC
GRANT pg_read_server_files TO pixref_door
REVOKE SELECT ON images FROM pixref_reader
COMMENT ON VIEW images IS 'x'
SECURITY LABEL ON VIEW images IS 'x'
REINDEX TABLE pixref.image
VACUUM pixref.image
ANALYZE pixref.image
CLUSTER pixref.image
REFRESH MATERIALIZED VIEW images
CHECKPOINT
IMPORT FOREIGN SCHEMA x FROM SERVER s INTO public
SELECT lo_creat(-1)
SELECT lo_create(0)
SELECT lo_from_bytea(0, 'x')
SELECT lo_put(1, 0, 'x')
SELECT lo_unlink(1)
SELECT lo_open(1, 131072)
SELECT nextval('pixref.image_id_seq')
SELECT setval('pixref.image_id_seq', 1)
SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))
SELECT pg_create_restore_point('x')
SELECT pg_create_logical_replication_slot('s', 'test_decoding')
SELECT pg_create_physical_replication_slot('s')
SELECT pg_switch_wal()
SELECT pg_promote()
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_stat_reset()
SELECT pg_stat_reset_shared('io')
SELECT pg_import_system_collations('public')
SELECT pg_replication_origin_create('x')
SELECT pg_clear_relation_stats('pixref', 'image')
SELECT txid_current()
SELECT pg_current_xact_id()
BEGIN; INSERT INTO pixref.tag (name) VALUES ('x'); COMMIT
COMMIT; INSERT INTO pixref.tag (name) VALUES ('x')
ROLLBACK; BEGIN READ WRITE; INSERT INTO pixref.tag (name) VALUES ('x'); COMMIT
SET TRANSACTION READ WRITE; INSERT INTO pixref.tag (name) VALUES ('x')
SET default_transaction_read_only = off; CREATE TABLE public.mine (id int)
SELECT 1; DROP VIEW images
SELECT 1 /* ; */; DELETE FROM pixref.image
SELECT $$;$$; DELETE FROM pixref.image
SELECT 'a\\'; DELETE FROM pixref.image; --'
SELECT 1) AS q LIMIT 1) AS u (c0)) AS s) AS r) AS t; DROP VIEW images; --
SELECT 1) AS q; DELETE FROM pixref.image; --
EXPLAIN ANALYZE DELETE FROM pixref.image
EXPLAIN SELECT * FROM pixref.image
EXPLAIN (ANALYZE) SELECT pg_read_file('/etc/passwd')
DO $$ BEGIN DELETE FROM pixref.image; END $$
DO $$ BEGIN EXECUTE 'CREATE TABLE public.mine (id int)'; END $$
CALL pg_catalog.now()
PREPARE p AS DELETE FROM pixref.image; EXECUTE p
EXECUTE p
DEALLOCATE ALL
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM images
DECLARE c CURSOR FOR SELECT * FROM pixref.image; FETCH ALL FROM c
FETCH ALL FROM door
MOVE ALL IN door
CLOSE ALL
SELECT * FROM images WHERE CURRENT OF door
"""

OTHERS = """
SELECT * FROM images FOR UPDATE
SELECT * FROM images FOR NO KEY UPDATE
SELECT * FROM images FOR SHARE NOWAIT
SELECT * FROM images FOR KEY SHARE SKIP LOCKED
SELECT (SELECT label FROM images LIMIT 1 FOR UPDATE)
LOCK TABLE pixref.image
LOCK TABLE images IN ACCESS EXCLUSIVE MODE
SELECT pg_advisory_lock(1346917464)
SELECT pg_advisory_lock(1, 2)
SELECT pg_advisory_lock_shared(1346917464)
SELECT pg_advisory_xact_lock(1346917464)
SELECT pg_advisory_xact_lock_shared(1346917464)
SELECT pg_try_advisory_lock(1346917464)
SELECT pg_try_advisory_xact_lock(1346917464)
SELECT pg_try_advisory_lock_shared(1346917464)
SELECT count(pg_advisory_lock(g)) FROM generate_series(1, 100000) g
SELECT pg_terminate_backend({pid})
SELECT pg_cancel_backend({pid})
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
SELECT pg_log_backend_memory_contexts({pid})
SELECT pg_notify('procrastinate_any_queue', 'x')
SELECT pg_export_snapshot()
SELECT set_config('statement_timeout', '0', false)
SELECT set_config('statement_timeout', '0', true), pg_sleep(4)
SELECT set_config('role', 'pixref_app', false)
SELECT set_config('search_path', 'pixref', false)
SELECT pg_catalog.set_config('default_transaction_read_only', 'off', false)
SET ROLE pixref_app
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
RESET ROLE
RESET ALL
DISCARD ALL
SET search_path = pixref
SET LOCAL work_mem = '1GB'
SET temp_file_limit = -1
SET log_statement = 'none'
SET session_replication_role = replica
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
LISTEN procrastinate_any_queue
NOTIFY procrastinate_any_queue
UNLISTEN *
LOAD 'auto_explain'
LOAD '$libdir/plugins/x'
SAVEPOINT s
START TRANSACTION
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
REASSIGN OWNED BY pixref_owner TO pixref_door
DROP OWNED BY pixref_door
SELECT pg_sleep(1)
SELECT pg_sleep_for('1 s')
SELECT pg_sleep_until(now() + interval '1 s')
SELECT setseed(0.5)
SELECT pg_stat_clear_snapshot()
SELECT currval('pixref.image_id_seq')
SELECT lastval()
SELECT pg_wal_replay_pause()
SELECT pg_backup_start('x')
SELECT pg_replication_slot_advance('s', '0/0')
SELECT * FROM pg_logical_slot_get_changes('s', NULL, NULL)
SELECT DISTINCT ON (pg_sleep(1)) 1
SELECT * FROM images TABLESAMPLE system (1)
SELECT 1 WHERE 'x' LIKE pg_sleep(1)::text
SELECT * FROM generate_series(1, 3) g, LATERAL pg_sleep(g)
"""

# What the guard lets through, because no part of it is wrong: time, memory and room are what stops it.
GREEDY = """
SELECT count(*) FROM generate_series(1, 1000000000)
SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b
SELECT count(*) FROM images a, images b, generate_series(1, 100000000) c
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT * FROM t WHERE n > 1
SELECT repeat('x', 1000000000)
SELECT length(repeat('x', 500000000))
SELECT repeat('x', 200000000)
SELECT i, CASE WHEN i = 3 THEN repeat('x', 200000000) END FROM generate_series(1, 10) i
SELECT string_agg(repeat('x', 1000000), '') FROM generate_series(1, 400)
SELECT * FROM generate_series(1, 20000000) g ORDER BY -g
SELECT array_agg(g) FROM generate_series(1, 30000000) g
SELECT array_agg(10::numeric ^ 100000) FROM generate_series(1, 2000)
SELECT 10::numeric ^ 130000 * 10::numeric ^ 130000
SELECT factorial(100000)
SELECT repeat('x', 10000) FROM generate_series(1, 100000)
SELECT * FROM generate_series(1, 100000000) a
SELECT jsonb_agg(g) FROM generate_series(1, 10000000) g
SELECT regexp_replace(repeat('a', 100000), '(a+)+b', '')
SELECT repeat('a', 40) ~ '^(a|a|aa)+$' FROM generate_series(1, 1000000)
SELECT lpad('x', 1000000000)
SELECT string_to_table(repeat('x,', 50000000), ',')
SELECT unnest(array_fill(1, ARRAY[100000000]))
SELECT DISTINCT g % 10000000 FROM generate_series(1, 100000000) g
SELECT g, count(*) OVER (ORDER BY g) FROM generate_series(1, 10000000) g
"""

# What looks wrong and is not: a name that is not in the catalogue, one statement with a comment behind it, a text.
INNOCENT = """
SELECT * FROM secrets
SELECT x.pg_read_file FROM (SELECT '/etc/passwd'::text AS t) x
SELECT tableoid FROM images
SELECT 1; -- a comment
SELECT E'\\'; DELETE FROM pixref.image; --'
"""


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()


REFUSED = [statement for part in (FILES, SECRETS, WRITES, OTHERS) for statement in _lines(part)]
TAKES_TOO_MUCH = _lines(GREEDY)
# What a role may do to itself where its transactions may write; `pixref init` undoes it.
TO_ITSELF = {
    "ALTER ROLE pixref_door SET work_mem = '1GB'",
    "ALTER ROLE pixref_door PASSWORD 'x'",
    "DROP OWNED BY pixref_door",
}
LET_THROUGH = _lines(INNOCENT)
ATTACKS = REFUSED + TAKES_TOO_MUCH + LET_THROUGH
