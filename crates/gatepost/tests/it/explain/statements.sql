SELECT name, mail FROM names WHERE id = 1
SELECT mail FROM outer_names
SELECT ssn FROM invoked
SELECT count(*) FROM people
SELECT p FROM people p
SELECT id FROM people FOR UPDATE
SELECT name, total FROM people JOIN orders USING (id)
SELECT * FROM base NATURAL JOIN archive
WITH gone AS (DELETE FROM people WHERE id = 1 RETURNING *) INSERT INTO archive (id, name) SELECT id, ssn FROM gone
WITH RECURSIVE up AS (SELECT id, name FROM people UNION ALL SELECT o.person, u.name FROM orders o, up u) SELECT name FROM up LIMIT 3
MERGE INTO people p USING archive a ON p.id = a.id WHEN MATCHED THEN UPDATE SET name = a.name WHEN NOT MATCHED THEN INSERT (id) VALUES (a.id)
INSERT INTO people (id, email) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET email = excluded.email WHERE people.ssn IS NULL RETURNING name
INSERT INTO orders (person, total) VALUES (1, 2)
INSERT INTO ruled VALUES (1, 2)
UPDATE people SET email = o.total FROM orders o WHERE o.person = people.id
UPDATE people SET name = 'x'
DELETE FROM parted
SELECT a FROM base
SELECT a FROM ONLY base
SELECT note FROM secured
SELECT runs(name), plain(id), 1::positive FROM people
SELECT 1 FROM people p WHERE p <<< p
SELECT max(ssn) OVER (PARTITION BY name ORDER BY id) AS m FROM people
SELECT query_to_xml('SELECT 1', true, true, '')
TABLE kept
COPY (SELECT ssn FROM people) TO STDOUT
COPY orders TO STDOUT
COPY people (id, name) FROM STDIN WHERE id > 0
EXPLAIN SELECT ssn FROM people
PREPARE q AS SELECT ssn FROM people WHERE id = $1
DECLARE c CURSOR FOR SELECT email FROM people
CREATE TABLE copied AS SELECT ssn FROM people
CREATE VIEW later AS SELECT ssn FROM people
CREATE INDEX ON people (lower(ssn))
CREATE TABLE refers (id int REFERENCES people (id), at positive)
GRANT SELECT ON people TO PUBLIC
TRUNCATE parted, nonesuch
LOCK TABLE people IN SHARE MODE
SET search_path TO other
BEGIN; UPDATE people SET name = 'x' WHERE id = 1; SELECT name FROM people; COMMIT
CREATE TABLE made (); SELECT ssn FROM people
SELECT nothing FROM people
SELECT shop.nofunction(1)
SELEC 1
EXECUTE q
FETCH ALL FROM c

