//! Approvals from end to end: psql waits at a gateway, people decide over HTTP, and PostgreSQL runs what they approved.
//! What the protocol's other modes do is in `holds`.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::postgres::{Cluster, Options, Version};
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::clients::psql;
use crate::http::{Answer, request};
use crate::signer::Signer;
use crate::stage::{Gate, LOGIN, SOON, Setup, Shop};
use crate::support::Ran;

/// Agents delete tickets if two of the leads agree, or one and somebody of security for whole tables; oncall may break the glass.
const BUNDLE: &str = r#"
name = "shop"
version = "1"

[approvers]
lead  = { group = "leads", hold = "60s", break_glass = "oncall" }
brief = { group = "leads", hold = "2s" }
pair  = { all = ["leads", "security"], hold = "60s", reason = true }
"#;
const RULES: &str = r#"
@id("agents-read")
permit (principal in Group::"agents", action in [Action::"select", Action::"filter"], resource);
@id("agents-delete")
permit (principal in Group::"agents", action == Action::"delete", resource in Relation::"shop.public.tickets")
when { context.approved_by.contains("lead") };
@id("agents-update")
permit (principal in Group::"agents", action == Action::"update", resource in Relation::"shop.public.tickets")
when { context.approved_by.contains("brief") };
@id("agents-insert")
permit (principal in Group::"agents", action == Action::"insert", resource in Relation::"shop.public.products")
when { context.approved_by.contains("pair") };
"#;
const OPERATORS: &str =
    "[operators]\noperator = \"corp:ops\"\napprover = [\"corp:leads\", \"corp:security\", \"corp:oncall\"]\n";

/// A gateway, and an issuer that names whoever the test wants.
pub(crate) struct Office {
    pub(crate) gate: Gate,
    signer: Signer,
}

/// Starts a gateway with the policy of these tests.
fn gate(shop: Shop, signer: &Signer, sections: &str) -> Gate {
    let policy = Scratch::new("policy");
    policy.write("bundle.toml", BUNDLE);
    policy.write("rules.cedar", RULES);
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"\n".to_owned(),
        issuers: vec![("corp".to_owned(), signer.issuer.clone())],
        issuer_keys: "leeway = \"0s\"".to_owned(),
        sections: format!("{OPERATORS}{sections}"),
        policy: policy.path().to_owned(),
        ..Setup::default()
    };
    setup.start(shop)
}

impl Office {
    pub(crate) fn open() -> Self {
        Self::open_with(Shop::new(Version::V15), Signer::start(), "")
    }

    fn open_with(shop: Shop, signer: Signer, sections: &str) -> Self {
        let gate = gate(shop, &signer, sections);
        Self { gate, signer }
    }

    pub(crate) fn token(&self, subject: &str, groups: &[&str]) -> String {
        self.signer.access(subject, groups, json!({}))
    }

    fn psql(&self, subject: &str) -> Command {
        self.psql_with(&self.token(subject, &["agents"]), "")
    }

    pub(crate) fn psql_with(&self, token: &str, options: &str) -> Command {
        let environment = vec![
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.gate.gateway.postgres().port().to_string()),
            ("PGDATABASE", "shop".to_owned()),
            ("PGUSER", "agent".to_owned()),
            ("PGPASSWORD", token.to_owned()),
            ("PGSSLMODE", "disable".to_owned()),
            ("PGOPTIONS", options.to_owned()),
        ];
        psql(Version::V15, &environment)
    }

    /// Starts psql with a statement that will be held, and waits until it is.
    fn held(&self, sql: &str, number: u64) -> Held {
        let held = Held::start(self.psql("agent").args(["-v", "VERBOSITY=verbose", "-c", sql]));
        self.asked(number);
        held
    }

    fn asked(&self, number: u64) -> Value {
        let found = self.gate.events("approval_requested", number as usize);
        found.into_iter().find(|it| it["approval"] == number).expect("the request")
    }

    fn act(&self, number: u64, act: &str, (who, groups): (&str, &[&str]), reason: Option<&str>) -> Answer {
        self.act_with(number, act, &self.token(who, groups), reason)
    }

    fn act_with(&self, number: u64, act: &str, token: &str, reason: Option<&str>) -> Answer {
        let body = json!({ "reason": reason });
        self.post(&format!("/api/v1/approvals/{number}/{act}"), token, &body)
    }

    fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let to = self.gate.gateway.address("http").unwrap();
        request(to, &format!("POST {path}"), &headers, &body.to_string())
    }

    #[track_caller]
    pub(crate) fn done(&self, number: u64, act: &str, who: (&str, &[&str]), reason: Option<&str>) {
        let answer = self.act(number, act, who, reason);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    #[track_caller]
    fn refused(&self, number: u64, act: &str, who: (&str, &[&str]), says: &str) {
        let answer = self.act(number, act, who, Some("because"));
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.body);
        assert!(answer.body.contains(says), "{}", answer.body);
    }

    /// Waits until the journal says how a request ended.
    pub(crate) fn ended(&self, number: u64) -> String {
        let ended = || {
            let found = self.gate.audit(&["--event", "approval_ended"]);
            let last = found.into_iter().rfind(|it| it["approval"] == number)?;
            Some(last["state"].as_str().unwrap().to_owned())
        };
        poll(SOON, ended).expect("an end")
    }

    pub(crate) fn tickets(&self) -> String {
        self.gate.shop.sql("SELECT count(*) FROM tickets")
    }
}

/// A psql that waits.
struct Held(Child);

impl Held {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    fn is_waiting(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn end(mut self) -> Ran {
        let ended = poll(SOON, || self.0.try_wait().unwrap());
        let Some(status) = ended else {
            let _gone = self.0.kill();
            panic!("psql still waits");
        };
        let mut ran = Ran { status: status.code(), stdout: String::new(), stderr: String::new() };
        self.0.stdout.take().unwrap().read_to_string(&mut ran.stdout).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut ran.stderr).unwrap();
        ran
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

const DELETE: &str = "DELETE FROM tickets WHERE id = 1";
pub(crate) const LEAD: (&str, &[&str]) = ("lea", &["leads"]);

#[test]
fn psql_waits_for_a_person_and_postgresql_sees_nothing_before() {
    let office = Office::open();
    let before = office.tickets();
    let mut held = office.held(DELETE, 1);
    let asked = office.asked(1);
    assert_eq!(asked["text"], DELETE);
    assert_eq!((&asked["identity"]["subject"], &asked["wait"]), (&json!("agent"), &json!("held")));
    assert_eq!(asked["needs"], json!([{"name": "lead", "of": ["leads"], "needed": 1}]));
    let locks =
        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = relation WHERE relname = 'tickets'";
    assert_eq!(office.gate.shop.sql(locks), "0", "nothing is locked");
    assert_eq!(office.tickets(), before);
    assert!(held.is_waiting());
    // Neither who asks, nor a stranger, nor one of another issuer's making.
    office.refused(1, "approve", ("agent", &["agents", "leads"]), "ask themselves");
    office.refused(1, "approve", ("eve", &["security"]), "only members of lead");
    office.refused(1, "approve", ("eve", &["agents"]), "there is no request 1");
    assert_eq!(office.tickets(), before);
    office.done(1, "approve", LEAD, None);
    let ran = held.end();
    assert_eq!((ran.status, ran.stdout.trim()), (Some(0), "DELETE 1"), "{ran:?}");
    assert!(
        ran.stderr.contains("NOTICE:  01X01: statement held: approval 1 is asked of lead"),
        "{}",
        ran.stderr
    );
    assert_eq!(office.ended(1), "approved");
    assert_eq!(office.gate.events("approval_used", 1)[0]["persons"], json!(["corp:lea"]));
    assert_eq!(office.gate.statement(DELETE)["approval"], 1);
    office.refused(1, "approve", ("leo", &["leads"]), "no longer open");
    let refused = office.gate.events("approval_refused", 3);
    assert!(refused.iter().all(|it| it["by"].is_string()), "{refused:?}");
}

#[test]
fn a_denial_its_time_a_cancel_and_a_kill_end_what_waits() {
    let office = Office::open();
    let before = office.tickets();
    let held = office.held(DELETE, 1);
    office.done(1, "deny", LEAD, Some("not on a Friday; ask Dana"));
    let ran = held.end();
    assert!(ran.stderr.contains("approval 1 was denied: not on a Friday; ask Dana"), "{}", ran.stderr);
    assert_eq!(office.ended(1), "denied");

    let ran = office.held("UPDATE tickets SET status = 'x' WHERE id = 1", 2).end();
    assert!(
        ran.stderr.contains("57X02") && ran.stderr.contains("nobody approved it in time"),
        "{}",
        ran.stderr
    );
    assert_eq!(office.ended(2), "expired");
    office.refused(2, "approve", LEAD, "no longer open");

    let held = office.held(DELETE, 3);
    held.signal("INT");
    let ran = held.end();
    assert!(ran.stderr.contains("57014"), "{}", ran.stderr);
    assert_eq!(office.ended(3), "cancelled");

    let held = office.held(DELETE, 4);
    let killed = office.gate.run(&["sessions", "kill", "--identity", "corp:agent", "--reason", "stop"]);
    assert_eq!(killed.status, Some(0), "{killed:?}");
    let ran = held.end();
    assert!(ran.stderr.contains("ended by an operator: stop"), "{}", ran.stderr);
    assert_eq!(office.ended(4), "session_ended");

    let held = office.held(DELETE, 5);
    held.signal("KILL");
    assert_eq!(office.ended(5), "session_ended");
    assert_eq!(office.tickets(), before);
}

#[test]
fn a_token_s_end_closes_what_its_session_asked() {
    let office = Office::open();
    let soon = json!({ "exp": crate::signer::now() + 4 });
    let token = office.signer.access("agent", &["agents"], soon);
    let held = Held::start(office.psql_with(&token, "").args(["-c", DELETE]));
    office.asked(1);
    assert_eq!(office.ended(1), "session_ended");
    assert!(held.end().status != Some(0));
}

#[test]
fn a_restart_tells_who_waits_and_a_crash_leaves_nothing_to_be_approved() {
    let mut office = Office::open();
    let held = office.held(DELETE, 1);
    assert!(office.gate.gateway.stop(SOON).is_some(), "it does not wait for approvers");
    let ran = held.end();
    assert!(ran.status != Some(0) && !ran.stderr.is_empty(), "{ran:?}");
    office.gate.restart();
    assert_eq!(office.ended(1), "lost");
    let held = office.held(DELETE, 2);
    office.gate.gateway.kill();
    let ran = held.end();
    assert!(ran.stderr.contains("closed the connection"), "{}", ran.stderr);
    office.gate.restart();
    assert_eq!(office.ended(2), "lost");
    office.refused(2, "approve", LEAD, "no longer open");
}

#[test]
fn two_groups_are_two_people_who_say_why() {
    let office = Office::open();
    let insert = "INSERT INTO products (name, category, price) VALUES ('x', 'y', 1)";
    let mut held = office.held(insert, 1);
    let both: (&str, &[&str]) = ("lea", &["leads", "security"]);
    let answer = office.act(1, "approve", both, None);
    assert!(answer.body.contains("a reason is needed"), "{}", answer.body);
    office.done(1, "approve", both, Some("ticket 7"));
    office.refused(1, "approve", both, "counts once");
    assert!(held.is_waiting());
    office.done(1, "approve", ("sam", &["security"]), Some("ticket 7"));
    assert_eq!(held.end().stdout.trim(), "INSERT 0 1");
}

#[test]
fn who_breaks_the_glass_is_recorded_and_reviewed_by_another() {
    let office = Office::open();
    let held = office.held(DELETE, 1);
    let oncall: (&str, &[&str]) = ("omar", &["oncall", "leads"]);
    let without = office.act(1, "break-glass", oncall, None);
    assert!(without.body.contains("a reason is needed"), "{}", without.body);
    office.refused(1, "break-glass", LEAD, "may not break the glass");
    office.done(1, "break-glass", oncall, Some("the shop is down"));
    assert_eq!(held.end().stdout.trim(), "DELETE 1");
    let broken = &office.gate.events("break_glass", 1)[0];
    assert_eq!((&broken["by"]["subject"], &broken["reason"]), (&json!("omar"), &json!("the shop is down")));
    office.refused(1, "review", oncall, "can't review it");
    office.done(1, "review", LEAD, None);
    office.refused(1, "review", ("leo", &["leads"]), "nothing to review");
}

#[test]
fn who_does_not_wait_sends_it_again() {
    let office = Office::open();
    let token = office.token("agent", &["agents"]);
    let run = || -> Ran {
        let mut psql = office.psql_with(&token, "-c gatepost.approval=async");
        psql.args(["-v", "VERBOSITY=verbose", "-c", DELETE]).output().unwrap().into()
    };
    let first = run();
    assert!(first.stderr.contains("57X01: approval 1 is pending"), "{}", first.stderr);
    assert!(run().stderr.contains("approval 1 is pending"), "the same is the same request");
    office.done(1, "approve", LEAD, None);
    assert_eq!(run().stdout.trim(), "DELETE 1");
    assert!(run().stderr.contains("approval 2 is pending"), "and once");
    office.done(2, "deny", LEAD, Some("enough"));
    assert!(run().stderr.contains("approval 2 was denied: enough"));
}

#[test]
fn a_vote_is_lent_while_its_owner_is_away() {
    let office = Office::open();
    let until = audit::Time((crate::signer::now() as i64 + 3600) * 1_000_000_000).to_string();
    let lend = json!({ "to": "corp:sam", "reason": "holidays", "until": until });
    let lent = office.post("/api/v1/delegations", &office.token("lea", &["leads"]), &lend);
    assert!((200..300).contains(&lent.status), "{}", lent.body);
    let held = office.held(DELETE, 1);
    // Not to who asks, though it is lent: a lead who lends it to the agent.
    let to_agent = json!({ "to": "corp:agent", "reason": "x", "until": until });
    office.post("/api/v1/delegations", &office.token("leo", &["leads"]), &to_agent);
    office.refused(1, "approve", ("agent", &["agents", "security"]), "ask themselves");
    office.done(1, "approve", ("sam", &["security"]), None);
    assert_eq!(held.end().stdout.trim(), "DELETE 1");
    let voted = &office.gate.events("approval_voted", 1)[0];
    assert_eq!((&voted["by"]["subject"], &voted["delegated_by"]), (&json!("sam"), &json!("corp:lea")));
    office.refused(1, "approve", LEAD, "no longer open");
}

#[test]
fn of_two_people_at_once_one_wins_and_the_other_is_told() {
    let office = Office::open();
    let held = office.held(DELETE, 1);
    let (lea, leo) = (office.token("lea", &["leads"]), office.token("leo", &["leads"]));
    let (yes, no) = std::thread::scope(|scope| {
        let yes = scope.spawn(|| office.act_with(1, "approve", &lea, None).status);
        let no = scope.spawn(|| office.act_with(1, "deny", &leo, None).status);
        (yes.join().unwrap(), no.join().unwrap())
    });
    let ran = held.end();
    match (yes, no) {
        (200, 409) => assert_eq!(ran.stdout.trim(), "DELETE 1"),
        (409, 200) => assert!(ran.stderr.contains("approval 1 was denied"), "{}", ran.stderr),
        other => panic!("{other:?}: {ran:?}"),
    }
}

#[test]
fn a_store_that_fails_refuses_and_holds_nothing() {
    let office = Office::open();
    let before = office.tickets();
    // A store that is no store any more.
    let found = fs::read_dir(office.gate.gateway.home().join("data/state")).unwrap();
    let files: Vec<_> = found.map(|it| it.unwrap().path()).collect();
    let of_store = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("store.");
    assert!(files.iter().any(|path| of_store(&path)), "{files:?}");
    for path in files.iter().filter(of_store) {
        fs::write(path, vec![0xff; 65536]).unwrap();
    }
    let ran: Ran =
        office.psql("agent").args(["-v", "VERBOSITY=verbose", "-c", DELETE]).output().unwrap().into();
    assert!(ran.stderr.contains("57X03"), "{}", ran.stderr);
    assert_eq!(office.tickets(), before);
}

#[test]
fn a_person_at_another_gateway_lets_it_go_on_and_one_of_two_is_first() {
    let hba = "host all all 127.0.0.1/32 trust".to_owned();
    let store = Cluster::start(Version::V15, Options { hba: Some(hba), ..Options::default() });
    store.psql("CREATE ROLE keeper LOGIN");
    store.fresh_database("control", "keeper");
    let sections = format!(
        "[store]\nurl = \"postgres://127.0.0.1:{}/control?sslmode=disable\"\nuser = \"env:SHOP_USER\"\n",
        store.port()
    );
    store.psql(&format!("CREATE ROLE {LOGIN} LOGIN; GRANT keeper TO {LOGIN}"));
    store.psql(&format!("ALTER DATABASE control OWNER TO {LOGIN}"));
    let office = Office::open_with(Shop::new(Version::V15), Signer::start(), &sections);
    let same = Shop { cluster: office.gate.shop.cluster, database: office.gate.shop.database.clone() };
    let mut second = gate(same, &office.signer, &sections);
    let at_second = |gate: &Gate, number: u64, act: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let line = format!("POST /api/v1/approvals/{number}/{act}");
        request(gate.gateway.address("http").unwrap(), &line, &headers, "{\"reason\":\"because\"}")
    };
    let held = office.held(DELETE, 1);
    let lea = office.token("lea", &["leads"]);
    let answer = at_second(&second, 1, "approve", &lea);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(held.end().stdout.trim(), "DELETE 1");
    let by = |gate: &Gate, event: &str| gate.audit(&["--event", event]).len();
    assert_eq!(
        (by(&second, "approval_voted"), by(&office.gate, "approval_used")),
        (1, 1),
        "each records its own"
    );

    let held = office.held(DELETE, 2);
    let leo = office.token("leo", &["leads"]);
    let (yes, no) = std::thread::scope(|scope| {
        let yes = scope.spawn(|| office.act_with(2, "approve", &lea, None).status);
        let no = scope.spawn(|| at_second(&second, 2, "deny", &leo).status);
        (yes.join().unwrap(), no.join().unwrap())
    });
    let ran = held.end();
    match (yes, no) {
        (200, 409) => assert_eq!(ran.stdout.trim(), "DELETE 0"),
        (409, 200) => assert!(ran.stderr.contains("approval 2 was denied: because"), "{}", ran.stderr),
        other => panic!("{other:?}: {ran:?}"),
    }

    // What a gateway held that was killed is closed by the other.
    let held = office.held(DELETE, 3);
    let Office { gate: mut first, signer: _signer } = office;
    first.gateway.kill();
    drop(held);
    let lost = || {
        let found = second.audit(&["--event", "approval_ended"]);
        found.iter().any(|it| it["approval"] == 3 && it["state"] == "lost").then_some(())
    };
    assert!(poll(Duration::from_secs(60), lost).is_some());
    assert!(second.gateway.stop(SOON).is_some());
}
