//! `gatepost policy`: what a bundle says, whether it is right, and why a statement is allowed or not.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use policy::Bundle;

use crate::args;
use crate::commands::check::{self, Finding};
use crate::commands::{explain, traffic};
use crate::failure::{Failure, Status, chain};
use crate::output::{Format, Out};
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, command: args::Policy) -> Result<Status, Failure> {
    match command {
        args::Policy::Check { bundles, format } => {
            let mut findings = Vec::new();
            for place in places(config, bundles)? {
                check_bundle(&place.folder, &place.database, format, &mut findings);
            }
            check::show(&findings, format)
        }
        args::Policy::Test { database, format } => test(config, database.as_deref(), format).await,
        args::Policy::Explain(explained) => explain::run(config, explained).await,
        args::Policy::Suggest(suggested) => traffic::suggest(config, suggested),
        args::Policy::Replay(replayed) => traffic::replay(config, replayed),
        args::Policy::Schema { bundles } => schema(config, bundles),
    }
}

/// A bundle that is to be looked at.
struct Place {
    folder: PathBuf,
    database: String,
}

/// Returns the bundle that the arguments name, or those of the configuration.
fn places(config: Option<&Path>, bundles: args::Bundles) -> Result<Vec<Place>, Failure> {
    let args::Bundles { folder, database } = bundles;
    let Some(folder) = folder else {
        let config = settings::load(config)?;
        let wanted = match &database {
            Some(name) => vec![settings::database(&config, Some(name))?],
            None => config.databases.iter().collect(),
        };
        let place = |it: &config::Database| Place { folder: it.policy.clone(), database: it.name.clone() };
        return Ok(wanted.into_iter().map(place).collect());
    };
    let named = || folder.canonicalize().ok()?.file_name()?.to_str().map(str::to_owned);
    let database = database.or_else(named).ok_or_else(|| {
        Failure::new(format!(
            "there is no bundle \"{}\"; name the folder that has bundle.toml",
            folder.display()
        ))
    })?;
    Ok(vec![Place { folder, database }])
}

/// Loads a bundle as `serve` would. In a table the whole story of what is wrong with it is too long: it goes to
/// standard error.
pub(crate) fn check_bundle(
    folder: &Path,
    database: &str,
    format: Format,
    findings: &mut Vec<Finding>,
) -> Option<Bundle> {
    match policy::load(folder, database) {
        Ok(bundle) => {
            let (rules, at_load, with_sql) =
                (bundle.version(), bundle.tests_passed(), bundle.sql_tests().len());
            let name = bundle.name();
            let detail = format!(
                "\"{name}\" version {rules}; {at_load} tests passed, {with_sql} more need the database"
            );
            findings.push(Finding::good("policy", database, detail));
            let warnings = bundle.warnings().iter();
            findings.extend(warnings.map(|problem| Finding::warning("policy", database, one_line(problem))));
            Some(bundle)
        }
        Err(error) => {
            match format {
                Format::Table => {
                    Failure::of(&error).report();
                    let count = error.problems().len();
                    let plural = if count == 1 { "" } else { "s" };
                    let detail = format!("\"{}\": {count} problem{plural}, see above", folder.display());
                    findings.push(Finding::failed("policy", database, detail));
                }
                Format::Json => {
                    let problems = error.problems().iter();
                    findings.extend(
                        problems.map(|problem| Finding::failed("policy", database, one_line(problem))),
                    );
                }
            }
            None
        }
    }
}

fn one_line(problem: &policy::Problem) -> String {
    let place = problem.position().map(|(file, line, column)| format!("{file}:{line}:{column}: "));
    let help = problem.how_to_mend().map(|help| format!("; {}", help.replace('\n', " ")));
    format!("{}{}{}", place.unwrap_or_default(), problem.message(), help.unwrap_or_default())
}

fn schema(config: Option<&Path>, bundles: args::Bundles) -> Result<Status, Failure> {
    let places = places(config, bundles)?;
    let [Place { folder, database }] = places.as_slice() else {
        return Err(Failure::usage("say which bundle: give its folder, or --database"));
    };
    let bundle = policy::load(folder, database).map_err(|error| Failure::of(&error))?;
    let mut out = Out::new();
    out.text(bundle.schema_text())?;
    out.flush()?;
    Ok(Status::Success)
}

/// Runs the tests of bundles: those without SQL, which loading runs, and those with, about which the database is asked.
async fn test(config: Option<&Path>, database: Option<&str>, format: Format) -> Result<Status, Failure> {
    let config = settings::load(config)?;
    let databases = match database {
        Some(name) => vec![settings::database(&config, Some(name))?],
        None => config.databases.iter().collect(),
    };
    let mut findings = Vec::new();
    for database in databases {
        let Some(bundle) = check_bundle(&database.policy, &database.name, format, &mut findings) else {
            continue;
        };
        run_sql_tests(database, &bundle, &mut findings).await;
    }
    check::show(&findings, format)
}

/// Runs the tests that give SQL; what it touches is asked of the database, which executes none of it.
pub(crate) async fn run_sql_tests(database: &config::Database, bundle: &Bundle, findings: &mut Vec<Finding>) {
    let statements: Vec<&str> = bundle.sql_tests().iter().map(policy::SqlTest::sql).collect();
    if statements.is_empty() {
        return;
    }
    let mut analyses = match server::probe::analyse(database, bundle, &statements).await {
        Ok(analyses) => VecDeque::from(analyses),
        Err(error) => {
            findings.push(Finding::failed("tests", &*database.name, chain(&error)));
            return;
        }
    };
    let missing = || Err("the database was not asked about it".to_owned());
    let failures = policy::run_sql_tests(bundle, |_| analyses.pop_front().unwrap_or_else(missing));
    findings.extend(failures.iter().map(|it| Finding::failed("test", &*database.name, it.to_string())));
    if failures.is_empty() {
        let detail = format!("tests with SQL passed: {}", statements.len());
        findings.push(Finding::good("tests", &*database.name, detail));
    }
}
