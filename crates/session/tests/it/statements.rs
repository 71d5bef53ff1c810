//! The statements that a conversation is made of: what they do on the server, and, written down by hand and not asked of
//! the policy, who may run them. Also what was recorded from a real server about them.

use std::collections::HashMap;
use std::sync::LazyLock;

use session::{Catalog, Row};

/// In every value that no client may see.
pub(crate) const CANARY: &str = "CANARY";

/// `pg_class.oid` as recorded.
pub(crate) const CUSTOMERS: u32 = 16385;
pub(crate) const ORDERS: u32 = 16392;
const SECRETS: u32 = 16397;

const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Returns rows.
    Rows,
    /// Changes so many rows; its command tag.
    Changes(&'static str),
    Begin,
    Commit,
    Rollback,
    /// Something without result; its command tag.
    Nothing(&'static str),
    CopyIn,
    CopyOut,
    Prepare {
        name: &'static str,
        inner: &'static str,
    },
    Execute {
        name: &'static str,
    },
    Deallocate {
        name: &'static str,
    },
    Declare {
        name: &'static str,
        inner: &'static str,
    },
    Fetch {
        name: &'static str,
    },
    CloseCursor {
        name: &'static str,
    },
    DiscardAll,
    Empty,
    SyntaxError,
}

/// A column of a result: name, relation and `attnum` that it comes from (0: an expression), type.
pub(crate) type Column = (&'static str, u32, i16, u32);

/// A statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) text: &'static str,
    pub(crate) does: Does,
    /// By the policy: may it run under bundle a, under bundle b?
    pub(crate) allowed: [bool; 2],
    /// Its record must be on disk before it is forwarded.
    pub(crate) write: bool,
    pub(crate) columns: &'static [Column],
    pub(crate) params: usize,
}

impl Spec {
    /// Whether its result, its errors and its notices hold what no client may see.
    pub(crate) fn touches_masked(&self) -> bool {
        self.columns.iter().any(is_secret)
    }
}

fn is_secret(column: &Column) -> bool {
    matches!((column.1, column.2), (CUSTOMERS, 3) | (SECRETS, 2))
}

const ID: Column = ("id", CUSTOMERS, 1, INT4);
const NAME: Column = ("name", CUSTOMERS, 2, TEXT);
const SSN: Column = ("ssn", CUSTOMERS, 3, TEXT);
const ORDER: &[Column] =
    &[("id", ORDERS, 1, INT4), ("customer_id", ORDERS, 2, INT4), ("total", ORDERS, 3, INT4)];

const BOTH: [bool; 2] = [true, true];
const ONLY_A: [bool; 2] = [true, false];
const ONLY_B: [bool; 2] = [false, true];
const NEITHER: [bool; 2] = [false, false];

const fn read(text: &'static str, does: Does, allowed: [bool; 2], columns: &'static [Column]) -> Spec {
    Spec { text, does, allowed, write: false, columns, params: 0 }
}

const fn write(text: &'static str, does: Does, allowed: [bool; 2]) -> Spec {
    Spec { text, does, allowed, write: true, columns: &[], params: 0 }
}

pub(crate) const READ_SSN: &str = "SELECT id, ssn FROM customers";
pub(crate) const READ_NAME: &str = "SELECT id, name FROM customers WHERE id = 1";
pub(crate) const COUNT: &str = "SELECT count(*) FROM orders";
pub(crate) const INSERT: &str = "INSERT INTO orders VALUES (1, 2, 3)";
pub(crate) const INSERT_PARAMS: &str = "INSERT INTO orders VALUES ($1, $2, $3)";
pub(crate) const DELETE: &str = "DELETE FROM orders WHERE id = 7";
pub(crate) const UPDATE: &str = "UPDATE orders SET total = 1 WHERE id = 2";
pub(crate) const SECRET: &str = "SELECT body FROM secrets";
const SYNTAX_ERROR: &str = "SELEC 1";
pub(crate) const COPY_IN: &str = "COPY orders FROM STDIN";

/// All of them. `begin`, `commit` and `rollback` are in lower case because the gateway's own are not.
pub(crate) const STATEMENTS: &[Spec] = &[
    read(READ_NAME, Does::Rows, ONLY_A, &[ID, NAME]),
    read(READ_SSN, Does::Rows, ONLY_A, &[ID, SSN]),
    read(COUNT, Does::Rows, BOTH, &[("count", 0, 0, INT8)]),
    read("SELECT 1 / total FROM orders", Does::Rows, BOTH, &[("?column?", 0, 0, INT4)]),
    Spec {
        params: 1,
        ..read("SELECT name, ssn FROM customers WHERE id = $1", Does::Rows, ONLY_A, &[NAME, SSN])
    },
    read(SECRET, Does::Rows, NEITHER, &[("body", SECRETS, 2, TEXT)]),
    read("SELECT id FROM customers WHERE ssn = 'x'", Does::Rows, NEITHER, &[ID]),
    write(INSERT, Does::Changes("INSERT 0 1"), ONLY_A),
    Spec { params: 3, ..write(INSERT_PARAMS, Does::Changes("INSERT 0 1"), ONLY_A) },
    write(UPDATE, Does::Changes("UPDATE 1"), BOTH),
    write(DELETE, Does::Changes("DELETE 1"), ONLY_B),
    write(COPY_IN, Does::CopyIn, ONLY_A),
    read("COPY customers (id, ssn) TO STDOUT", Does::CopyOut, ONLY_A, &[ID, SSN]),
    read("COPY (SELECT id, ssn FROM customers) TO STDOUT", Does::CopyOut, ONLY_A, &[ID, SSN]),
    read("COPY orders TO STDOUT", Does::CopyOut, BOTH, ORDER),
    read("begin", Does::Begin, BOTH, &[]),
    read("commit", Does::Commit, BOTH, &[]),
    read("rollback", Does::Rollback, BOTH, &[]),
    read("SET search_path = public", Does::Nothing("SET"), BOTH, &[]),
    read("SET statement_timeout = 1000", Does::Nothing("SET"), BOTH, &[]),
    read(
        "PREPARE p1 AS SELECT id, ssn FROM customers",
        Does::Prepare { name: "p1", inner: READ_SSN },
        ONLY_A,
        &[],
    ),
    read("EXECUTE p1", Does::Execute { name: "p1" }, BOTH, &[]),
    read("DEALLOCATE p1", Does::Deallocate { name: "p1" }, BOTH, &[]),
    read(
        "PREPARE p2 AS INSERT INTO orders VALUES (1, 2, 3)",
        Does::Prepare { name: "p2", inner: INSERT },
        ONLY_A,
        &[],
    ),
    read("EXECUTE p2", Does::Execute { name: "p2" }, BOTH, &[]),
    read("DEALLOCATE p2", Does::Deallocate { name: "p2" }, BOTH, &[]),
    read(
        "DECLARE c CURSOR FOR SELECT id, ssn FROM customers",
        Does::Declare { name: "c", inner: READ_SSN },
        ONLY_A,
        &[],
    ),
    read("FETCH ALL FROM c", Does::Fetch { name: "c" }, BOTH, &[]),
    read("CLOSE c", Does::CloseCursor { name: "c" }, BOTH, &[]),
    read("DISCARD ALL", Does::DiscardAll, BOTH, &[]),
    read("", Does::Empty, BOTH, &[]),
    read(SYNTAX_ERROR, Does::SyntaxError, NEITHER, &[]),
];

/// The statement without what may stand around it.
pub(crate) fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c == ';' || c.is_whitespace())
}

/// Finds a statement by its text. Where one of several can't be read, none can.
pub(crate) fn spec(text: &str) -> Option<&'static Spec> {
    let wanted = if text.contains(SYNTAX_ERROR) { SYNTAX_ERROR } else { bare(text) };
    STATEMENTS.iter().find(|spec| spec.text == wanted)
}

/// Whether it needs approval under the bundle that holds: it changes orders, or reads customers.
pub(crate) fn held(spec: &Spec) -> bool {
    let text = spec.text;
    let prepares = matches!(spec.does, Does::Prepare { .. });
    !prepares && (text.contains("customers") || spec.write && text.contains("orders"))
}

/// Three rows of these columns, in text format.
pub(crate) fn rows(columns: &[Column]) -> Vec<Vec<Option<Vec<u8>>>> {
    (1..=3)
        .map(|n| {
            let value = |c: &Column| match c {
                _ if is_secret(c) => format!("{CANARY}-{n}"),
                (_, _, _, TEXT) => format!("name {n}"),
                _ => n.to_string(),
            };
            columns.iter().map(|c| Some(value(c).into_bytes())).collect()
        })
        .collect()
}

/// The tree that a real server printed for a text.
pub(crate) fn tree(text: &str) -> Option<&'static str> {
    static TREES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        include_str!("testdata/trees.txt")
            .split("=== ")
            .filter_map(|case| case.split_once('\n'))
            .map(|(text, tree)| (text, tree.trim_end()))
            .collect()
    });
    TREES.get(text.trim()).copied()
}

/// Recorded rows of the catalog query of that name whose first value passes.
pub(crate) fn catalog_rows(name: &str, wanted: impl Fn(u32) -> bool) -> Vec<Row> {
    let columns = if name == "relations" { 12 } else { 7 };
    include_str!("testdata/catalog.txt")
        .split("=== ")
        .filter_map(|part| part.split_once('\n'))
        .filter(|(known, _)| *known == name)
        .flat_map(|(_, lines)| lines.lines())
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|values| wanted(values[0].parse().unwrap()))
        .map(|values| {
            let mut row: Row = values.iter().map(|v| Some(v.as_bytes().to_vec())).collect();
            // Parents: none.
            row.resize(columns, None);
            row
        })
        .collect()
}

/// The whole catalog.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    catalog.add_relations(&catalog_rows("relations", |_| true)).unwrap();
    catalog.add_functions(&catalog_rows("functions", |_| true)).unwrap();
    catalog
}
