//! Views of journals that were really written.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::{
    Completion, Decision, Durability, Event, Fragment, IdentityForm, MaskUse, Outcome, Parameter, Protocol,
    Refusal, SessionStarted, Statement, Time, Touch, Verdict,
};
use journal::search::{Budget, Follower, Index};
use journal::{Journal, Options};
use model::{ClientAddr, Identity, SessionId};
use serde_json::Value;
use testkit::scratch::Scratch;

use super::audit_log::{find, page};
use super::trial::{ExplainAs, Known};
use super::{AuditQuery, Live, LiveKind, Observed, Received, Sight, ViewError};

/// What only auditors may see.
const CANARY: &str = "c4n4ry";

fn somebody() -> Identity {
    Identity {
        issuer: "corp".into(),
        subject: "agent".into(),
        name: Some("An agent".into()),
        groups: ["support-agents".to_owned()].into(),
        attributes: [("owner".to_owned(), "corp:ada".to_owned())].into(),
        token_id: None,
        on_behalf_of: None,
    }
}

fn client() -> ClientAddr {
    ClientAddr("127.0.0.1:1".parse().unwrap())
}

struct Written {
    home: Scratch,
    journal: Journal,
    identity: Fragment,
    at: SystemTime,
}

impl Written {
    fn new() -> Self {
        let home = Scratch::new("views");
        let (journal, _) = Journal::open(Options::new(home.path()), Box::new(|_| {})).unwrap();
        let identity = IdentityForm(&somebody()).render();
        Self { home, journal, identity, at: SystemTime::now() - Duration::from_secs(60) }
    }

    fn keep(&self, event: &Event<'_>) {
        self.journal.append(event, self.at).unwrap();
        self.journal.write().unwrap();
    }

    fn statement(&self, number: u64, verdict: Verdict, refusal: Option<(&str, &str)>) {
        let touches = vec![Touch {
            action: "select",
            kind: "relation",
            name: "public.t",
            columns: vec!["email"],
            facts: audit::TouchFacts::default(),
        }];
        let masks = vec![MaskUse { column: "public.t.email", mask: "hash" }];
        let decision =
            Decision { kind: "select", touches, rules: vec!["r1"], masks, approvers: vec![], facts: None };
        self.keep(&Event::Statement(Statement {
            session: SessionId(7),
            statement: number,
            identity: &self.identity,
            client: client(),
            application_name: "psql",
            database: "shop",
            protocol: Protocol::Extended,
            text: &format!("SELECT email FROM t WHERE x = '{CANARY}'"),
            parameters: &[Parameter::Text(CANARY.as_bytes())],
            decision: &decision.render(),
            verdict,
            refusal: refusal.map(|(sqlstate, message)| Refusal { sqlstate, message }),
            durability: Durability::Written,
            approval: None,
        }));
    }

    /// A session with one statement of each kind: masked, refused, not understood by the server.
    fn session(&self) {
        self.keep(&Event::PolicyLoaded { database: "shop", bundle: "shop", version: "3", hash: "ab" });
        self.keep(&Event::SessionStarted(SessionStarted {
            session: SessionId(7),
            client: client(),
            identity: &somebody(),
            method: "token",
            user: "agent",
            database: "shop",
            application_name: "psql",
            backend_pid: 1,
            bundle: "shop",
            bundle_version: "3",
            bundle_hash: "ab",
            expires_at: None,
            prior_actors: &[],
        }));
        self.statement(1, Verdict::Mask, None);
        self.keep(&Event::Outcome(Outcome {
            session: SessionId(7),
            statement: 1,
            completion: Completion::Completed("SELECT 5"),
            rows: 5,
            bytes: 50,
            duration: Duration::from_millis(2),
        }));
        self.statement(
            2,
            Verdict::Deny,
            Some(("42501", "permission denied: select on column public.t.email")),
        );
        let said = format!("invalid input syntax for type integer: \"{CANARY}\"");
        self.statement(3, Verdict::Deny, Some(("22P02", &said)));
    }

    fn observe(&self, live: Option<&Live>) -> Observed {
        let index = Arc::new(Index::new(self.home.path()));
        let mut follower = Follower::new(index, Time(0), u64::MAX).unwrap();
        let mut observed = Observed::default();
        while follower.read(|record, view| observed.take(record, view, live)).unwrap() {}
        observed
    }
}

fn budget() -> Budget {
    Budget { until: Instant::now() + Duration::from_secs(60), bytes: u64::MAX }
}

#[test]
fn who_may_not_see_texts_sees_none_in_any_view() {
    let written = Written::new();
    written.session();
    let index = Index::new(written.home.path());
    let shown = |sight: Sight| -> Vec<Value> {
        let asked = AuditQuery::default().read(sight).unwrap();
        let page = page(&index, None, budget(), &asked, sight).unwrap();
        assert_eq!(page.items.len(), 5, "a policy, a session, three statements");
        let mut all = vec![serde_json::to_value(&page).unwrap()];
        for item in &page.items {
            let found = find(&index, budget(), item.seq).unwrap().unwrap();
            all.push(serde_json::to_value(found.show(sight, None).unwrap()).unwrap());
        }
        let observed = written.observe(None);
        all.push(serde_json::to_value(observed.overview(sight, Default::default(), Vec::new())).unwrap());
        all.push(serde_json::to_value(observed.identity(sight, "corp:agent", 10).unwrap().0).unwrap());
        all
    };
    for value in shown(Sight::Counts) {
        assert!(!value.to_string().contains(CANARY), "{value:#}");
    }
    let seen = shown(Sight::Texts).iter().filter(|value| value.to_string().contains(CANARY)).count();
    assert!(seen >= 5, "{seen}");
    let by_text = AuditQuery { text: Some(CANARY.into()), ..AuditQuery::default() };
    assert!(matches!(by_text.read(Sight::Counts), Err(ViewError::NotForThem)));
}

#[test]
fn a_statement_is_shown_with_what_decided_it_and_how_it_ended() {
    let written = Written::new();
    written.session();
    let index = Index::new(written.home.path());
    let found = find(&index, budget(), 3).unwrap().unwrap();
    assert_eq!((found.database().as_deref(), found.policy_hash().as_deref()), (Some("shop"), Some("ab")));
    let detail = found.show(Sight::Texts, None).unwrap();
    assert_eq!(
        (detail.row.result.as_deref(), detail.row.rows, detail.row.ended),
        (Some("SELECT 5"), Some(5), Some(true))
    );
    assert_eq!(detail.masks[0].column, "public.t.email");
    assert_eq!((detail.rules[0].id.as_str(), &detail.rules[0].text), ("r1", &None), "the bundle is another");
    assert_eq!(detail.policy.unwrap().version, "3");
    let after: Vec<_> = detail.after.iter().map(|row| row.sqlstate.clone().unwrap()).collect();
    assert_eq!(after, ["42501", "22P02"]);
    assert!(find(&index, budget(), 99).unwrap().is_none());
}

#[tokio::test]
async fn counts_tell_refusals_from_mistakes_and_events_hold_no_texts() {
    let written = Written::new();
    written.session();
    let live = Live::default();
    let mut receiver = live.subscribe();
    let observed = written.observe(Some(&live));
    let overview = observed.overview(Sight::Texts, Default::default(), Vec::new());
    let hour = overview.statements.last_hour;
    assert_eq!((hour.mask, hour.deny, hour.failed, hour.rows, hour.sessions), (1, 1, 1, 5, 1));
    assert_eq!(overview.refused.len(), 1, "the server's own mistakes are nobody's refusals");
    let (detail, identity) = observed.identity(Sight::Texts, "corp:agent", 10).unwrap();
    assert_eq!((detail.identity.owner.as_deref(), detail.identity.counts.rows), (Some("corp:ada"), 5));
    assert_eq!(identity.groups, somebody().groups);
    let email = detail.uses.iter().find(|it| it.column.as_deref() == Some("email")).unwrap();
    assert_eq!((email.reads, email.masked, email.refused), (1, 1, 1));
    let mut told = Vec::new();
    while told.len() < 3 {
        let Received::Event(event) = receiver.next().await else { panic!("no event") };
        assert!(!serde_json::to_string(&*event).unwrap().contains(CANARY));
        told.push(event.kind.as_str());
    }
    assert_eq!(told, ["policy", "session", "refused"]);
    live.tell(LiveKind::Delegations);
    assert!(matches!(receiver.next().await, Received::Event(it) if it.kind == LiveKind::Delegations));
}

#[test]
fn a_restart_counts_what_was_counted_before() {
    let written = Written::new();
    written.session();
    let json = |observed: &Observed| {
        let mut overview =
            serde_json::to_value(observed.overview(Sight::Texts, Default::default(), Vec::new())).unwrap();
        overview.as_object_mut().unwrap().remove("at");
        overview
    };
    assert_eq!(json(&written.observe(None)), json(&written.observe(None)));
}

#[test]
fn somebody_is_supposed_as_they_were_seen_last_unless_told_otherwise() {
    let known = |name: &str| {
        let groups = vec!["a".to_owned()];
        (name == "corp:x").then(|| Known { groups, attributes: [("k".to_owned(), "v".to_owned())].into() })
    };
    let ask = |identity: Option<&str>, groups: Option<Vec<String>>| {
        let identity = identity.map(str::to_owned);
        let asked = ExplainAs {
            sql: "SELECT 1".into(),
            identity,
            groups,
            attributes: None,
            on_behalf_of: None,
            search_path: None,
        };
        asked.identity(known)
    };
    let seen = ask(Some("corp:x"), None).unwrap();
    assert!(seen.groups.contains("a") && seen.attributes["k"] == "v");
    let told = ask(Some("corp:x"), Some(vec!["b".into()])).unwrap();
    assert!(!told.groups.contains("a") && told.groups.contains("b"));
    assert!(ask(Some("corp:y"), None).unwrap().groups.is_empty());
    assert!(matches!(ask(None, None), Err(ViewError::Invalid(_))));
    assert!(matches!(ask(Some("nocolon"), None), Err(ViewError::Invalid(_))));
}
