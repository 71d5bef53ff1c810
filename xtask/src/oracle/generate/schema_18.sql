
-- From PostgreSQL 18 on.
CREATE TABLE gauge (
    id int PRIMARY KEY, low int, high int, span int GENERATED ALWAYS AS (high - low) VIRTUAL, label text,
    shown text GENERATED ALWAYS AS ('<' || label || '>') VIRTUAL);
INSERT INTO gauge (id, low, high, label) SELECT g, g, g * 3, 'g' || g FROM generate_series(1, 8) g;
