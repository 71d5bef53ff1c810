-- What introspection can meet, beside the example shop: one or more of each kind of object that PostgreSQL 14 has.
-- Run by a superuser in a database of the shop; the gateway's login is shop_app.

CREATE SCHEMA sales;
COMMENT ON SCHEMA sales IS 'orders and who takes them';

CREATE TYPE sales.mood AS ENUM ('glad', 'sad');
CREATE TYPE sales.address AS (street text, zip varchar(8));
CREATE TYPE sales.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN sales.code AS text NOT NULL DEFAULT 'X' CONSTRAINT code_is_short CHECK (length(VALUE) < 9);
COMMENT ON DOMAIN sales.code IS 'short';

CREATE SEQUENCE sales.numbers START 100 INCREMENT 5 OWNED BY NONE;

CREATE TABLE sales.clerks (
    id      int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    badge   sales.code UNIQUE,
    name    varchar(40) NOT NULL,
    mood    sales.mood DEFAULT 'glad',
    home    sales.address,
    shift   sales.span,
    wage    numeric(10, 2) CHECK (wage > 0),
    tags    text[] DEFAULT '{}',
    data    jsonb,
    seen    timestamptz DEFAULT now(),
    initial text GENERATED ALWAYS AS (left(name, 1)) STORED
);
COMMENT ON TABLE sales.clerks IS 'who takes orders';
COMMENT ON COLUMN sales.clerks.wage IS 'a month, in euros';
CREATE INDEX clerks_lower ON sales.clerks (lower(name)) WHERE wage > 100;
CREATE INDEX clerks_data ON sales.clerks USING gin (data);
CREATE STATISTICS sales.clerks_stats (ndistinct, dependencies, mcv) ON name, wage FROM sales.clerks;
INSERT INTO sales.clerks (badge, name, wage, data)
    SELECT 'B' || n, 'canary-' || n, 1000 + n, jsonb_build_object('n', n) FROM generate_series(1, 50) n;

CREATE TABLE sales.visits (
    id     bigint NOT NULL DEFAULT nextval('sales.numbers'),
    clerk  int REFERENCES sales.clerks ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    day    date NOT NULL,
    note   text COLLATE "C",
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE sales.visits_2025 PARTITION OF sales.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE sales.visits_other PARTITION OF sales.visits DEFAULT;
INSERT INTO sales.visits (clerk, day, note) SELECT n, date '2025-01-01' + n, 'note ' || n FROM generate_series(1, 20) n;

CREATE TABLE sales.parent (a int, b text);
CREATE TABLE sales.child (c int) INHERITS (sales.parent);
CREATE UNLOGGED TABLE sales.scratch (x int, EXCLUDE USING btree (x WITH =));
CREATE TYPE sales.shape AS (w int, h int);
CREATE TABLE sales.shapes OF sales.shape;

CREATE VIEW sales.busy AS SELECT id, name FROM sales.clerks WHERE wage > 1010 WITH LOCAL CHECK OPTION;
COMMENT ON VIEW sales.busy IS 'those who earn';
CREATE MATERIALIZED VIEW sales.days AS SELECT day, count(*) AS visits FROM sales.visits GROUP BY day;
CREATE UNIQUE INDEX ON sales.days (day);

CREATE FUNCTION sales.raise_by(x numeric, percent int DEFAULT 10) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT x * (100 + percent) / 100';
COMMENT ON FUNCTION sales.raise_by IS 'what a raise makes of it';
CREATE FUNCTION sales.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
    AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION sales.several(OUT a int, OUT b text) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1, ''one''';
CREATE PROCEDURE sales.tidy(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
CREATE AGGREGATE sales.total(numeric) (SFUNC = numeric_add, STYPE = numeric, INITCOND = '0');
CREATE TRIGGER clerks_touch BEFORE UPDATE OF wage ON sales.clerks FOR EACH ROW WHEN (OLD.wage <> NEW.wage)
    EXECUTE FUNCTION sales.touch();
CREATE RULE scratch_quiet AS ON DELETE TO sales.scratch DO INSTEAD NOTHING;
ALTER TABLE sales.parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY parent_all ON sales.parent FOR SELECT USING (a > 0);

CREATE FUNCTION sales.mood_of(int) RETURNS sales.mood LANGUAGE sql AS 'SELECT ''glad''::sales.mood';
CREATE CAST (int AS sales.mood) WITH FUNCTION sales.mood_of(int) AS ASSIGNMENT;
CREATE OPERATOR sales.#+# (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int);
COMMENT ON OPERATOR sales.#+# (int, int) IS 'plus and plus';
CREATE OPERATOR CLASS sales.int_again FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 3 =, OPERATOR 5 >,
    FUNCTION 1 btint4cmp(int, int);
CREATE COLLATION sales.plain (locale = 'C');
CREATE CONVERSION sales.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH CONFIGURATION sales.words (COPY = pg_catalog.simple);
CREATE TEXT SEARCH DICTIONARY sales.simply (TEMPLATE = pg_catalog.simple);

CREATE FOREIGN DATA WRAPPER nowhere OPTIONS (mode 'none');
CREATE SERVER elsewhere TYPE 't' VERSION '1' FOREIGN DATA WRAPPER nowhere OPTIONS (host 'example.com');
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE sales.remote (id int, t text OPTIONS (force_not_null 'true')) SERVER files OPTIONS (filename '/remote.csv', format 'csv');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (password 'canary-mapping');
CREATE PUBLICATION news FOR TABLE sales.clerks WITH (publish = 'insert');
CREATE FUNCTION sales.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER quiet ON ddl_command_end WHEN TAG IN ('CREATE CAST') EXECUTE FUNCTION sales.on_ddl();
SELECT lo_from_bytea(424242, 'canary-object');
COMMENT ON LARGE OBJECT 424242 IS 'a large object';
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO shop_app;

-- The login's rights: what its agents need together.
GRANT USAGE ON SCHEMA sales TO shop_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sales TO shop_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA sales TO shop_app;
GRANT SELECT ON SEQUENCE public.customers_id_seq, public.products_id_seq TO shop_app;
GRANT SELECT (id), UPDATE (wage) ON sales.clerks TO shop_app;

ANALYZE sales.clerks, sales.visits;
