//! Each command's exit status: 0 success, 1 a failed check, 2 wrong usage; data on standard output, the rest on standard error.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::support::{Place, Ran};

#[track_caller]
fn check(ran: &Ran, status: i32, stdout: &str, stderr: &str) {
    assert_eq!(ran.status, Some(status), "{ran:#?}");
    assert!(ran.stdout.contains(stdout), "{stdout:?} in {ran:#?}");
    assert!(ran.stderr.contains(stderr), "{stderr:?} in {ran:#?}");
}

#[test]
fn wrong_usage_is_status_2_and_help_is_status_0() {
    let place = Place::new();
    check(&place.run(&[]), 2, "", "Usage: gatepost");
    check(&place.run(&["serv"]), 2, "", "'serve'");
    check(&place.run(&["check", "--format", "xml"]), 2, "", "[possible values: table, json]");
    check(
        &place.run(&["audit", "query", "--journal", ".", "--since", "soon"]),
        2,
        "",
        "--since \"soon\" is no time",
    );
    check(&place.run(&["policy", "explain", "--sql", "SELECT 1"]), 2, "", "--as");
    check(&place.run(&["--help"]), 0, "Exit status: 0 success", "");
    check(&place.run(&["--version"]), 0, "gatepost 0.", "");
}

#[test]
fn the_configuration_is_found_by_option_then_variable_then_folder() {
    let place = Place::new();
    check(
        &place.run(&["check"]),
        1,
        "",
        "gatepost.toml: error: no such file; write one with \"gatepost init DIR\"",
    );
    place.write("a.toml", "nonsense = 1");
    check(&place.run(&["check", "-c", "a.toml"]), 1, "", "a.toml:1:1: error: unknown key \"nonsense\"");
    let by_variable = place.command(&["check"]).env("GATEPOST_CONFIG", "a.toml").output().unwrap().into();
    check(&by_variable, 1, "", "a.toml:1:1");
    let both =
        place.command(&["check", "-c", "b.toml"]).env("GATEPOST_CONFIG", "a.toml").output().unwrap().into();
    check(&both, 1, "", "b.toml: error: no such file");
    check(&place.run(&["serve", "-c", "a.toml"]), 1, "", "a.toml:1:1");
}

#[test]
fn init_overwrites_nothing_and_what_it_writes_passes_check() {
    let place = Place::new();
    check(&place.run(&["init", "new/gate"]), 0, "wrote new/gate/gatepost.toml", "");
    let config = "new/gate/gatepost.toml";
    let checked = place
        .command(&["check", "-c", config])
        .env("APP_USER", "u")
        .env("APP_PASSWORD", "hunter2")
        .output()
        .unwrap();
    let checked = Ran::from(checked);
    check(&checked, 0, "env:APP_PASSWORD", "");
    assert!(!checked.stdout.contains("hunter2"));
    check(&place.run(&["policy", "check", "new/gate/policy/app"]), 0, "ok", "");
    check(&place.run(&["policy", "schema", "-c", config]), 0, "entity Agent in [Group]", "");

    let changed = place.write(config, "mine");
    check(&place.run(&["init", "new/gate"]), 1, "", "nothing was written");
    assert_eq!(std::fs::read_to_string(changed).unwrap(), "mine");
}

#[test]
fn check_says_what_is_missing_and_fails() {
    let place = Place::new();
    place.run(&["init", "."]);
    let missing = place.command(&["check", "--format", "json"]).env("APP_USER", "u").output().unwrap().into();
    check(
        &missing,
        1,
        "password for database \\\"app\\\": secret \\\"env:APP_PASSWORD\\\" is not set in the environment of the gateway",
        "",
    );
    assert!(
        missing.stdout.starts_with("[\n") && missing.stdout.ends_with("]\n"),
        "one array and nothing else"
    );

    place.write("policy/app/readers.cedar", "permit (principal, action == Action::\"selct\", resource);");
    let broken = place.run(&["policy", "check"]);
    check(&broken, 1, "failed", "readers.cedar:1:");
    check(&broken, 1, "", "^");
}

#[test]
fn a_key_that_everybody_can_read_is_refused() {
    let place = Place::new();
    place.run(&["init", "."]);
    place.write("key.pem", "hunter2");
    place.write("cert.pem", "");
    let key = place.path().join("key.pem");
    let config = place.read("gatepost.toml");
    let tls = "[listen]\ntls = { certificate = \"cert.pem\", key = \"file:key.pem\" }";
    place.write("gatepost.toml", &config.replace("[listen]", tls));
    for (mode, complaint) in [(0o644, "(mode 0644); run chmod o-rw"), (0o600, "certificate  ")] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let ran = place.run(&["check"]);
        check(&ran, 1, complaint, "");
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:#?}");
    }
}

#[test]
fn a_journal_that_is_not_there_fails_and_an_empty_one_does_not_verify() {
    let place = Place::new();
    check(&place.run(&["audit", "query", "--journal", "none"]), 1, "", "can't read \"none\"");
    std::fs::create_dir(place.path().join("empty")).unwrap();
    check(&place.run(&["audit", "query", "--journal", "empty"]), 0, "", "");
    check(&place.run(&["audit", "query", "--journal", "empty", "--format", "json"]), 0, "[]\n", "");
    check(&place.run(&["audit", "verify", "--journal", "empty"]), 1, "damaged", "");
}

#[test]
fn dev_issuer_is_loud_and_dev_token_prints_a_token_and_nothing_else() {
    let place = Place::new();
    let token = place.run(&["dev-token", "alice", "--groups", "readers,writers", "--claim", "level=3"]);
    check(&token, 0, ".", "");
    assert_eq!(token.stdout.trim_end().split('.').count(), 3, "a JWT on one line");
    check(
        &place.run(&["dev-token", "alice", "--claim", "x"]),
        2,
        "",
        "--claim \"x\" must be like department=sales",
    );
    check(&place.run(&["dev-token", "alice", "--lifetime", "15"]), 2, "", "like 30s, 15m or 2h");
    check(&place.run(&["dev-issuer", "--listen", "0.0.0.0:0"]), 1, "", "refuses to listen on 0.0.0.0:0");

    let mut issuer = place
        .command(&["dev-issuer", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut banner = String::new();
    BufReader::new(issuer.stdout.take().unwrap()).read_line(&mut banner).unwrap();
    assert!(banner.contains("DEVELOPMENT ISSUER"), "{banner}");
    let pid = issuer.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(issuer.wait().unwrap().code(), Some(0), "SIGTERM ends it in order");
    let mut log = String::new();
    issuer.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("never trust it in production"), "{log}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    let mut child = place
        .command(&["policy", "schema", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    place.run(&["init", "."]);
    let mut child =
        place.command(&["policy", "schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "");
}
