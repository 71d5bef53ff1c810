//! Each statement is sent twice: by psql, and by a client that keeps what it receives, which is then printed. Both must read alike.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::SessionId;
use recording::{Decision, Entry, Kept, Opening, Sent, What};
use replay::{Printer, Style};
use testkit::postgres::{Cluster, Version};
use wire::backend::TransactionStatus;

const STATEMENTS: &str = include_str!("statements.sql");

/// Returns the statements of the file: each ends with a line that is `;`.
fn statements() -> Vec<String> {
    STATEMENTS
        .split("\n;\n")
        .map(str::trim_start)
        .filter(|text| !text.trim().is_empty())
        .map(|text| {
            format!("{};", text.replace("<TAB>", "\t").replace("<ESC>", "\u{1b}").replace("<CR>", "\r"))
        })
        .collect()
}

fn opening() -> Opening {
    Opening {
        session: SessionId(1),
        journal: "00".repeat(16),
        gateway: "gate".to_owned(),
        began: 0,
        kept: Kept::Results,
        identity: "corp:ada".to_owned(),
        on_behalf_of: None,
        groups: Vec::new(),
        database: "postgres".to_owned(),
        application_name: "psql".to_owned(),
        server_version: "15".to_owned(),
        rows_max: u64::MAX,
        bytes_max: u64::MAX,
    }
}

/// What psql shows, standard error included, in order.
fn shown(cluster: &Cluster, statements: &[String]) -> String {
    let mut psql = Command::new("sh");
    psql.arg("-c").arg("exec psql -X -e -h \"$0\" -U postgres postgres 2>&1").arg(cluster.socket_dir());
    psql.env("PGCLIENTENCODING", "UTF8").env("LC_ALL", "C.UTF-8");
    psql.env("PGPORT", cluster.port().to_string());
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = psql.stdin.take().unwrap();
    let text = statements.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = psql.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn printed(cluster: &Cluster, statements: &[String]) -> String {
    let mut client = cluster.socket("postgres", "postgres").parameter("client_encoding", "UTF8").open();
    let mut printer = Printer::new(Style::Psql, &opening(), TransactionStatus::Idle);
    let mut out = String::new();
    for (number, text) in (1..).zip(statements) {
        let decision = Decision {
            verdict: "allow".to_owned(),
            rules: Vec::new(),
            sqlstate: None,
            approval: None,
            ..Decision::default()
        };
        let sent =
            Sent { text: text.clone(), parameters: Vec::new(), extended: false, decision, ..Sent::default() };
        let mut whats = vec![What::Sent(Box::new(sent))];
        for message in client.query(text) {
            let mut bytes = vec![message.tag];
            bytes.extend(u32::try_from(message.body.len() + 4).unwrap().to_be_bytes());
            bytes.extend(message.body);
            whats.push(What::Received(bytes));
        }
        for what in whats {
            for piece in printer.print(&Entry { at: Duration::ZERO, statement: number, what }) {
                out.push_str(&piece.text);
            }
        }
    }
    out
}

fn check(version: Version) {
    let cluster = Cluster::plain(version);
    let statements = statements();
    assert!(statements.len() > 40, "{}", statements.len());
    let (shown, printed) = (shown(&cluster, &statements), printed(&cluster, &statements));
    for (at, (a, b)) in shown.lines().zip(printed.lines()).enumerate() {
        assert_eq!(
            a,
            b,
            "line {}, after {:#?}",
            at + 1,
            shown.lines().skip(at.saturating_sub(8)).take(12).collect::<Vec<_>>()
        );
    }
    assert_eq!(shown, printed);
}

#[test]
fn what_is_printed_is_what_psql_shows_on_postgresql_15() {
    check(Version::V15);
}

#[test]
fn what_is_printed_is_what_psql_shows_on_postgresql_18() {
    check(Version::V18);
}
