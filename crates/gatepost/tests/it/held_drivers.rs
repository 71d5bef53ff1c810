//! Holds as drivers meet them: a statement that goes on, one that is denied, one that is cancelled, the driver's own timeout, and not
//! waiting at all.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use testkit::postgres::Version;
use testkit::process::{poll, tools};

use crate::clients;
use crate::holds::{decide, with_approvers};
use crate::stage::{Gate, SOON};

/// A driver's program at work.
struct Running<'a> {
    gate: &'a Gate,
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    /// The last request.
    number: u64,
}

impl<'a> Running<'a> {
    fn start(gate: &'a Gate, program: &Path, arguments: &[&str]) -> Self {
        let mut environment = gate.libpq("support-agent");
        environment.retain(|(name, _)| !name.starts_with("PGSSL"));
        environment.push(("PGSSLMODE", "disable".to_owned()));
        let mut command: Command = clients::command(program, &environment);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = gate.audit(&["--event", "approval_requested"]).len() as u64;
        Self { gate, child, lines, number }
    }

    /// Waits for the next request.
    fn asked(&mut self) {
        self.number += 1;
        self.gate.events("approval_requested", self.number as usize);
    }

    fn decide(&self, act: &str) {
        decide(self.gate, self.number, act);
    }

    /// Reads the next line, in which `#` stands for the request's number.
    #[track_caller]
    fn says(&mut self, expected: &str) {
        let line = self.lines.next().expect("a line").unwrap();
        assert!(line.contains(&expected.replace('#', &self.number.to_string())), "{line}; not {expected}");
    }

    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
    }

    #[track_caller]
    fn ended(&self, state: &str) {
        let found = poll(SOON, || {
            let ended = self.gate.audit(&["--event", "approval_ended"]);
            ended.into_iter().find(|it| it["approval"] == self.number)
        });
        assert_eq!(found.expect("an end")["state"], state);
    }

    fn not_waiting(&mut self, ran: &str) {
        self.asked();
        self.says("refused 57X01");
        self.decide("approve");
        self.go();
        self.says(ran);
    }

    fn ends(mut self) {
        assert!(self.lines.next().is_none());
        assert!(self.child.wait().unwrap().success());
    }
}

fn python(script: &str) -> (std::path::PathBuf, String) {
    (tools().join("venv/bin/python"), clients::client(script).display().to_string())
}

#[test]
fn pgjdbc_waits_is_told_cancels_and_times_out() {
    let gate = with_approvers(Version::V15);
    let source = clients::client("Holds.java").display().to_string();
    let arguments = ["java", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/postgresql.jar", &source];
    let mut java = Running::start(&gate, Path::new("/usr/bin/env"), &arguments);
    java.asked();
    java.decide("approve");
    java.says("ran 1 01X01");
    java.asked();
    java.decide("deny");
    java.says("refused 42501 ERROR: approval # was denied: said so");
    java.asked();
    java.says("refused 57014");
    java.ended("cancelled");
    java.asked();
    java.says("refused 57014");
    java.ended("cancelled");
    java.says("goes on true");
    // Its simple protocol.
    java.asked();
    java.decide("approve");
    java.says("ran 1 01X01");
    java.not_waiting("ran 1");
    // It gives up the connection.
    java.asked();
    java.says("refused 08006");
    java.ended("session_ended");
    java.ends();
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "117");
}

#[test]
fn psycopg_waits_is_told_and_cancels() {
    let gate = with_approvers(Version::V15);
    let (program, script) = python("hold_psycopg.py");
    let mut psycopg = Running::start(&gate, &program, &[&script]);
    psycopg.asked();
    psycopg.says("told 01X01");
    psycopg.decide("approve");
    psycopg.says("ran 1");
    psycopg.asked();
    psycopg.says("told 01X01");
    psycopg.decide("deny");
    psycopg.says("refused 42501 approval # was denied: said so");
    psycopg.asked();
    psycopg.says("told 01X01");
    psycopg.says("refused 57014 canceling statement due to user request");
    psycopg.ended("cancelled");
    psycopg.says("goes on 1");
    psycopg.not_waiting("ran 1");
    psycopg.ends();
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "118");
}

#[test]
fn asyncpg_waits_is_told_cancels_and_times_out() {
    let gate = with_approvers(Version::V15);
    let (program, script) = python("hold_asyncpg.py");
    let mut asyncpg = Running::start(&gate, &program, &[&script]);
    asyncpg.asked();
    asyncpg.says("told 01X01");
    asyncpg.decide("approve");
    asyncpg.says("ran DELETE 1");
    asyncpg.asked();
    asyncpg.says("told 01X01");
    asyncpg.decide("deny");
    asyncpg.says("refused 42501 approval # was denied: said so");
    for end in ["cancelled", "timed out"] {
        asyncpg.asked();
        asyncpg.says("told 01X01");
        asyncpg.says(end);
        asyncpg.ended("cancelled");
    }
    asyncpg.says("goes on 1");
    asyncpg.not_waiting("ran DELETE 1");
    asyncpg.ends();
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "118");
}
