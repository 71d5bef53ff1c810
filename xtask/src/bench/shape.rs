//! What it costs to know a statement again: from its text to what is remembered of its shape. No server, no sockets.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use session::{Memo, Probe, with_shape};

/// As its section in the report is called.
pub(crate) const HEADING: &str = "A shape seen before";

/// Texts of each shape, every one with other literals.
const TEXTS: usize = 512;
/// Shapes that are remembered besides.
const OTHERS: usize = 10_000;
const ROUNDS: usize = 60;

const POINT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = #;";

const ORM: &str = "SELECT \"orders\".\"id\" AS \"orders_id\", \"orders\".\"status\" AS \"orders_status\", \
    \"orders\".\"created_at\" AS \"orders_created_at\", \"customers_1\".\"id\" AS \"customers_1_id\", \
    \"customers_1\".\"name\" AS \"customers_1_name\", \"customers_1\".\"email\" AS \"customers_1_email\" \
    FROM \"orders\" LEFT OUTER JOIN \"customers\" AS \"customers_1\" ON \"customers_1\".\"id\" = \"orders\".\"customer_id\" \
    WHERE \"orders\".\"status\" = 'state #' AND \"orders\".\"total\" > #.5 AND \"customers_1\".\"country\" IN ('#', 'b#') \
    ORDER BY \"orders\".\"created_at\" DESC LIMIT # OFFSET #";

const ANALYTIC: &str = "WITH monthly AS (
    SELECT date_trunc('month', o.created_at) AS month,
           c.country,
           c.segment,
           count(DISTINCT o.id) AS orders,
           sum(i.quantity * i.unit_price * (1 - i.discount)) AS revenue,
           avg(i.quantity) FILTER (WHERE i.unit_price > #.5) AS average_quantity
    FROM orders o
    JOIN customers c ON c.id = o.customer_id
    JOIN order_items i ON i.order_id = o.id
    LEFT JOIN refunds r ON r.order_id = o.id AND r.reason <> 'reason #'
    WHERE o.created_at >= timestamp '2026-01-01' + interval '# days'
      AND o.status IN ('paid', 'shipped #')
      AND (c.email LIKE '%#.example.com' OR c.segment = ANY (ARRAY['a', 'b#']))
      AND r.id IS NULL
    GROUP BY month, c.country, c.segment
    HAVING count(*) > #
), ranked AS (
    SELECT m.*,
           rank() OVER (PARTITION BY m.country ORDER BY m.revenue DESC) AS place,
           lag(m.revenue) OVER (PARTITION BY m.country, m.segment ORDER BY m.month) AS before
    FROM monthly m
)
SELECT month, country, segment, orders, round(revenue, 2) AS revenue,
       CASE WHEN before IS NULL OR before = 0 THEN NULL ELSE round(100.0 * (revenue - before) / before, 1) END AS growth
FROM ranked
WHERE place <= # AND revenue BETWEEN # AND 9#
ORDER BY country, month DESC, revenue DESC
LIMIT #";

/// Writes other numbers for each `#`.
fn filled(pattern: &str, number: usize) -> String {
    let mut out = String::new();
    for (at, part) in pattern.split('#').enumerate() {
        if at > 0 {
            // Of one to six digits, all within one type's range.
            let _ = write!(out, "{}", number * 7919 * at % 999_983 + 3);
        }
        out.push_str(part);
    }
    out
}

fn in_list(number: usize) -> String {
    let items: Vec<String> = (0..1000).map(|at| (number * 1009 + at * 31 + 3).to_string()).collect();
    format!("SELECT abalance FROM pgbench_accounts WHERE aid IN ({})", items.join(", "))
}

/// Measures, and returns the section.
pub(crate) fn section() -> String {
    let memo: Memo<u64> = Memo::new(32 << 20, 8);
    let value = Arc::new(1);
    let keep = |text: &str| {
        with_shape(text, |shape| memo.put(&Probe { shape, param_types: &[], scope: 7 }, 7, &value, 1000));
    };
    for number in 0..OTHERS {
        keep(&format!("SELECT column_{number} FROM relation_{} WHERE id = 1", number % 100));
    }
    let kinds: [(&str, Vec<String>); 4] = [
        ("point select", (0..TEXTS).map(|number| filled(POINT, number)).collect()),
        ("ORM join", (0..TEXTS).map(|number| filled(ORM, number)).collect()),
        ("analytic query of 30 lines", (0..TEXTS).map(|number| filled(ANALYTIC, number)).collect()),
        ("IN list of 1,000 numbers", (0..TEXTS).map(in_list).collect()),
    ];
    let mut out = format!(
        "From a statement's text to what was decided about its shape: literals blanked, hashed, looked up among {OTHERS} other\n\
         shapes, and compared. {TEXTS} texts of each, every one with other literals; one thread, its CPU time. The median of {ROUNDS} rounds, ± half\n\
         the distance between the quartiles; and the quickest round, which is nearest to what a machine with nothing else to do shows.\n\n\
         | | bytes | CPU ns a statement | quickest |\n|---|---|---|---|\n"
    );
    for (name, texts) in kinds {
        keep(texts.first().expect("a text"));
        let bytes = texts.iter().map(String::len).sum::<usize>() / TEXTS;
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&memo, &texts, 1 + 8_000 / bytes)).collect();
        rounds.sort_by(f64::total_cmp);
        let at = |share: usize| rounds.get(ROUNDS * share / 4).copied().unwrap_or_default();
        let spread = (at(3) - at(1)) / 2.0 / at(2) * 100.0;
        let quickest = rounds.first().copied().unwrap_or_default();
        let _ = writeln!(out, "| {name} | {bytes} | {:.0} ± {spread:.0} % | {quickest:.0} |", at(2));
    }
    out.push('\n');
    out
}

/// Nanoseconds of CPU time for each text, all of them looked up so many times.
fn round(memo: &Memo<u64>, texts: &[String], times: usize) -> f64 {
    let began = cpu_ns();
    for _ in 0..times {
        for text in texts {
            let known = with_shape(black_box(text), |shape| {
                memo.get(&Probe { shape, param_types: &[], scope: 7 }, 7)
            });
            assert!(known.is_some(), "not the same shape: {text}");
        }
    }
    (cpu_ns() - began) / (times * texts.len()) as f64
}

/// CPU time of this thread: what others do on the machine counts for little (proc(5), schedstat's first field).
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}
