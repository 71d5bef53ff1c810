-- What the simulation's statements are about; record.py loads it.
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total int);
CREATE TABLE secrets (id int, body text);
