SELECT 1
;
SELECT 1 AS one, 'text' AS text, 1.50::numeric AS "a wider name", NULL AS nothing, true AS yes
;
SELECT
;
SELECT FROM generate_series(1, 3)
;
SELECT 1 WHERE false
;
SELECT 1 AS x WHERE false
;
SELECT n, repeat('x', n) AS bars FROM generate_series(1, 12) n
;
SELECT 'a' || chr(10) || 'bb' AS lines, 7 AS n, 'x' AS last
;
SELECT 'x' AS first, 'a' || chr(10) || 'bb' || chr(10) AS lines
;
SELECT 1 AS n, E'one\n\ntwo' AS a, E'\n' AS b, E'1\n2\n3\n4' AS c, 5 AS d
;
SELECT 5 AS "a name
of two lines", 'x' AS "b"
;
SELECT 'x' AS "b", 12345678 AS "lines

three"
;
SELECT E'a\tb' AS tab, E'\tb' AS begin, E'12345678\tx' AS eight, E'漢\tb' AS wide
;
SELECT E'a\rb' AS cr, E'\x1b[31mred\x1b[0m' AS esc, chr(7) AS bell, chr(155) AS csi, chr(133) AS nel
;
SELECT '漢字' AS wide, 'é' AS narrow, E'e\u0301' AS combined, '🐘' AS elephant, 'ｆｕｌｌ' AS full, 'ﾊﾝ' AS half
;
SELECT n, CASE n WHEN 1 THEN '漢字' WHEN 2 THEN 'abcdefgh' ELSE 'éé' END AS "größe" FROM generate_series(1, 3) n
;
SELECT 1::int2, 2::int4, 3::int8, 4.5::float4, 5.5::float8, 6.6::numeric, 7::oid, '8'::xid, '9'::cid, '10'::money, 'x'::text, '12'::xid8
;
SELECT 'NaN'::float8, 1e300::float8, 1e-7::float4, 123456.789::float4
;
SELECT '\xdeadbeef'::bytea, ARRAY[1, NULL, 3], ROW(1, 'x', NULL), '{"a": [1, 2]}'::jsonb
;
SELECT DATE '2026-02-03', TIMESTAMP '2026-02-03 04:05:06.7', INTERVAL '1 day 02:03'
;
SHOW standard_conforming_strings
;
SET work_mem = '5MB'
;
CREATE TEMP TABLE t (id int PRIMARY KEY, name text NOT NULL)
;
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')
;
INSERT INTO t VALUES (4, 'd') RETURNING *
;
INSERT INTO t VALUES (1, 'a')
;
INSERT INTO t VALUES (5, NULL)
;
UPDATE t SET name = name || '!' WHERE id > 1 RETURNING id, name
;
DELETE FROM t WHERE id = 4 RETURNING id
;
DELETE FROM t WHERE id = 99
;
SELECT * FROM t ORDER BY id
;
TABLE nothing_of_this_name
;
SELECT id, nam FROM t
;
SELECT id,
       name,
<TAB>nope,
       4
FROM t
;
SELECT 'a long line before the place where it is wrong, longer than sixty characters' AS a, nope, 'and a long one after it, which is cut off too'
;
SELECT nope, 'a long line after the place where it is wrong, longer than sixty characters' AS a
;
SELECT '漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字' AS a, nope
;
SELECT 1 +
;
SELECT 1/0
;
SELECT 'abc'::int
;
SELECT n, 1/(3 - n) FROM generate_series(1, 5) n
;
DO $$ BEGIN RAISE NOTICE 'it says %', E'two\nlines'; RAISE WARNING 'careful' USING DETAIL = 'some detail', HINT = 'some hint'; END $$
;
DO $$ BEGIN RAISE EXCEPTION 'it fails' USING DETAIL = E'a detail\nof two lines', HINT = 'a hint', ERRCODE = 'GP001'; END $$
;
DO $$ BEGIN PERFORM 1 FROM nothing_here; END $$
;
CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1/0; END $f$
;
SELECT f()
;
DROP TABLE IF EXISTS nothing_there
;
BEGIN
;
SELECT 1/0
;
SELECT 1
;
COMMIT
;
BEGIN
;
DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) n
;
FETCH 2 FROM c
;
MOVE 1 FROM c
;
FETCH ALL FROM c
;
CLOSE c
;
ROLLBACK
;
ROLLBACK
;
COPY (SELECT n, E'a\tb\\', NULL FROM generate_series(1, 3) n) TO STDOUT
;
COPY (SELECT n, 'a,"b', NULL, E'x\ny' FROM generate_series(1, 2) n) TO STDOUT WITH (FORMAT csv, HEADER)
;
COPY (SELECT n / (2 - n) FROM generate_series(1, 3) n) TO STDOUT
;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 1
;
VALUES (1, 'x'), (2, 'y')
;
PREPARE p AS SELECT $1::int + 1 AS next
;
EXECUTE p(41)
;
DEALLOCATE p
;
MERGE INTO t USING (VALUES (1, 'm'), (7, 'n')) AS s (id, name) ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name)
;
TRUNCATE t
;
SELECT 'a comment' AS x -- in it
/* and another */, 2 AS y
;
SELECT E'\u200bx' = 'x' AS "hidden?", length(E'\u202e') AS l
;
LISTEN news
;
CREATE VIEW pg_temp.v AS SELECT 1 AS x
;
VACUUM t
;
SELECT * FROM (SELECT 1 AS a) AS s(b) WHERE s.a = 1
;
SELECT upper()
;
