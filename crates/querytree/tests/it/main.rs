//! Reads trees that real servers printed, and compares what comes out with what each case says.
//!
//! `testdata/cases/` has statements and what they touch, `testdata/trees/` what each version's server printed for them
//! (`testdata/regenerate.py`). `QUERYTREE_BLESS=1` writes what was found into the cases, to be read before it is kept.

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod render;

use std::fmt::Write as _;

use corpus::{Corpus, cases};

#[test]
fn every_statement_is_read_as_its_case_says() {
    let corpora = Corpus::all();
    let bless = std::env::var_os("QUERYTREE_BLESS").is_some();
    let mut wrong = String::new();
    for mut file in cases() {
        for case in &mut file.cases {
            let mut found: Vec<(u32, String)> = Vec::new();
            for corpus in corpora.iter().filter(|corpus| corpus.major >= case.since) {
                let tree = corpus.tree(&case.name);
                let access = match querytree::read(tree, corpus.version) {
                    Ok(access) => render::access(&access, corpus),
                    Err(unknown) => format!("unknown: {unknown}\n"),
                };
                found.push((corpus.major, access));
            }
            let found = corpus::fold(found);
            if found != case.expected {
                writeln!(
                    wrong,
                    "=== {}\n{}\n--- found\n{found:#?}\n--- expected\n{:#?}",
                    case.name, case.statement, case.expected
                )
                .unwrap();
                case.expected = found;
            }
        }
        if bless {
            file.write();
        }
    }
    assert!(bless || wrong.is_empty(), "{wrong}");
}

#[test]
fn no_tree_is_read_as_another_version() {
    for corpus in Corpus::all() {
        let mut refused = 0;
        for (name, tree) in &corpus.trees {
            for version in querytree::ServerVersion::ALL {
                match querytree::read(tree, version) {
                    Err(_) => refused += 1,
                    // Nothing but the empty list is the same in all of them.
                    Ok(_) => assert!(
                        version == corpus.version || tree.starts_with("<>"),
                        "{name} of {} was read as {version:?}",
                        corpus.major,
                    ),
                }
            }
        }
        assert!(refused > corpus.trees.len());
    }
}
