-- A wholesaler, a chain of shops and a film archive: three small worlds for analytics.
CREATE TABLE zone (zone_id int PRIMARY KEY, name text, remark text);
CREATE TABLE country (country_id int PRIMARY KEY, zone_id int, name text, currency char(3));
CREATE TABLE vendor (vendor_id int PRIMARY KEY, country_id int, name text, phone text, balance numeric(12,2), remark text);
CREATE TABLE part (part_id int PRIMARY KEY, name text, maker text, brand text, kind text, size int, box text, list_price numeric(12,2));
CREATE TABLE offer (part_id int, vendor_id int, available int, cost numeric(12,2), remark text, PRIMARY KEY (part_id, vendor_id));
CREATE TABLE client (client_id int PRIMARY KEY, country_id int, name text, phone text, balance numeric(12,2), segment text, tax_number text);
CREATE TABLE purchase (purchase_id int PRIMARY KEY, client_id int, status char(1), total numeric(12,2), placed date, priority text, clerk text);
CREATE TABLE line (
    purchase_id int, line_no int, part_id int, vendor_id int, quantity numeric(12,2), price numeric(12,2), discount numeric(4,2),
    tax numeric(4,2), returned char(1), status char(1), shipped date, committed date, received date, mode text, instruction text,
    PRIMARY KEY (purchase_id, line_no));

CREATE TABLE day (day_id int PRIMARY KEY, date date, year int, quarter int, month int, week int, weekday text, holiday boolean);
CREATE TABLE shop (shop_id int PRIMARY KEY, name text, city text, state text, floor_space int, manager text, opened int);
CREATE TABLE product (product_id int PRIMARY KEY, code text, category text, class text, brand text, colour text, price numeric(9,2), wholesale numeric(9,2), manager_id int);
CREATE TABLE shopper (shopper_id int PRIMARY KEY, first_name text, last_name text, email text, birth_year int, household_id int, address_id int);
CREATE TABLE household (household_id int PRIMARY KEY, income_band int, dependants int, vehicles int, buying_power text);
CREATE TABLE address (address_id int PRIMARY KEY, street text, city text, state text, postcode text, offset_hours int);
CREATE TABLE promotion (promotion_id int PRIMARY KEY, name text, by_mail boolean, by_tv boolean, cost numeric(9,2));
CREATE TABLE sale (
    ticket int, product_id int, day_id int, shop_id int, shopper_id int, promotion_id int, quantity int, price numeric(9,2),
    paid numeric(9,2), profit numeric(9,2), channel text) PARTITION BY LIST (channel);
CREATE TABLE sale_shop PARTITION OF sale FOR VALUES IN ('shop');
CREATE TABLE sale_web PARTITION OF sale FOR VALUES IN ('web');
CREATE TABLE sale_rest PARTITION OF sale DEFAULT;
CREATE TABLE refund (ticket int, product_id int, day_id int, shopper_id int, quantity int, amount numeric(9,2), reason text);
CREATE TABLE stock (day_id int, product_id int, shop_id int, on_hand int);

CREATE TABLE film (film_id int PRIMARY KEY, title text, year int, kind text, series_of int, keywords text[], facts jsonb);
CREATE TABLE person (person_id int PRIMARY KEY, name text, gender char(1), born date, private_note text);
CREATE TABLE role (film_id int, person_id int, part text, billing int, note text);
CREATE TABLE studio (studio_id int PRIMARY KEY, name text, country text);
CREATE TABLE made_by (film_id int, studio_id int, capacity text, note text);
CREATE TABLE rating (film_id int, source text, score numeric(3,1), votes int);
CREATE TABLE link (film_id int, linked_id int, kind text);

CREATE VIEW revenue AS
    SELECT vendor_id, sum(price * (1 - discount)) AS total FROM line
    WHERE shipped >= date '1996-01-01' AND shipped < date '1996-04-01' GROUP BY vendor_id;
CREATE VIEW net_sale AS
    SELECT s.ticket, s.product_id, s.day_id, s.shop_id, s.shopper_id, s.channel, s.paid - coalesce(r.amount, 0) AS net, s.profit
    FROM sale s LEFT JOIN refund r ON r.ticket = s.ticket AND r.product_id = s.product_id;
CREATE MATERIALIZED VIEW shop_year AS
    SELECT shop_id, d.year, sum(paid) AS paid FROM sale JOIN day d USING (day_id) GROUP BY shop_id, d.year;
