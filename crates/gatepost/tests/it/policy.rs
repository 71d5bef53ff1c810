//! The policy in force: changed while sessions live, refused when it is wrong, only observed where it is so configured, and
//! explained.

use std::fs;
use std::path::Path;

use serde_json::json;
use testkit::client::Raw;
use testkit::postgres::Version;
use testkit::process::poll;
use wire::backend::tag;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Gate, SOON, Setup, Shop};

/// No test of the bundle itself says anything of this column.
const CATEGORY: &str = "SELECT category FROM products WHERE id = 1";
const FORBID_CATEGORY: &str = "@id(\"no-categories\")\nforbid (principal in Group::\"support-agents\", \
                               action == Action::\"select\", resource == Column::\"shop.public.products.category\");\n";

/// Puts a file of the bundle in place as an editor or a deployment does: written beside it, then renamed over it.
fn put(gate: &Gate, name: &str, text: &str) {
    let file = gate.policy().join(name);
    let beside = gate.gateway.home().join("beside");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, file).unwrap();
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Asks until the answer has that SQLSTATE, which it must get soon. Each time in a session of its own: one that asks in the very
/// moment of a change is ended.
#[track_caller]
fn expect_soon(gate: &Gate, sql: &str, state: &str) {
    let mut last = String::new();
    let found = poll(SOON, || {
        last = sqlstate(&gate.open("support-agent").query(sql));
        (last == state).then_some(())
    });
    assert!(found.is_some(), "{sql}: {last:?}, not {state:?}");
}

#[test]
fn a_live_session_feels_a_changed_policy_at_its_next_statement() {
    let gate = Gate::new(Version::V18);
    let mut raw = gate.open("support-agent");
    assert!(!raw.rows(CATEGORY).is_empty());
    // Prepared under the old policy, to be executed under the new one.
    Flight::default().parse("old", CATEGORY).describe_statement("old").sync().answered(&mut raw);
    // And a cursor that has given one row.
    raw.rows("BEGIN; DECLARE c CURSOR FOR SELECT category FROM products ORDER BY id");
    assert!(!raw.rows("FETCH 1 FROM c").is_empty());

    put(&gate, "categories.cedar", FORBID_CATEGORY);
    assert_eq!(gate.events("policy_loaded", 2)[1]["database"], "shop");
    expect_soon(&gate, CATEGORY, "42501");

    assert_eq!(sqlstate(&raw.query("FETCH 1 FROM c")), "42501");
    raw.query("ROLLBACK");
    let again = Flight::default().bind("old", &[], 0).execute().sync().answered(&mut raw);
    assert_eq!(sqlstate(&again), "42501");
    assert_eq!(sqlstate(&raw.query(CATEGORY)), "42501");
    assert_eq!(raw.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl", "the rest goes on");
    let last = gate.audit(&["--event", "statement", "--text", CATEGORY]).pop().unwrap();
    assert!(last["decision"]["rules"].as_array().unwrap().contains(&json!("no-categories")), "{last:#}");

    // A tag makes what was clear come masked, in the same session, for the statement that was prepared before.
    fs::remove_file(gate.policy().join("categories.cedar")).unwrap();
    let manifest = read(&gate.policy(), "bundle.toml");
    put(
        &gate,
        "bundle.toml",
        &manifest.replace("[masks]", "\"public.products.category\" = [\"pii\", \"free-text\"]\n[masks]"),
    );
    let masked = || (gate.open("support-agent").rows_or_none(CATEGORY)? == "[redacted]").then_some(());
    poll(SOON, masked).expect("the category comes masked");
    let again = Flight::default().bind("old", &[], 0).describe_portal().execute().sync().answered(&mut raw);
    let row = again.iter().find(|message| message.tag == tag::DATA_ROW).expect("a row");
    assert_eq!(row.values(), [Some("[redacted]".to_owned())]);
}

/// What [`Raw::rows`] would panic for is no answer yet.
trait RowsOrNone {
    fn rows_or_none(&mut self, sql: &str) -> Option<String>;
}

impl RowsOrNone for Raw {
    fn rows_or_none(&mut self, sql: &str) -> Option<String> {
        let messages = self.query(sql);
        let row = messages.iter().find(|message| message.tag == tag::DATA_ROW)?;
        row.values().remove(0)
    }
}

#[test]
fn a_bad_bundle_is_refused_and_recorded_and_the_old_one_stays() {
    let gate = Gate::new(Version::V15);
    let mut raw = gate.open("support-agent");
    let manifest = read(&gate.policy(), "bundle.toml");
    let support = read(&gate.policy(), "support.cedar");
    let searchable = "\npermit (principal, action == Action::\"filter\", resource == Column::\"shop.public.customers.ssn\");\n";
    let tests = read(&gate.policy(), "tests/support.toml");
    let sql_test = "[[test]]\nname = \"cities are closed\"\ngroups = [\"support-agents\"]\n\
                    sql = \"SELECT city FROM customers\"\nexpect = \"deny\"\n";

    // Each of these is wrong in its own way, and each is mended before the next.
    for (number, (file, text, complaint)) in [
        (
            "support.cedar",
            format!("{support}\npermit (principal, action == Action::\"selct\", resource);"),
            "selct",
        ),
        ("support.cedar", support.get(..support.len() - 3).unwrap().to_owned(), "support.cedar"),
        ("bundle.toml", manifest.replace("[masks]", "[maks]"), "maks"),
        // Breaks a test that is decided at load ...
        ("support.cedar", format!("{support}{searchable}"), "personal data is not searched by"),
        // ... and one that needs the server's reading of a statement.
        ("tests/support.toml", format!("{tests}\n{sql_test}"), "cities are closed"),
    ]
    .into_iter()
    .enumerate()
    {
        let old = read(&gate.policy(), file);
        put(&gate, file, &text);
        let refused = gate.events("policy_refused", number + 1).pop().unwrap();
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.contains(complaint), "{file}: {reason}");
        assert!(gate.gateway.log().contains("refused"), "loudly");
        assert_eq!(sqlstate(&raw.query("SELECT id FROM customers WHERE ssn = '1'")), "42501", "{complaint}");
        assert!(!raw.rows(CATEGORY).is_empty(), "{complaint}");
        assert_eq!(gate.audit(&["--event", "policy_loaded"]).len(), 1, "{complaint}");
        put(&gate, file, &old);
    }
    // A pattern that matches nothing yet may match tomorrow's column, so it is no mistake to refuse, but said loudly.
    put(&gate, "bundle.toml", &manifest.replace("customers.phone\"", "customers.fone\""));
    let said = || gate.gateway.log().contains("public.customers.fone").then_some(());
    poll(SOON, said).expect("a tag on a column that does not exist is complained about");
    put(&gate, "bundle.toml", &manifest);

    put(&gate, "categories.cedar", FORBID_CATEGORY);
    expect_soon(&gate, CATEGORY, "42501");
}

#[test]
fn a_bundle_whose_sql_tests_fail_is_not_in_force_from_the_start_either() {
    let shop = Shop::new(Version::V15);
    let home = testkit::scratch::Scratch::new("bundle");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(crate::stage::repository("examples/shop/policy/shop"))
        .arg(home.path().join("bundle"))
        .status()
        .unwrap();
    assert!(copied.success());
    let policy = home.path().join("bundle");
    let wrong = "\n[[test]]\nname = \"cities are closed\"\ngroups = [\"support-agents\"]\n\
                 sql = \"SELECT city FROM customers\"\nexpect = \"deny\"\n";
    let tests = read(&policy, "tests/support.toml");
    fs::write(policy.join("tests/support.toml"), tests + wrong).unwrap();

    let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Setup { policy, ..Setup::default() }.start(shop)
    }));
    // Not starting would do as well.
    if let Ok(gate) = started {
        assert!(gate.gateway.log().contains("cities are closed"), "the failed test is named");
        let got = gate.connect("support-agent").try_open().map(|mut raw| sqlstate(&raw.query(CATEGORY)));
        assert!(
            !matches!(got.as_deref(), Ok("")),
            "the statement was answered under a policy that fails its own test"
        );
    }
}

#[test]
fn the_bundles_own_tests_run_by_command() {
    let gate = Gate::new(Version::V17);
    let ran = gate.run(&["policy", "test"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("tests with SQL passed: 2"), "{ran:#?}");
    let tests = read(&gate.policy(), "tests/support.toml");
    put(
        &gate,
        "tests/support.toml",
        &tests.replace("expect = \"mask\"\nmasked", "expect = \"allow\"\nmasked"),
    );
    let ran = gate.run(&["policy", "test"]);
    assert_eq!(ran.status, Some(1), "{ran:#?}");
    assert!(
        ran.stdout.contains("the customer list comes masked") || ran.stderr.contains("masked"),
        "{ran:#?}"
    );
}

#[test]
fn what_needs_approval_is_asked_for_naming_who_could_give_it() {
    let gate = Gate::new(Version::V15);
    // It doesn't wait for them.
    let mut raw = gate.connect("support-agent").parameter("options", "-c gatepost.approval=async").open();
    for (sql, approvers) in [
        ("DELETE FROM tickets WHERE id = 1", vec!["support-leads"]),
        ("DELETE FROM tickets", vec!["dba", "support-leads"]),
    ] {
        let messages = raw.query(sql);
        assert_eq!(sqlstate(&messages), "57X01");
        assert!(messages[0].field(b'M').contains("is pending: delete on "), "{messages:?}");
        for approver in &approvers {
            assert!(messages[0].field(b'D').contains(approver), "{messages:?}");
        }
        let record = gate.statements(sql, if approvers.len() == 1 { 1 } else { 2 }).pop().unwrap();
        assert_eq!(record["verdict"], "hold");
        let mut named: Vec<_> =
            record["decision"]["approvers"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, approvers);
    }
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120");
}

#[test]
fn explain_names_each_part_its_rules_and_what_would_help() {
    let gate = Gate::new(Version::V18);
    let explain = |sql: &str, format: &str| {
        let ran = gate.run(&[
            "policy",
            "explain",
            "--as",
            "corp:ada",
            "--groups",
            "support-agents",
            "--sql",
            sql,
            "--format",
            format,
        ]);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
        ran.stdout
    };
    let mixed =
        explain("UPDATE tickets SET body = (SELECT ssn FROM customers WHERE id = 1) WHERE id = 1", "table");
    for part in ["public.tickets", "public.customers.ssn", "support-updates-tickets", "deny"] {
        assert!(mixed.contains(part), "{part:?} in\n{mixed}");
    }
    let held = explain("DELETE FROM tickets", "table");
    for part in ["no-whole-table-writes", "support-leads", "dba"] {
        assert!(held.contains(part), "{part:?} in\n{held}");
    }
    let masked: serde_json::Value =
        serde_json::from_str(&explain("SELECT name, email FROM customers", "json")).unwrap();
    let text = masked.to_string();
    assert!(
        masked["schema"] == 1
            && text.contains("support-reads-masked")
            && text.contains("public.customers.email"),
        "{text}"
    );
    assert_eq!(gate.audit(&["--event", "statement"]).len(), 0);
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120", "nothing is executed");
    let unknown = gate.run(&["policy", "explain", "--as", "corp:ada", "--sql", "SELECT * FROM nowhere"]);
    assert_eq!(unknown.status, Some(1));
    assert!(unknown.stdout.contains("relation \"nowhere\" does not exist (42P01)"), "{unknown:#?}");
}

#[test]
fn without_enforcement_everything_passes_as_observed_and_masks_stay() {
    let setup = Setup { database_keys: "enforce = false".into(), ..Setup::default() };
    let gate = setup.start(Shop::new(Version::V15));
    let mut raw = gate.open("support-agent");
    assert_eq!(
        raw.rows("SELECT name, email FROM customers WHERE ssn LIKE '937%6007'"),
        "Bo Dahl|b***@e***.com"
    );
    assert_eq!(raw.rows("DELETE FROM tickets WHERE id = 1 RETURNING id"), "1");
    assert_eq!(raw.rows("SELECT email FROM customers WHERE id = 1"), "b***@e***.com");
    assert!(!raw.rows("SELECT city FROM customers WHERE id = 1").is_empty());
    let verdicts: Vec<_> = gate
        .statements("FROM", 4)
        .iter()
        .map(|record| (record["verdict"].clone(), record["outcome"]["tag"].clone()))
        .collect();
    assert_eq!(
        json!(verdicts),
        json!([
            ["observed-deny", "SELECT 1"],
            ["observed-hold", "DELETE 1"],
            ["mask", "SELECT 1"],
            ["allow", "SELECT 1"]
        ])
    );
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "119");
    let found = gate.audit(&["--verdict", "observed-deny"]);
    assert_eq!(found.len(), 1);
}

#[test]
fn without_enforcement_and_masks_everything_is_clear_and_on_record() {
    let setup = Setup { database_keys: "enforce = false\nmask = false".into(), ..Setup::default() };
    let gate = setup.start(Shop::new(Version::V15));
    let mut raw = gate.open("support-agent");
    assert_eq!(raw.rows("SELECT email FROM customers WHERE id = 1"), "bo.dahl1@example.com");
    let record = gate.statement("SELECT email");
    assert_eq!(record["verdict"], "observed-mask");
    assert_eq!(record["decision"]["masks"], json!([{"column": "public.customers.email", "mask": "email"}]));
}
