-- The shop's data: invented, and the same on every run. Nobody's social security number begins with 9.

BEGIN;

INSERT INTO customers (id, name, email, phone, ssn, birth_date, city, notes)
SELECT n,
       first || ' ' || last,
       lower(first || '.' || last) || n || '@example.com',
       '+1-555-' || lpad((n * 7919 % 10000)::text, 4, '0'),
       '9' || lpad((n * 37 % 100)::text, 2, '0') || '-' || lpad((n * 61 % 100)::text, 2, '0') || '-'
           || lpad((n * 6007 % 10000)::text, 4, '0'),
       date '1950-01-01' + n * 4999 % 20000,
       (ARRAY['Aberdeen', 'Bergen', 'Cork', 'Delft', 'Evora', 'Faro', 'Ghent'])[n * 5 % 7 + 1],
       CASE WHEN n % 10 = 0 THEN 'prefers to be called at ' || 8 + n % 9 || ' o''clock' END
FROM generate_series(1, 200) n,
     LATERAL (SELECT (ARRAY['Ada', 'Bo', 'Chloe', 'Dev', 'Elif', 'Finn', 'Grace', 'Hugo', 'Ines', 'Jun'])[n % 10 + 1],
                     (ARRAY['Abbott', 'Baker', 'Cruz', 'Dahl', 'Ekman', 'Fox', 'Gray', 'Hill', 'Ito', 'Jones', 'Kaya'])
                         [n * 3 % 11 + 1]) names (first, last);

INSERT INTO products (id, name, category, price)
SELECT n, adjective || ' ' || thing, category, (n * 1337 % 9000 + 495) / 100.0
FROM generate_series(1, 60) n,
     LATERAL (SELECT (ARRAY['brass', 'oak', 'woollen', 'blue', 'small', 'grand'])[n % 6 + 1],
                     (ARRAY['gatepost', 'hinge', 'latch', 'lantern', 'bell', 'mat', 'kettle', 'lamp', 'shelf', 'chair'])
                         [(n - 1) / 6 + 1],
                     (ARRAY['garden', 'hardware', 'hardware', 'lighting', 'garden', 'home', 'kitchen', 'lighting',
                            'home', 'home'])[(n - 1) / 6 + 1]) words (adjective, thing, category);

INSERT INTO orders (id, customer_id, placed_at, status)
SELECT n, n * 17 % 200 + 1, timestamptz '2026-01-01 08:00+00' + n * interval '7 hours',
       (ARRAY['paid', 'shipped', 'shipped', 'open', 'returned'])[n % 5 + 1]
FROM generate_series(1, 600) n;

INSERT INTO order_items (order_id, product_id, quantity)
SELECT o, (o * 7 + i * 13) % 60 + 1, (o + i) % 4 + 1
FROM generate_series(1, 600) o, generate_series(0, 2) i
WHERE i <= o % 3;

INSERT INTO tickets (id, customer_id, subject, body, status, opened_at)
SELECT n, n * 11 % 200 + 1,
       (ARRAY['Parcel is late', 'Wrong colour', 'Broken on arrival', 'Invoice address', 'Where is my refund'])[n % 5 + 1],
       'It is about order ' || n * 3 || '. Please help; I have been waiting for ' || n % 9 + 2 || ' days.',
       (ARRAY['open', 'waiting', 'closed', 'closed'])[n % 4 + 1],
       timestamptz '2026-06-01 09:00+00' + n * interval '5 hours'
FROM generate_series(1, 120) n;

ALTER TABLE customers ALTER id RESTART 1001;
ALTER TABLE products ALTER id RESTART 1001;
ALTER TABLE orders ALTER id RESTART 1001;
ALTER TABLE tickets ALTER id RESTART 1001;

COMMIT;

ANALYZE;
