//! What is left of secrets in the memory of a gateway that lives on. Reads `/proc/PID/mem`, as root can.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::postgres::Version;
use testkit::process::{free_port, poll};
use testkit::scratch::Scratch;

use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, SOON, Setup, Shop, fresh_name, token};

/// Returns which of the needles are somewhere in a process's memory: on heaps, stacks, in the environment.
pub(crate) fn found(pid: u32, needles: &[(&'static str, Vec<u8>)]) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let needles: BTreeMap<_, _> = needles.iter().map(|(name, needle)| (*name, hex(needle))).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients/search_memory.py");
    let mut python =
        Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({ "pid": pid, "needles": needles }).to_string();
    // Dropped after it, so that the script finds the end.
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "only root may read another process's memory");
    serde_json::from_slice(&output.stdout).unwrap()
}

const NOTHING: [&str; 0] = [];

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// Returns the keys of SCRAM-SHA-256 (RFC 5802, section 3) for a role's password and the salt that the server has.
fn scram_keys(shop: &Shop, role: &str, password: &str) -> Vec<(&'static str, Vec<u8>)> {
    let verifier = shop.sql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'"));
    let (_, rest) = verifier.trim().split_once('$').unwrap();
    let (head, keys) = rest.split_once('$').unwrap();
    let (iterations, salt) = head.split_once(':').unwrap();
    let salt = STANDARD.decode(salt).unwrap();
    let mut round = hmac(password.as_bytes(), &[salt.as_slice(), &[0, 0, 0, 1]].concat());
    let mut salted = round.clone();
    for _ in 1..iterations.parse().unwrap() {
        round = hmac(password.as_bytes(), &round);
        salted.iter_mut().zip(&round).for_each(|(byte, other)| *byte ^= other);
    }
    let (client, server) = (hmac(&salted, b"Client Key"), hmac(&salted, b"Server Key"));
    let stored = Sha256::digest(&client).to_vec();
    assert_eq!(
        keys,
        format!("{}:{}", STANDARD.encode(&stored), STANDARD.encode(&server)),
        "the keys are right"
    );
    vec![("salted password", salted), ("client key", client), ("server key", server), ("stored key", stored)]
}

fn secret_file(home: &Scratch, name: &str, content: &str) {
    fs::set_permissions(home.write(name, content), Permissions::from_mode(0o600)).unwrap();
}

/// A gateway whose login is in files, and a further database whose server accepts connections and never says a word.
fn gateway(silent: u16) -> Gate {
    let home = Scratch::new("gatepost");
    secret_file(&home, "password", LOGIN_PASSWORD);
    secret_file(&home, "silent-password", SILENT_PASSWORD);
    home.write("silent/bundle.toml", "name = \"silent\"\nversion = \"1\"\n");
    home.write("silent/all.cedar", "permit (principal, action, resource);\n");
    let setup = Setup {
        login: Some("kind = \"static\", user = \"env:SHOP_USER\", password = \"file:password\"".into()),
        sections: format!(
            "[[database]]\nname = \"silent\"\nupstream = \"postgres://127.0.0.1:{silent}/x\"\npolicy = \"silent\"\n\
             login = {{ kind = \"static\", user = \"env:SHOP_USER\", password = \"file:silent-password\" }}\n\
             [limits]\nconnect_timeout = \"3s\"\n"
        ),
        environment: vec![
            ("A_MARKER".into(), "in-the-environment-8d2f".into()),
            ("SHOP_PASSWORD".into(), "x".into()),
        ],
        ..Setup::default()
    };
    setup.start_in(home, Shop::new(Version::V15))
}

const SILENT_PASSWORD: &str = "n3ver-asked-for-77aa1c";

#[test]
fn nothing_is_left_of_a_sessions_secrets_when_it_has_ended() {
    let gate = gateway(free_port());
    let pid = gate.gateway.pid();
    let jwt = token("support-agent");
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let mut secrets = scram_keys(&gate.shop, LOGIN, LOGIN_PASSWORD);
    secrets.push(("password", LOGIN_PASSWORD.into()));
    secrets.push(("token", signed.into()));
    secrets.push(("token's signature", signature.into()));
    let name = format!("alias_{}", fresh_name());

    // Several at once, so that every thread of the gateway has had one.
    let mut sessions: Vec<_> = (0..8).map(|_| gate.open("support-agent")).collect();
    for session in &mut sessions {
        assert_eq!(session.rows(&format!("SELECT 1 AS {name}")), "1");
    }
    // The search finds what is there: on the stack's top, and on the heap, where a statement's shape is remembered.
    let markers = [("environment", b"in-the-environment-8d2f".to_vec()), ("shape", name.into_bytes())];
    assert_eq!(found(pid, &markers).len(), 2, "{:?}", found(pid, &markers));
    // While sessions live, their database's password and its keys are gone already. (TLS may still hold the token in its buffer.)
    let early: Vec<_> = secrets.iter().filter(|(name, _)| !name.starts_with("token")).cloned().collect();
    assert_eq!(found(pid, &early), NOTHING);

    drop(sessions);
    let gone = poll(SOON, || found(pid, &secrets).is_empty().then_some(()));
    assert_eq!(gone, Some(()), "{:?}", found(pid, &secrets));
}

#[test]
fn a_legacy_accounts_client_key_is_gone_when_it_is_logged_in() {
    use crate::passthrough::{PASSWORD, SECTIONS, connect, gate};
    let gate = gate(Version::V15, SECTIONS, "");
    let mut sessions: Vec<_> = (0..8).map(|_| connect(&gate, "billing", PASSWORD).open()).collect();
    for session in &mut sessions {
        assert_eq!(session.rows("SELECT current_user"), "billing");
    }
    let keys = scram_keys(&gate.shop, "billing", PASSWORD);
    // StoredKey and ServerKey are the verifier's, which is remembered for some seconds.
    let secrets: Vec<_> =
        keys.into_iter().filter(|(name, _)| matches!(*name, "client key" | "salted password")).collect();
    assert_eq!(secrets.len(), 2);
    assert_eq!(found(gate.gateway.pid(), &secrets), NOTHING);
}

#[test]
fn a_password_is_in_memory_while_a_login_needs_it_and_not_after() {
    let port = free_port();
    let gate = gateway(port);
    // Only now, so that the gateway's own questions at its start were refused at once.
    let _silent = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let pid = gate.gateway.pid();
    let needle = [("password", SILENT_PASSWORD.into())];
    assert_eq!(found(pid, &needle), NOTHING, "not before it is needed");
    let connect = gate.connect_to("support-agent", "silent");
    let client = std::thread::spawn(move || connect.try_open().is_err());
    let there = poll(SOON, || Some(found(pid, &needle)).filter(|found| !found.is_empty()));
    assert_eq!(there, Some(vec!["password".to_owned()]), "the search finds it while the login waits");
    assert!(client.join().unwrap());
    assert_eq!(poll(SOON, || found(pid, &needle).is_empty().then_some(())), Some(()), "it is gone");
}

#[test]
fn memory_is_neither_dumped_nor_read_by_others() {
    let gate = Gate::new(Version::V15);
    let proc = format!("/proc/{}", gate.gateway.pid());
    let limits = fs::read_to_string(format!("{proc}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim();
    let said = gate.gateway.log();
    assert!(said.contains("no core dumps"), "{said}");
    // What is said of locking is so.
    assert_eq!(said.contains("memory is locked"), locked != "0 kB", "{locked}: {said}");
    let checked = gate.run(&["check"]);
    assert!(checked.stdout.contains("no core dumps"), "{checked:?}");
}
