//! Dynamic database credentials: a user for each session, made by (a double of) Vault on a real PostgreSQL, and gone with the session.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;
use testkit::vault::{Role, Vault};

use crate::flight::sqlstate;
use crate::memory::found;
use crate::stage::{Gate, LOGIN, SOON, Setup, Shop, cluster};

const SECRET_ID: &str = "5ecret-id-of-the-gateway-91b2";

/// A gateway that asks a Vault for each session, whose own token lives for three seconds if nobody uses it.
fn stage(role: Role) -> (Vault, Gate) {
    let version = Version::V15;
    let vault = Vault::start(Box::new(move |sql| drop(cluster(version).psql(sql))));
    vault.role("database/creds/shop", role);
    vault.login("approle", json!({ "role_id": "gatepost", "secret_id": SECRET_ID }), 3);
    let home = Scratch::new("gatepost");
    fs::set_permissions(home.write("secret-id", SECRET_ID), Permissions::from_mode(0o600)).unwrap();
    let sections = format!(
        "[vault]\naddress = \"{}\"\nmethod = \"approle\"\nrole_id = \"env:ROLE_ID\"\nsecret_id = \"file:secret-id\"\n",
        vault.url()
    );
    let login = "kind = \"static\", user = \"vault:database/creds/shop#username\", password = \"vault:database/creds/shop#password\"";
    let setup = Setup {
        login: Some(login.into()),
        sections,
        environment: vec![("ROLE_ID".into(), "gatepost".into())],
        ..Setup::default()
    };
    let gate = setup.start_in(home, Shop::new(version));
    (vault, gate)
}

fn role(ttl: u64, max_ttl: u64) -> Role {
    Role {
        creation: format!("CREATE ROLE \"{{{{name}}}}\" LOGIN PASSWORD '{{{{password}}}}' IN ROLE {LOGIN}"),
        revocation: "DROP ROLE IF EXISTS \"{{name}}\"".into(),
        ttl,
        max_ttl,
    }
}

fn gone(gate: &Gate, user: &str) -> bool {
    gate.shop.sql(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{user}'")).trim() == "0"
}

#[test]
fn each_session_has_a_user_of_its_own_that_goes_with_it_and_leaves_nothing_in_memory() {
    let (vault, mut gate) = stage(role(60, 600));
    poll(SOON, || vault.open_leases().is_empty().then_some(()))
        .expect("the gateway's own questions are over");
    let before = vault.credentials().len();
    let mut sessions = [gate.open("support-agent"), gate.open("support-agent")];
    for session in &mut sessions {
        assert_eq!(session.rows("SELECT name FROM customers WHERE id = 1"), "Bo Dahl");
    }
    let made = vault.credentials().split_off(before);
    assert_eq!(made.len(), 2, "one for each session, user and password of one lease: {:?}", vault.requests());
    assert_ne!(made[0].0, made[1].0);
    let tokens = vault.tokens();
    assert_eq!(tokens.len(), 1, "one login for both");
    assert!(made.iter().all(|(user, _)| !gone(&gate, user)));

    let [first, second] = sessions;
    drop(first);
    let (ended, goes_on) = (poll(SOON, || made.iter().find(|(user, _)| gone(&gate, user))), second);
    let ended = ended.expect("the user goes with its session");
    let other = made.iter().find(|(user, _)| *user != ended.0).unwrap();
    assert!(!gone(&gate, &other.0), "the other session has its own");
    drop(goes_on);
    assert!(poll(SOON, || gone(&gate, &other.0).then_some(())).is_some());

    // Nobody uses the gateway's own token now: it is revoked. Then nothing is left.
    assert!(poll(SOON, || vault.tokens().is_empty().then_some(())).is_some(), "{:?}", vault.requests());
    let needles = [
        ("first password", made[0].1.clone().into_bytes()),
        ("second password", made[1].1.clone().into_bytes()),
        ("token of Vault", tokens[0].clone().into_bytes()),
        ("secret ID", SECRET_ID.into()),
    ];
    let pid = gate.gateway.pid();
    let clean = poll(SOON, || found(pid, &needles).is_empty().then_some(()));
    assert_eq!(clean, Some(()), "{:?}", found(pid, &needles));

    // What is open when the gateway ends is given back.
    let session = gate.open("support-agent");
    let last = vault.credentials().pop().unwrap();
    assert!(gate.gateway.stop(SOON).is_some_and(|status| status.success()));
    drop(session);
    assert!(gone(&gate, &last.0));
    assert_eq!((vault.open_leases().len(), vault.tokens().len()), (0, 0), "{:?}", vault.requests());
}

#[test]
fn a_session_ends_before_a_credential_that_cannot_be_renewed_any_more() {
    let (_vault, gate) = stage(role(2, 6));
    let mut session = gate.open("support-agent");
    assert_eq!(session.rows("SELECT 1"), "1");
    // Longer than the first lease: it was renewed. The last renewal ends at six seconds.
    let began = std::time::Instant::now();
    let end: Vec<_> = std::iter::from_fn(|| session.receive()).collect();
    assert_eq!(sqlstate(&end), "57P01", "{end:?}");
    assert!(began.elapsed().as_secs() >= 3, "{:?}", began.elapsed());
}

#[test]
fn check_says_what_was_resolved_and_leaves_no_lease() {
    let (vault, gate) = stage(role(60, 600));
    let mut command = std::process::Command::new(crate::stage::binary());
    command.args(["check", "--connect"]).current_dir(gate.gateway.home()).env("ROLE_ID", "gatepost");
    let ran: crate::support::Ran = command.output().unwrap().into();
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("a dynamic credential, revoked again"), "{}", ran.stdout);
    for (user, password) in vault.credentials() {
        assert!(!ran.stdout.contains(&password) && !ran.stderr.contains(&password));
        assert!(gone(&gate, &user), "{user}");
    }
    assert!(!ran.stdout.contains(SECRET_ID));
}
