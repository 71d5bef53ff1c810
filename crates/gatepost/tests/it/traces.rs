//! Spans: what happened is told to a collector of OpenTelemetry, with its times, and nothing that somebody said or knows; and a collector
//! that is down is nobody's concern but monitoring's.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::client::Raw;
use testkit::collector::{Collector, Taken};
use testkit::http::Answer as Reply;
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::clients::psql;
use crate::flight::{Flight, sqlstate};
use crate::http::{Answer, request};
use crate::signer::Signer;
use crate::stage::{Gate, LOGIN_PASSWORD, SOON, Setup, Shop};

const BUNDLE: &str = r#"
name = "shop"
version = "1"

[approvers]
lead = { group = "leads", hold = "60s" }
"#;
const RULES: &str = r#"
@id("agents-read")
permit (principal in Group::"agents", action in [Action::"select", Action::"filter"], resource)
unless { resource in Relation::"shop.public.products" };
@id("agents-write")
permit (principal in Group::"agents", action in [Action::"update"], resource in Relation::"shop.public.orders");
@id("agents-delete")
permit (principal in Group::"agents", action == Action::"delete", resource in Relation::"shop.public.tickets")
when { context.approved_by.contains("lead") };
"#;
/// What must not leave.
const LITERAL: &str = "l1teral-canary";
const PARAMETER: &str = "par4meter-canary";
const HEADER: &str = "Bearer h3ader-canary";

fn start(signer: &Signer, otlp: &str) -> Gate {
    let policy = Scratch::new("policy");
    policy.write("bundle.toml", BUNDLE);
    policy.write("rules.cedar", RULES);
    let operators = "[operators]\nviewer = \"corp:lookers\"\napprover = \"corp:leads\"\n";
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"\n".to_owned(),
        issuers: vec![("corp".to_owned(), signer.issuer.clone())],
        sections: format!("{operators}{otlp}"),
        policy: policy.path().to_owned(),
        environment: vec![("OTLP_HEADER".to_owned(), HEADER.to_owned())],
        ..Setup::default()
    };
    setup.start(Shop::new(Version::V15))
}

fn section(url: &str, more: &str) -> String {
    format!(
        "[telemetry.otlp]\nendpoint = \"{url}\"\nheaders = {{ authorization = \"env:OTLP_HEADER\" }}\n{more}\n"
    )
}

fn http(gate: &Gate, line: &str, token: &str, more: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    headers.extend(more);
    let body =
        if line.starts_with("POST") { json!({ "reason": "a drill" }).to_string() } else { String::new() };
    request(gate.gateway.address("http").unwrap(), line, &headers, &body)
}

/// Reads a number of `/metrics`.
fn metric(gate: &Gate, token: &str, sample: &str) -> f64 {
    let page = http(gate, "GET /metrics", token, &[]).body;
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample}: {page}")).parse().unwrap()
}

/// Returns the spans directly within one, by name, in the order in which they began.
fn within<'t>(all: &'t [Taken], parent: &Taken) -> Vec<&'t Taken> {
    let mut found: Vec<_> = all.iter().filter(|it| it.is_in(parent)).collect();
    found.sort_by_key(|it| it.times());
    found
}

fn names<'t>(spans: &[&'t Taken]) -> Vec<&'t str> {
    spans.iter().map(|it| it.name()).collect()
}

#[track_caller]
fn one<'t>(all: &'t [Taken], name: &str) -> &'t Taken {
    let found: Vec<_> = all.iter().filter(|it| it.name() == name).collect();
    let [one] = found.as_slice() else { panic!("{} of {name}: {all:#?}", found.len()) };
    one
}

/// Returns all bytes of spans that have left, as text.
fn bodies(collector: &Collector) -> String {
    collector.posted().into_iter().map(|posted| posted.request.body).collect()
}

/// Returns the spans of whole sessions, in the order in which they began.
fn sessions(all: &[Taken]) -> Vec<&Taken> {
    let mut found: Vec<_> = all.iter().filter(|it| it.name() == "session").collect();
    found.sort_by_key(|it| it.times());
    found
}

/// The spans are in order, and of those that are within another none is outside its time.
#[track_caller]
fn nest(all: &[Taken]) {
    let ids: BTreeSet<_> = all.iter().map(|it| (&it.span.trace_id, &it.span.span_id)).collect();
    assert_eq!(ids.len(), all.len(), "no name is given twice");
    for span in all {
        assert!(span.times().0 <= span.times().1, "{span:#?}");
        for inner in within(all, span) {
            let ((began, ended), (from, until)) = (span.times(), inner.times());
            assert!(began <= from && until <= ended, "{inner:#?} is not within {span:#?}");
        }
    }
}

#[test]
fn a_session_of_psql_is_told_with_its_times_and_nothing_of_what_was_said() {
    let collector = Collector::start();
    let signer = Signer::start();
    let gate = start(&signer, &section(&collector.url(), ""));
    let token = signer.access("ada-the-agent", &["agents"], json!({}));
    let environment = vec![
        ("PGHOST", "127.0.0.1".to_owned()),
        ("PGPORT", gate.gateway.postgres().port().to_string()),
        ("PGDATABASE", "shop".to_owned()),
        ("PGUSER", "ada-user".to_owned()),
        ("PGPASSWORD", token.clone()),
        ("PGAPPNAME", "app-canary".to_owned()),
    ];
    let script = format!(
        "SELECT id AS ali_canary FROM tickets WHERE subject <> '{LITERAL}' ORDER BY id LIMIT 3;\n\
         UPDATE orders SET status = 'paid' WHERE status <> '{LITERAL}' AND id = 1;\n\
         SELECT name FROM products;\n\
         SELECT 1 / (id - id) FROM orders;\n\
         SELECT {LITERAL};\n"
    );
    let file = gate.gateway.home().join("script.sql");
    std::fs::write(&file, script).unwrap();
    let ran =
        psql(Version::V15, &environment).args(["-v", "ON_ERROR_STOP=0", "-f"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("division by zero") && said.contains("does not exist"), "{said}");
    let mut client = gate.connect_with(&token).user("ada-user").open();
    let text = "SELECT subject FROM tickets WHERE subject = $1";
    client.send(&Flight::default().parse("", text).bind("", &[PARAMETER], 0).execute().sync().bytes());
    client.until(b'Z');
    drop(client);

    let all = collector.wait(|all| (sessions(all).len() == 2).then(|| all.to_vec()));
    nest(&all);
    let [session, second] = sessions(&all)[..] else { panic!() };
    assert!(session.is_root());
    let id = session.get("gatepost.session.id");
    assert_eq!(id, gate.events("session_started", 2)[0]["session"].as_str().unwrap());
    let trace: String = session.span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(trace, id, "the audit leads to the trace, and the trace to the audit");
    let parts = within(&all, session);
    assert_eq!(
        names(&parts),
        [
            "login",
            "SELECT public.tickets",
            "UPDATE public.orders",
            "SELECT public.products",
            "SELECT public.orders",
            "statement",
        ]
    );
    let [login, read, write, refused, failed, invalid] = parts.as_slice() else { panic!() };
    let bound = within(&all, second)[1];
    let steps = within(&all, login);
    assert_eq!(names(&steps), ["verify credential", "connect"]);
    assert_eq!(steps[1].get("server.port"), gate.shop.cluster.port().to_string());
    let parts = |span: &Taken| names(&within(&all, span)).join(", ");
    for span in [read, bound] {
        assert!(parts(span).ends_with("decide, record, execute"), "{}", parts(span));
        assert!(parts(span).starts_with("ask the server"), "{}", parts(span));
    }
    let expected = [
        ("db.system.name", "postgresql"),
        ("db.namespace", "shop"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "public.tickets"),
        ("db.query.summary", "SELECT public.tickets"),
        ("gatepost.session.id", id),
        ("gatepost.protocol", "simple"),
        ("gatepost.verdict", "allow"),
        ("gatepost.outcome", "completed"),
        ("gatepost.rows", "3"),
        ("gatepost.statement.number", "1"),
    ];
    for (key, value) in expected {
        assert_eq!(read.get(key), value, "{key}: {read:#?}");
    }
    assert_eq!((bound.get("gatepost.protocol"), bound.get("gatepost.rows")), ("extended", "0"));
    let durable = |span: &Taken| {
        within(&all, span)
            .iter()
            .find(|it| it.name() == "record")
            .map(|it| it.get("gatepost.record.durability").to_owned())
    };
    assert_eq!((durable(read), durable(write)), (Some("written".into()), Some("durable".into())));
    for (span, outcome, state) in
        [(refused, "refused", "42501"), (failed, "failed", "22012"), (invalid, "refused", "42703")]
    {
        assert_eq!(span.get("gatepost.outcome"), outcome, "{span:#?}");
        assert_eq!((span.get("db.response.status_code"), span.get("error.type")), (state, state));
        assert_eq!(span.span.status.as_ref().map(|it| (it.code, it.message.as_str())), Some((2, "")));
    }
    assert!(!parts(refused).contains("execute") && parts(failed).contains("execute"));

    let resource = &collector.posted()[0].resource;
    assert_eq!(resource["service.name"], "gatepost");
    for posted in collector.posted() {
        assert_eq!(posted.request.header("authorization"), HEADER);
        let body = &posted.request.body;
        for secret in [
            LITERAL,
            PARAMETER,
            HEADER,
            LOGIN_PASSWORD,
            &token,
            "ada",
            "canary",
            "corp",
            "agents",
            "127.0.0.1:",
        ] {
            assert!(!body.contains(secret), "{secret} is told: {posted:#?}");
        }
    }
}

/// A session that waits for a held statement's answer.
fn held(mut client: Raw) -> std::thread::JoinHandle<(Raw, String)> {
    std::thread::spawn(move || {
        let answer = client.query("DELETE FROM tickets WHERE id = 1");
        let state = if answer.iter().any(|it| it.tag == b'E') { sqlstate(&answer) } else { String::new() };
        (client, state)
    })
}

#[test]
fn a_hold_is_told_with_what_came_of_it_and_a_session_that_ends_meanwhile() {
    let collector = Collector::start();
    let signer = Signer::start();
    let gate = start(&signer, &section(&collector.url(), ""));
    let agent = signer.access("ada", &["agents"], json!({}));
    let leader = signer.access("lea", &["leads"], json!({}));
    let mut client = gate.connect_with(&agent).user("agent").open();
    for (number, act, told) in [(1, "approve", ""), (2, "deny", "42501")] {
        let waits = held(client);
        gate.events("approval_requested", number);
        let answer = http(&gate, &format!("POST /api/v1/approvals/{number}/{act}"), &leader, &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let (again, state) = waits.join().unwrap();
        assert_eq!(state, told);
        client = again;
    }
    client.send(&Flight::default().query("DELETE FROM tickets WHERE id = 2").bytes());
    gate.events("approval_requested", 3);
    drop(client);
    let all = collector.wait(|all| all.iter().any(|it| it.name() == "session").then(|| all.to_vec()));
    nest(&all.iter().filter(|it| it.get("http.route").is_empty()).cloned().collect::<Vec<_>>());
    let statements = within(&all, one(&all, "session"));
    assert_eq!(names(&statements)[1..], ["DELETE public.tickets"; 3]);
    let outcomes = [
        ("approved", "completed", "allow"),
        ("denied", "refused", "hold"),
        ("session_ended", "lost", "hold"),
    ];
    for (at, (hold, outcome, verdict)) in outcomes.into_iter().enumerate() {
        let statement = statements[at + 1];
        let parts = within(&all, statement);
        let span = parts.iter().find(|it| it.name() == "hold").unwrap_or_else(|| panic!("{parts:#?}"));
        assert_eq!(span.get("gatepost.hold.outcome"), hold);
        assert_eq!(span.get("gatepost.approval.number"), (at + 1).to_string());
        assert_eq!(statement.get("gatepost.outcome"), outcome, "{statement:#?}");
        assert_eq!(statement.get("gatepost.verdict"), verdict, "{statement:#?}");
        assert_eq!(parts.iter().any(|it| it.name() == "execute"), hold == "approved");
    }
}

#[test]
fn requests_are_told_by_their_route_and_go_on_with_their_callers_trace() {
    let collector = Collector::start();
    let signer = Signer::start();
    let gate = start(&signer, &section(&collector.url(), ""));
    let looker = signer.access("vera", &["lookers"], json!({}));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let of =
        |line: &str, token: &str, parent: &str| http(&gate, line, token, &[("traceparent", parent)]).status;
    assert_eq!(of("GET /api/v1/overview", &looker, parent), 200);
    assert_eq!(of("GET /api/v1/bundles?canary=1", &looker, unsampled), 404);
    assert_eq!(of("GET /api/v1/sessions", &looker, unsampled), 200);
    assert_eq!(of("GET /api/v1/approvals/777", &looker, "no parent at all"), 404);
    assert_eq!(of("GET /api/v1/overview", "no-token-canary", parent), 401);
    let all = collector.wait(|all| (all.len() >= 3).then(|| all.to_vec()));
    let [first, second, third] = all.as_slice() else { panic!("{all:#?}") };
    let expected = [
        (first, "GET /api/v1/overview", "200", "viewer"),
        (second, "GET /api/v1/approvals/{number}", "404", "viewer"),
        (third, "GET /api/v1/overview", "401", ""),
    ];
    for (span, name, status, roles) in expected {
        assert_eq!(span.name(), name);
        assert_eq!(span.get("http.request.method"), "GET");
        assert_eq!(format!("GET {}", span.get("http.route")), name);
        assert_eq!((span.get("http.response.status_code"), span.get("gatepost.roles")), (status, roles));
        assert_eq!((span.span.kind, span.span.status.is_none()), (2, true));
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&first.span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&first.span.parent_span_id), "00f067aa0ba902b7");
    assert!(second.is_root() && third.is_root(), "a stranger goes on with nobody's trace");
    assert_ne!(third.span.trace_id, first.span.trace_id);
    let said = bodies(&collector);
    for word in ["canary", "777", "vera", "lookers", &looker] {
        assert!(!said.contains(word), "{word}: {said}");
    }
}

#[test]
fn logins_that_fail_are_told_by_what_they_failed_of() {
    let collector = Collector::start();
    let signer = Signer::start();
    let gate = start(&signer, &section(&collector.url(), ""));
    let token = |group: &str| signer.access("ada", &[group], json!({}));
    assert!(gate.connect_with("no-token-canary").user("agent").try_open().is_err());
    assert!(gate.connect_with(&token("strangers")).user("agent").try_open().is_err());
    gate.shop.cluster.psql(&format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS false", gate.shop.database));
    assert!(gate.connect_with(&token("agents")).user("agent").try_open().is_err());
    let all = collector.wait(|all| (sessions(all).len() == 3).then(|| all.to_vec()));
    nest(&all);
    let told: Vec<_> = sessions(&all)
        .iter()
        .map(|session| {
            let login = within(&all, session)[0];
            assert_eq!((login.name(), login.get("error.type")), ("login", session.get("error.type")));
            (session.get("error.type"), names(&within(&all, login)))
        })
        .collect();
    let whole = vec!["verify credential", "connect"];
    assert_eq!(told[0], ("refused", vec!["verify credential"]));
    assert_eq!(told[1], ("refused", vec!["verify credential"]));
    assert_eq!(told[2], ("55000", whole));
    assert!(!bodies(&collector).contains("canary"));
}

#[test]
fn statements_go_on_while_the_collector_is_down_and_what_is_lost_is_counted() {
    let signer = Signer::start();
    // Nobody listens there; and one who takes nothing and says so.
    let refusing = Collector::answering(Box::new(|_| Reply::status(400)));
    for url in ["http://127.0.0.1:1", &refusing.url()] {
        let mut gate = start(&signer, &section(url, "timeout = \"100ms\""));
        let looker = signer.access("vera", &["lookers"], json!({}));
        let agent = signer.access("ada", &["agents"], json!({}));
        let mut client = gate.connect_with(&agent).user("agent").open();
        for _ in 0..200 {
            client.rows("SELECT id FROM orders WHERE id = 1");
        }
        drop(client);
        let dropped = || metric(&gate, &looker, "gatepost_spans_dropped_total{reason=\"undelivered\"}");
        let said = poll(SOON, || gate.gateway.log().contains("spans are dropped").then_some(()));
        assert!(said.is_some() && dropped() > 100.0, "{}: {}", dropped(), gate.gateway.log());
        assert_eq!(metric(&gate, &looker, "gatepost_spans_sent_total"), 0.0);
        gate.gateway.stop(SOON);
        let said = gate.gateway.log();
        assert_eq!(said.matches("spans are dropped").count(), 1, "it is said once: {said}");
        assert!(!said.contains("h3ader-canary"), "{said}");
    }
}

#[test]
fn of_what_is_not_sampled_nothing_is_told() {
    let signer = Signer::start();
    let agent = signer.access("ada", &["agents"], json!({}));
    let looker = signer.access("vera", &["lookers"], json!({}));
    for (more, told) in [
        ("sample = 0", &[][..]),
        ("sample_statements = 0", &["connect", "login", "session", "verify credential"]),
    ] {
        let collector = Collector::start();
        let mut gate = start(&signer, &section(&collector.url(), more));
        let mut client = gate.connect_with(&agent).user("agent").open();
        for _ in 0..20 {
            client.rows("SELECT id FROM orders WHERE id = 1");
        }
        drop(client);
        gate.events("disconnected", 1);
        assert_eq!(metric(&gate, &looker, "gatepost_spans_dropped_total{reason=\"queue_full\"}"), 0.0);
        gate.gateway.stop(SOON);
        let spans = collector.spans();
        let found: BTreeSet<_> = spans.iter().map(Taken::name).filter(|it| !it.starts_with("GET")).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), told);
    }
}

#[test]
fn the_end_of_the_gateway_waits_for_spans_of_which_there_are_as_many_as_are_wanted() {
    let collector = Collector::start();
    let signer = Signer::start();
    let mut gate = start(&signer, &section(&collector.url(), "sample_statements = 0.25"));
    let agent = signer.access("ada", &["agents"], json!({}));
    let mut client = gate.connect_with(&agent).user("agent").open();
    for _ in 0..400 {
        client.rows("SELECT id FROM orders WHERE id = 1");
    }
    drop(client);
    gate.gateway.stop(SOON);
    let all = collector.spans();
    let session = one(&all, "session");
    one(&all, "login");
    let told = within(&all, session).len() - 1;
    assert!((50..150).contains(&told), "{told} of 400");
    assert_eq!(session.get("gatepost.statements.traced"), told.to_string());
}
