//! The audit trail is signed by the gateway as it comes, and what that proves needs public keys alone: also by other tools than ours.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::stage::{Gate, SOON, Setup, Shop};

/// Runs `audit verify` in a gateway's folder and returns its status and report.
fn verified(gate: &Gate, arguments: &[&str]) -> (Option<i32>, Value) {
    let all = [&["audit", "verify", "--format", "json"], arguments].concat();
    let ran = gate.run(&all);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:#?}"));
    (ran.status, report[0].clone())
}

fn worked(gate: &Gate, id: u32) -> u64 {
    let text = format!("SELECT name FROM customers WHERE id = {id}");
    gate.open("support-agent").query(&text);
    gate.statement(&text)["seq"].as_u64().unwrap()
}

fn openssl(arguments: &[&str], folder: &Path) -> bool {
    Command::new("openssl").args(arguments).current_dir(folder).output().unwrap().status.success()
}

/// Follows a proof as RFC 6962 and RFC 9162 say, with none of our code, and returns the root.
fn root_by_hand(proof: &Value, size: u64) -> [u8; 32] {
    let record = &proof["record"];
    let hex = |text: &Value| {
        let digits = text.as_str().unwrap().as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect::<Vec<u8>>()
    };
    let payload = record["payload"].as_str().unwrap().as_bytes();
    // As the reference page has it.
    let hash = Sha256::new()
        .chain_update(b"gatepost record 1")
        .chain_update(hex(&record["previous"]))
        .chain_update(record["seq"].as_u64().unwrap().to_le_bytes())
        .chain_update(record["time_ns"].as_i64().unwrap().to_le_bytes())
        .chain_update([record["kind"].as_u64().unwrap() as u8, 0])
        .chain_update((record["code"].as_u64().unwrap() as u16).to_le_bytes())
        .chain_update((payload.len() as u32).to_le_bytes())
        .chain_update(Sha256::digest(payload))
        .finalize();
    let node = |left: &[u8], right: &[u8]| -> [u8; 32] {
        Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
    };
    let mut root: [u8; 32] = Sha256::new().chain_update([0]).chain_update(hash).finalize().into();
    let (mut at, mut last) = (record["seq"].as_u64().unwrap() - 1, size - 1);
    for beside in proof["path"].as_array().unwrap() {
        let beside = STANDARD.decode(beside.as_str().unwrap()).unwrap();
        if at % 2 == 1 || at == last {
            root = node(&beside, &root);
            while at % 2 == 0 && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            root = node(&root, &beside);
        }
        (at, last) = (at / 2, last / 2);
    }
    assert_eq!(last, 0);
    root
}

#[test]
fn a_record_is_proven_by_one_document_and_a_public_key() {
    let mut gate = Gate::new(Version::V18);
    let seq = worked(&gate, 1);
    gate.gateway.stop(SOON).unwrap();
    // Signed out of the box, to the end, by a key that only the gateway can read.
    let home = gate.gateway.home().to_owned();
    let state = home.join("data/state");
    let mode = fs::metadata(state.join("signing.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (status, report) = verified(&gate, &[]);
    assert_eq!((status, &report["standing"]), (Some(0), &"whole".into()), "{report:#}");
    assert!(report["not_yet_signed"].as_u64().unwrap() <= 2, "{report:#}");
    let key = fs::read_to_string(state.join("signing.pem.pub")).unwrap();
    assert_eq!(report["keys"], serde_json::json!([key.trim()]));

    // In a folder of its own, with nothing of the gateway's.
    let away = Scratch::new("auditor");
    let proof = away.path().join("proof.json");
    let proof = proof.to_str().unwrap();
    let ran = gate.run(&["audit", "prove", &seq.to_string(), "--out", proof]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    let document = fs::read_to_string(proof).unwrap();
    let check = |document: &str, key: &str| {
        let path = away.write("given.json", document);
        let ran = gate.run(&["audit", "verify", "--proof", path.to_str().unwrap(), "--key", key.trim()]);
        (ran.status, ran.stdout)
    };
    let (status, said) = check(&document, &key);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("SELECT name FROM customers"), "{said}");
    // Whatever is changed in it, it proves nothing.
    let stranger =
        gate.run(&["audit", "keygen", "--out", away.path().join("other.pem").to_str().unwrap()]).stdout;
    assert_eq!(check(&document, &stranger).0, Some(1));
    let parsed: Value = serde_json::from_str(&document).unwrap();
    for (from, to) in [
        ("customers", "custom3rs"),
        ("\"seq\": ", "\"seq\": 1"),
        ("\"code\": 20", "\"code\": 21"),
        ("\"time\": \"20", "\"time\": \"19"),
    ] {
        let changed = document.replacen(from, to, 1);
        assert_ne!(changed, document);
        assert_eq!(check(&changed, &key).0, Some(1), "{from}");
    }
    let mut shorter = parsed.clone();
    shorter["path"].as_array_mut().unwrap().pop();
    assert_eq!(check(&shorter.to_string(), &key).0, Some(1));

    // Others' tools say the same: the path leads to the root, and OpenSSL knows the signature.
    let note = parsed["checkpoint"].as_str().unwrap();
    let lines: Vec<&str> = note.lines().collect();
    let size: u64 = lines[1].parse().unwrap();
    assert_eq!(STANDARD.encode(root_by_hand(&parsed, size)), lines[2]);
    let (text, signature) = note.rsplit_once("\n\n").unwrap();
    away.write("text", format!("{text}\n"));
    let signature = STANDARD.decode(signature.trim().rsplit_once(' ').unwrap().1).unwrap();
    fs::write(away.path().join("signature"), &signature[4..]).unwrap();
    fs::copy(state.join("signing.pem"), away.path().join("signing.pem")).unwrap();
    assert!(openssl(&["pkey", "-in", "signing.pem", "-pubout", "-out", "public.pem"], away.path()));
    let verify = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "public.pem",
        "-rawin",
        "-in",
        "text",
        "-sigfile",
        "signature",
    ];
    assert!(openssl(&verify, away.path()));
    let printed =
        gate.run(&["audit", "keygen", "--public-key", away.path().join("public.pem").to_str().unwrap()]);
    assert_eq!(printed.stdout, key);

    // A chain that somebody wrote anew, who has everything but the key, is told from the signed one.
    let (status, report) = verified(&gate, &["--key", stranger.trim()]);
    assert_eq!((status, &report["standing"]), (Some(1), &"unsigned".into()), "{report:#}");
}

#[test]
fn a_command_signs_and_keys_are_replaced_by_their_own_word() {
    let home = Scratch::new("gatepost");
    for name in ["first", "second"] {
        let key = home.path().join(format!("{name}.pem"));
        let made =
            Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).output();
        assert!(made.unwrap().status.success());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(openssl(
            &["pkey", "-in", &format!("{name}.pem"), "-pubout", "-out", &format!("{name}.pub.pem")],
            home.path()
        ));
    }
    // Stands for a key service: the private key is nowhere in the gateway's configuration.
    let script = "#!/bin/sh\nset -e\nt=$(mktemp)\ntrap 'rm -f $t' EXIT\ncat >$t\nopenssl pkeyutl -sign -inkey second.pem -rawin -in $t | base64 -w0\n";
    let script = home.write("sign.sh", script);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let public = |gate: &Gate, name: &str| {
        gate.run(&["audit", "keygen", "--name", name, "--public-key", &format!("{name}.pub.pem")])
            .stdout
            .trim()
            .to_owned()
    };
    let shop = Shop::new(Version::V18);
    let journal = |keys: &str| format!("path = \"journal\"\n[journal.signing]\ninterval = \"1s\"\n{keys}");
    let setup =
        Setup { journal_keys: journal("name = \"first\"\nkey = \"file:first.pem\""), ..Setup::default() };
    let mut gate = setup.start_in(home, shop);
    worked(&gate, 2);
    let (first, second) = (public(&gate, "first"), public(&gate, "second"));
    // Without anything said, within the interval.
    let signed =
        |gate: &Gate, key: &str| poll(SOON, || (verified(gate, &["--key", key]).0 == Some(0)).then_some(()));
    signed(&gate, &first).expect("a checkpoint");
    gate.gateway.stop(SOON).unwrap();

    let config = gate.gateway.home().join("gatepost.toml");
    let before = fs::read_to_string(&config).unwrap();
    let by_command = format!("name = \"second\"\ncommand = \"exec:./sign.sh\"\npublic_key = \"{second}\"");
    let handing_over =
        format!("{by_command}\n[journal.signing.previous]\nname = \"first\"\nkey = \"file:first.pem\"");
    fs::write(&config, before.replace("name = \"first\"\nkey = \"file:first.pem\"", &handing_over)).unwrap();
    gate.restart();
    let changed = gate.events("signing_key_changed", 1).remove(0);
    assert_eq!((&changed["from"], &changed["to"]), (&first.clone().into(), &second.clone().into()));
    let seq = worked(&gate, 3);
    gate.gateway.stop(SOON).unwrap();
    let (status, report) = verified(&gate, &["--key", &first]);
    assert_eq!((status, &report["keys"]), (Some(0), &serde_json::json!([second])), "{report:#}");
    assert!(report["not_yet_signed"].as_u64().unwrap() <= 2, "{report:#}");
    // Whoever noted the first key verifies what the second has signed.
    let ran = gate.run(&["audit", "prove", &seq.to_string(), "--out", "proof.json"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    for key in [&first, &second] {
        assert_eq!(
            gate.run(&["audit", "verify", "--proof", "proof.json", "--key", key]).status,
            Some(0),
            "{key}"
        );
    }

    // What the command signs with another key is no checkpoint, and that is told; statements go on.
    let wrong = fs::read_to_string(&script).unwrap().replace("second.pem", "first.pem");
    fs::write(&script, wrong).unwrap();
    gate.restart();
    worked(&gate, 4);
    let failed = gate.events("signing_failed", 1).remove(0);
    assert!(failed["reason"].as_str().unwrap().contains("no signature of this text"), "{failed}");
    gate.gateway.stop(SOON).unwrap();
    assert_eq!(verified(&gate, &["--key", &first]).0, Some(0));
}

#[test]
fn a_signed_journal_is_not_signed_on_by_a_key_made_anew() {
    let mut gate = Gate::new(Version::V18);
    worked(&gate, 5);
    gate.gateway.stop(SOON).unwrap();
    let key = gate.gateway.home().join("data/state/signing.pem");
    fs::remove_file(&key).unwrap();
    let ran = gate.run(&["serve"]);
    assert_eq!(ran.status, Some(1), "{ran:#?}");
    assert!(ran.stderr.contains("signing.pem") && ran.stderr.contains("put it back"), "{ran:#?}");
    assert!(!key.exists());
}
