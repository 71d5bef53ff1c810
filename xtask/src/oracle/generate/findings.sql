Queries over the generated schema that were once misjudged, each after what it shows.

-- a column that is written, and read for nothing
WITH w AS (UPDATE entry AS e SET amount = 1 RETURNING e.*) SELECT 1
-- a column of EXCLUDED that is written besides
INSERT INTO measure AS m (id, unit) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET unit = excluded.unit
-- written, and an unused column of a view with the invoker's rights
INSERT INTO person (name, ssn) SELECT g.name, 'x' FROM (SELECT * FROM person) g
-- only a part of a column is assigned
UPDATE person SET home.city = 'x', nicknames[2] = name WHERE id = 1
-- the same in ON CONFLICT
INSERT INTO person AS p (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET home.city = p.ssn, home.zip = 'z'
-- an index that is read from the column itself
UPDATE person SET nicknames[cardinality(nicknames)] = 'x'
