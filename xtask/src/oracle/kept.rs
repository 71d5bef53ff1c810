//! What became of earlier runs, so that a part can be run by itself and the report still tells of all. Under `target/`.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::corpus::repository;
use super::interference::Compared;
use super::judge::Tally;
use super::locks::Locked;
use super::report::Line;

fn folder() -> PathBuf {
    repository("target/oracle")
}

fn write(name: &str, value: &Value) {
    fs::create_dir_all(folder()).expect("target/oracle");
    fs::write(folder().join(name), value.to_string()).expect("target/oracle");
}

fn read(name: &str) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).ok()?).ok()
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    value.as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

/// Keeps a line of the report.
pub(crate) fn keep(major: u32, corpus: &str, line: &Line) {
    let tally = &line.tally;
    let value = json!({
        "corpus": line.corpus, "release": line.release, "seed": line.seed,
        "asked": tally.asked, "accepted": tally.accepted, "agreed": tally.agreed, "untouched": tally.untouched,
        "dropped": tally.dropped, "inlined": tally.inlined, "over": tally.over, "under": tally.under, "unknown": tally.unknown,
    });
    write(&format!("{major}-{corpus}.json"), &value);
}

/// Returns a line that was kept.
pub(crate) fn kept(major: u32, corpus: &str) -> Option<Line> {
    let value = read(&format!("{major}-{corpus}.json"))?;
    let tally = Tally {
        asked: number(&value["asked"]),
        accepted: number(&value["accepted"]),
        agreed: number(&value["agreed"]),
        untouched: number(&value["untouched"]),
        dropped: number(&value["dropped"]),
        inlined: number(&value["inlined"]),
        over: pairs(&value["over"]),
        under: pairs(&value["under"]),
        unknown: pairs(&value["unknown"]),
        refused: Vec::new(),
    };
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Some(Line { corpus: text("corpus"), release: text("release"), seed: value["seed"].as_u64(), tally })
}

/// Keeps what interference was found.
pub(crate) fn keep_compared(major: u32, release: &str, compared: &Compared) {
    let value = json!({
        "release": release, "queries": compared.queries, "columns": compared.columns, "idle": compared.idle,
        "changed": compared.changed,
    });
    write(&format!("{major}-interference.json"), &value);
}

/// Returns what was found.
pub(crate) fn kept_compared(major: u32) -> Option<(String, Compared)> {
    let value = read(&format!("{major}-interference.json"))?;
    let compared = Compared {
        queries: number(&value["queries"]),
        columns: number(&value["columns"]),
        idle: number(&value["idle"]),
        changed: pairs(&value["changed"]),
    };
    Some((value["release"].as_str().unwrap_or_default().to_owned(), compared))
}

/// Keeps what became of both locks.
pub(crate) fn keep_locked(major: u32, corpus: &str, release: &str, locked: &Locked) {
    let value = json!({
        "release": release, "queries": locked.queries, "columns": locked.columns, "decided": locked.decided,
        "denied": locked.denied, "dropped": locked.dropped, "open": locked.open, "narrow": locked.narrow,
    });
    write(&format!("{major}-locks-{corpus}.json"), &value);
}

/// Returns what was kept, with the server's release.
pub(crate) fn kept_locked(major: u32, corpus: &str) -> Option<(String, Locked)> {
    let value = read(&format!("{major}-locks-{corpus}.json"))?;
    let locked = Locked {
        queries: number(&value["queries"]),
        columns: number(&value["columns"]),
        decided: number(&value["decided"]),
        denied: number(&value["denied"]),
        dropped: number(&value["dropped"]),
        open: pairs(&value["open"]),
        narrow: pairs(&value["narrow"]),
    };
    Some((value["release"].as_str().unwrap_or_default().to_owned(), locked))
}
