The queries of the analytics corpus, each after its name.

-- pricing summary
SELECT returned, status, sum(quantity) AS quantity, sum(price) AS gross, sum(price * (1 - discount)) AS net,
       sum(price * (1 - discount) * (1 + tax)) AS charged, avg(quantity), avg(price), avg(discount), count(*)
FROM line WHERE shipped <= date '1998-12-01' - interval '90 days' GROUP BY returned, status ORDER BY returned, status
-- cheapest vendor of a zone
SELECT v.balance, v.name, c.name, p.part_id, p.maker, v.phone, v.remark
FROM part p JOIN offer o ON o.part_id = p.part_id JOIN vendor v ON v.vendor_id = o.vendor_id JOIN country c USING (country_id) JOIN zone z USING (zone_id)
WHERE p.size = 15 AND p.kind LIKE '%brass' AND z.name = 'north' AND o.cost = (
    SELECT min(i.cost) FROM offer i JOIN vendor w ON w.vendor_id = i.vendor_id JOIN country d ON d.country_id = w.country_id
    JOIN zone y ON y.zone_id = d.zone_id WHERE i.part_id = p.part_id AND y.name = 'north')
ORDER BY v.balance DESC, c.name, v.name, p.part_id LIMIT 100
-- unshipped by value
SELECT l.purchase_id, sum(l.price * (1 - l.discount)) AS revenue, b.placed, b.priority
FROM client k, purchase b, line l
WHERE k.segment = 'building' AND k.client_id = b.client_id AND l.purchase_id = b.purchase_id AND b.placed < date '1995-03-15' AND l.shipped > date '1995-03-15'
GROUP BY l.purchase_id, b.placed, b.priority ORDER BY revenue DESC, b.placed FETCH FIRST 10 ROWS ONLY
-- priorities of late purchases
SELECT priority, count(*) FROM purchase b WHERE placed >= '1993-07-01' AND placed < date '1993-07-01' + interval '3 months'
AND EXISTS (SELECT * FROM line l WHERE l.purchase_id = b.purchase_id AND l.committed < l.received) GROUP BY priority ORDER BY priority
-- local trade
SELECT c.name, sum(l.price * (1 - l.discount)) AS revenue
FROM client k, purchase b, line l, vendor v, country c, zone z
WHERE k.client_id = b.client_id AND l.purchase_id = b.purchase_id AND l.vendor_id = v.vendor_id AND k.country_id = v.country_id
AND v.country_id = c.country_id AND c.zone_id = z.zone_id AND z.name = 'east' GROUP BY c.name ORDER BY revenue DESC
-- what discounts cost
SELECT sum(price * discount) FROM line WHERE shipped BETWEEN '1994-01-01' AND '1994-12-31' AND discount BETWEEN 0.05 AND 0.07 AND quantity < 24
-- trade between two countries
SELECT seller, buyer, year, sum(volume) FROM (
    SELECT a.name AS seller, b.name AS buyer, extract(year FROM l.shipped) AS year, l.price * (1 - l.discount) AS volume
    FROM vendor v, line l, purchase p, client k, country a, country b
    WHERE v.vendor_id = l.vendor_id AND p.purchase_id = l.purchase_id AND k.client_id = p.client_id AND v.country_id = a.country_id
    AND k.country_id = b.country_id AND ((a.name = 'F' AND b.name = 'D') OR (a.name = 'D' AND b.name = 'F'))) AS shipping
GROUP BY seller, buyer, year ORDER BY 1, 2, 3
-- market share
SELECT year, sum(CASE WHEN nation = 'BR' THEN volume ELSE 0 END) / nullif(sum(volume), 0) AS share FROM (
    SELECT extract(year FROM p.placed) AS year, l.price * (1 - l.discount) AS volume, c2.name AS nation
    FROM part JOIN line l USING (part_id) JOIN purchase p USING (purchase_id) JOIN client k USING (client_id)
    JOIN country c1 ON c1.country_id = k.country_id JOIN zone USING (zone_id) JOIN vendor v USING (vendor_id)
    JOIN country c2 ON c2.country_id = v.country_id WHERE zone.name = 'america' AND part.kind = 'steel') t GROUP BY year ORDER BY year
-- profit by country and year
WITH profit AS (
    SELECT c.name AS country, date_part('year', b.placed) AS year, l.price * (1 - l.discount) - o.cost * l.quantity AS amount
    FROM part p, vendor v, line l, offer o, purchase b, country c
    WHERE v.vendor_id = l.vendor_id AND o.vendor_id = l.vendor_id AND o.part_id = l.part_id AND p.part_id = l.part_id
    AND b.purchase_id = l.purchase_id AND v.country_id = c.country_id AND p.name LIKE '%green%')
SELECT country, year, sum(amount) FROM profit GROUP BY country, year ORDER BY country, year DESC
-- clients who return goods
SELECT k.client_id, k.name, sum(l.price * (1 - l.discount)) AS lost, k.balance, c.name, k.phone
FROM client k JOIN purchase USING (client_id) JOIN line l USING (purchase_id) JOIN country c ON c.country_id = k.country_id
WHERE l.returned = 'R' GROUP BY k.client_id, c.name ORDER BY lost DESC LIMIT 20
-- important stock
SELECT part_id, sum(cost * available) AS value FROM offer JOIN vendor USING (vendor_id) WHERE country_id = 7 GROUP BY part_id
HAVING sum(cost * available) > (SELECT sum(cost * available) * 0.0001 FROM offer JOIN vendor USING (vendor_id) WHERE country_id = 7) ORDER BY value DESC
-- shipping modes and priority
SELECT mode, count(*) FILTER (WHERE priority IN ('1', '2')) AS high, count(*) FILTER (WHERE priority NOT IN ('1', '2')) AS low
FROM purchase NATURAL JOIN (SELECT purchase_id, mode, shipped, committed, received FROM line) l
WHERE mode IN ('mail', 'ship') AND committed < received AND shipped < committed GROUP BY mode ORDER BY mode
-- purchases for each client
SELECT purchases, count(*) AS clients FROM (
    SELECT k.client_id, count(b.purchase_id) FROM client k LEFT OUTER JOIN purchase b ON k.client_id = b.client_id AND b.clerk NOT LIKE '%special%'
    GROUP BY k.client_id) AS counted (client_id, purchases) GROUP BY purchases ORDER BY clients DESC, purchases DESC
-- effect of promotions
SELECT 100.00 * sum(CASE WHEN p.kind LIKE 'promo%' THEN l.price * (1 - l.discount) ELSE 0 END) / sum(l.price * (1 - l.discount))
FROM line l, part p WHERE l.part_id = p.part_id AND l.shipped >= '1995-09-01' AND l.shipped < '1995-10-01'
-- best vendor
SELECT v.vendor_id, v.name, v.phone, r.total FROM vendor v, revenue r WHERE v.vendor_id = r.vendor_id AND r.total = (SELECT max(total) FROM revenue)
-- vendors without complaints
SELECT p.brand, p.kind, p.size, count(DISTINCT o.vendor_id) AS vendors FROM offer o, part p
WHERE p.part_id = o.part_id AND p.brand <> 'b45' AND p.size IN (49, 14, 23) AND o.vendor_id NOT IN (SELECT vendor_id FROM vendor WHERE remark LIKE '%complaint%')
GROUP BY p.brand, p.kind, p.size ORDER BY vendors DESC, p.brand
-- small quantities
SELECT sum(l.price) / 7.0 FROM line l, part p WHERE p.part_id = l.part_id AND p.brand = 'b23' AND l.quantity < (SELECT 0.2 * avg(quantity) FROM line WHERE part_id = p.part_id)
-- large purchases
SELECT k.name, k.client_id, b.purchase_id, b.placed, b.total, sum(l.quantity) FROM client k, purchase b, line l
WHERE b.purchase_id IN (SELECT purchase_id FROM line GROUP BY purchase_id HAVING sum(quantity) > 300) AND k.client_id = b.client_id AND b.purchase_id = l.purchase_id
GROUP BY 1, 2, 3, 4, 5 ORDER BY b.total DESC, b.placed
-- three kinds of discount
SELECT sum(price * (1 - discount)) FROM line, part WHERE (part.part_id = line.part_id AND brand = 'b12' AND box IN ('case', 'sm') AND quantity BETWEEN 1 AND 11 AND size BETWEEN 1 AND 5)
OR (part.part_id = line.part_id AND brand = 'b23' AND box = 'bag' AND mode IN ('air', 'reg') AND instruction = 'in person')
-- vendors with too much stock
SELECT v.name FROM vendor v JOIN country c USING (country_id) WHERE c.name = 'CA' AND vendor_id IN (
    SELECT o.vendor_id FROM offer o WHERE o.part_id IN (SELECT part_id FROM part WHERE name LIKE 'forest%')
    AND available > (SELECT 0.5 * sum(quantity) FROM line l WHERE l.part_id = o.part_id AND l.vendor_id = o.vendor_id)) ORDER BY v.name
-- vendors who kept purchases waiting
SELECT v.name, count(*) AS waits FROM vendor v, line l1, purchase b WHERE v.vendor_id = l1.vendor_id AND b.purchase_id = l1.purchase_id AND b.status = 'F' AND l1.received > l1.committed
AND EXISTS (SELECT FROM line l2 WHERE l2.purchase_id = l1.purchase_id AND l2.vendor_id <> l1.vendor_id)
AND NOT EXISTS (SELECT 1 FROM line l3 WHERE l3.purchase_id = l1.purchase_id AND l3.vendor_id <> l1.vendor_id AND l3.received > l3.committed) GROUP BY v.name ORDER BY waits DESC
-- clients to be won
SELECT area, count(*), sum(balance) FROM (SELECT substring(phone FROM 1 FOR 2) AS area, balance FROM client WHERE substr(phone, 1, 2) = ANY (ARRAY['13', '31', '23'])
    AND balance > (SELECT avg(balance) FROM client WHERE balance > 0.00) AND NOT EXISTS (SELECT * FROM purchase WHERE purchase.client_id = client.client_id)) AS sleepers GROUP BY area ORDER BY area
-- sales by brand
SELECT d.year, p.brand, sum(s.paid) FROM day d, sale s, product p WHERE d.day_id = s.day_id AND s.product_id = p.product_id AND p.manager_id = 28 AND d.month = 11 GROUP BY d.year, p.brand ORDER BY d.year, 3 DESC, p.brand LIMIT 100
-- shoppers who return more than most
WITH returned AS (SELECT r.shopper_id, s.shop_id, sum(r.amount) AS total FROM refund r JOIN sale s USING (ticket, product_id) JOIN day d ON d.day_id = r.day_id WHERE d.year = 2000 GROUP BY r.shopper_id, s.shop_id)
SELECT k.email FROM returned a, shop, shopper k WHERE a.total > (SELECT avg(total) * 1.2 FROM returned b WHERE a.shop_id = b.shop_id) AND shop.shop_id = a.shop_id AND shop.state = 'TN' AND a.shopper_id = k.shopper_id ORDER BY k.email
-- week against week of the year before
WITH weekly AS (SELECT day.week, day.year, sum(paid) FILTER (WHERE weekday = 'Sunday') AS sunday, sum(CASE weekday WHEN 'Monday' THEN paid END) AS monday FROM sale JOIN day USING (day_id) GROUP BY day.week, day.year)
SELECT a.week, round(a.sunday / b.sunday, 2), round(a.monday / nullif(b.monday, 0), 2) FROM weekly a JOIN weekly b ON a.week = b.week - 53 AND a.year = b.year - 1 ORDER BY a.week
-- channels rolled up
WITH all_sales AS (
    SELECT 'shop' AS channel, shop_id AS place, paid AS sales, profit, 0::numeric AS returns FROM sale_shop
    UNION ALL SELECT 'web', shop_id, paid, profit, 0 FROM sale_web UNION ALL SELECT 'refund', NULL, 0, 0, amount FROM refund)
SELECT channel, place, sum(sales), sum(returns), sum(profit), grouping(channel, place) FROM all_sales GROUP BY ROLLUP (channel, place) ORDER BY channel NULLS FIRST, place LIMIT 100
-- states where dear things are bought
SELECT a.state, count(*) FROM address a, shopper k, sale s, day d, product i WHERE a.address_id = k.address_id AND k.shopper_id = s.shopper_id AND s.day_id = d.day_id AND s.product_id = i.product_id
AND d.month = (SELECT DISTINCT month FROM day WHERE year = 2001 AND quarter = 1 LIMIT 1) AND i.price > 1.2 * (SELECT avg(j.price) FROM product j WHERE j.category = i.category) GROUP BY a.state HAVING count(*) >= 10 ORDER BY 2, 1
-- reasons in bands
SELECT CASE WHEN (SELECT count(*) FROM sale WHERE quantity BETWEEN 1 AND 20) > 25437 THEN (SELECT avg(price) FROM sale WHERE quantity BETWEEN 1 AND 20) ELSE (SELECT avg(profit) FROM sale WHERE quantity BETWEEN 1 AND 20) END AS low,
       CASE WHEN (SELECT count(*) FROM sale WHERE quantity > 20) > 22746 THEN (SELECT avg(price) FROM sale WHERE quantity > 20) ELSE (SELECT avg(profit) FROM sale WHERE quantity > 20) END AS high
FROM refund WHERE reason = 'worn' LIMIT 1
-- shoppers of both channels
SELECT count(*) FROM ((SELECT DISTINCT last_name, first_name, date FROM sale_shop JOIN day USING (day_id) JOIN shopper USING (shopper_id))
INTERSECT (SELECT DISTINCT last_name, first_name, date FROM sale_web JOIN day USING (day_id) JOIN shopper USING (shopper_id))
EXCEPT (SELECT DISTINCT k.last_name, k.first_name, d.date FROM refund r JOIN day d USING (day_id) JOIN shopper k USING (shopper_id))) AS cool
-- growing faster on the web
WITH yearly AS (SELECT shopper_id, year, channel, sum(paid) AS total FROM sale JOIN day USING (day_id) GROUP BY 1, 2, 3)
SELECT s1.shopper_id, k.first_name, k.last_name FROM yearly s1 JOIN yearly s2 USING (shopper_id, channel) JOIN yearly w1 USING (shopper_id) JOIN shopper k USING (shopper_id) JOIN yearly w2 ON w2.shopper_id = k.shopper_id AND w2.channel = w1.channel
WHERE s1.channel = 'shop' AND w1.channel = 'web' AND s1.year = 2001 AND s2.year = 2002 AND w1.year = 2001 AND w2.year = 2002 AND s1.total > 0 AND w2.total / w1.total > s2.total / s1.total
-- share of revenue in its class
SELECT code, category, class, sum(paid) AS revenue, sum(paid) * 100 / sum(sum(paid)) OVER (PARTITION BY class) AS ratio FROM sale, product, day
WHERE sale.product_id = product.product_id AND category IN ('sports', 'books') AND sale.day_id = day.day_id AND date BETWEEN date '1999-02-22' AND date '1999-02-22' + 30 GROUP BY code, category, class ORDER BY category, class, code, ratio
-- best and worst products
SELECT best.rank, p1.code AS best, p2.code AS worst FROM
(SELECT product_id, rank() OVER (ORDER BY avg(profit) DESC) FROM sale WHERE shop_id = 4 GROUP BY product_id HAVING avg(profit) > 0.9 * (SELECT avg(profit) FROM sale WHERE shop_id = 4)) best
JOIN (SELECT product_id, rank() OVER (ORDER BY avg(profit) ASC) FROM sale WHERE shop_id = 4 GROUP BY product_id) worst ON best.rank = worst.rank
JOIN product p1 ON p1.product_id = best.product_id JOIN product p2 ON p2.product_id = worst.product_id WHERE best.rank < 11 ORDER BY best.rank
-- months that differ from the average
WITH monthly AS (SELECT category, brand, s.name, d.year, d.month, sum(paid) AS sum_sales, avg(sum(paid)) OVER (PARTITION BY category, brand, s.name, d.year) AS avg_monthly,
    rank() OVER w AS rn, lag(sum(paid)) OVER w AS before, lead(sum(paid)) OVER w AS after FROM sale JOIN product USING (product_id) JOIN day d USING (day_id) JOIN shop s USING (shop_id)
    GROUP BY category, brand, s.name, d.year, d.month WINDOW w AS (PARTITION BY category, brand, s.name ORDER BY d.year, d.month))
SELECT * FROM monthly WHERE year = 1999 AND avg_monthly > 0 AND abs(sum_sales - avg_monthly) / avg_monthly > 0.1 ORDER BY sum_sales - avg_monthly, name LIMIT 100
-- running totals where they cross
WITH web AS (SELECT product_id, date, sum(sum(paid)) OVER (PARTITION BY product_id ORDER BY date ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM sale_web JOIN day USING (day_id) GROUP BY product_id, date),
shops AS (SELECT product_id, date, sum(sum(paid)) OVER (PARTITION BY product_id ORDER BY date) AS running FROM sale_shop JOIN day USING (day_id) GROUP BY product_id, date)
SELECT * FROM (SELECT coalesce(web.product_id, shops.product_id) AS product_id, date, web.running AS web, shops.running AS shops, max(web.running) OVER (PARTITION BY product_id ORDER BY date) AS web_most FROM web FULL OUTER JOIN shops USING (product_id, date)) x WHERE web_most > shops ORDER BY 1, 2
-- dependants and vehicles
SELECT k.last_name, k.first_name, ticket, count FROM (SELECT ticket, sale.shopper_id, count(*) FROM sale, day, shop, household h, shopper WHERE sale.day_id = day.day_id AND sale.shop_id = shop.shop_id AND shopper.household_id = h.household_id AND (h.buying_power = '>10000' OR h.vehicles > 0) AND CASE WHEN h.vehicles > 0 THEN h.dependants::numeric / h.vehicles END > 1.2 AND sale.shopper_id = shopper.shopper_id GROUP BY ticket, sale.shopper_id) dj (ticket, shopper_id, count), shopper k WHERE dj.shopper_id = k.shopper_id AND count BETWEEN 15 AND 20 ORDER BY count DESC
-- stock before and after
SELECT shop.name, p.code, sum(CASE WHEN d.date < date '2000-03-11' THEN on_hand ELSE 0 END) AS before, sum(on_hand) FILTER (WHERE d.date >= '2000-03-11') AS after FROM stock, shop, product p, day d
WHERE p.price BETWEEN 0.99 AND 1.49 AND p.product_id = stock.product_id AND stock.shop_id = shop.shop_id AND stock.day_id = d.day_id GROUP BY shop.name, p.code HAVING sum(on_hand) > 0
-- unsteady stock
WITH moments AS (SELECT shop_id, product_id, month, stddev_samp(on_hand) AS spread, avg(on_hand) AS mean FROM stock NATURAL JOIN day GROUP BY shop_id, product_id, month)
SELECT a.*, b.month, b.mean, b.spread / NULLIF(b.mean, 0) AS cov FROM moments a, moments b WHERE a.product_id = b.product_id AND a.shop_id = b.shop_id AND a.month = 1 AND b.month = 2 AND CASE a.mean WHEN 0 THEN 0 ELSE a.spread / a.mean END > 1
-- quantities bought, returned, bought again
SELECT p.code, s.name, stddev_pop(a.quantity), percentile_cont(0.5) WITHIN GROUP (ORDER BY r.quantity), count(b.quantity) FROM sale_shop a JOIN refund r ON (a.shopper_id, a.product_id, a.ticket) = (r.shopper_id, r.product_id, r.ticket)
LEFT JOIN sale_web b ON r.shopper_id = b.shopper_id AND r.product_id = b.product_id JOIN shop s ON s.shop_id = a.shop_id JOIN product p ON p.product_id = a.product_id GROUP BY p.code, s.name
-- averages over a cube of places
SELECT p.code, a.state, s.city, grouping(a.state), avg(x.quantity), avg(x.price), bool_or(pr.by_tv) FROM sale x LEFT JOIN promotion pr USING (promotion_id) JOIN shopper USING (shopper_id) JOIN address a USING (address_id) JOIN shop s USING (shop_id) JOIN product p USING (product_id) GROUP BY GROUPING SETS (CUBE (a.state, s.city), p.code)
-- colour and size
SELECT DISTINCT p.code FROM product p WHERE (SELECT count(*) FROM product q WHERE q.brand = p.brand AND ((q.colour IN ('powder', 'khaki') AND q.class = 'x') OR (q.colour = 'brown' AND q.category = 'women'))) > 0 ORDER BY 1
-- longest titles of a year
SELECT DISTINCT ON (year) year, title, length(title) FROM film WHERE kind = 'movie' ORDER BY year, length(title) DESC, title
-- actors of studios
SELECT min(p.name), min(f.title) FROM person p, role r, film f, made_by m, studio s WHERE p.person_id = r.person_id AND r.film_id = f.film_id AND m.film_id = f.film_id AND s.studio_id = m.studio_id AND s.country = '[us]' AND r.note IN ('(voice)', '(uncredited)') AND p.gender = 'f' AND m.note LIKE '%(USA)%' AND f.year BETWEEN 2005 AND 2015
-- low scores for violence
SELECT min(x.score::text) AS score, min(f.title) FROM film f JOIN rating x USING (film_id) WHERE 'murder' = ANY (f.keywords) AND x.source = 'users' AND x.score < 8.5 AND f.facts ->> 'country' IN ('SE', 'NO') AND f.year > 2010
-- sequels
SELECT min(s.name), min(l.kind), min(f.title) FROM studio s, made_by m, film f, link l WHERE m.film_id = f.film_id AND l.film_id = f.film_id AND s.studio_id = m.studio_id AND (s.name LIKE '%Film%' OR s.name ~* 'warner') AND l.kind LIKE '%follow%' AND m.note IS NULL
-- chains of links
WITH RECURSIVE chain (film_id, depth, path) AS (SELECT film_id, 0, ARRAY[film_id] FROM film WHERE title = 'Start' UNION ALL SELECT l.linked_id, c.depth + 1, c.path || l.linked_id FROM chain c JOIN link l ON l.film_id = c.film_id WHERE NOT l.linked_id = ANY (c.path) AND c.depth < 6)
SELECT f.title, min(c.depth) FROM chain c JOIN film f USING (film_id) GROUP BY f.title ORDER BY 2
-- chains with SEARCH and CYCLE
WITH RECURSIVE chain AS (SELECT l.film_id, l.linked_id FROM link l UNION ALL SELECT c.film_id, l.linked_id FROM chain c JOIN link l ON l.film_id = c.linked_id) SEARCH BREADTH FIRST BY linked_id SET ord CYCLE linked_id SET looped TO 'y' DEFAULT 'n' USING trail
SELECT film_id, linked_id FROM chain WHERE looped = 'n' ORDER BY ord LIMIT 50
-- three best of each kind
SELECT k.kind, t.title, t.score FROM (SELECT DISTINCT kind FROM film) k CROSS JOIN LATERAL (SELECT f.title, x.score FROM film f JOIN rating x USING (film_id) WHERE f.kind = k.kind ORDER BY x.score DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES) t
-- people in films of their birth year
SELECT p.name, array_agg(DISTINCT f.title ORDER BY f.title) AS films, count(*) OVER () FROM person p JOIN role USING (person_id) JOIN film f ON f.film_id = role.film_id AND f.year = extract(year FROM p.born) GROUP BY p.person_id
-- keyword counts
SELECT word, count(*), round(avg(score), 2), json_agg(DISTINCT f.kind) FROM film f CROSS JOIN unnest(f.keywords) AS word LEFT JOIN rating USING (film_id) GROUP BY word HAVING count(*) > 1 ORDER BY count(*) DESC, word
-- facts as rows
SELECT f.title, e.key, e.value FROM film f, jsonb_each_text(f.facts) AS e WHERE e.key <> 'secret' AND jsonb_typeof(f.facts -> e.key) = 'string'
-- decades
SELECT (year / 10) * 10 AS decade, count(*) AS films, count(*) - lag(count(*), 1, 0::bigint) OVER (ORDER BY (year / 10) * 10) AS change, ntile(4) OVER (ORDER BY count(*)) FROM film GROUP BY 1 ORDER BY 1
-- calendar without gaps
SELECT m::date AS month, coalesce(sum(s.paid), 0) AS paid FROM generate_series(date '2000-01-01', date '2000-12-01', interval '1 month') AS m LEFT JOIN (sale s JOIN day d USING (day_id)) ON date_trunc('month', d.date) = m GROUP BY m ORDER BY m
-- first and last purchase of each client
SELECT client_id, first_value(placed) OVER w AS first, last_value(placed) OVER w AS last, nth_value(total, 2) OVER w, placed - lag(placed) OVER w AS gap FROM purchase WINDOW w AS (PARTITION BY client_id ORDER BY placed RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
-- moving average
SELECT day_id, shop_id, avg(sum(paid)) OVER (PARTITION BY shop_id ORDER BY day_id ROWS BETWEEN 6 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW), cume_dist() OVER (ORDER BY sum(paid)) FROM sale GROUP BY day_id, shop_id
-- cohorts
WITH first AS (SELECT shopper_id, min(d.date) AS joined FROM sale JOIN day d USING (day_id) GROUP BY shopper_id)
SELECT to_char(f.joined, 'YYYY-MM') AS cohort, (d.year - date_part('year', f.joined))::int AS age, count(DISTINCT shopper_id) FROM first f JOIN sale USING (shopper_id) JOIN day d USING (day_id) GROUP BY 1, 2 ORDER BY 1, 2
-- sessions by gaps
SELECT shopper_id, session, min(day_id), count(*) FROM (SELECT shopper_id, day_id, sum(starts) OVER (PARTITION BY shopper_id ORDER BY day_id) AS session FROM (SELECT shopper_id, day_id, (day_id - lag(day_id) OVER (PARTITION BY shopper_id ORDER BY day_id) > 7)::int AS starts FROM sale) a) b GROUP BY shopper_id, session
-- pivot of quarters
SELECT p.category, sum(paid) FILTER (WHERE quarter = 1) AS q1, sum(paid) FILTER (WHERE quarter = 2) AS q2, sum(paid) FILTER (WHERE quarter = 3) AS q3, sum(paid) FILTER (WHERE quarter = 4) AS q4 FROM net_sale n JOIN sale USING (ticket, product_id) JOIN day ON day.day_id = n.day_id JOIN product p USING (product_id) GROUP BY p.category
-- outliers
SELECT * FROM (SELECT s.*, (paid - avg(paid) OVER (PARTITION BY product_id)) / nullif(stddev(paid) OVER (PARTITION BY product_id), 0) AS z FROM sale s) t WHERE abs(z) > 3
-- what is bought together
SELECT a.product_id, b.product_id, count(*) AS tickets, count(*)::numeric / (SELECT count(DISTINCT ticket) FROM sale) AS support FROM sale a JOIN sale b ON a.ticket = b.ticket AND a.product_id < b.product_id GROUP BY 1, 2 HAVING count(*) > 5 ORDER BY 3 DESC
-- net by shop through a view
SELECT shop.name, net_by.total, rank() OVER (ORDER BY net_by.total DESC) FROM shop JOIN (SELECT shop_id, sum(net) AS total FROM net_sale WHERE channel <> 'web' GROUP BY shop_id) AS net_by USING (shop_id)
-- growth by shop from a materialized view
SELECT a.shop_id, a.year, a.paid - b.paid AS growth FROM shop_year a LEFT JOIN shop_year b ON b.shop_id = a.shop_id AND b.year = a.year - 1 WHERE (a.paid, a.year) > (0, 1990)
-- values as a table of rates
SELECT c.name, sum(p.total * r.rate) FROM purchase p JOIN client k USING (client_id) JOIN country c USING (country_id) JOIN (VALUES ('EUR', 1.0), ('USD', 0.9), ('GBP', 1.2)) AS r (currency, rate) ON r.currency = c.currency GROUP BY c.name
-- never sold
SELECT product_id FROM product EXCEPT SELECT product_id FROM sale UNION ALL (SELECT product_id FROM stock WHERE on_hand = 0 INTERSECT ALL SELECT product_id FROM refund) ORDER BY 1 OFFSET 5
-- whole rows compared
SELECT count(*) FROM sale_shop s WHERE s IS DISTINCT FROM (SELECT w FROM sale_shop w WHERE w.ticket = s.ticket LIMIT 1) AND row(s.quantity, s.price) <> ALL (SELECT quantity, price FROM sale_web)
-- correlated in every clause
SELECT (SELECT name FROM country c WHERE c.country_id = k.country_id), count(*) FROM client k WHERE (SELECT count(*) FROM purchase p WHERE p.client_id = k.client_id) > 2 GROUP BY k.country_id HAVING max(k.balance) > (SELECT avg(balance) FROM client x WHERE x.country_id = k.country_id) ORDER BY (SELECT z.name FROM zone z JOIN country USING (zone_id) WHERE country.country_id = k.country_id)
-- stored totals
INSERT INTO purchase (purchase_id, client_id, total, placed) SELECT purchase_id + 1000000, min(client_id), sum(l.price), max(placed) FROM purchase JOIN line l USING (purchase_id) GROUP BY purchase_id ON CONFLICT (purchase_id) DO UPDATE SET total = excluded.total WHERE purchase.total < excluded.total
-- prices raised
UPDATE product p SET price = p.price * 1.1, wholesale = s.average FROM (SELECT product_id, avg(price) AS average FROM sale GROUP BY product_id HAVING count(*) > 10) s WHERE s.product_id = p.product_id RETURNING p.code, p.price
-- stale stock removed
WITH gone AS (DELETE FROM stock s USING day d WHERE d.day_id = s.day_id AND d.year < 1998 RETURNING s.product_id, s.on_hand) SELECT product.code, sum(gone.on_hand) FROM gone JOIN product USING (product_id) GROUP BY product.code
