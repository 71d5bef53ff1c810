//! Wire conversations as text files, run against whatever speaks the protocol.
//!
//! A `.pt` file is a list of blocks. `send` gives messages of a client, one a line; `until` waits for messages of the
//! server and holds, after `----`, everything that came up to the last of them:
//!
//! ```text
//! # Lines that start with # are comments.
//! send
//! Query {"query": "SELECT 1"}
//!
//! until
//! ReadyForQuery
//! ----
//! RowDescription [{"name":"?column?","type":23,"size":4}]
//! DataRow ["1"]
//! CommandComplete "SELECT 1"
//! ReadyForQuery "I"
//! ```
//!
//! After `send` or `until`, `conn=NAME` names one of several connections. A file is run in a database of its own that
//! holds [`FIXTURE`]. What no two runs have in common isn't printed: process IDs, OIDs of the user's tables, and the
//! server's source file, line and routine.
//!
//! The form is that of Materialize's pgtest.

mod print;
mod script;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use script::{Block, Script};

use crate::client::Raw;
use crate::postgres::Cluster;

/// The role that runs transcripts: no superuser, owner of its database.
pub const ROLE: &str = "pt";

/// What is in the database when a transcript starts.
pub const FIXTURE: &str = "
    CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric(8,2), added timestamptz, tags text[]);
    INSERT INTO item VALUES
        (1, 'anvil', 99.50, '2024-02-29 12:00:00+00', '{heavy,iron}'),
        (2, 'bell', 12.00, NULL, '{}'),
        (3, 'candle', NULL, '2024-03-01 00:00:00+00', NULL);
    CREATE TABLE stock (item int REFERENCES item, amount int CHECK (amount >= 0));
    CREATE VIEW cheap AS SELECT id, name FROM item WHERE price < 50;
    CREATE FUNCTION shout(t text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RAISE NOTICE 'shouting %', t USING DETAIL = 'a detail', HINT = 'a hint'; RETURN upper(t); END $$;
";

/// Returns the repository's transcripts, by name.
pub fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pt"));
    files.sort();
    files
}

/// Makes database `name`, owned by [`ROLE`] and holding [`FIXTURE`], in place of one that is there.
pub fn prepare(cluster: &Cluster, name: &str) {
    cluster.psql(&format!(
        "DO $$ BEGIN IF to_regrole('{ROLE}') IS NULL THEN CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'; END IF; END $$"
    ));
    cluster.fresh_database(name, ROLE);
    cluster.socket(ROLE, name).open().rows(&format!("ALTER SCHEMA public OWNER TO {ROLE};{FIXTURE}"));
}

/// Runs a transcript and returns it with what really came in the place of what was expected.
///
/// # Panics
/// The file is malformed, or an awaited message doesn't come in half a minute; the panic quotes what did.
pub fn run(file: &Path, connect: impl Fn() -> Raw) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    run_text(&text, connect).unwrap_or_else(|problem| panic!("{}: {problem}", file.display()))
}

/// Runs a transcript given as text.
///
/// # Errors
/// What is wrong with the text, or what came before nothing more did.
pub fn run_text(text: &str, connect: impl Fn() -> Raw) -> Result<String, String> {
    let script = Script::parse(text)?;
    let mut connections: BTreeMap<String, Raw> = BTreeMap::new();
    let mut output = String::new();
    for block in script.blocks {
        match block {
            Block::Comment(line) => {
                output.push_str(&line);
                output.push('\n');
            }
            Block::Send { connection, text, bytes } => {
                output.push_str(&text);
                connections.entry(connection).or_insert_with(&connect).send(&bytes);
            }
            Block::Until { connection, text, awaited } => {
                output.push_str(&text);
                output.push_str("----\n");
                let raw = connections.entry(connection).or_insert_with(&connect);
                receive(raw, &awaited, &mut output)
                    .map_err(|problem| format!("{problem}; so far:\n{output}"))?;
            }
        }
    }
    Ok(output)
}

/// Returns the first line in which two transcripts differ, with its number; `None` if they are equal.
pub fn difference(expected: &str, found: &str) -> Option<String> {
    let (mut expected_lines, mut found_lines) = (expected.lines(), found.lines());
    for number in 1.. {
        match (expected_lines.next(), found_lines.next()) {
            (None, None) => return None,
            (expected, found) if expected == found => {}
            (expected, found) => {
                let line = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return Some(format!("{number}:\n  expected {}\n  found    {}", line(expected), line(found)));
            }
        }
    }
    None
}

/// Receives and prints messages until those awaited have come, in their order.
fn receive(raw: &mut Raw, awaited: &[String], output: &mut String) -> Result<(), String> {
    let mut missing = awaited.iter();
    let mut next = missing.next();
    while let Some(name) = next {
        let Some(message) = raw.try_receive().map_err(|error| format!("no {name}: {error}"))? else {
            output.push_str("Closed\n");
            return if name == "Closed" { Ok(()) } else { Err(format!("no {name}: connection closed")) };
        };
        output.push_str(&print::message(&message)?);
        output.push('\n');
        if message.name() == name {
            next = missing.next();
        }
    }
    Ok(())
}
