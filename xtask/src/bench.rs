//! The comparison: the same work, done directly and through each thing that could stand between, in turns.

mod catalog;
mod contestant;
mod figures;
mod finding;
mod load;
mod logins;
mod report;
mod scene;
mod shape;

use std::env;
use std::str::FromStr;

use contestant::Contestant;
pub(crate) use contestant::binary;
use figures::Figures;
use load::Workload;
use scene::Scene;

/// How long and how often; from the environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Of each pgbench run.
    pub(crate) seconds: u32,
    /// How often everything is done, each time in another order.
    pub(crate) rounds: usize,
}

/// Runs it all, prints the report and writes it to `docs/benchmarks.md`.
pub(crate) fn run() {
    let effort = Effort { seconds: variable("BENCH_SECONDS", 3), rounds: variable("BENCH_ROUNDS", 5) };
    let scene = Scene::set();
    let mut contestants = contestant::all(&scene);
    let mut figures = Figures::default();

    eprintln!("bench: warming up");
    for contestant in &contestants {
        // First of all: what a busy time has left in a process's memory hides what idle sessions need.
        if let Some(bytes) = load::idle_session_bytes(contestant) {
            figures.add(contestant.name, "idle session, KiB", bytes / 1024.0);
        }
        load::warm_up(contestant);
    }
    for round in 0..effort.rounds {
        eprintln!("bench: round {} of {}", round + 1, effort.rounds);
        // Once more than by the turns below, whose number may be a multiple of the contestants'.
        contestants.rotate_left(1);
        for workload in Workload::all() {
            // Each goes first as often as the others.
            contestants.rotate_left(1);
            for contestant in &contestants {
                measure(workload, contestant, effort, &mut figures);
            }
        }
    }
    let mut report = report::write(&figures, effort, &scene);
    drop((contestants, scene));
    eprintln!("bench: shapes");
    report::put_section(&mut report, shape::HEADING, &shape::section());
    println!("{report}");
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).expect("docs/");
    std::fs::write(REPORT, report).expect("docs/benchmarks.md");
    eprintln!("bench: wrote docs/benchmarks.md");
}

/// Measures what a shape seen before costs, and replaces that section of the report.
pub(crate) fn run_shape() {
    let section = shape::section();
    println!("{section}");
    let mut report = std::fs::read_to_string(REPORT).expect("docs/benchmarks.md");
    report::put_section(&mut report, shape::HEADING, &section);
    std::fs::write(REPORT, report).expect("docs/benchmarks.md");
}

/// Measures only what a large catalog costs, and writes its section.
pub(crate) fn run_catalog() {
    let section = catalog::section();
    println!("{section}");
    let mut report = std::fs::read_to_string(REPORT).expect("docs/benchmarks.md");
    report::put_section(&mut report, catalog::HEADING, &section);
    std::fs::write(REPORT, report).expect("docs/benchmarks.md");
}

/// Measures only how long finding records takes, and writes its section.
pub(crate) fn run_index() {
    let section = finding::section(variable("BENCH_STATEMENTS", 10_000_000));
    println!("{section}");
    let mut report = std::fs::read_to_string(REPORT).expect("docs/benchmarks.md");
    report::put_section(&mut report, finding::HEADING, &section);
    std::fs::write(REPORT, report).expect("docs/benchmarks.md");
}

/// Measures only what a login costs, and writes its section.
pub(crate) fn run_logins() {
    let section = logins::section();
    println!("{section}");
    let mut report = std::fs::read_to_string(REPORT).expect("docs/benchmarks.md");
    report::put_section(&mut report, logins::HEADING, &section);
    std::fs::write(REPORT, report).expect("docs/benchmarks.md");
}

const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md");

fn measure(workload: Workload, contestant: &Contestant, effort: Effort, figures: &mut Figures) {
    let before = contestant.cpu_seconds();
    let outcome = workload.run(contestant, effort.seconds);
    let used = contestant.cpu_seconds() - before;
    let name = workload.name();
    for (figure, value) in outcome.figures {
        figures.add(contestant.name, &format!("{name}, {figure}"), value);
    }
    if contestant.pid.is_some() {
        figures.add(contestant.name, &format!("{name}, {}", outcome.cpu_unit), used * outcome.cpu_scale);
    }
}

fn variable<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Err(_) => default,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
    }
}
