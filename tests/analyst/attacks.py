"""Attacks on the analyst's SQL, by dialect. Hidden are ``customers.email`` and the table ``secrets``.

Each line is one statement. ``POSTGRES`` and the others hold what the engine must stop by itself as well as the allow-list;
``*_BY_RULES`` what only the allow-list stops, because the engine has no means: what is read there is the catalogue,
or a column of a file.
"""

from __future__ import annotations

_ANY = """
UPDATE customers SET segment = 'x'
DELETE FROM customers
INSERT INTO customers VALUES (1)
DROP TABLE customers
ALTER TABLE customers ADD COLUMN x integer
CREATE TABLE t (x integer)
CREATE TABLE t AS SELECT * FROM customers
CREATE VIEW v AS SELECT 1
TRUNCATE TABLE customers
SELECT 1; DROP TABLE customers
SELECT 1; SELECT 2
SELECT 1;;DELETE FROM customers;--
; DELETE FROM customers
SELECT 1 /* ; */ ; DELETE FROM customers
SELECT 1 -- comment\x0bDELETE FROM customers
SELECT * FROM secrets
SELECT * FROM "secrets"
SELECT word FROM (SELECT * FROM secrets) s
WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets
WITH x AS (SELECT * FROM secrets) SELECT * FROM x
SELECT 1 UNION ALL SELECT word FROM secrets
SELECT (SELECT word FROM secrets LIMIT 1)
SELECT count(*) FROM customers WHERE EXISTS (SELECT 1 FROM secrets WHERE word LIKE 'T%')
SELECT first_name FROM customers ORDER BY (SELECT word FROM secrets LIMIT 1)
SELECT first_name FROM customers WHERE customer_id IN (SELECT 1 FROM secrets)
SELECT customers.first_name FROM customers JOIN secrets ON TRUE
SELECT first_name FROM customers GROUP BY first_name HAVING count(*) > (SELECT count(*) FROM secrets)
SELECT email FROM customers
SELECT c.email FROM customers c
SELECT "email" FROM customers
SELECT EMAIL FROM customers
SELECT first_name FROM customers WHERE email LIKE 'a%'
SELECT first_name FROM customers ORDER BY email
SELECT count(*) FROM customers GROUP BY email
SELECT max(email) FROM customers
SELECT upper(email) FROM customers
SELECT 1 AS email, count(*) FROM customers GROUP BY email
SELECT CASE WHEN email LIKE 'a%' THEN 1 END FROM customers
SELECT (SELECT c.email) FROM customers c
SELECT x.email FROM (SELECT email FROM customers) x
WITH x AS (SELECT email FROM customers) SELECT * FROM x
SELECT first_name FROM customers UNION SELECT email FROM customers
SELECT a.first_name FROM customers a JOIN customers b ON a.email = b.email
SELECT a.first_name FROM customers a JOIN customers b USING (email)
SELECT row_number() OVER (ORDER BY email) FROM customers
SELECT first_name FROM customers WHERE (SELECT email FROM customers LIMIT 1) IS NOT NULL
SELECT e FROM customers AS c(a, b, d, e)
SELECT e FROM (SELECT email FROM customers) AS c(e)
WITH c(e) AS (SELECT email FROM customers) SELECT e FROM c
""".replace("\\x0b", "\x0b")

_POSTGRES = """
WITH gone AS (DELETE FROM customers RETURNING *) SELECT * FROM gone
WITH changed AS (UPDATE customers SET segment = 'x' RETURNING 1) SELECT 1
WITH made AS (INSERT INTO reviews VALUES (1) RETURNING 1) SELECT 1
WITH a AS (WITH b AS (DELETE FROM customers RETURNING 1) SELECT * FROM b) SELECT * FROM a
SELECT * INTO stolen FROM customers
SELECT first_name INTO TEMP stolen FROM customers
SELECT * FROM customers FOR UPDATE
SELECT first_name FROM customers FOR SHARE
COPY customers TO '/tmp/x'
COPY (SELECT 1) TO PROGRAM 'id'
COPY customers FROM PROGRAM 'id'
DO $$ BEGIN DELETE FROM customers; END $$
CALL nothing()
SET default_transaction_read_only = off
SET ROLE postgres
RESET ALL
BEGIN
COMMIT
COMMIT; DELETE FROM customers
LISTEN x
NOTIFY x
VACUUM customers
ANALYZE customers
LOCK TABLE customers
EXPLAIN ANALYZE DELETE FROM customers
PREPARE p AS SELECT 1
EXECUTE p
DECLARE c CURSOR FOR SELECT 1
SELECT set_config('transaction_read_only', 'off', false)
SELECT set_config('default_transaction_read_only', 'off', false)
SELECT first_name FROM customers WHERE set_config('a.b', 'c', false) = 'c'
SELECT pg_sleep(60)
SELECT pg_sleep_for('1 minute')
SELECT 1 FROM customers WHERE (SELECT pg_sleep(60)) IS NULL
SELECT pg_catalog.pg_sleep(60)
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT * FROM pg_read_file('/etc/passwd')
SELECT pg_ls_dir('/')
SELECT pg_stat_file('/etc/passwd')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
SELECT lo_creat(-1)
SELECT lo_from_bytea(0, 'x')
SELECT query_to_xml('SELECT email FROM customers', true, true, '')
SELECT table_to_xml('customers', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT schema_to_xml('public', true, true, '')
SELECT query_to_xml('DELETE FROM customers RETURNING 1', true, true, '')
SELECT * FROM ts_stat('SELECT to_tsvector(email) FROM customers')
SELECT dblink('dbname=causeway', 'DELETE FROM customers')
SELECT pg_terminate_backend(pg_backend_pid())
SELECT pg_cancel_backend(pg_backend_pid())
SELECT pg_reload_conf()
SELECT pg_advisory_lock(1)
SELECT pg_notify('x', 'y')
SELECT nextval('s')
SELECT setval('s', 1)
SELECT current_setting('data_directory')
SELECT usename FROM pg_shadow
SELECT rolpassword FROM pg_authid
SELECT * FROM pg_stat_activity
SELECT * FROM pg_settings
SELECT count(*) FROM customers a, customers b, customers c, customers d, customers e
SELECT count(*) FROM generate_series(1, 100000000000)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n
SELECT repeat('x', 1000000000)
SELECT row_to_json(c) FROM customers c
SELECT to_jsonb(c) FROM customers c
SELECT c FROM customers c
SELECT customers FROM customers
SELECT c::text FROM customers c
SELECT (c).email FROM customers c
SELECT (c.*)::text FROM customers c
SELECT email(c) FROM customers c
SELECT array_agg(c) FROM customers c
SELECT json_agg(customers) FROM customers
SELECT first_name FROM customers c WHERE c IS NOT NULL
SELECT * FROM customers NATURAL JOIN (SELECT 'a' AS email) e
SELECT * FROM ONLY customers
SELECT * FROM customers TABLESAMPLE SYSTEM (50)
SELECT U&"\\0065mail" FROM customers
SELECT \uff45mail FROM customers
SELECT first_name FROM customers\u200b
SELECT * FROM fernhill_shop.public.secrets
SELECT * FROM public.secrets
SELECT public.customers.email FROM customers
SELECT $$x$$ FROM secrets
SELECT E'\\'; DROP TABLE customers; --'; DROP TABLE customers
SELECT first_name FROM customers LIMIT (SELECT count(*) FROM secrets)
SELECT first_name FROM customers, LATERAL (SELECT email) e
SELECT xmlforest(email) FROM customers
SELECT encode(email::bytea, 'hex') FROM customers
"""

_POSTGRES_BY_RULES = """
SELECT current_user
SELECT version()
SELECT inet_server_addr()
SELECT current_database()
SELECT pg_backend_pid()
SELECT * FROM pg_tables
SELECT * FROM pg_catalog.pg_proc
SELECT table_name FROM information_schema.tables
SELECT column_name FROM information_schema.columns
SELECT 'customers'::regclass
SELECT 'customers'::regclass::oid
SELECT has_table_privilege('secrets', 'SELECT')
SELECT obj_description(1)
SELECT to_regclass('secrets')
SELECT txid_current()
SELECT random()
SELECT replace(replace(replace(replace('aaaa', 'a', 'bbbbbbbb'), 'b', 'cccccccc'), 'c', 'dddddddd'), 'd', 'eeeeeeee')
SELECT lpad('x', 100000000)
VALUES (1)
"""

_SQLITE = """
ATTACH DATABASE '/tmp/x.sqlite' AS x
DETACH DATABASE main
PRAGMA query_only = OFF
PRAGMA writable_schema = ON
PRAGMA table_info(customers)
SELECT * FROM pragma_table_info('customers')
SELECT * FROM pragma_database_list
SELECT * FROM sqlite_master
SELECT sql FROM sqlite_schema
SELECT load_extension('/tmp/x.so')
SELECT readfile('/etc/passwd')
SELECT writefile('/tmp/x', 'y')
SELECT randomblob(1000000000)
SELECT zeroblob(1000000000)
SELECT hex(zeroblob(1000000000))
SELECT fts3_tokenizer('simple')
VACUUM INTO '/tmp/x'
REINDEX
BEGIN IMMEDIATE
SAVEPOINT s
REPLACE INTO customers VALUES (1)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n
WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n
SELECT count(*) FROM customers a, customers b, customers c, customers d, customers e
SELECT sqlite_version()
SELECT last_insert_rowid()
SELECT total_changes()
SELECT [email] FROM customers
SELECT `email` FROM customers
SELECT word FROM main.secrets
SELECT * FROM temp.sqlite_master
SELECT * FROM json_each('[1]')
EXPLAIN SELECT email FROM customers
"""

_DUCKDB = """
COPY customers TO '/tmp/x.csv'
COPY (SELECT 1) TO '/tmp/x.csv'
ATTACH '/tmp/x.duckdb' AS x
INSTALL httpfs
LOAD httpfs
SET enable_external_access = true
SET lock_configuration = false
PRAGMA database_list
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_parquet('/tmp/x')
SELECT * FROM '/etc/passwd'
SELECT * FROM glob('/*')
SELECT content FROM read_text('/etc/*')
SELECT * FROM sniff_csv('/etc/passwd')
EXPORT DATABASE '/tmp/x'
IMPORT DATABASE '/tmp/x'
CHECKPOINT
CREATE MACRO m(x) AS x
SELECT count(*) FROM range(1000000000000)
SELECT count(*) FROM customers a, customers b, customers c, customers d, customers e
SELECT getenv('HOME')
"""

_DUCKDB_BY_RULES = """
FROM secrets
SELECT * FROM query('SELECT * FROM secrets')
SELECT * FROM query_table('secrets')
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_tables()
SELECT * EXCLUDE (first_name) FROM customers
SELECT COLUMNS('.*') FROM customers
SELECT c FROM customers c
SELECT struct_pack(a := c) FROM customers c
SELECT unnest([1, 2])
SHOW TABLES
DESCRIBE customers
SUMMARIZE customers
SELECT current_setting('memory_limit')
SELECT 1 FROM customers POSITIONAL JOIN secrets
PIVOT customers ON segment
"""

_MYSQL = """
SELECT * FROM customers INTO OUTFILE '/tmp/x'
SELECT first_name INTO DUMPFILE '/tmp/x' FROM customers
SELECT LOAD_FILE('/etc/passwd')
LOAD DATA INFILE '/etc/passwd' INTO TABLE customers
SELECT 1 FROM customers FOR UPDATE
SELECT GET_LOCK('a', 100)
SELECT sys_exec('id')
SET GLOBAL max_connections = 1
HANDLER customers OPEN
DO SLEEP(30)
REPLACE INTO customers VALUES (1)
SELECT SLEEP(60)
SELECT BENCHMARK(1000000000000, MD5('x'))
SELECT count(*) FROM customers a, customers b, customers c, customers d, customers e
"""

_MYSQL_BY_RULES = """
SELECT @@datadir
SELECT USER()
SELECT @a := 1
SELECT * FROM information_schema.tables
SELECT /*!50000 1 FROM secrets */
SELECT * FROM mysql.user
"""


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


ANY = _lines(_ANY)
POSTGRES = [*ANY, *_lines(_POSTGRES)]
POSTGRES_BY_RULES = _lines(_POSTGRES_BY_RULES)
SQLITE = [*ANY, *_lines(_SQLITE)]
DUCKDB = _lines(_DUCKDB)
DUCKDB_BY_RULES = [*_lines(_DUCKDB_BY_RULES), *ANY]
MYSQL = [*(each for each in ANY if '"' not in each), *_lines(_MYSQL)]  # there "email" is a text
MYSQL_BY_RULES = _lines(_MYSQL_BY_RULES)
