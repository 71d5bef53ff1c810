//! Prints what a key costs: `cargo run --release -p sql --example shape_cost`.

use std::hint::black_box;
use std::time::Instant;

use sql::{Strings, shape};

const TEXTS: [&str; 4] = [
    "SELECT abalance FROM pgbench_accounts WHERE aid = 12345",
    "SELECT id, name, email FROM customers WHERE email = 'ada@example.com' ORDER BY 1 LIMIT 10",
    "INSERT INTO orders (customer_id, product_id, quantity, note) VALUES (42, 7, 3, 'gift') RETURNING id",
    "SELECT o.id, c.name, sum(i.price * i.quantity) AS total FROM orders o JOIN customers c ON c.id = o.customer_id \
     JOIN order_items i ON i.order_id = o.id WHERE o.created_at >= '2026-01-01' AND c.country IN ('DE', 'FR') \
     GROUP BY o.id, c.name HAVING sum(i.price) > 100 ORDER BY total DESC LIMIT 20",
];

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() {
    const TIMES: u32 = 1000;
    for text in TEXTS {
        let shape = shape::key(text.as_bytes(), Strings::Standard);
        // The best of many short runs: others use the machine too.
        let run = || {
            let start = Instant::now();
            for _ in 0..TIMES {
                black_box(shape::key(black_box(text.as_bytes()), Strings::Standard));
            }
            start.elapsed() / TIMES
        };
        let each = (0..200).map(|_| run()).min().unwrap_or_default();
        println!("{:>5} ns  {:>3} bytes  blanked {}", each.as_nanos(), text.len(), shape.blanked);
    }
}
