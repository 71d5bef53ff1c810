//! What approvers see of a statement whose session has a role of its own: plan and rows come of a second such role, which is gone afterwards.

use std::fs;

use serde_json::{Value, json};
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;
use wire::backend::tag;

use crate::flight::{Flight, sqlstate};
use crate::holds::{api, decide, held_as, locks};
use crate::roles::{Estate, no_role_is_left, session_roles};
use crate::stage::{SOON, Setup, repository};

fn check(version: Version) {
    let policy = Scratch::new("held-roles");
    for file in ["analysts.cedar", "dba.cedar", "support.cedar", "bundle.toml"] {
        let text = fs::read_to_string(repository("examples/shop/policy/shop").join(file)).unwrap();
        policy.write(
            file,
            text.replace("group = \"support-leads\"", "group = \"clerks\", count_rows = \"5s\""),
        );
    }
    let estate = Estate::new(version);
    let setup = Setup {
        tls: false,
        listen_keys: "http = \"127.0.0.1:0\"".into(),
        sections: "[operators]\noperator = \"corp:dba\"\napprover = [\"corp:clerks\"]\n".into(),
        policy: policy.path().to_owned(),
        ..estate.setup("")
    };
    let gate = setup.start(estate.shop);
    let mut raw = gate.open("support-agent");
    let own = raw.rows("SELECT session_user");
    assert!(own.starts_with("gatepost_s"), "{own}");
    let with = Flight::default().parse("", "DELETE FROM tickets WHERE id <= $1").bind("", &["3"], 0);
    with.execute().sync().to(&mut raw);
    let number = held_as(&mut raw);
    let plan = api(&gate, &format!("GET /api/v1/approvals/{number}/plan"), &Value::Null);
    let plan = plan.to_string();
    assert!(plan.contains("Delete on public.tickets") || plan.contains("Delete on tickets"), "{plan}");
    let count = api(&gate, &format!("POST /api/v1/approvals/{number}/count-rows"), &json!({}));
    assert!(count.to_string().contains("\"deleted\":3"), "{count}");
    // Nothing of it stays: no row is gone, no lock is kept, and the second role has ended.
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "120");
    assert_eq!(locks(&gate, &raw), "0");
    let alone = poll(SOON, || (session_roles(&gate.shop) == own).then_some(()));
    assert!(alone.is_some(), "{}", session_roles(&gate.shop));
    let counted = gate.events("rows_counted", 1);
    assert_eq!(counted[0]["approval"], number);
    decide(&gate, number, "approve");
    assert_eq!(sqlstate(&raw.until(tag::READY_FOR_QUERY)), "");
    assert_eq!(gate.shop.sql("SELECT count(*) FROM tickets"), "117");
    drop(raw);
    no_role_is_left(&gate.shop);
}

#[test]
fn plan_and_rows_of_a_session_with_a_role_of_its_own_on_postgresql_15() {
    check(Version::V15);
}

#[test]
fn plan_and_rows_of_a_session_with_a_role_of_its_own_on_postgresql_18() {
    check(Version::V18);
}
