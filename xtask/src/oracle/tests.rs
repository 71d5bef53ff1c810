//! A sample of the proof for every run of the tests.

use testkit::postgres::{Cluster, Version};

use super::claims::{Claims, Pick};
use super::corpus::{self, Corpus};
use super::interference;
use super::judge::Tally;
use super::locks::{self, Locked};
use super::server::Said;

/// Generated queries for each version.
const SAMPLE: u64 = 150;

fn ask(cluster: &Cluster, corpus: &Corpus) -> Tally {
    let tally = corpus::ask(cluster, corpus);
    assert!(
        tally.under.is_empty(),
        "{} on {}: under-reported: {:#?}",
        corpus.name,
        cluster.version(),
        tally.under
    );
    assert!(tally.unknown.is_empty(), "{} on {}: {:#?}", corpus.name, cluster.version(), tally.unknown);
    assert!(tally.over.is_empty(), "{} on {}: {:#?}", corpus.name, cluster.version(), tally.over);
    tally
}

fn sample(version: Version, seed: u64) {
    let cluster = corpus::cluster(version);
    let analytics = ask(&cluster, &corpus::analytics());
    assert!(analytics.refused.is_empty(), "not valid: {:#?}", analytics.refused);
    let findings = ask(&cluster, &corpus::findings(version));
    assert!(findings.refused.is_empty(), "not valid: {:#?}", findings.refused);
    let generated = ask(&cluster, &corpus::generated(seed, SAMPLE, version));
    assert!(generated.accepted * 10 > generated.asked * 8, "most are valid: {}", generated.accepted);
    let compared = interference::compare(&cluster, seed, SAMPLE);
    assert!(compared.changed.is_empty(), "depends on more than is said: {:#?}", compared.changed);
    assert!(compared.idle > 0 && compared.columns > compared.queries, "columns were changed");
    assert!(generated.agreed > generated.accepted, "they touch something: {}", generated.agreed);
}

#[test]
fn what_is_said_is_what_postgresql_15_checks() {
    sample(Version::V15, 15);
}

#[test]
fn what_is_said_is_what_postgresql_18_checks() {
    sample(Version::V18, 18);
}

#[test]
fn whatever_is_left_out_is_found_to_be_missing() {
    let cluster = corpus::cluster(Version::V15);
    let (mut server, _) = corpus::prepare(&cluster, &corpus::analytics());
    for sql in [
        "SELECT k.name FROM client k JOIN purchase p USING (client_id) WHERE k.balance > 0 ORDER BY p.placed",
        "WITH gone AS (DELETE FROM offer WHERE cost > 1 RETURNING part_id) INSERT INTO part (part_id, name) SELECT part_id, 'x' FROM gone",
        "UPDATE vendor SET balance = balance + 1 WHERE phone IS NULL",
        "SELECT count(*) FROM shop_year",
    ] {
        server.raw.query("BEGIN");
        let Said::Claims(claims, _) = server.examine(sql) else { panic!("{sql}") };
        server.raw.query("ROLLBACK");
        assert!(!claims.privileges.is_empty(), "{sql}");
        let said = server.ask(sql, &[claims.just_enough(Pick::First)]).unwrap();
        assert!(said.iter().all(|answer| answer.starts_with("GPOK0")), "{sql}: {said:?}");
        for claim in &claims.privileges {
            let mut less = Claims::clone(&claims);
            less.privileges.remove(claim);
            let said = server.ask(sql, &[less.just_enough(Pick::First)]).unwrap();
            assert!(said[1].starts_with("42501"), "{sql} without {claim:?}: {said:?}");
        }
    }
}

/// Each column takes a moment, so a part of them will do here.
fn both_locks(cluster: &Cluster, corpus: &Corpus, nth: usize) {
    let Locked { queries, columns, decided, denied, dropped, open, narrow } =
        locks::try_both(cluster, corpus, nth);
    assert!(open.is_empty(), "let through what the policy leaves out: {open:#?}");
    assert!(narrow.is_empty(), "refused what the policy allows: {narrow:#?}");
    assert_eq!(decided, denied + dropped);
    assert!(queries * 10 > corpus.queries.len() * 8, "most are valid: {queries}");
    assert!(columns > 10 && denied > dropped, "{columns} {denied} {dropped}");
}

#[test]
fn each_lock_alone_refuses_what_the_policy_leaves_out_on_postgresql_15() {
    let cluster = corpus::cluster(Version::V15);
    both_locks(&cluster, &corpus::analytics(), 10);
}

#[test]
fn each_lock_alone_refuses_what_the_policy_leaves_out_on_postgresql_18() {
    let cluster = corpus::cluster(Version::V18);
    both_locks(&cluster, &corpus::generated(18, SAMPLE / 5, Version::V18), 5);
}
