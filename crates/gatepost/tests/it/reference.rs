//! The reference pages in the repository are what the program prints.

use std::fs;
use std::path::Path;

use crate::support::Place;

#[test]
fn the_reference_pages_are_current() {
    let place = Place::new();
    assert_eq!(place.run(&["docs-reference", "."]).status, Some(0));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for name in ["cli.md", "configuration.md", "explain.md", "ocsf.md"] {
        let kept = fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert_eq!(kept, place.read(name), "run: gatepost docs-reference docs/reference");
    }
}

/// The page on the journal's own schema is written by hand: it names every event and column that there is.
#[test]
fn the_audit_schema_names_every_event_and_every_column() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
    let page = read("docs/reference/audit-schema.md");
    let events = read("crates/audit/src/event.rs");
    let names = events.split("pub const fn name(&self)").nth(1).unwrap();
    let mut count = 0;
    for name in names.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once("=> \"")) {
        assert!(page.contains(&format!("| `{}` |", name.1)), "audit-schema.md lacks the event {}", name.1);
        count += 1;
    }
    assert!(count > 40, "{count}");
    let columns = read("crates/streams/src/sink/parquet.rs");
    for column in columns.lines().filter(|line| {
        line.trim_start().starts_with("REQUIRED ") || line.trim_start().starts_with("OPTIONAL ")
    }) {
        let name = column.split_whitespace().nth(2).unwrap().trim_end_matches(';');
        assert!(page.contains(&format!("| `{name}` |")), "audit-schema.md lacks the column {name}");
    }
}
