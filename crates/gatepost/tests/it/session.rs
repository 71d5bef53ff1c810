//! An agent's session from end to end: stock clients with tokens of a real OpenID provider, through TLS, against each
//! PostgreSQL.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::client::{Connect, Message, Raw};
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;
use wire::startup::ProtocolVersion;

use crate::clients::{answer, node, psql, psycopg, run_psql};
use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Shop};

const LIST: &str =
    "SELECT id, name, email, phone, ssn, birth_date, notes FROM customers WHERE id IN (1, 10) ORDER BY id";
const MASKED: &str = "1|Bo Dahl|b***@e***.com|+*-***-**19|***6007|1963-01-01|\n\
                      10|Ada Ito|a***@e***.com|+*-***-**90|***0070|1977-01-01|[redacted]\n";
const REFUSED: &str = "SELECT name FROM customers WHERE ssn LIKE '9%'";

#[test]
fn psql_reads_masked_over_verified_tls() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        assert!(gate.shop.sql(LIST).contains("bo.dahl1@example.com"), "there is something to mask");
        let environment = gate.libpq("support-agent");
        assert_eq!(run_psql(&environment, LIST).stdout, MASKED, "{version}");
        let with = |name, value: &str| {
            let mut changed = environment.clone();
            changed.push((name, value.into()));
            psql(Version::V17, &changed).args(["-c", LIST]).output().unwrap()
        };
        assert_eq!(with("PGSSLNEGOTIATION", "direct").stdout, MASKED.as_bytes(), "{version}");
        let wrong_name = with("PGHOST", "elsewhere.example");
        assert!(!wrong_name.status.success(), "psql checks the certificate's name");
    }
}

#[test]
fn psycopg_reads_masked_in_text_and_binary() {
    let rows = json!([
        [1, "Bo Dahl", "b***@e***.com", "+*-***-**19", "***6007", "1963-01-01", null],
        [10, "Ada Ito", "a***@e***.com", "+*-***-**90", "***0070", "1977-01-01", "[redacted]"]
    ]);
    for version in Version::ALL {
        let gate = Gate::new(version);
        let environment = gate.libpq("support-agent");
        for negotiation in ["postgres", "direct"] {
            let found = answer(psycopg(
                &environment,
                &["query", LIST, &format!("sslnegotiation={negotiation}"), "max_protocol_version=latest"],
            ));
            let facts = [&found["tls"], &found["protocol"], &found["text_format"], &found["binary_format"]];
            assert_eq!(facts, [&json!(true), &json!(30_002), &json!(0), &json!(1)], "{version}");
            assert_eq!((&found["text"], &found["binary"]), (&rows, &rows), "{version}");
        }
        let records = gate.statements("FROM customers", 4);
        assert!(records.iter().all(|record| record["verdict"] == "mask"), "{records:#?}");
    }
}

#[test]
fn node_postgres_reads_masked_however_it_asks() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        let sql = "SELECT id, email, ssn, birth_date FROM customers WHERE id = $1";
        let found = answer(node(&gate.libpq("support-agent"), &["query", sql, "10"]));
        let rows = json!([[10, "a***@e***.com", "***0070", "1977-01-01"]]);
        for way in ["simple", "extended", "prepared", "again"] {
            assert_eq!(found[way], rows, "{version} {way}");
        }
        assert_eq!(found["tls"], true);
    }
}

#[test]
fn a_refusal_reads_the_same_in_every_client_and_leaves_the_session_as_an_error_of_postgresql_would() {
    let error = json!({
        "severity": "ERROR",
        "sqlstate": "42501",
        "message": "permission denied: filter on column public.customers.ssn",
        "detail": "No rule of the policy permits it.",
        "hint": null,
    });
    let gate = Gate::new(Version::V18);
    let environment = gate.libpq("support-agent");
    let by_psql = run_psql(&environment, REFUSED);
    assert_eq!((by_psql.status, by_psql.stdout.as_str()), (Some(1), ""));
    assert!(by_psql.stderr.starts_with("ERROR:  42501: permission denied: filter on column"), "{by_psql:?}");

    let mut found = answer(psycopg(&environment, &["refused", REFUSED]));
    let hint = found["alone"]["hint"].take();
    assert!(hint.as_str().is_some_and(|hint| !hint.is_empty()), "a refusal says what would help: {found:#}");
    for case in ["inside", "pipeline"] {
        assert_eq!(found[case]["hint"].take(), hint, "{case}");
    }
    for case in ["alone", "inside", "pipeline"] {
        assert_eq!(found[case], error, "{case}");
    }
    for (fact, expected) in [
        ("alone_status", json!("IDLE")),
        ("inside_status", json!("INERROR")),
        ("after_inside", json!("25P02")),
        ("first", json!([["first"]])),
        ("pipeline_status", json!("IDLE")),
        ("goes_on", json!([["goes on"]])),
    ] {
        assert_eq!(found[fact], expected, "{fact}");
    }

    let mut found = answer(node(&environment, &["refused", REFUSED]));
    for case in ["simple", "extended"] {
        assert_eq!(found[case]["hint"].take(), hint, "{case}");
        let mut error = error.clone();
        error.as_object_mut().unwrap().remove("hint");
        found[case].as_object_mut().unwrap().remove("hint");
        assert_eq!(found[case], error, "{case}");
    }
    assert_eq!(found["goesOn"], json!([[1]]));

    // psql, psycopg's three and node's simple one; node's other has another text.
    for record in gate.statements(REFUSED, 6) {
        assert_eq!((&record["verdict"], &record["sqlstate"]), (&json!("deny"), &json!("42501")));
        assert_eq!(record["outcome"], Value::Null, "what was refused did not run");
    }
}

/// Sends a refused statement, or one that PostgreSQL itself refuses, in every state of a session, and returns the types
/// of the messages and the transaction states that come back.
fn shape(connect: &Connect, refused: &str, sqlstate_of_refused: &str) -> String {
    let mut raw = connect.open();
    let mut shape = String::new();
    let mut note = |messages: Vec<Message>| {
        for message in messages {
            shape.push_str(message.name());
            if message.tag == tag::READY_FOR_QUERY {
                shape.push(char::from(message.body[0]));
            }
            if message.tag == tag::ERROR_RESPONSE {
                let code = message.field(b'C');
                shape += if code == sqlstate_of_refused { "refused" } else { &code };
            }
            shape.push('\n');
        }
    };
    note(raw.query(refused));
    note(raw.query(&format!("SELECT 1; {refused}; SELECT 2")));
    note(raw.query("BEGIN"));
    note(raw.query(refused));
    note(raw.query("SELECT 1"));
    note(raw.query("ROLLBACK"));
    note(raw.query("BEGIN; SAVEPOINT s"));
    note(raw.query(refused));
    note(raw.query("ROLLBACK TO s"));
    note(raw.query("COMMIT"));
    // A pipeline of which the second of three is refused, at Parse.
    let flight = Flight::default().run("a", "SELECT 1").run("b", refused).run("c", "SELECT 3").sync();
    // What was prepared before it is there after it, and what was skipped isn't.
    flight.describe_statement("a").sync().describe_statement("c").sync().to(&mut raw);
    for _ in 0..3 {
        note(raw.until(tag::READY_FOR_QUERY));
    }
    // Two pipelines at once: the second is not the first's business.
    Flight::default().run("", refused).sync().run("", "SELECT 4").sync().to(&mut raw);
    note(raw.until(tag::READY_FOR_QUERY));
    note(raw.until(tag::READY_FOR_QUERY));
    // The error comes with Flush, and what follows it is skipped to the Sync.
    Flight::default().run("d", refused).flush().to(&mut raw);
    note(raw.until(tag::ERROR_RESPONSE));
    note(Flight::default().execute().query("SELECT 'skipped'").sync().answered(&mut raw));
    note(raw.query("SELECT 'goes on'"));
    shape
}

#[test]
fn a_refusal_has_the_shape_of_an_error_of_postgresql_in_every_state() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        let postgresql = shape(&gate.shop.bare(), "SELECT name FROM nowhere", "42P01");
        assert_eq!(postgresql.matches("refused").count(), 7, "{postgresql}");
        assert_eq!(shape(&gate.connect("support-agent"), REFUSED, "42501"), postgresql, "{version}");
    }
}

#[test]
fn what_a_pipeline_did_before_a_refusal_is_rolled_back_with_it() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        let mut raw = gate.open("support-agent");
        let close = "UPDATE tickets SET status = 'closed' WHERE id = 1";
        let messages = Flight::default().run("", close).run("", REFUSED).sync().answered(&mut raw);
        assert_eq!(sqlstate(&messages), "42501");
        raw.query(&format!("UPDATE tickets SET status = 'closed' WHERE id = 4; {REFUSED}"));
        let status = gate.shop.sql("SELECT status FROM tickets WHERE id IN (1, 4) ORDER BY id");
        assert_eq!(status, "waiting\nopen", "{version}");
        raw.query(close);
        assert_eq!(gate.shop.sql("SELECT status FROM tickets WHERE id = 1"), "closed");
    }
}

#[test]
fn every_statement_is_recorded_with_who_what_and_how_it_ended() {
    let gate = Gate::new(Version::V15);
    let mut environment = gate.libpq("support-agent");
    environment.push(("PGAPPNAME", "nightly\u{1b}[31m job".into()));
    run_psql(&environment, LIST);
    let record = gate.statement("FROM customers");
    let identity = &record["identity"];
    assert_eq!((&identity["issuer"], &identity["subject"]), (&json!("corp"), &json!("support-agent")));
    assert_eq!(identity["groups"], json!(["support-agents"]));
    assert!(identity["token_id"].as_str().is_some_and(|id| !id.is_empty()));
    // PostgreSQL's own rule for the name: what isn't printable ASCII becomes `?` or an escape.
    assert!(record["application_name"].as_str().unwrap().contains("nightly"));
    let decision = &record["decision"];
    assert_eq!((&decision["kind"], &record["text"]), (&json!("SELECT"), &json!(LIST)));
    let touched = decision["touches"].as_array().unwrap().iter();
    let select: Vec<_> = touched.filter(|touch| touch["action"] == "select").collect();
    assert_eq!(select[0]["name"], "public.customers");
    assert_eq!(decision["masks"].as_array().unwrap().len(), 5, "{decision:#}");
    assert_eq!(
        (&record["outcome"]["tag"], &record["outcome"]["rows"], &record["outcome"]["sqlstate"]),
        (&json!("SELECT 2"), &json!(2), &Value::Null)
    );

    let mut raw = gate.open("support-agent");
    let sql = "SELECT 10 / (id - id + $1::int) FROM orders WHERE status = $2 LIMIT 1";
    Flight::default().parse("", sql).bind("", &["0", "paid"], 0).execute().sync().answered(&mut raw);
    let record = gate.statement("SELECT 10 / (");
    assert_eq!(record["parameters"], json!([{"text": "0"}, {"text": "paid"}]), "{record:#}");
    assert_eq!(
        (&record["protocol"], &record["outcome"]["sqlstate"]),
        (&json!("extended"), &json!("22012")),
        "{record:#}"
    );

    // An error of PostgreSQL's own is on record too, whether it came in answer to a question or to the statement.
    raw.query("SELECT nothing FROM orders");
    assert_eq!(gate.statement("SELECT nothing")["sqlstate"], "42703");
    drop(raw);

    let started = gate.events("session_started", 2);
    assert_eq!(started[0]["application_name"].as_str().map(|name| name.contains("nightly")), Some(true));
    assert_eq!(started[0]["method"], "token");
    let ended = gate.events("disconnected", 2);
    assert_eq!((&ended[0]["session"], &ended[0]["statements"]), (&started[0]["session"], &json!(1)));
    assert_eq!(gate.events("connected", 2)[0]["session"], started[0]["session"]);
    assert!(gate.events("connected", 2)[0]["tls"].as_str().is_some_and(|tls| tls.starts_with("TLSv1.3")));
}

#[test]
fn neither_token_nor_database_credential_is_shown_kept_or_logged() {
    let gate = Gate::new(Version::V18);
    let mut raw = gate.open("support-agent");
    let shown: Vec<Message> =
        ["SHOW ALL", "SELECT usename FROM pg_stat_activity", "SELECT current_user", LIST]
            .iter()
            .flat_map(|sql| raw.query(sql))
            .collect();
    let shown = format!("{shown:?} {:?}", raw.parameters);
    drop(raw);
    gate.events("disconnected", 1);
    let journal = std::fs::read_dir(gate.gateway.home().join("journal")).unwrap();
    let kept: Vec<u8> = journal.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let kept = String::from_utf8_lossy(&kept).into_owned();
    assert!(kept.contains("FROM customers"), "the journal is where it is looked for");
    let checked = gate.run(&["check"]);
    assert_eq!(checked.status, Some(0), "{checked:#?}");
    let token = crate::stage::token("support-agent");
    for (place, text) in
        [("client", shown), ("journal", kept), ("log", gate.gateway.log()), ("check", format!("{checked:?}"))]
    {
        for secret in [token.as_str(), LOGIN_PASSWORD] {
            assert!(!text.contains(secret), "{place} shows {secret}");
        }
    }
}

/// Waits until a session's server process runs a statement.
fn wait_until_active(shop: &Shop, pid: i32) {
    let active =
        format!("SELECT state FROM pg_stat_activity WHERE pid = {pid} AND query LIKE 'SELECT pg_sleep%'");
    poll(SOON, || (shop.sql(&active) == "active").then_some(())).expect("the statement runs");
}

fn request_cancel(stream: &mut Raw, process_id: i32, key: &[u8]) {
    Flight::default().cancel(process_id, key).to(stream);
    assert!(stream.receive().is_none(), "a cancel is not answered");
}

#[test]
fn the_key_of_a_session_cancels_at_the_gateway_and_is_worth_nothing_at_the_server() {
    for (version, protocol, key_bytes) in [
        (Version::V15, ProtocolVersion::V3_0, 4),
        (Version::V15, ProtocolVersion::V3_2, 32),
        (Version::V18, ProtocolVersion::V3_0, 4),
        (Version::V18, ProtocolVersion::V3_2, 32),
    ] {
        let gate = Gate::new(version);
        let mut raw = gate.connect("admin").version(protocol).open();
        assert_eq!(raw.key.len(), key_bytes, "{version} {protocol:?}");
        assert_eq!(raw.rows("SELECT pg_backend_pid()"), raw.process_id.to_string(), "tools rely on it");
        Flight::default().query("SELECT pg_sleep(60)").to(&mut raw);
        wait_until_active(&gate.shop, raw.process_id);

        let mut at_server = gate.shop.bare().stream().unwrap();
        request_cancel(&mut at_server, raw.process_id, &raw.key);
        // Before 18 PostgreSQL knows no long keys.
        let said = match (version, protocol) {
            (Version::V15, ProtocolVersion::V3_2) => "invalid length of startup packet".to_owned(),
            _ => format!("wrong key in cancel request for process {}", raw.process_id),
        };
        let refused = || gate.shop.cluster.log().contains(&said).then_some(());
        poll(SOON, refused).expect("the server's word that the key is wrong");

        let mut wrong = raw.key.clone();
        wrong[0] ^= 1;
        request_cancel(&mut gate.connect("admin").stream().unwrap(), raw.process_id, &wrong);
        wait_until_active(&gate.shop, raw.process_id);

        request_cancel(&mut gate.connect("admin").stream().unwrap(), raw.process_id, &raw.key);
        let messages = raw.until(tag::READY_FOR_QUERY);
        assert_eq!(sqlstate(&messages), "57014", "{version} {protocol:?}");
        assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
        assert_eq!(gate.statement("pg_sleep")["outcome"]["sqlstate"], "57014");
    }
}

#[test]
fn psycopg_cancels_as_libpq_does() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        for (option, protocol) in
            [("max_protocol_version=3.0", 30_000), ("max_protocol_version=latest", 30_002)]
        {
            let found = answer(psycopg(&gate.libpq("admin"), &["cancel", option]));
            let expected = json!({
                "sqlstate": "57014", "pid_is_the_servers": true, "protocol": protocol, "goes_on": [[1]]
            });
            assert_eq!(found, expected, "{version}");
        }
    }
}

#[test]
fn psql_cancels_when_it_is_interrupted() {
    // psql 15 sends its CancelRequest in the clear, psql 17 as it sent the rest.
    for version in [Version::V15, Version::V17] {
        let gate = Gate::new(Version::V18);
        let mut command = psql(version, &gate.libpq("admin"));
        command.args(["-c", "SELECT pg_sleep(60)"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let running =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'
                       AND datname = current_database()";
        poll(SOON, || (gate.shop.sql(running) == "1").then_some(())).expect("it runs");
        let interrupted = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
        assert!(interrupted.unwrap().success());
        let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        assert!(said.contains("57014"), "{version}: {said}");
    }
}

#[test]
fn notifications_arrive_from_others_and_from_oneself() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        let found = answer(psycopg(&gate.libpq("admin"), &["listen"]));
        let expected = json!([["shop_events", "from another", true], ["shop_events", "from itself", true]]);
        assert_eq!(found, expected, "{version}");
        let refused = gate.open("support-agent").query("LISTEN shop_events");
        assert_eq!(refused[0].field(b'C'), "42501", "who may not execute it can't listen");
    }
}

#[test]
fn copy_goes_out_masked_and_comes_in_whole() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        let out = format!("COPY ({LIST}) TO STDOUT");
        let found = answer(psycopg(&gate.libpq("support-agent"), &["copy_out", &out]));
        let expected = json!([
            ["1", "Bo Dahl", "b***@e***.com", "+*-***-**19", "***6007", "1963-01-01", null],
            ["10", "Ada Ito", "a***@e***.com", "+*-***-**90", "***0070", "1977-01-01", "[redacted]"]
        ]);
        assert_eq!(found, expected, "{version}");
        let binary = gate.open("support-agent").query(&format!("COPY ({LIST}) TO STDOUT (FORMAT binary)"));
        let bytes = format!("{binary:?}");
        assert!(bytes.contains("b***@e***.com") && !bytes.contains("bo.dahl1"), "{version}: {bytes}");

        let into = "COPY products (name, category, price) FROM STDIN";
        let lines = ["a\\tb\thome\t1.50", "c\tgarden\t2"];
        let tag = answer(psycopg(&gate.libpq("admin"), &["copy_in", into, lines[0], lines[1]]));
        assert_eq!(tag, "COPY 2", "{version}");
        let kept = gate.shop.sql("SELECT name, price FROM products WHERE id > 1000 ORDER BY id");
        assert_eq!(kept, "a\tb|1.50\nc|2.00");
        let refused = gate.open("support-agent").query(into);
        assert_eq!(refused[0].field(b'C'), "42501");
        assert_eq!(refused.len(), 2, "no CopyInResponse: {refused:?}");
        assert_eq!(gate.statements("COPY products", 2)[0]["outcome"]["tag"], "COPY 2");
    }
}

#[test]
fn the_session_is_the_logins_and_the_clients_user_name_is_only_recorded() {
    let gate = Gate::new(Version::V18);
    let mut raw = gate.connect("support-agent").open();
    assert_eq!(raw.rows("SELECT current_user, session_user"), format!("{LOGIN}|{LOGIN}"));
    assert_eq!(gate.events("session_started", 1)[0]["user"], "support-agent");
}
#[test]
fn a_simple_query_leaves_no_transaction_open() {
    for version in Version::ALL {
        let gate = Gate::new(version);
        let mut raw = gate.open("support-agent");
        // Each of a shape that no session has had before, so that the gateway asks the server about it first.
        for sql in
            ["SELECT 1", "UPDATE tickets SET status = 'closed' WHERE id = 1", "SELECT id FROM orders LIMIT 1"]
        {
            let ready = raw.query(sql).pop().unwrap();
            assert_eq!((ready.tag, ready.body), (tag::READY_FOR_QUERY, b"I".to_vec()), "{version}: {sql}");
        }
        assert_eq!(
            gate.shop.sql("SELECT status FROM tickets WHERE id = 1"),
            "closed",
            "{version}: it is committed"
        );
        raw.query("UPDATE tickets SET subject = 'mine' WHERE id = 2");
        drop(raw);
        gate.events("disconnected", 1);
        assert_eq!(gate.shop.sql("SELECT subject FROM tickets WHERE id = 2"), "mine", "{version}");
    }
}

#[test]
fn an_error_at_bind_is_the_outcome_of_its_statement() {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    // PostgreSQL computes this when it plans, which is at Bind.
    let sql = "SELECT 10 / $1::int FROM orders LIMIT 1";
    let messages = Flight::default().parse("", sql).bind("", &["0"], 0).execute().sync().answered(&mut raw);
    assert_eq!(sqlstate(&messages), "22012");
    let record = gate.statement("SELECT 10 /");
    assert_eq!(record["outcome"]["sqlstate"], "22012", "{record:#}");
}
