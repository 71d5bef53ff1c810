//! `gatepost.approval` against PostgreSQL's own rules for settings: what the gateway does is always what SHOW says, and that is what a
//! server without a gateway says after the same script.

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use wire::backend::tag;

use crate::flight::{Flight, sqlstate};
use crate::stage::Gate;

const DELETE: &str = "DELETE FROM tickets WHERE id = 1";

/// What scripts are made of; each twice that is to come twice as often.
const STEPS: [&str; 24] = [
    "SET gatepost.approval = async",
    "SET gatepost.approval = async",
    "SET gatepost.approval TO wait",
    "SET LOCAL gatepost.approval = 'async'",
    "SET LOCAL gatepost.approval = wait",
    "SET SESSION gatepost.approval TO DEFAULT",
    "SET LOCAL gatepost.approval TO DEFAULT",
    "RESET gatepost.approval",
    "RESET ALL",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT a",
    "SAVEPOINT b",
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT b",
    "RELEASE a",
    "RELEASE SAVEPOINT b",
    "SELECT 1 / 0",
    "PREPARE TRANSACTION 'x'",
];

/// Numbers that are the same each time (Numerical Recipes' generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// A few statements, and how they are sent: each by itself, as one Query, or in a pipeline with a Sync here and there.
struct Sent {
    steps: Vec<String>,
    how: usize,
    syncs: usize,
}

impl Sent {
    /// `first` is what the connection began with: most scripts set the other.
    fn some(numbers: &mut Numbers, first: &str) -> Self {
        let other = |step: &str| match first {
            "async" => step.replace("async", "?").replace("wait", "async").replace('?', "wait"),
            _ => step.to_owned(),
        };
        let steps = (0..=numbers.below(5)).map(|_| other(STEPS[numbers.below(STEPS.len())])).collect();
        Self { steps, how: numbers.below(3), syncs: numbers.below(16) }
    }

    fn to(&self, raw: &mut Raw) -> u8 {
        let (mut flight, mut ready) = (Flight::default(), 1);
        match self.how {
            0 => {
                ready = self.steps.len();
                flight = self.steps.iter().fold(flight, |flight, step| flight.query(step));
            }
            1 => flight = flight.query(&self.steps.join("; ")),
            _ => {
                for (at, step) in self.steps.iter().enumerate() {
                    flight = flight.run("", step);
                    if self.syncs & 1 << at != 0 {
                        flight = flight.sync();
                        ready += 1;
                    }
                }
                flight = flight.sync();
            }
        }
        flight.to(raw);
        (0..ready).map(|_| status(&raw.until(tag::READY_FOR_QUERY))).last().unwrap()
    }
}

fn status(messages: &[Message]) -> u8 {
    messages.last().unwrap().body[0]
}

/// What the gateway does with a statement that needs approval, seen in a transaction, so that it waits for nobody.
fn believed(raw: &mut Raw) -> &'static str {
    match sqlstate(&raw.query(DELETE)).as_str() {
        "57X01" => "async",
        "42501" => "wait",
        other => panic!("{other}"),
    }
}

fn check(version: Version, first: &str, seed: u64) {
    let gate = Gate::new(version);
    let option = format!("-c gatepost.approval={first}");
    let mut through = gate.connect("support-agent").parameter("options", &option).open();
    let mut bare = gate.shop.bare().parameter("options", &option).open();
    let mut numbers = Numbers(seed);
    let mut story = Vec::new();
    let mut seen = [0, 0];
    for _ in 0..100 {
        let sent = Sent::some(&mut numbers, first);
        story.push(format!("{} {:x} {}", sent.how, sent.syncs, sent.steps.join("; ")));
        let ended = (sent.to(&mut through), sent.to(&mut bare));
        assert_eq!(ended.0, ended.1, "{story:#?}");
        if ended.0 == b'E' {
            story.push("ROLLBACK".to_owned());
            through.query("ROLLBACK");
            bare.query("ROLLBACK");
        }
        let (shown, expected) = (through.rows("SHOW gatepost.approval"), bare.rows("SHOW gatepost.approval"));
        assert_eq!(shown, expected, "{story:#?}");
        // Looked at now and then only, since it ends the transaction that is open.
        if numbers.below(2) == 0 {
            if ended.0 != b'T' {
                through.query("BEGIN");
            }
            assert_eq!(believed(&mut through), shown, "{story:#?}");
            through.query("ROLLBACK");
            bare.query("ROLLBACK");
            story.push("ROLLBACK".to_owned());
            seen[usize::from(shown == "async")] += 1;
        }
        if numbers.below(8) == 0 {
            through.query("DISCARD ALL");
            bare.query("DISCARD ALL");
            story.push("DISCARD ALL".to_owned());
        }
    }
    assert!(seen.iter().all(|count| *count > 1), "both are met: {seen:?}");
}

#[test]
fn what_is_set_is_followed_as_postgresql_15_does() {
    check(Version::V15, "wait", 1);
}

#[test]
fn what_is_set_is_followed_as_postgresql_18_does() {
    check(Version::V18, "async", 4);
}
