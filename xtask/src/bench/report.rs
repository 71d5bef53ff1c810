//! `docs/benchmarks.md`, from the figures.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use super::Effort;
use super::figures::{Figures, Summary};
use super::load::{CLIENTS, Workload};
use super::scene::{Scene, program};

const NAMES: [&str; 4] = ["direct", "plain relay", "PgBouncer", "Gatepost"];

/// Returns the report as Markdown.
pub(crate) fn write(figures: &Figures, effort: Effort, scene: &Scene) -> String {
    let mut out = String::from("# Benchmarks\n\n");
    let Effort { seconds, rounds } = effort;
    let _ = writeln!(
        out,
        "Written by `make bench` (here with `BENCH_SECONDS={seconds} BENCH_ROUNDS={rounds}`): {rounds} rounds, in each of which \
         every kind of work is done\nthrough every contestant in turn. Figures are medians, ± half the distance between the \
         quartiles; ratios are medians of the rounds' ratios.\nGatepost runs with policy, one masked column in the schema and \
         audit with default durability; PgBouncer {} in session mode, no TLS anywhere.\nThe plain relay copies bytes with two \
         threads a connection. CPU time is that of the process between, from `/proc/PID/stat`.\n\n{}\n",
        version("pgbouncer", "--version", 1),
        machine(scene)
    );
    for clients in CLIENTS {
        select(&mut out, figures, clients);
    }
    other(&mut out, figures);
    out
}

/// Replaces what stands under a heading, or adds it at the end.
pub(crate) fn put_section(report: &mut String, heading: &str, section: &str) {
    let title = format!("## {heading}\n");
    let begin = report.find(&title).unwrap_or(report.len());
    let end = report.get(begin + 1..).and_then(|rest| rest.find("\n## ")).map(|at| begin + at + 2);
    let separator = if begin == 0 || report[..begin].ends_with("\n\n") { "" } else { "\n" };
    report.replace_range(begin..end.unwrap_or(report.len()), &format!("{separator}{title}\n{section}"));
    report.truncate(report.trim_end().len());
    report.push('\n');
}

fn select(out: &mut String, figures: &Figures, clients: u32) {
    let plural = if clients == 1 { "" } else { "s" };
    let _ = writeln!(out, "## pgbench --select-only, {clients} client{plural}\n");
    let mut columns = vec!["tps", "CPU us per transaction"];
    if clients == 1 {
        columns.insert(1, "p50 us");
    }
    let kinds: Vec<String> = Workload::all()
        .into_iter()
        .filter(|workload| matches!(workload, Workload::Select { clients: count, .. } if *count == clients))
        .map(Workload::name)
        .collect();
    table(out, figures, &kinds, &columns);
}

fn other(out: &mut String, figures: &Figures) {
    out.push_str("## Writes (one UPDATE by its key, committed for itself, prepared)\n\n");
    out.push_str(
        "PostgreSQL waits for its own log (`fsync` and `synchronous_commit` on). Gatepost waits for its record to be on disk before it\n\
         forwards: statements that wait at one time share an `fdatasync`.\n\n",
    );
    let kinds: Vec<String> = CLIENTS.map(|clients| Workload::Write { clients }.name()).into();
    table(out, figures, &kinds, &["tps", "CPU us per transaction"]);
    out.push_str("## Streaming a wide table (8 columns, 1 KB a row, 200 MB)\n\n");
    let kinds = ["stream, nothing masked", "stream, one column masked"].map(String::from);
    table(out, figures, &kinds, &["MB/s", "CPU s per GB"]);
    out.push_str("## New sessions (pgbench -C, 4 clients)\n\n");
    out.push_str("PgBouncer keeps its server connections; nobody else does.\n\n");
    table(out, figures, &["new sessions".into()], &["per second", "CPU us each"]);
    out.push_str(
        "## Memory of an idle session\n\n| | KiB of resident memory, mean of 200 sessions |\n|---|---|\n",
    );
    for name in NAMES {
        if let Some(summary) = figures.of(name, "idle session, KiB") {
            let _ = writeln!(out, "| {name} | {:.1} |", summary.median);
        }
    }
}

/// Writes a row for each kind of work and contestant, with the ratio to PgBouncer (and to the direct connection where
/// nothing is between) after each figure.
fn table(out: &mut String, figures: &Figures, kinds: &[String], columns: &[&str]) {
    out.push_str("| | |");
    for column in columns {
        let _ = write!(out, " {column} | of PgBouncer's |");
    }
    out.push_str("\n|---|---|");
    out.push_str(&"---|---|".repeat(columns.len()));
    out.push('\n');
    for kind in kinds {
        for name in NAMES {
            let label = kind.split(", ").next().filter(|label| columns[0] == "tps" && *label != "writes");
            let label = label.unwrap_or(kind);
            let _ = write!(out, "| {label} | {name} |");
            for column in columns {
                let figure = format!("{kind}, {column}");
                let value = figures.of(name, &figure).map(shown).unwrap_or_else(|| "-".into());
                let ratio = figures.ratio(name, "PgBouncer", &figure).filter(|_| name != "PgBouncer");
                let ratio = ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
                let _ = write!(out, " {value} | {ratio} |");
            }
            out.push('\n');
        }
    }
    out.push('\n');
}

fn shown(Summary { median, spread }: Summary) -> String {
    let digits = match median {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{median:.digits$} ± {:.0} %", spread * 100.0)
}

fn machine(scene: &Scene) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    format!(
        "Machine: {} × {}, {} GB, Linux {}; PostgreSQL {}, pgbench {}; everything on the one machine, over loopback.\n\
         Load average before the first round: {}.",
        cores,
        model.trim_start_matches([' ', '\t', ':']),
        kib / 1_000_000,
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        scene.server_version(),
        version(&program("pgbench").to_string_lossy(), "--version", 2),
        scene.load_before,
    )
}

/// Returns a word of the first line that a program prints about its version.
fn version(name: &str, argument: &str, word: usize) -> String {
    let output = Command::new(name).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).into_owned();
    text.lines().next().and_then(|line| line.split_whitespace().nth(word)).unwrap_or("?").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_others_stay() {
        let mut report = "# R\n\n## a\n\n1\n\n## b\n\n2\n".to_owned();
        put_section(&mut report, "a", "3\n\n");
        assert_eq!(report, "# R\n\n## a\n\n3\n\n## b\n\n2\n");
        put_section(&mut report, "c", "4\n\n");
        put_section(&mut report, "b", "5\n\n");
        assert_eq!(report, "# R\n\n## a\n\n3\n\n## b\n\n5\n\n## c\n\n4\n");
        put_section(&mut report, "c", "6\n\n");
        assert_eq!(report, "# R\n\n## a\n\n3\n\n## b\n\n5\n\n## c\n\n6\n");
    }
}
