//! A result as psql prints it with its defaults: `\pset format aligned`, `border 1`, `null ''`, lines of ASCII. Knows
//! no protocol.
//!
//! The rules are those of `print_aligned_text` and `column_type_alignment` (fe_utils/print.c), which PostgreSQL 14 to 18 share.

use wire::backend::{DataRow, RowDescription};

use crate::safe::{self, Brackets, Line};
use crate::values;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as the server wrote it.
    pub name: Vec<u8>,
    /// Its type's OID; 0 where it isn't known.
    pub type_oid: u32,
    /// Whether its values are sent in binary.
    pub binary: bool,
}

impl Column {
    /// Returns the columns that a RowDescription has.
    pub fn of(description: RowDescription<'_>) -> Vec<Self> {
        let column = |field: wire::backend::Field<'_>| Self {
            name: field.name.to_vec(),
            type_oid: field.type_oid.0,
            binary: field.format == 1,
        };
        description.iter().map(column).collect()
    }

    /// Returns the columns that a statement was sent with.
    pub fn known(sent: &recording::Sent) -> Vec<Self> {
        let column = |it: &recording::Column| Self {
            name: it.name.clone().into_bytes(),
            type_oid: it.type_oid,
            binary: it.format == 1,
        };
        sent.columns.iter().map(column).collect()
    }

    /// Returns columns for rows whose description isn't there.
    pub fn unknown(count: usize) -> Vec<Self> {
        (1..=count)
            .map(|at| Self { name: format!("column{at}").into_bytes(), type_oid: 0, binary: false })
            .collect()
    }

    /// Whether psql aligns it to the right: numbers, by OID (catalog/pg_type.dat).
    const fn is_right(&self) -> bool {
        // int8 int2 int4 oid xid cid float4 float8 money numeric xid8
        matches!(self.type_oid, 20 | 21 | 23 | 26 | 28 | 29 | 700 | 701 | 790 | 1700 | 5069)
    }
}

/// Bytes of rows that are printed at once: what is larger is printed in parts, each as wide as it needs, as psql does with
/// `FETCH_COUNT`.
const BYTES_AT_ONCE: usize = 8 << 20;

/// Rows on their way to paper.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// Bodies of DataRows.
    rows: Vec<Box<[u8]>>,
    bytes: usize,
    headed: bool,
    /// Rows there were in all.
    pub(crate) count: u64,
}

impl Table {
    pub(crate) const fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new(), bytes: 0, headed: false, count: 0 }
    }

    /// Takes a row; returns whether it is time to print what is there.
    pub(crate) fn push(&mut self, body: &[u8]) -> bool {
        self.rows.push(body.into());
        self.bytes += body.len();
        self.count += 1;
        self.bytes >= BYTES_AT_ONCE
    }

    /// Whether anything of it was printed.
    pub(crate) const fn headed(&self) -> bool {
        self.headed
    }

    /// Whether it has rows that weren't printed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends the rows that are there, with the head before the first.
    pub(crate) fn print(&mut self, brackets: Brackets, out: &mut String) {
        let heads: Vec<Vec<Line>> = self.columns.iter().map(|it| safe::cell(&it.name, brackets)).collect();
        let rows: Vec<Vec<Vec<Line>>> = std::mem::take(&mut self.rows)
            .iter()
            .filter_map(|body| DataRow::parse(body).ok().map(|row| self.cells(row, brackets)))
            .collect();
        self.bytes = 0;
        let mut widths: Vec<usize> = heads.iter().map(|lines| widest(lines)).collect();
        for row in &rows {
            for (width, lines) in widths.iter_mut().zip(row) {
                *width = (*width).max(widest(lines));
            }
        }
        if !self.headed {
            self.headed = true;
            head(&heads, &widths, out);
        }
        for row in &rows {
            self.row(row, &widths, out);
        }
    }

    fn cells(&self, row: DataRow<'_>, brackets: Brackets) -> Vec<Vec<Line>> {
        let values = row.iter().chain(std::iter::repeat(None));
        let cell = |(column, value): (&Column, Option<&[u8]>)| match value {
            None => vec![Line::default()],
            Some(value) => safe::cell(&values::text(column, value), brackets),
        };
        self.columns.iter().zip(values).map(cell).collect()
    }

    fn row(&self, cells: &[Vec<Line>], widths: &[usize], out: &mut String) {
        if cells.is_empty() {
            return;
        }
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for at in 0..height {
            for (index, ((column, lines), width)) in self.columns.iter().zip(cells).zip(widths).enumerate() {
                let last = index + 1 == self.columns.len();
                out.push(' ');
                let more = lines.len() > at + 1;
                match lines.get(at) {
                    None if last => {}
                    None => blanks(*width, out),
                    Some(line) if column.is_right() => {
                        blanks(width.saturating_sub(line.width), out);
                        out.push_str(&line.text);
                    }
                    Some(line) => {
                        out.push_str(&line.text);
                        if !last || more {
                            blanks(width.saturating_sub(line.width), out);
                        }
                    }
                }
                if more {
                    out.push('+');
                } else if !last {
                    out.push(' ');
                }
                if !last {
                    out.push('|');
                }
            }
            out.push('\n');
        }
    }
}

fn widest(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.width).max().unwrap_or_default()
}

fn blanks(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// The names, each in the middle of its column, and the line below them.
fn head(heads: &[Vec<Line>], widths: &[usize], out: &mut String) {
    let height = heads.iter().map(Vec::len).max().unwrap_or_default();
    for at in 0..height {
        for (index, (lines, width)) in heads.iter().zip(widths).enumerate() {
            out.push(' ');
            let nothing = Line::default();
            let line = lines.get(at).unwrap_or(&nothing);
            let left = width.saturating_sub(line.width);
            blanks(left / 2, out);
            out.push_str(&line.text);
            blanks(left.div_ceil(2), out);
            out.push(if lines.len() > at + 1 { '+' } else { ' ' });
            if index + 1 < heads.len() {
                out.push('|');
            }
        }
        out.push('\n');
    }
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let rule = if rules.is_empty() { "--".to_owned() } else { rules.join("+") };
    out.push_str(&rule);
    out.push('\n');
}

/// Returns what stands below a result.
pub(crate) fn footer(rows: u64) -> String {
    format!("({rows} {})\n\n", if rows == 1 { "row" } else { "rows" })
}
