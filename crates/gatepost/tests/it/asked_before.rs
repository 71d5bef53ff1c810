//! Asking before running, with the command line: as often and as long as was approved, and then asked again.

use std::process::Command;

use serde_json::{Value, json};
use testkit::process::poll;

use crate::approvals::{LEAD, Office};
use crate::stage::{SOON, binary};
use crate::support::Ran;

impl Office {
    /// Runs the command line as somebody, over HTTP.
    fn cli(&self, (who, groups): (&str, &[&str]), arguments: &[&str]) -> Ran {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.gate.gateway.home());
        let url = format!("http://{}", self.gate.gateway.address("http").unwrap());
        command.env("GATEPOST_TOKEN", self.token(who, groups)).env("GATEPOST_URL", url);
        command.output().unwrap().into()
    }

    /// Asks, and returns the request's number.
    #[track_caller]
    pub(crate) fn ask(&self, sql: &str, further: &[&str]) -> u64 {
        let mut arguments =
            vec!["approvals", "request", "--database", "shop", "--sql", sql, "--format", "json"];
        arguments.extend(further);
        let ran = self.cli(("agent", &["agents"]), &arguments);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        answer[0]["request"]["number"].as_u64().unwrap_or_else(|| panic!("{answer:#}"))
    }

    #[track_caller]
    pub(crate) fn approve_by_cli(&self, number: u64) {
        let ran = self.cli(LEAD, &["approvals", "approve", &number.to_string()]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
    }

    /// How often it was used, by the journal.
    fn used(&self, number: u64) -> usize {
        let used = self.gate.audit(&["--event", "approval_used"]);
        used.iter().filter(|it| it["approval"] == number).count()
    }

    /// Waits until that has become of it, by the journal.
    #[track_caller]
    fn comes_to(&self, number: u64, state: &str) {
        let found = poll(SOON, || (self.ended(number) == state).then_some(()));
        assert!(found.is_some(), "{}", self.ended(number));
    }

    /// Sends a statement that won't wait.
    pub(crate) fn send(&self, sql: &str) -> Ran {
        let token = self.token("agent", &["agents"]);
        let mut psql = self.psql_with(&token, "-c gatepost.approval=async");
        psql.args(["-v", "VERBOSITY=verbose", "-c", sql]).output().unwrap().into()
    }
}

#[test]
fn what_is_approved_before_runs_as_often_and_as_long_as_was_asked() {
    let office = Office::open();
    let delete = |id: u32| format!("DELETE FROM tickets WHERE id = {id}");
    // One statement: once, and nothing else.
    let one = office.ask(&delete(1), &["--purpose", "a duplicate"]);
    assert!(office.send(&delete(1)).stderr.contains(&format!("approval {one} is pending")));
    office.approve_by_cli(one);
    assert!(office.send(&delete(2)).stderr.contains("57X01"), "another statement");
    assert_eq!(office.send(&delete(1)).stdout.trim(), "DELETE 1");
    assert!(office.send(&delete(1)).stderr.contains("57X01"), "once");
    // A pattern: twice, with any literals, and the third asks again.
    let pattern = office.ask(&delete(7), &["--pattern", "--uses", "2"]);
    office.approve_by_cli(pattern);
    assert_eq!(office.send(&delete(10)).stdout.trim(), "DELETE 1");
    let other = "DELETE FROM tickets WHERE id = 11 OR status = 'open'";
    assert!(office.send(other).stderr.contains("57X01"), "not of that pattern");
    assert_eq!(office.send(&delete(12)).stdout.trim(), "DELETE 1");
    assert!(office.send(&delete(13)).stderr.contains("57X01"), "twice");
    assert_eq!(office.used(pattern), 2);
    // For two seconds.
    let brief = office.ask(&delete(20), &["--pattern", "--uses", "9", "--for", "2s"]);
    office.approve_by_cli(brief);
    assert_eq!(office.send(&delete(20)).stdout.trim(), "DELETE 1");
    office.comes_to(brief, "expired");
    assert_eq!(office.used(brief), 1);
    assert!(office.send(&delete(21)).stderr.contains("57X01"), "no longer");
    assert_eq!(office.tickets(), "116");
    let voted = office.gate.events("approval_voted", 3);
    assert!(voted.iter().all(|vote| vote["via"] == "cli"), "{voted:?}");
    // Over HTTP by whoever else: `cli` is a label of the command line's own.
    let last = office.ask(&delete(30), &[]);
    office.done(last, "deny", LEAD, None);
    let voted = office.gate.events("approval_voted", 4);
    assert_eq!(voted[3]["via"], json!("api"));
}
