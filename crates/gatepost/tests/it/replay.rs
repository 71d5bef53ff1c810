//! Recordings from the command line: printed as psql showed the session, exported for programs that then take them, and run again at
//! another database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use model::SessionId;
use recording::{Decision, Entry, Kept, Opening, Recipients, Sent, What, Writer};
use serde_json::Value;
use tempfile::TempDir;
use testkit::postgres::{Cluster, Version};

use crate::stage::binary;
use crate::support::Ran;

/// A key of this test's own, and its other half, as age-keygen writes them.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// What the session does. One is refused by the gateway, and so fails its transaction.
const STATEMENTS: [&str; 13] = [
    "CREATE TABLE stock (id int PRIMARY KEY, name text, count int);",
    "INSERT INTO stock VALUES (1, 'bolt', 10), (2, 'nut', 20);",
    "BEGIN;",
    "UPDATE stock SET count = count - 1 WHERE id = 1;",
    "COMMIT;",
    "SELECT id, name, count FROM stock ORDER BY id;",
    "SELECT nope FROM stock;",
    "BEGIN;",
    "INSERT INTO stock VALUES (3, 'nail', 1);",
    "SELECT 1/0;",
    "COMMIT;",
    "SELECT E'a\\x1b[31m\\nb' AS \"what steers\", count(*) FROM stock;",
    "DO $$ BEGIN RAISE NOTICE 'done'; END $$;",
];

struct Recorded {
    folder: TempDir,
    cluster: Cluster,
}

impl Recorded {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(binary());
        command
            .current_dir(self.folder.path())
            .arg("sessions")
            .args(arguments)
            .env_remove("GATEPOST_IDENTITY");
        command.env("ELSEWHERE", format!("postgres://postgres@127.0.0.1:{}/elsewhere", self.cluster.port()));
        command.stdin(Stdio::null()).output().unwrap().into()
    }
}

fn opening() -> Opening {
    Opening {
        session: SessionId(0x1234),
        journal: "00".repeat(16),
        gateway: "gate".to_owned(),
        began: 1_790_000_000_000_000,
        kept: Kept::Results,
        identity: "corp:ada".to_owned(),
        on_behalf_of: None,
        groups: vec!["analysts".to_owned()],
        database: "shop".to_owned(),
        application_name: "psql".to_owned(),
        server_version: "15".to_owned(),
        rows_max: 1000,
        bytes_max: 1 << 20,
    }
}

/// Runs the statements at a database of a new cluster, and writes a recording of it, a chunk for each statement.
fn record(recipients: Option<Recipients>) -> Recorded {
    let cluster = Cluster::plain(Version::V15);
    for name in ["here", "elsewhere"] {
        cluster.fresh_database(name, "postgres");
    }
    let mut client = cluster.socket("postgres", "here").parameter("client_encoding", "UTF8").open();
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&opening(), recipients, &mut bytes).unwrap();
    let mut at = Duration::ZERO;
    for (number, text) in (1..).zip(STATEMENTS) {
        let decision = Decision { verdict: "allow".to_owned(), ..Decision::default() };
        let sent = Sent { text: text.to_owned(), decision, ..Sent::default() };
        writer.push(&Entry { at, statement: number, what: What::Sent(Box::new(sent)) });
        for message in client.query(text) {
            at += Duration::from_millis(7);
            let mut whole = vec![message.tag];
            whole.extend(u32::try_from(message.body.len() + 4).unwrap().to_be_bytes());
            whole.extend(message.body);
            writer.push(&Entry { at, statement: number, what: What::Received(whole) });
        }
        writer.flush(&mut bytes).unwrap();
    }
    writer.push(&Entry { at, statement: 0, what: What::Ended { why: "closed".to_owned() } });
    writer.finish(&mut bytes).unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("session.gpr"), bytes).unwrap();
    Recorded { folder, cluster }
}

/// What `psql -e` shows of a script, standard error in its place.
fn psql(cluster: &Cluster, database: &str, script: &Path) -> String {
    let mut psql = Command::new("sh");
    psql.arg("-c").arg("exec psql -X -e -h \"$0\" -U postgres \"$1\" < \"$2\" 2>&1");
    psql.arg(cluster.socket_dir()).arg(database).arg(script);
    psql.env("PGCLIENTENCODING", "UTF8").env("LC_ALL", "C.UTF-8").env("PGPORT", cluster.port().to_string());
    String::from_utf8(psql.output().unwrap().stdout).unwrap()
}

#[test]
fn a_session_of_psql_is_printed_as_psql_showed_it_and_runs_again() {
    let it = record(None);
    let script = it.file("script.sql");
    fs::write(&script, STATEMENTS.join("\n") + "\n").unwrap();
    it.cluster.fresh_database("third", "postgres");
    let shown = psql(&it.cluster, "third", &script);
    let printed = it.run(&["replay", "session.gpr", "--print", "--plain"]);
    assert_eq!((printed.status, printed.stderr.as_str()), (Some(0), ""));
    assert_eq!(printed.stdout, shown);
    assert!(shown.contains("\\x1B[31m") && !printed.stdout.contains('\u{1b}'));

    let annotated = it.run(&["replay", "session.gpr", "--print"]).stdout;
    assert!(
        annotated.contains("shop=> CREATE TABLE stock") && annotated.contains(" shop=*> COMMIT;"),
        "{annotated}"
    );
    assert!(annotated.contains(" shop=!> COMMIT;\nROLLBACK\n"), "{annotated}");
    assert!(annotated.ends_with("⟦the session ended: closed⟧\n"), "{annotated}");
    let late = it.run(&["replay", "session.gpr", "--statement", "13"]).stdout;
    assert!(late.starts_with("⟦13 ") && late.contains("NOTICE:  done\nDO\n"), "{late}");

    // The script does the same again, at a database that has nothing.
    let exported = it.run(&["export", "session.gpr", "--format", "sql", "--output", "again.sql"]);
    assert_eq!((exported.status, exported.stderr.as_str()), (Some(0), ""));
    it.cluster.fresh_database("fourth", "postgres");
    psql(&it.cluster, "fourth", &it.file("again.sql"));
    let table = |database: &str| it.cluster.psql_in(database, "SELECT * FROM stock ORDER BY id");
    assert_eq!(table("fourth"), table("here"));
    let twice = it.run(&["export", "session.gpr", "--format", "sql", "--output", "again.sql"]);
    assert_eq!(twice.status, Some(1), "nothing is overwritten: {}", twice.stderr);

    let lines = it.run(&["export", "session.gpr", "--format", "jsonl"]).stdout;
    let values: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.iter().filter(|value| value["kind"] == "sent").count(), STATEMENTS.len());
    for format in ["html", "asciicast"] {
        let out = it.run(&["export", "session.gpr", "--format", format]);
        assert!(out.status == Some(0) && !out.stdout.contains('\u{1b}'), "{format}");
    }
}

#[test]
fn what_comes_to_something_else_elsewhere_is_told_and_nothing_stays() {
    let it = record(None);
    let same = it.run(&["replay", "session.gpr", "--against", "env:ELSEWHERE"]);
    assert_eq!((same.status, same.stderr.as_str()), (Some(0), ""), "{}", same.stdout);
    assert!(
        same.stdout
            .ends_with("13 same, 0 different, 0 not told apart, 0 not run; everything was rolled back\n"),
        "{}",
        same.stdout
    );
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 'stock'";
    assert_eq!(it.cluster.psql_in("elsewhere", tables), "0");

    it.cluster.psql_in("elsewhere", "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.count := NEW.count + 5; RETURN NEW; END'");
    it.cluster.psql_in(
        "elsewhere",
        "CREATE FUNCTION hook() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF tg_tag = 'CREATE TABLE' THEN CREATE TRIGGER t BEFORE INSERT ON stock FOR EACH ROW EXECUTE FUNCTION more(); END IF; END $$",
    );
    it.cluster.psql_in("elsewhere", "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION hook()");
    let other = it.run(&["replay", "session.gpr", "--against", "env:ELSEWHERE", "--format", "json"]);
    assert_eq!((other.status, other.stderr.as_str()), (Some(1), ""), "{}", other.stdout);
    let rows: Value = serde_json::from_str(&other.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows:#}");
    assert_eq!((&rows[0]["statement"], &rows[0]["result"]), (&6.into(), &"different".into()));
    assert_eq!(rows[0]["details"][0], "other values in count");
    assert_eq!(it.cluster.psql_in("elsewhere", tables), "0");

    let kept = it.run(&["replay", "session.gpr", "--against", "env:ELSEWHERE", "--commit"]);
    assert_eq!(kept.status, Some(1), "{}{}", kept.stdout, kept.stderr);
    assert_eq!(it.cluster.psql_in("elsewhere", "SELECT count FROM stock ORDER BY id"), "14\n25");
}

#[test]
fn a_recording_that_is_encrypted_or_damaged_says_so() {
    let sealed = record(Some(Recipients::parse(&[RECIPIENT.to_owned()]).unwrap()));
    let out = sealed.run(&["replay", "session.gpr", "--print"]);
    assert_eq!((out.status, out.stdout.as_str()), (Some(1), ""));
    assert!(out.stderr.contains(RECIPIENT) && out.stderr.contains("--identity"), "{}", out.stderr);
    fs::write(sealed.file("key.txt"), format!("# a key\n{IDENTITY}\n")).unwrap();
    let out = sealed.run(&["replay", "session.gpr", "--print", "--identity", "key.txt"]);
    assert_eq!(out.status, Some(0), "{}", out.stderr);
    assert!(out.stdout.contains("shop=> CREATE TABLE stock"), "{}", out.stdout);

    let it = record(None);
    let whole = fs::read(it.file("session.gpr")).unwrap();
    let shown = it.run(&["show", "session.gpr", "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&shown[0]["statements"], &shown[0]["errors"]), (&13.into(), &2.into()), "{shown:#}");
    assert_eq!((&shown[0]["state"], &shown[0]["identity"]), (&"whole".into(), &"corp:ada".into()));

    fs::write(it.file("torn.gpr"), &whole[..whole.len() / 2]).unwrap();
    let torn = it.run(&["replay", "torn.gpr", "--print"]);
    assert!(torn.stdout.contains("CREATE TABLE"), "{}", torn.stdout);
    assert!(torn.stdout.contains("⟦") && !torn.stdout.contains("the session ended"), "{}", torn.stdout);

    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(it.file("changed.gpr"), &changed).unwrap();
    let out = it.run(&["replay", "changed.gpr", "--print"]);
    assert_eq!(out.status, Some(1), "{}", out.stdout);
    assert!(out.stdout.contains("bytes were changed or are missing"), "{}", out.stdout);
    assert!(out.stdout.ends_with("⟦the session ended: closed⟧\n"), "what follows is read: {}", out.stdout);

    fs::write(it.file("other"), "nothing of the kind").unwrap();
    let none = it.run(&["show", "other"]);
    assert!(none.status == Some(1) && none.stderr.contains("no recording"), "{}", none.stderr);
}
