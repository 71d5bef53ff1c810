//! The work that is done through each contestant, and what one run of it yields.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use testkit::scratch::Scratch;

use super::contestant::Contestant;
use super::scene::{NAME, SCALE, program};

/// How pgbench sends its queries (its `--protocol`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Simple,
    Extended,
    Prepared,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Prepared];

    const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

pub(crate) const CLIENTS: [u32; 3] = [1, 8, 64];

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workload {
    /// `pgbench --select-only`.
    Select { mode: Mode, clients: u32 },
    /// One UPDATE of a row, committed for itself, prepared: its record must be on disk before it is forwarded.
    Write { clients: u32 },
    /// A whole wide table, eight columns, by one client.
    Stream { table: &'static str },
    /// A new session for every transaction, by four clients.
    Connect,
}

/// What one run yields.
pub(crate) struct Outcome {
    /// Name and value of each figure.
    pub(crate) figures: Vec<(&'static str, f64)>,
    /// What the process's CPU time is given in ...
    pub(crate) cpu_unit: &'static str,
    /// ... and what its seconds are multiplied by for that.
    pub(crate) cpu_scale: f64,
}

impl Workload {
    pub(crate) fn all() -> Vec<Self> {
        let mut all: Vec<Self> = CLIENTS
            .into_iter()
            .flat_map(|clients| Mode::ALL.map(|mode| Self::Select { mode, clients }))
            .collect();
        all.extend(CLIENTS.map(|clients| Self::Write { clients }));
        all.extend(["wide", "wide_masked"].map(|table| Self::Stream { table }));
        all.push(Self::Connect);
        all
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Select { mode, clients: 1 } => format!("{}, 1 client", mode.name()),
            Self::Select { mode, clients } => format!("{}, {clients} clients", mode.name()),
            Self::Write { clients: 1 } => "writes, 1 client".into(),
            Self::Write { clients } => format!("writes, {clients} clients"),
            Self::Stream { table: "wide" } => "stream, nothing masked".into(),
            Self::Stream { .. } => "stream, one column masked".into(),
            Self::Connect => "new sessions".into(),
        }
    }

    pub(crate) fn run(self, contestant: &Contestant, seconds: u32) -> Outcome {
        match self {
            Self::Select { mode, clients } => transactions(contestant, &["-S"], mode, clients, seconds),
            Self::Write { clients } => {
                let folder = Scratch::new("pgbench-script");
                let script = folder.write("update.sql", update());
                let script = script.display().to_string();
                transactions(contestant, &["-f", &script], Mode::Prepared, clients, seconds)
            }
            Self::Stream { table } => stream(contestant, table),
            Self::Connect => {
                let (tps, transactions) =
                    pgbench(contestant, &["-S", "-C", "-M", "simple", "-c", "4", "-j", "2"], seconds);
                Outcome {
                    figures: vec![("per second", tps)],
                    cpu_unit: "CPU us each",
                    cpu_scale: 1e6 / transactions,
                }
            }
        }
    }
}

/// A row of its own for nearly every transaction, so that the disk and not a lock is what is waited for.
fn update() -> String {
    format!(
        "\\set aid random(1, 100000 * {SCALE})\n\
         UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"
    )
}

fn transactions(contestant: &Contestant, script: &[&str], mode: Mode, clients: u32, seconds: u32) -> Outcome {
    let (count, threads) = (clients.to_string(), clients.min(2).to_string());
    let mut arguments = vec!["-M", mode.name(), "-c", &count, "-j", &threads];
    arguments.extend(script);
    // Single latencies only where there is no queue, and so where they mean something.
    let log = (clients == 1).then(|| Scratch::new("pgbench-log"));
    let prefix = log.as_ref().map(|log| format!("--log-prefix={}/log", log.path().display()));
    if let Some(prefix) = &prefix {
        arguments.extend(["--log", prefix]);
    }
    let (tps, transactions) = pgbench(contestant, &arguments, seconds);
    let mut figures = vec![("tps", tps)];
    if let Some(log) = log {
        figures.push(("p50 us", median_latency_us(log.path())));
    }
    Outcome { figures, cpu_unit: "CPU us per transaction", cpu_scale: 1e6 / transactions }
}

/// Runs pgbench and returns transactions per second, and how many there were.
fn pgbench(contestant: &Contestant, arguments: &[&str], seconds: u32) -> (f64, f64) {
    let output = Command::new(program("pgbench"))
        .args(["-n", "-U", NAME, "-h", &contestant.address.ip().to_string()])
        .args(["-p", &contestant.address.port().to_string(), "-T", &seconds.to_string()])
        .args(arguments)
        .arg(NAME)
        .env("PGPASSWORD", &contestant.password)
        .env("PGSSLMODE", "disable")
        .output()
        .expect("pgbench");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: pgbench {arguments:?}: {complaint}", contestant.name);
    let number = |prefix: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(prefix));
        let word = line.and_then(|rest| rest.split([' ', '/']).find(|word| !word.is_empty()));
        word.and_then(|word| word.parse::<f64>().ok())
    };
    let transactions = number("number of transactions actually processed:");
    let transactions = transactions.unwrap_or_else(|| panic!("no transactions in:\n{said}"));
    // Where not even one was finished in time pgbench gives no rate.
    (number("tps = ").unwrap_or(0.0), transactions.max(1.0))
}

/// Returns the median of the third field of every line (pgbench, "Per-Transaction Logging").
fn median_latency_us(folder: &Path) -> f64 {
    let mut latencies: Vec<u32> = Vec::new();
    for entry in fs::read_dir(folder).expect("own directory").flatten() {
        let text = fs::read_to_string(entry.path()).expect("pgbench's log");
        latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u32>().ok()));
    }
    latencies.sort_unstable();
    f64::from(*latencies.get(latencies.len() / 2).expect("transactions"))
}

fn stream(contestant: &Contestant, table: &str) -> Outcome {
    let mut raw = contestant.connect().open();
    let start = Instant::now();
    let bytes = raw.count(&format!("SELECT a, b, c, d, e, f, g, h FROM {table}")) as f64;
    let seconds = start.elapsed().as_secs_f64();
    assert!(bytes > 1e6, "{}: a short answer, {bytes} bytes: {:?}", contestant.name, raw.query("SELECT 1"));
    Outcome {
        figures: vec![("MB/s", bytes / 1e6 / seconds)],
        cpu_unit: "CPU s per GB",
        cpu_scale: 1e9 / bytes,
    }
}

/// Runs each kind of work once, so that nothing that follows is anybody's first.
pub(crate) fn warm_up(contestant: &Contestant) {
    for mode in Mode::ALL {
        pgbench(contestant, &["-S", "-M", mode.name(), "-c", "8", "-j", "2"], 1);
    }
    for table in ["wide", "wide_masked"] {
        stream(contestant, table);
    }
    // Figures of a gateway that masks nothing would be of no use.
    let shown = contestant.connect().open().rows("SELECT h FROM wide_masked WHERE a = 1");
    assert_eq!(shown.contains('@'), contestant.name != "Gatepost", "{} shows {shown:?}", contestant.name);
}

/// Returns how much the process grows with each of many sessions that have run a query and wait.
pub(crate) fn idle_session_bytes(contestant: &Contestant) -> Option<f64> {
    const SESSIONS: u32 = 200;
    let open = || {
        let mut raw = contestant.connect().open();
        raw.rows("SELECT abalance FROM pgbench_accounts WHERE aid = 1");
        raw
    };
    // What grows once, with the first sessions, is not a session's.
    let first: Vec<_> = (0..50).map(|_| open()).collect();
    let before = contestant.resident_bytes()?;
    let sessions: Vec<_> = (0..SESSIONS).map(|_| open()).collect();
    let after = contestant.resident_bytes()?;
    drop((first, sessions));
    Some((after - before).max(0.0) / f64::from(SESSIONS))
}
