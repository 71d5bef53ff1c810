//! What this run of the gateway has recorded, counted for monitoring. Bounded: no identity and no text is a label. Knows no file and no clock.

use std::collections::BTreeMap;

use journal::query::View;

use super::observed::is_refusal;
use crate::metrics::Page;

/// Words of a verdict: [`audit::Verdict`], and `invalid` for what the server itself would not have.
const VERDICTS: [&str; 8] =
    ["allow", "mask", "hold", "deny", "observed-mask", "observed-hold", "observed-deny", "invalid"];

/// How a login came out.
const LOGINS: [&str; 4] = ["accepted", "refused", "limited", "upstream_failed"];

/// Databases, and SQLSTATEs, of which there are counts of their own: more than are configured, and than there are of Gatepost's own.
const NAMES_MAX: usize = 1000;

/// Whose an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Client,
    Policy,
    Upstream,
    Gateway,
}

const FAULTS: [(Fault, &str); 4] = [
    (Fault::Client, "client"),
    (Fault::Policy, "policy"),
    (Fault::Upstream, "upstream"),
    (Fault::Gateway, "gateway"),
];

impl Fault {
    /// Says whose a refusal of Gatepost's own is: docs/reference/errors.md.
    fn of_refusal(sqlstate: &str) -> Self {
        match sqlstate {
            "58030" | "57X03" => Self::Gateway,
            "0A000" | "22021" | "42939" => Self::Client,
            _ => Self::Policy,
        }
    }

    /// Says whose an error is that a statement ended with, by its class: PostgreSQL, Appendix A.
    fn of_outcome(sqlstate: &str) -> Self {
        match sqlstate {
            "42501" | "53400" | "54000" => Self::Policy,
            "58030" => Self::Gateway,
            "57014" => Self::Client,
            _ if ["08", "53", "57", "58", "F0", "XX"].iter().any(|class| sqlstate.starts_with(class)) => {
                Self::Upstream
            }
            _ => Self::Client,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Records up to here are of earlier runs.
    after: u64,
    statements: BTreeMap<String, [u64; VERDICTS.len()]>,
    refused: BTreeMap<String, u64>,
    logins: [u64; LOGINS.len()],
    errors: [u64; FAULTS.len()],
    incidents: u64,
}

fn add<const N: usize>(counts: &mut [u64; N], at: Option<usize>) {
    if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
        *count = count.saturating_add(1);
    }
}

/// Returns the count of a name, as long as there are not too many of them.
fn count_of<'a, T: Default>(counts: &'a mut BTreeMap<String, T>, name: &str) -> Option<&'a mut T> {
    if !counts.contains_key(name) {
        if counts.len() >= NAMES_MAX {
            return None;
        }
        counts.insert(name.to_owned(), T::default());
    }
    counts.get_mut(name)
}

impl Tally {
    /// Counts what is recorded after a record.
    pub(super) fn after(seq: u64) -> Self {
        Self { after: seq, ..Self::default() }
    }

    /// Takes in the next record.
    pub(super) fn take(&mut self, seq: u64, view: &View) {
        if seq <= self.after {
            return;
        }
        let sqlstate = view.sqlstate.as_deref();
        match view.event.as_deref().unwrap_or_default() {
            "statement" => self.statement(view),
            "outcome" => {
                if let Some(sqlstate) = sqlstate {
                    self.error(Fault::of_outcome(sqlstate));
                }
            }
            "session_started" => self.login("accepted"),
            "authentication_failed" => {
                self.login("refused");
                self.error(Fault::Client);
            }
            // The limit of sessions; others are of sessions that have begun, whose statements are counted.
            "limit_exceeded" if sqlstate == Some("53300") => {
                self.login("limited");
                self.error(Fault::Policy);
            }
            "upstream_failed" => {
                self.login("upstream_failed");
                self.error(Fault::Upstream);
            }
            "incident" => self.incidents += 1,
            _ => {}
        }
    }

    fn statement(&mut self, view: &View) {
        let refused = is_refusal(view);
        let verdict = match (view.verdict.as_deref(), view.sqlstate.as_deref()) {
            (_, Some(_)) if !refused => "invalid",
            (verdict, _) => verdict.unwrap_or_default(),
        };
        let database = view.database.as_deref().unwrap_or_default();
        if let Some(counts) = count_of(&mut self.statements, database) {
            add(counts, VERDICTS.iter().position(|it| *it == verdict));
        }
        let Some(sqlstate) = view.sqlstate.as_deref() else { return };
        if !refused {
            return self.error(Fault::of_outcome(sqlstate));
        }
        if let Some(count) = count_of(&mut self.refused, sqlstate) {
            *count += 1;
        }
        self.error(Fault::of_refusal(sqlstate));
    }

    fn login(&mut self, outcome: &str) {
        add(&mut self.logins, LOGINS.iter().position(|it| *it == outcome));
    }

    fn error(&mut self, fault: Fault) {
        add(&mut self.errors, FAULTS.iter().position(|it| it.0 == fault));
    }

    /// Writes what is counted; databases are there from the start. `unrecorded`: refusals that no record tells of.
    pub(crate) fn write(mut self, page: &mut Page, databases: &[&str], unrecorded: u64) {
        for database in databases {
            count_of(&mut self.statements, database);
        }
        let name = "gatepost_statements_total";
        page.family(name, "counter", "Statements that were decided, by database and verdict.");
        for (database, counts) in &self.statements {
            for (verdict, count) in VERDICTS.iter().zip(counts) {
                page.sample(name, &[("database", database), ("verdict", verdict)], count);
            }
        }
        let name = "gatepost_statements_refused_total";
        page.family(
            name,
            "counter",
            "Statements that the gateway refused, by the SQLSTATE that the client was told.",
        );
        for (sqlstate, count) in &self.refused {
            page.sample(name, &[("sqlstate", sqlstate)], count);
        }
        let name = "gatepost_logins_total";
        page.family(name, "counter", "Logins of PostgreSQL clients, by how they came out.");
        for (outcome, count) in LOGINS.iter().zip(self.logins) {
            page.sample(name, &[("outcome", outcome)], count);
        }
        let name = "gatepost_errors_total";
        page.family(name, "counter", "Statements and logins that ended with an error, by whose fault it is.");
        for ((fault, word), count) in FAULTS.iter().zip(self.errors) {
            let more = if *fault == Fault::Gateway { unrecorded } else { 0 };
            page.sample(name, &[("fault", word)], count.saturating_add(more));
        }
        page.counter(
            "gatepost_incidents_total",
            "Incidents on record: what must not happen, and was stopped.",
            self.incidents,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Tally, count_of};

    #[test]
    fn errors_are_of_whom_the_guide_says() {
        for (sqlstate, fault) in [
            ("42501", Fault::Policy),
            ("57X01", Fault::Policy),
            ("57X02", Fault::Policy),
            ("53400", Fault::Policy),
        ] {
            assert_eq!(Fault::of_refusal(sqlstate), fault, "{sqlstate}");
        }
        assert_eq!(
            (Fault::of_refusal("58030"), Fault::of_refusal("57X03")),
            (Fault::Gateway, Fault::Gateway)
        );
        assert_eq!((Fault::of_refusal("0A000"), Fault::of_refusal("22021")), (Fault::Client, Fault::Client));
        for (sqlstate, fault) in [
            ("22012", Fault::Client),
            ("42P01", Fault::Client),
            ("40001", Fault::Client),
            ("57014", Fault::Client),
            ("57P01", Fault::Upstream),
            ("53100", Fault::Upstream),
            ("08006", Fault::Upstream),
            ("XX000", Fault::Upstream),
            ("42501", Fault::Policy),
            ("54000", Fault::Policy),
        ] {
            assert_eq!(Fault::of_outcome(sqlstate), fault, "{sqlstate}");
        }
    }

    #[test]
    fn names_are_bounded() {
        let mut tally = Tally::default();
        for n in 0..5000 {
            count_of(&mut tally.refused, &n.to_string());
        }
        assert_eq!(tally.refused.len(), super::NAMES_MAX);
    }
}
