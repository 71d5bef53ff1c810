//! The reference pages in the repository are what the program prints.

use std::fs;
use std::path::Path;

use crate::support::Place;

#[test]
fn the_reference_pages_are_current() {
    let place = Place::new();
    assert_eq!(place.run(&["docs-reference", "."]).status, Some(0));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for name in ["cli.md", "configuration.md", "explain.md"] {
        let kept = fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert_eq!(kept, place.read(name), "run: gatepost docs-reference docs/reference");
    }
}
