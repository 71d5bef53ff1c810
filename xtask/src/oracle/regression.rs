//! PostgreSQL's own regression SQL, replayed by psql through a relay that asks about each statement before it is run, on the same
//! connection and in the same transaction: what temporary tables, search_path and uncommitted definitions make of it is all there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use session::Catalog;
use testkit::client::Message;
use testkit::postgres::{Cluster, SUPERUSER, Version};
use testkit::process::tools;
use wire::backend::tag;

use super::inner::{Kind, kind};
use super::judge::{Outcome, Setting, Tally, judge};
use super::server::Server;

/// What became of the whole suite.
#[derive(Default)]
pub(crate) struct Replayed {
    /// SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, TABLE, and queries inside other statements.
    pub(crate) queries: Tally,
    /// Other statements that the server carried out: are they understood at all?
    pub(crate) utilities: Tally,
}

/// What a connection of psql's reports.
enum Seen {
    Query(String, Outcome),
    Utility(String, Option<String>),
}

/// The version whose suite it is.
pub(crate) const VERSION: Version = Version::V15;
const DATABASE: &str = "regression";
/// Objects that come with the server keep their numbers and meanings (`FirstNormalObjectId`, access/transam.h).
const OF_SERVER: &str = "oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid";

fn folder() -> PathBuf {
    tools().join("regression-15")
}

/// Names the files in the order of the suite's schedule.
///
/// # Panics
/// The suite isn't there.
pub(crate) fn files() -> Vec<String> {
    let schedule = folder().join("parallel_schedule");
    let text = fs::read_to_string(&schedule)
        .unwrap_or_else(|error| panic!("{schedule:?}: {error}: run scripts/corpora.sh"));
    let tests = text.lines().filter_map(|line| line.strip_prefix("test:"));
    tests.flat_map(|line| line.split_whitespace().map(str::to_owned)).collect()
}

/// Replays files, in order; says after each what was found so far.
pub(crate) fn replay(cluster: &Cluster, files: &[String], mut so_far: impl FnMut(&Replayed, usize)) {
    let mut setup = make_database(cluster);
    setup.load_catalog(&format!("c.{OF_SERVER}"), &format!("p.{OF_SERVER}"));
    let catalog = setup.catalog();
    let results = testkit::scratch::Scratch::new("regression");
    make_writable(results.path());
    let (report, reports) = channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut replayed = Replayed::default();
    thread::scope(|scope| {
        let report = Arc::new(Mutex::new(Some(report)));
        let sender = report.clone();
        scope.spawn(move || {
            for client in listener.incoming() {
                let Some(report) = sender.lock().expect("no panic").clone() else { return };
                let catalog = catalog.clone();
                let Ok(client) = client else { continue };
                scope.spawn(move || serve(client, cluster, catalog, &report));
            }
        });
        for (done, file) in files.iter().enumerate() {
            eprintln!("oracle: {} {file}", cluster.version());
            psql(port, file, results.path());
            for seen in reports.try_iter() {
                replayed.add(seen);
            }
            so_far(&replayed, done + 1);
            let tally = &replayed.queries;
            eprintln!(
                "oracle: {} accepted; {} under, {} over, {} unknown; {} other statements unknown",
                tally.accepted,
                tally.under.len(),
                tally.over.len(),
                tally.unknown.len(),
                replayed.utilities.unknown.len()
            );
        }
        *report.lock().expect("no panic") = None;
        // Wakes the listener, which then finds that it is over.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
    });
}

impl Replayed {
    fn add(&mut self, seen: Seen) {
        match seen {
            Seen::Query(text, outcome) => self.queries.add(&text, &outcome, 0),
            Seen::Utility(text, unknown) => {
                self.utilities.asked += 1;
                self.utilities.accepted += 1;
                self.utilities.unknown.extend(unknown.map(|why| (text, why)));
            }
        }
    }
}

fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.join("results")).expect("own directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("own directory");
    fs::set_permissions(path.join("results"), fs::Permissions::from_mode(0o777)).expect("own directory");
}

/// As `pg_regress` makes it (`create_database`, test/regress/pg_regress.c).
fn make_database(cluster: &Cluster) -> Server {
    cluster.fresh_database(DATABASE, SUPERUSER);
    let settings = [
        "lc_messages TO 'C'",
        "lc_monetary TO 'C'",
        "lc_numeric TO 'C'",
        "lc_time TO 'C'",
        "bytea_output TO 'hex'",
        "timezone_abbreviations TO 'Default'",
    ];
    for setting in settings {
        cluster.psql(&format!("ALTER DATABASE {DATABASE} SET {setting}"));
    }
    let mut server = Server::new(cluster.connect(DATABASE), cluster.version(), super::bundle());
    server.set_up();
    server
}

fn psql(port: u16, file: &str, results: &Path) {
    let input = fs::File::open(folder().join(format!("sql/{file}.sql"))).expect("a file of the schedule");
    let output = fs::File::create(results.join(format!("{file}.out"))).expect("own directory");
    let mut psql = Command::new(VERSION.bin().join("psql"));
    psql.args(["-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]);
    psql.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGUSER", SUPERUSER);
    psql.env("PGDATABASE", DATABASE).env("PGTZ", "PST8PDT").env("PGDATESTYLE", "Postgres, MDY");
    psql.env("PGOPTIONS", "-c intervalstyle=postgres_verbose")
        .env("PGSSLMODE", "disable")
        .env("PGGSSENCMODE", "disable");
    psql.env("PG_ABS_SRCDIR", folder()).env("PG_LIBDIR", folder()).env("PG_DLSUFFIX", ".so");
    psql.env("PG_ABS_BUILDDIR", results).env("PAGER", "cat");
    psql.current_dir(results).stdin(Stdio::from(input));
    psql.stdout(output.try_clone().expect("a file")).stderr(output);
    let _ = psql.status().expect("psql");
}

/// One connection of psql's.
struct Relay<'a> {
    client: TcpStream,
    server: Server,
    /// ReadyForQuery's: idle, in a transaction, in a failed one.
    status: u8,
    report: &'a Sender<Seen>,
}

fn serve(mut client: TcpStream, cluster: &Cluster, catalog: Arc<Catalog>, report: &Sender<Seen>) {
    let Some(parameters) = startup(&mut client) else { return };
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let (user, database) = (find("user").unwrap_or_default(), find("database").unwrap_or_default());
    // Whoever it is, the connection is a superuser's, who can ask; the session then becomes theirs.
    let mut connect = cluster.socket(SUPERUSER, &database);
    for (name, value) in parameters.iter().filter(|(name, _)| !["user", "database"].contains(&name.as_str()))
    {
        connect = connect.parameter(name, value);
    }
    let raw = match connect.try_open() {
        Ok(raw) => raw,
        Err(testkit::client::Refused::Error(message)) => {
            let _ = client.write_all(&bytes(&message));
            return;
        }
        Err(_) => return,
    };
    let mut server = Server::with_catalog(raw, cluster.version(), super::bundle(), catalog);
    server.know_role();
    if user != SUPERUSER {
        server.raw.query(&format!("SET SESSION AUTHORIZATION {}", model::quote_identifier(&user)));
    }
    let mut hello = vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0];
    for (name, value) in &server.raw.parameters {
        let body = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat();
        hello.extend(bytes(&Message { tag: b'S', body }));
    }
    let key = [&server.raw.process_id.to_be_bytes(), server.raw.key.as_slice()].concat();
    hello.extend(bytes(&Message { tag: b'K', body: key }));
    hello.extend([b'Z', 0, 0, 0, 5, b'I']);
    if client.write_all(&hello).is_ok() {
        Relay { client, server, status: b'I', report }.run();
    }
}

/// Reads up to the StartupMessage; `None` for a CancelRequest, or nothing.
fn startup(client: &mut TcpStream) -> Option<Vec<(String, String)>> {
    let mut head = [0; 8];
    client.read_exact(&mut head).ok()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
    let (length, code) = (number(&head[..4]), number(&head[4..]));
    if code >> 16 != 3 {
        return None;
    }
    let mut body = vec![0; length - 8];
    client.read_exact(&mut body).ok()?;
    let texts: Vec<String> =
        body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    Some(
        texts
            .chunks_exact(2)
            .filter(|pair| !pair[0].is_empty())
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect(),
    )
}

fn bytes(message: &Message) -> Vec<u8> {
    let length = u32::try_from(message.body.len() + 4).expect("a message");
    [&[message.tag], &length.to_be_bytes()[..], &message.body].concat()
}

/// Of what only a session can say something.
fn is_of_session(why: &str) -> bool {
    why.contains("more than one statement") || why.contains("prepared or declared in a session")
}

impl Relay<'_> {
    fn run(&mut self) {
        while let Some(message) = self.message() {
            match message.tag {
                b'X' => return,
                b'Q' => {
                    let text = message.body.strip_suffix(b"\0").unwrap_or_default();
                    let text = String::from_utf8_lossy(text).into_owned();
                    let asked = self.ask(&text);
                    self.server.raw.send(&bytes(&message));
                    let Some(done) = self.answers() else { return };
                    if let Some((seen, _)) = asked.filter(|(_, always)| *always || done) {
                        let _ = self.report.send(seen);
                    }
                }
                b'S' => {
                    self.server.raw.send(&bytes(&message));
                    if self.answers().is_none() {
                        return;
                    }
                }
                _ => self.server.raw.send(&bytes(&message)),
            }
        }
    }

    fn message(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.client.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
        let mut body = vec![0; usize::try_from(length).expect("a length") - 4];
        self.client.read_exact(&mut body).ok()?;
        Some(Message { tag: head[0], body })
    }

    /// Passes on the answer up to ReadyForQuery; says whether it held no error.
    fn answers(&mut self) -> Option<bool> {
        let mut done = true;
        loop {
            let message = self.server.raw.try_receive().ok()??;
            self.client.write_all(&bytes(&message)).ok()?;
            match message.tag {
                tag::READY_FOR_QUERY => {
                    self.status = message.body[0];
                    return Some(done);
                }
                tag::ERROR_RESPONSE => done = false,
                // CopyInResponse: now it is the client's turn.
                b'G' => loop {
                    let data = self.message()?;
                    self.server.raw.send(&bytes(&data));
                    if matches!(data.tag, b'c' | b'f') {
                        break;
                    }
                },
                _ => {}
            }
        }
    }

    /// Asks about a statement; says whether the answer counts even if the server then fails to carry it out.
    fn ask(&mut self, text: &str) -> Option<(Seen, bool)> {
        let (before, after) = match self.status {
            b'I' => ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "ROLLBACK"),
            b'T' => ("SAVEPOINT gatepost_oracle", "ROLLBACK TO gatepost_oracle; RELEASE gatepost_oracle"),
            _ => return None,
        };
        let before = format!(
            "{before}; SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE; SET LOCAL statement_timeout TO '20s'"
        );
        let setting = Setting { before: &before, after, functions: false };
        let (query, carried) = match kind(text) {
            Kind::Planned => (text, false),
            Kind::Carries(query) => (query, true),
            Kind::Utility => {
                let why = super::judge::examine_only(&mut self.server, text, &setting);
                let why = why.filter(|why| !is_of_session(why));
                return Some((Seen::Utility(text.to_owned(), why), false));
            }
            Kind::Session => return None,
        };
        let outcome = judge(&mut self.server, text, query.trim_end().trim_end_matches(';'), &setting);
        // That the query could be explained does not make the whole statement one that the server accepts.
        match outcome {
            Outcome::Unknown(why) if is_of_session(&why) => None,
            Outcome::Unknown(_) if carried => Some((Seen::Query(text.to_owned(), outcome), false)),
            _ => Some((Seen::Query(text.to_owned(), outcome), true)),
        }
    }
}
