//! Who may know whom: every dependency of every crate is on a reviewed list, and below the line there is no I/O, no async and
//! no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::stage::repository;

/// Below the line: what these need from the world is given to them.
const PURE: [&str; 16] = [
    "model",
    "checkpoint",
    "wire",
    "querytree",
    "sql",
    "policy",
    "mask",
    "audit",
    "identity",
    "approval",
    "recording",
    "replay",
    "traffic",
    "evidence",
    "ocsf",
    "session",
];

/// Pure crates that know each other not, only `model`; `session` introduces them.
const STRANGERS: [&str; 10] = [
    "wire",
    "querytree",
    "sql",
    "policy",
    "mask",
    "audit",
    "identity",
    "approval",
    "recording",
    "checkpoint",
];

/// What a pure crate's own code doesn't say. `std::net` itself has addresses, which are only values.
const FORBIDDEN: [&str; 17] = [
    "tokio",
    "async fn",
    "reqwest",
    "rustls",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "SystemTime::now",
    "Instant::now",
    "thread::sleep",
    "std::fs",
    "std::process",
    "std::env",
    "stdin()",
    "println!",
    "getrandom",
];

fn list() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/edges.txt")
}

/// Returns the lines of a section of the list, without comments.
fn section(name: &str) -> Vec<String> {
    let text = fs::read_to_string(list()).unwrap();
    let heading = format!("[{name}]");
    let lines =
        text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Returns the packages of the workspace as cargo sees them.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--no-deps", "--format-version", "1"]).current_dir(repository("."));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

/// Returns every edge: a crate, then what it depends on, `(dev)`, `(build)` and `(optional)` ones marked.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let mut edges = BTreeMap::new();
    for package in packages() {
        let mut on = BTreeSet::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            let mut edge = name(dependency).to_owned();
            if let Some(kind) = dependency["kind"].as_str() {
                let _ = write!(edge, "({kind})");
            }
            if dependency["optional"] == true {
                edge += "(optional)";
            }
            on.insert(edge);
        }
        edges.insert(name(&package).to_owned(), on);
    }
    edges
}

#[test]
fn every_dependency_is_on_the_reviewed_list() {
    let found: Vec<String> = edges()
        .into_iter()
        .map(|(name, on)| format!("{name}: {}", on.into_iter().collect::<Vec<_>>().join(" ")))
        .collect();
    let reviewed = section("edges");
    let new: Vec<_> = found.iter().filter(|line| !reviewed.contains(line)).collect();
    let gone: Vec<_> = reviewed.iter().filter(|line| !found.contains(line)).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "tests/it/edges.txt says otherwise; if each of these is meant, write it there\nfound:\n{new:#?}\nlisted:\n{gone:#?}"
    );
}

#[test]
fn below_the_line_crates_know_only_the_crates_that_they_may() {
    let edges = edges();
    let members: BTreeSet<&String> = edges.keys().collect();
    let known = |name: &str| -> BTreeSet<&str> {
        let own = edges[name].iter().filter(|edge| members.contains(edge));
        own.map(String::as_str).collect()
    };
    assert_eq!(known("model"), BTreeSet::new());
    for stranger in STRANGERS {
        assert_eq!(known(stranger), BTreeSet::from(["model"]), "{stranger}");
    }
    let pure = BTreeSet::from(PURE);
    assert!(known("session").is_subset(&pure), "session");
    for name in PURE {
        for shell in
            ["tokio", "reqwest", "rustls", "axum", "notify", "socket2", "libc", "tracing", "tempfile"]
        {
            assert!(!edges[name].contains(shell), "{name} depends on {shell}");
        }
    }
    for (name, on) in &edges {
        let kit = on.contains("testkit");
        assert!(!kit || name == "xtask", "{name} needs the test kit to be built");
    }
}

/// Returns the code of a file that is part of the product: without comments, and without what follows the first
/// `#[cfg(test)]`, since tests come last.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_none_or(|name| name != "tests.rs")
        {
            found.push(path);
        }
    }
}

#[test]
fn below_the_line_no_code_does_io_waits_or_looks_at_a_clock() {
    let root = repository("crates");
    let mut found = BTreeSet::new();
    for name in PURE {
        let mut files = Vec::new();
        sources(&root.join(name).join("src"), &mut files);
        assert!(!files.is_empty(), "{name} has no sources");
        for file in files {
            let code = code(&file);
            let place = file.strip_prefix(&root).unwrap().display().to_string();
            found.extend(
                FORBIDDEN.iter().filter(|word| code.contains(*word)).map(|word| format!("{place}: {word}")),
            );
        }
    }
    let allowed: BTreeSet<String> = section("exceptions").into_iter().collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(new.is_empty(), "the outside world is given to these crates as arguments: {new:#?}");
    assert!(gone.is_empty(), "no longer needed, take it off the list: {gone:#?}");
}
