//! The exactness proof: what Gatepost says that a query touches, against what PostgreSQL checks, query by query.
//!
//! `judge` asks both sides about one query; `corpus`, `generate` and `regression` bring queries; `report` writes what became of them.

mod claims;
mod corpus;
mod generate;
mod inner;
mod interference;
mod judge;
mod kept;
mod locks;
mod regression;
mod report;
mod server;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use policy::Bundle;
use testkit::postgres::Version;

use report::Line;

/// What is run; from the command line.
struct Options {
    corpora: Vec<String>,
    versions: Vec<Version>,
    /// Generated queries for each version.
    queries: u64,
    seed: u64,
    /// Files of the regression suite; empty: all.
    files: Vec<String>,
    writes_report: bool,
    /// Only to print the generated queries, as `gatepost policy explain --batch` takes them.
    prints: bool,
}

const CORPORA: [&str; 6] = ["spider", "analytics", "generated", "interference", "locks", "regression"];

pub(crate) const USAGE: &str = "usage: cargo xtask oracle [--corpus spider,analytics,generated,interference,locks,regression] \
     [--versions 14,15,16,17,18] [--queries N] [--seed N] [--files test_setup,join] [--no-report] [--print]";

impl Options {
    fn read(arguments: &[&str]) -> Option<Self> {
        let mut options = Self {
            corpora: CORPORA.map(str::to_owned).into(),
            versions: Version::SUPPORTED.into(),
            queries: 8_000,
            seed: 1,
            files: Vec::new(),
            writes_report: true,
            prints: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if *argument == "--no-report" {
                options.writes_report = false;
                continue;
            }
            if *argument == "--print" {
                options.prints = true;
                continue;
            }
            let value = *arguments.next()?;
            match *argument {
                "--corpus" => {
                    options.corpora = value.split(',').map(str::to_owned).collect();
                    if !options.corpora.iter().all(|name| CORPORA.contains(&name.as_str())) {
                        return None;
                    }
                }
                "--versions" => {
                    let version = |text: &str| {
                        let major: u32 = text.parse().ok()?;
                        Version::SUPPORTED.into_iter().find(|version| version.major() == major)
                    };
                    options.versions = value.split(',').map(version).collect::<Option<_>>()?;
                }
                "--queries" => options.queries = value.parse().ok()?,
                "--seed" => options.seed = value.parse().ok()?,
                "--files" => options.files = value.split(',').map(str::to_owned).collect(),
                _ => return None,
            }
        }
        Some(options)
    }

    fn wants(&self, corpus: &str) -> bool {
        self.corpora.iter().any(|name| name == corpus)
    }
}

/// A bundle without tags: every touch is named as it is.
pub(crate) fn bundle() -> Arc<Bundle> {
    static BUNDLE: OnceLock<Arc<Bundle>> = OnceLock::new();
    let load = || {
        let folder = corpus::repository("crates/policy/testdata/allow-all");
        Arc::new(policy::load(&folder, "oracle").expect("the bundle that allows all"))
    };
    BUNDLE.get_or_init(load).clone()
}

/// Runs it, prints the report and writes it to `docs/exactness.md`. Fails if anything was under-reported.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let Some(options) = Options::read(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if options.prints {
        for version in &options.versions {
            corpus::print(&corpus::generated(options.seed, options.queries, *version));
        }
        return ExitCode::SUCCESS;
    }
    // What is missing is said before the hours of work, not after them.
    let spider = (options.wants("spider") || options.wants("locks")).then(corpus::spider);
    let all = if options.wants("regression") { regression::files() } else { Vec::new() };
    let wanted = |file: &&String| options.files.is_empty() || options.files.contains(file);
    let files: Vec<String> = all.iter().filter(wanted).cloned().collect();
    for version in &options.versions {
        let cluster = corpus::cluster(*version);
        let major = version.major();
        let release = cluster.psql("SHOW server_version");
        let release = release.split_whitespace().next().unwrap_or_default();
        let line = |corpus: &str, seed, tally| Line {
            corpus: corpus.to_owned(),
            release: release.to_owned(),
            seed,
            tally,
        };
        let analytics = options.wants("analytics").then(corpus::analytics);
        let generated = || corpus::generated(options.seed, options.queries, *version);
        let generated = options.wants("generated").then(generated);
        let asked = spider.as_ref().filter(|_| options.wants("spider"));
        for corpus in [asked, analytics.as_ref(), generated.as_ref()].into_iter().flatten() {
            eprintln!("oracle: {version}: {}, {} queries", corpus.name, corpus.queries.len());
            let seed = (corpus.name == "Generated").then_some(options.seed);
            let line = line(corpus.name, seed, corpus::ask(&cluster, corpus));
            kept::keep(major, &corpus.name.to_lowercase(), &line);
        }
        if options.wants("locks") {
            let generated = corpus::generated(options.seed, options.queries / 10, *version);
            for corpus in spider.iter().chain([&corpus::analytics(), &generated]) {
                eprintln!("oracle: {version}: both locks, {}, {} queries", corpus.name, corpus.queries.len());
                let locked = locks::try_both(&cluster, corpus, 1);
                kept::keep_locked(major, &corpus.name.to_lowercase(), release, &locked);
            }
        }
        if options.wants("interference") {
            eprintln!("oracle: {version}: interference, {} queries", options.queries / 4);
            kept::keep_compared(
                major,
                release,
                &interference::compare(&cluster, options.seed, options.queries / 4),
            );
        }
        // The suite is of one version; its library fits no other's servers.
        if options.wants("regression") && *version == regression::VERSION {
            regression::replay(&cluster, &files, |replayed, done| {
                let share = if done == all.len() {
                    String::new()
                } else {
                    format!(", {done} of {} files", all.len())
                };
                let queries = line(&format!("Regression SQL{share}"), None, replayed.queries.clone());
                kept::keep(major, "regression", &queries);
                let others = format!("Regression SQL, other statements{share}");
                kept::keep(major, "utilities", &line(&others, None, replayed.utilities.clone()));
            });
        }
    }
    conclude(&options)
}

/// Reports on everything that was run, now or before.
fn conclude(options: &Options) -> ExitCode {
    let majors = || Version::SUPPORTED.into_iter().map(Version::major);
    let kinds = ["spider", "analytics", "generated", "regression", "utilities"];
    let lines: Vec<Line> =
        kinds.iter().flat_map(|kind| majors().filter_map(|major| kept::kept(major, kind))).collect();
    let interfered: Vec<_> = majors().filter_map(kept::kept_compared).collect();
    let locked: Vec<_> = ["Spider", "Analytics", "Generated"]
        .into_iter()
        .flat_map(|corpus| {
            majors().filter_map(move |major| {
                let (release, locked) = kept::kept_locked(major, &corpus.to_lowercase())?;
                Some((corpus, release, locked))
            })
        })
        .collect();
    let report = report::write(&lines, &interfered, &locked);
    println!("{report}");
    if options.writes_report {
        std::fs::write(corpus::repository("docs/exactness.md"), report).expect("docs/exactness.md");
        eprintln!("oracle: wrote docs/exactness.md");
    }
    for line in &lines {
        line.show_findings();
    }
    for (release, compared) in &interfered {
        for (query, columns) in &compared.changed {
            eprintln!("CHANGED, on {release}: by {columns}\n    {query}");
        }
    }
    let under: usize = lines.iter().map(|line| line.tally.under.len()).sum();
    let changed: usize = interfered.iter().map(|(_, compared)| compared.changed.len()).sum();
    for (corpus, release, locked) in &locked {
        for (what, found) in [("OPEN", &locked.open), ("NARROW", &locked.narrow)] {
            for (query, why) in found {
                eprintln!("{what}, {corpus} on {release}: {why}\n    {}", query.trim());
            }
        }
    }
    let locks: usize = locked.iter().map(|(_, _, locked)| locked.open.len() + locked.narrow.len()).sum();
    if under + changed + locks == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
