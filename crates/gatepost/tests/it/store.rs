//! The store as the gateway opens it: where it is by itself, in PostgreSQL, gone, and not ours.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use testkit::postgres::{Cluster, Options, Version};
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop, binary};

/// Returns what `check --connect` found of the store: the result and its detail.
fn found(gate: &Gate) -> (String, String) {
    let ran = gate.run(&["check", "--connect", "--format", "json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
    let row = rows.iter().find(|row| row["what"] == "store").unwrap_or_else(|| panic!("{ran:?}"));
    (row["result"].as_str().unwrap().to_owned(), row["detail"].as_str().unwrap().to_owned())
}

#[test]
fn without_a_word_the_store_is_a_file_that_only_the_gateway_reads() {
    let gate = Gate::new(Version::V15);
    let file = gate.gateway.home().join("data/state/store.db");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (result, detail) = found(&gate);
    assert_eq!(result, "ok", "{detail}");
    assert!(detail.starts_with("SQLite 3.") && detail.ends_with(", schema 1"), "{detail}");
}

#[test]
fn a_store_that_is_not_ours_keeps_the_gateway_from_starting() {
    let home = Scratch::new("gatepost");
    let shop = Shop::new(Version::V15);
    let setup = Setup { sections: "[store]\nurl = \"sqlite:notes.txt\"\n".into(), ..Setup::default() };
    let config = setup.write(&home, shop.cluster, &shop.database);
    home.write("gatepost.toml", config);
    let notes = home.write("notes.txt", "not a database, but long enough to have a header ".repeat(40));
    fs::set_permissions(&notes, Permissions::from_mode(0o600)).unwrap();
    let ran = Command::new("timeout")
        .arg("30")
        .arg(binary())
        .args(["serve", "-c", "gatepost.toml"])
        .current_dir(home.path())
        .envs([("SHOP_USER", LOGIN), ("SHOP_PASSWORD", LOGIN_PASSWORD)])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(told.contains("notes.txt is not a store of gatepost"), "{told}");
}

#[test]
fn a_store_that_is_gone_keeps_nobody_from_what_needs_no_approval() {
    let options =
        Options { ssl: true, hba: Some("hostssl all all all scram-sha-256".into()), ..Options::default() };
    let mut control = Cluster::start(Version::V18, options);
    control.psql("CREATE ROLE keeper LOGIN PASSWORD 'K33per-0nly-s3cret'");
    control.fresh_database("control", "keeper");
    let home = Scratch::new("gatepost");
    home.write("store-ca.crt", control.authority());
    let sections = format!(
        "[store]\nurl = \"postgres://localhost:{}/control?sslmode=verify-full&sslrootcert=store-ca.crt\"\nuser = \"env:STORE_USER\"\npassword = \"env:STORE_PASSWORD\"\n",
        control.port()
    );
    let secrets = [("STORE_USER", "keeper"), ("STORE_PASSWORD", "K33per-0nly-s3cret")];
    let environment = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    control.stop();
    let setup = Setup { sections, environment, ..Setup::default() };
    let gate = setup.start_in(home, Shop::new(Version::V15));
    let log = gate.gateway.log();
    assert!(log.contains("statements that need approval are refused until the store is there"), "{log}");
    assert_eq!(gate.open("support-agent").rows("SELECT 1"), "1");
    control.resume();
    let back = poll(SOON, || gate.gateway.log().contains("the store is back").then_some(()));
    assert!(back.is_some(), "{}", gate.gateway.log());
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'gatepost'::regnamespace AND relname = 'requests'";
    assert_eq!(control.psql_in("control", tables), "1");
    control.stop();
    let lost = poll(SOON, || gate.gateway.log().contains("the store is lost").then_some(()));
    assert!(lost.is_some(), "{}", gate.gateway.log());
    assert_eq!(gate.open("support-agent").rows("SELECT 1"), "1");
    assert!(!gate.gateway.log().contains("K33per"), "{}", gate.gateway.log());
}
