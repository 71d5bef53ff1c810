//! `cargo xtask functions`: the reviewed list of PostgreSQL's functions against servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use policy::functions::{Finding, OBSERVE, Observed, Review, compare};
use testkit::client::{Connect, Raw};
use testkit::postgres::{Cluster, Version};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/policy/src/functions/reviewed.txt");
const SUPPORTED: std::ops::RangeInclusive<u32> = 14..=18;

/// What to do with the list.
pub(crate) enum Errand {
    Check,
    Update,
}

/// Compares the list with all servers at hand and those at the addresses given, which must trust `postgres`.
/// Returns whether they agree; `Update` writes what can be written without reading any source.
pub(crate) fn run(errand: &Errand, addresses: &[&str]) -> bool {
    let text = std::fs::read_to_string(FILE).expect("the list");
    let (mut review, bad) = Review::parse(&text);
    for line in &bad {
        println!("reviewed.txt:{}: {}", line.line, line.what);
    }
    let mut seen: BTreeMap<(String, String), Facts> = BTreeMap::new();
    let mut versions = BTreeSet::new();
    let mut findings = 0;
    let mut look = |mut connection: Raw| {
        let major = connection.rows("SELECT current_setting('server_version_num')::int / 10000");
        let major: u32 = major.parse().expect("a version");
        if !versions.insert(major) {
            return;
        }
        for line in connection.rows(OBSERVE).lines() {
            let function = Observed::read(&line.split('|').collect::<Vec<_>>()).expect("a row as asked for");
            if let Some(finding) = compare(&review, &function) {
                findings += 1;
                println!("PostgreSQL {major}: {}({}) {finding}", function.name, function.arguments);
                if matches!(finding, Finding::Unlisted) {
                    println!("    declared {}", function.facts);
                }
            }
            seen.entry((function.name.clone(), function.arguments.clone())).or_default().add(&function.facts);
        }
    };
    for address in addresses {
        let address: SocketAddr = address.parse().expect("an address such as 127.0.0.1:5432");
        look(Connect::tcp(address).user("postgres").database("postgres").open());
    }
    for version in Version::available() {
        let cluster = Cluster::plain(version);
        look(cluster.connect("postgres"));
    }
    let every = SUPPORTED.into_iter().all(|major| versions.contains(&major));
    let listed: Vec<(String, String)> =
        review.functions().map(|(name, entry)| (name.to_owned(), entry.arguments().to_owned())).collect();
    let gone: Vec<_> = listed.into_iter().filter(|key| every && !seen.contains_key(key)).collect();
    for (name, arguments) in &gone {
        println!("{name}({arguments}) is in no supported version any more");
    }
    println!("compared with PostgreSQL {versions:?}: {} functions, {findings} findings", seen.len());
    if !every {
        println!(
            "not all of 14 to 18 were there, so it isn't known what has vanished; give addresses of the others"
        );
    }
    if matches!(errand, Errand::Update) {
        for (name, arguments) in &gone {
            review.remove(name, arguments);
        }
        for ((name, arguments), facts) in &seen {
            let (schema, bare) = name.split_once('.').expect("a qualified name");
            let known = review.overloads(schema, bare).iter().find(|entry| entry.arguments() == arguments);
            let facts = facts.with(known.map(|entry| entry.facts()).filter(|_| !every));
            if known.is_none_or(|entry| entry.facts() != facts) {
                review.put(name, &facts, arguments);
            }
        }
        std::fs::write(FILE, review.render()).expect("the list");
        println!("wrote reviewed.txt; what is under [unknown] is refused until it is read and moved");
    }
    bad.is_empty() && findings == 0 && gone.is_empty()
}

/// Letters of all versions that have a function.
#[derive(Default)]
struct Facts(BTreeSet<char>);

impl Facts {
    fn add(&mut self, facts: &str) {
        self.0.extend(facts.chars());
    }

    /// In the list's order: volatility, then language; with those of versions that are not at hand.
    fn with(&self, known: Option<&str>) -> String {
        let has =
            |letter: &char| self.0.contains(letter) || known.is_some_and(|known| known.contains(*letter));
        "isvqcp".chars().filter(has).collect()
    }
}
