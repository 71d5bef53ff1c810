//! The reviewed list of functions against servers: each one is in a family, or refused.

use policy::functions::{Finding, OBSERVE, Observed, compare, review};
use testkit::postgres::{Cluster, Version};

/// Functions of supported versions that nobody has read yet: refused. Only shrinks.
const UNREAD: &[&str] = &[];

#[test]
fn every_function_of_every_version_is_read_and_no_fact_speaks_against_its_class() {
    for version in Version::available() {
        let cluster = Cluster::plain(version);
        let mut connection = cluster.connect("postgres");
        let rows = connection.rows(OBSERVE);
        let observed: Vec<Observed> = rows
            .lines()
            .map(|line| {
                let row: Vec<&str> = line.split('|').collect();
                Observed::read(&row).unwrap_or_else(|| panic!("{line}"))
            })
            .collect();
        assert!(observed.len() > 3_000, "{version}");
        let wrong: Vec<String> = observed
            .iter()
            .filter_map(|function| Some((function, compare(review(), function)?)))
            .map(|(function, finding)| (format!("{}({})", function.name, function.arguments), finding))
            .filter(|(name, finding)| *finding != Finding::Unlisted || !UNREAD.contains(&name.as_str()))
            .map(|(name, finding)| format!("{name} {finding}"))
            .collect();
        assert!(wrong.is_empty(), "{version}: {wrong:#?}\nsee `cargo xtask functions --check`");
    }
}
