//! What is recorded of sessions: as the client saw it, up to its end, whatever becomes of the gateway.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};

use recording::{Identities, Item, Kept, Reader, What, messages};
use testkit::postgres::Version;
use testkit::process::poll;
use testkit::scratch::Scratch;

use crate::clients::run_psql;
use crate::stage::{Gate, SOON, Setup, Shop, repository};

const LIST: &str = "SELECT id, name, email, ssn FROM customers WHERE id IN (1, 10) ORDER BY id";

/// A gateway that records results, with these lines in both `[recording]`s.
fn recording(section: &str, bundle: &str) -> Gate {
    let policy = Scratch::new("recorded");
    for file in ["analysts.cedar", "dba.cedar", "support.cedar", "bundle.toml"] {
        let from = repository("examples/shop/policy/shop").join(file);
        let text = fs::read_to_string(&from).unwrap_or_else(|e| panic!("{from:?}: {e}"));
        let said = format!("default = \"results\"\n{bundle}");
        policy.write(file, text.replace("default = \"statements\"", &said));
    }
    let sections = format!("[recording]\npath = \"recordings\"\n{section}\n");
    let setup = Setup { policy: policy.path().to_owned(), sections, ..Setup::default() };
    setup.start(Shop::new(Version::V15))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "gpr") {
            found.push(path);
        }
    }
}

fn whats(file: &Path, identities: Option<Identities>) -> (Vec<What>, bool) {
    let mut reader = Reader::open(File::open(file).unwrap(), identities).unwrap();
    let mut all = Vec::new();
    while let Some(item) = reader.read().unwrap() {
        match item {
            Item::Entry(entry) => all.push(entry.what),
            Item::Hole(hole) => panic!("{hole:?}"),
        }
    }
    (all, reader.is_closed())
}

/// What was received, a message after another.
fn received(whats: &[What]) -> Vec<(char, String)> {
    let received = whats.iter().filter_map(|what| match what {
        What::Received(bytes) => Some(bytes),
        _ => None,
    });
    let text = |message: recording::Message<'_>| {
        (char::from(message.tag), String::from_utf8_lossy(message.body).into_owned())
    };
    received.flat_map(|bytes| messages(bytes).map(text).collect::<Vec<_>>()).collect()
}

#[test]
fn a_session_of_psql_is_recorded_as_psql_saw_it_and_archived_and_secrets_are_withheld() {
    let gate = recording("archive = \"here\"\n[[object_store]]\nname = \"here\"\nurl = \"file:archive\"", "");
    let shown = run_psql(&gate.libpq("support-agent"), LIST).stdout;
    assert!(shown.contains("***6007"), "{shown}");
    let ended = gate.events("recording_ended", 1);
    let archived = gate.events("recording_archived", 1);
    assert_eq!((&ended[0]["how"], &ended[0]["rows_cut"]), (&"closed".into(), &0.into()));
    let mut found = Vec::new();
    files(&gate.gateway.home().join("archive"), &mut found);
    let [file] = &found[..] else { panic!("{found:?}: {archived:?}") };
    let mut left = Vec::new();
    poll(SOON, || {
        left.clear();
        files(&gate.gateway.home().join("recordings"), &mut left);
        left.is_empty().then_some(())
    })
    .unwrap();
    let reader = Reader::open(File::open(file).unwrap(), None).unwrap();
    assert_eq!(reader.opening().kept, Kept::Results);
    let verified = recording::verify(File::open(file).unwrap(), |_, _| {}).unwrap().unwrap();
    assert_eq!(verified.hash.to_string(), ended[0]["hash"]);
    let (whats, closed) = whats(file, None);
    assert!(closed && matches!(whats.last(), Some(What::Ended { .. })), "{whats:?}");
    let sent = whats.iter().find_map(|what| match what {
        What::Sent(sent) if sent.text == LIST => Some(sent),
        _ => None,
    });
    assert_eq!(sent.unwrap().decision.verdict, "mask");
    let rows: Vec<_> = received(&whats).into_iter().filter(|(tag, _)| *tag == 'D').collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].1.contains("***6007") && !rows[0].1.contains("bo.dahl"), "{rows:?}");

    // What the journal withholds is withheld here, the server's own words of it included.
    let shown = run_psql(
        &gate.libpq("admin"),
        "SET client_min_messages = log; CREATE ROLE recorded_secret PASSWORD 'hunter2hunter2'",
    );
    gate.events("recording_archived", 2);
    let mut found = Vec::new();
    files(&gate.gateway.home().join("archive"), &mut found);
    for file in found {
        let whats = format!("{:?}", self::whats(&file, None).0);
        assert!(!whats.contains("hunter2hunter2"), "{whats} {shown:?}");
    }
}

#[test]
fn a_killed_gateway_leaves_what_was_recorded_and_the_next_one_closes_it() {
    let mut gate = recording("", "rows = 3");
    let mut raw = gate.open("admin");
    raw.query("SELECT n FROM generate_series(1, 100) n");
    let mut found = Vec::new();
    poll(SOON, || {
        found.clear();
        files(&gate.gateway.home().join("recordings"), &mut found);
        let file = found.first()?;
        // It is there before its first frame is.
        Reader::open(fs::File::open(file).unwrap(), None).ok()?;
        let said = format!("{:?}", whats(file, None).0);
        said.contains("generate_series").then_some(())
    })
    .expect("what was received is in the file while the session goes on");
    gate.gateway.kill();
    // What a crash leaves in the middle of a chunk.
    let torn = fs::read(&found[0]).unwrap();
    fs::write(&found[0], [&torn[..], b"\x89GPR\r\n\x1a\nhalf a chunk"].concat()).unwrap();
    gate.restart();
    let ended = gate.events("recording_ended", 1);
    assert_eq!((&ended[0]["how"], &ended[0]["torn"]), (&"recovered".into(), &20.into()), "{ended:?}");
    let (whats, closed) = whats(&found[0], None);
    assert!(closed, "{whats:?}");
    assert!(matches!(whats.last(), Some(What::Ended { .. })), "{whats:?}");
    let rows = received(&whats).iter().filter(|(tag, _)| *tag == 'D').count();
    assert_eq!(rows, 3);
    assert!(whats.iter().any(|what| matches!(what, What::Cut { rows: 97, .. })), "{whats:?}");
}
