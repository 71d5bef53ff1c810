//! PostgreSQL's own regression suite, file by file: against a server directly and, with a policy that allows everything,
//! through the gateway. Whatever both print must be the same. Knows nothing of what the files hold.

mod sides;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use testkit::postgres::Version;

use sides::Side;

/// What to run; from the command line.
struct Plan {
    /// `src/test/regress` of PostgreSQL's sources, of the server's own major version.
    suite: PathBuf,
    version: Version,
    /// Both sides go directly to a server: what differs then differs by itself.
    control: bool,
    /// Only these files are compared; those that the schedule has before the last of them run as well.
    only: BTreeSet<String>,
    /// Where outputs are left.
    output: PathBuf,
}

/// `regress [--control] [--version N] SUITE [FILE...]`
pub(crate) fn run(arguments: &[&str]) {
    let plan = plan(arguments);
    let files = schedule(&plan);
    eprintln!("regress: {} files of {}, on {}", files.len(), plan.suite.display(), plan.version);
    let _ = fs::remove_dir_all(&plan.output);
    let sides = [
        Side::direct(plan.version),
        if plan.control { Side::direct(plan.version) } else { Side::gateway(plan.version) },
    ];
    let [direct, other] = &sides;
    thread::scope(|scope| {
        for (side, folder) in [(direct, "direct"), (other, "other")] {
            let (files, plan) = (&files, &plan);
            scope.spawn(move || {
                let folder = plan.output.join(folder);
                fs::create_dir_all(&folder).expect("a folder for outputs");
                for file in files {
                    let text = side.psql(&plan.suite, file);
                    fs::write(folder.join(format!("{file}.out")), text).expect("an output");
                }
            });
        }
    });
    report(&plan, &files);
}

fn plan(arguments: &[&str]) -> Plan {
    let mut plan = Plan {
        suite: PathBuf::new(),
        version: Version::V15,
        control: false,
        only: BTreeSet::new(),
        output: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/regress")),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--control" => plan.control = true,
            "--version" => {
                let major = arguments
                    .next()
                    .and_then(|text| text.parse::<u32>().ok())
                    .expect("a number after --version");
                let known = Version::ALL.into_iter().find(|version| version.major() == major);
                plan.version =
                    known.unwrap_or_else(|| panic!("PostgreSQL {major} is not one of the test kit's"));
            }
            path if plan.suite.as_os_str().is_empty() => {
                plan.suite = fs::canonicalize(path).expect("the suite's folder")
            }
            name => {
                plan.only.insert(name.to_owned());
            }
        }
    }
    assert!(plan.suite.join("parallel_schedule").exists(), "no parallel_schedule in {:?}", plan.suite);
    plan
}

/// Returns the suite's files one after another, up to the last that is wanted.
fn schedule(plan: &Plan) -> Vec<String> {
    let text = fs::read_to_string(plan.suite.join("parallel_schedule")).expect("the schedule");
    let lines = text.lines().filter_map(|line| line.strip_prefix("test: "));
    let mut files: Vec<String> = lines.flat_map(str::split_whitespace).map(str::to_owned).collect();
    if let Some(last) = files.iter().rposition(|file| plan.only.contains(file)) {
        files.truncate(last + 1);
    }
    files
}

fn report(plan: &Plan, files: &[String]) {
    let read = |side: &str, file: &str| {
        fs::read(plan.output.join(side).join(format!("{file}.out"))).expect("an output")
    };
    let mut different = Vec::new();
    for file in files.iter().filter(|file| plan.only.is_empty() || plan.only.contains(*file)) {
        if read("direct", file) != read("other", file) {
            different.push(file.as_str());
        }
    }
    for file in &different {
        println!("{file}");
    }
    println!("{} of {} files differ; outputs are in {}", different.len(), files.len(), shown(&plan.output));
}

fn shown(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
