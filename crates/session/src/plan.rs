//! Rows of EXPLAIN without the numbers that are made of values: the average width of what a plan handles, and costs, which depend on it.
//!
//! Knows how PostgreSQL writes plans in its four formats. Doesn't know whose values they are.

use wire::backend::DataRow;

use crate::results::{patch, push_value};

/// What stands before such a number (`ExplainNode`, commands/explain.c): in text, JSON and YAML, XML.
const KEYS: [&[u8]; 8] = [
    b"width=",
    b"cost=",
    b"Plan Width",
    b"Startup Cost",
    b"Total Cost",
    b"<Plan-Width>",
    b"<Startup-Cost>",
    b"<Total-Cost>",
];

/// Rewrites a DataRow of one column into `out`.
pub(crate) fn blank_row(body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let row = DataRow::parse(body).map_err(|error| error.to_string())?;
    let start = out.len();
    out.extend_from_slice(&[wire::backend::tag::DATA_ROW, 0, 0, 0, 0]);
    out.extend_from_slice(body.get(..2).unwrap_or_default());
    for value in row.iter() {
        push_value(out, value.map(blank).as_deref());
    }
    let length = i32::try_from(out.len() - start - 1).map_err(|error| error.to_string())?;
    patch(out, start + 1, length)
}

/// Makes every digit of such numbers a zero, and each number as long as any.
fn blank(text: &[u8]) -> Vec<u8> {
    let mut blanked = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match KEYS.iter().find_map(|key| rest.strip_prefix(*key)) {
            Some(after) => {
                let key = rest.len() - after.len();
                // In JSON and YAML quotes, a colon and spaces follow.
                let signs = after.iter().take_while(|byte| b"\": ".contains(byte)).count();
                let (signs, after) = after.split_at_checked(signs).unwrap_or((after, &[]));
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
                let (number, after) = after.split_at_checked(digits).unwrap_or((after, &[]));
                blanked.extend_from_slice(rest.get(..key).unwrap_or_default());
                blanked.extend_from_slice(signs);
                blanked.extend_from_slice(zero(number));
                rest = after;
            }
            None => {
                blanked.push(*first);
                rest = after;
            }
        }
    }
    blanked
}

/// A number of the same kind.
fn zero(number: &[u8]) -> &'static [u8] {
    if number.is_empty() {
        b""
    } else if number.windows(2).any(|pair| pair == b"..") {
        b"0.00..0.00"
    } else if number.contains(&b'.') {
        b"0.00"
    } else {
        b"0"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plan: &str, blanked: &str) {
        assert_eq!(String::from_utf8_lossy(&blank(plan.as_bytes())), blanked);
    }

    #[test]
    fn widths_and_costs_are_blanked_in_every_format() {
        check(
            "  ->  Seq Scan on customers  (cost=0.00..6.25 rows=200 width=17)",
            "  ->  Seq Scan on customers  (cost=0.00..0.00 rows=200 width=0)",
        );
        check(
            "\"Total Cost\": 8.02, \"Plan Rows\": 201, \"Plan Width\": 33",
            "\"Total Cost\": 0.00, \"Plan Rows\": 201, \"Plan Width\": 0",
        );
        check("Plan Width: 16\n  Plans:", "Plan Width: 0\n  Plans:");
        check("<Startup-Cost>1.50</Startup-Cost>", "<Startup-Cost>0.00</Startup-Cost>");
        check("Filter: (name = 'width=')", "Filter: (name = 'width=')");
    }
}
