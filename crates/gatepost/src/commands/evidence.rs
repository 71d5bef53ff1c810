//! `gatepost audit report --framework` and `--identity`: evidence of a period, as a page and CSV files. Reads the journal's files, and
//! bundles for the tags of columns; asks no gateway and no database.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use ::evidence::{Figures, Page, Part, Scope, Table, csv, page};
use audit::{Start, Time};
use journal::reader::Reader;
use model::QualifiedName;
use policy::Bundle;
use serde_json::Value;

use crate::args::evidence as args;
use crate::commands::audit::{Standing, folder, period, settled};
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out};
use crate::settings;

const PAGE: &str = "report.html";

/// Makes the report and writes it; the status says whether the journal was whole and everything found room.
pub(crate) fn run(config: Option<&Path>, report: args::Report) -> Result<Status, Failure> {
    let args::Report { journal, framework, identity, database, since, until, out, retained, bundle, .. } =
        report;
    let (since, until) = period(since, until)?;
    // Times are printed in microseconds: the command lines in the report then mean the same period.
    let (since, until) = (since.map(whole), until.map(whole));
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::usage("the period ends before it begins; give --from a time before --to"));
    }
    let dir = folder(config, journal)?;
    let bundles = bundles(config, bundle.as_deref(), database.as_deref())?;
    let start = if retained { Start::Retained } else { Start::Genesis };
    let scope = Scope { since, until, database, identity };
    let mut warnings = Vec::new();
    let mut facts = facts(&scope, &bundles);
    verified(&settled(&dir, start, &[])?, &mut facts, &mut warnings);
    let framework = framework.map(known);
    let parts = figures(&dir, scope.clone(), &bundles, &mut warnings)?;
    for table in parts.iter().flat_map(|(_, tables)| tables).filter(|table| table.left_out > 0) {
        warnings
            .push(format!("\"{}\" is not complete: {} records found no room.", table.title, table.left_out));
    }
    let title = match (framework, &scope.identity) {
        (Some(framework), _) => format!("Evidence for {}", framework.title()),
        (None, identity) => format!("What {} did", identity.as_deref().unwrap_or_default()),
    };
    let status = if warnings.is_empty() { Status::Success } else { Status::CheckFailed };
    write(&out, &Page { title, facts, warnings, framework, parts }, report.format)?;
    Ok(status)
}

const fn whole(time: Time) -> Time {
    Time(time.0 - time.0.rem_euclid(1000))
}

const fn known(framework: args::Framework) -> ::evidence::Framework {
    match framework {
        args::Framework::Soc2 => ::evidence::Framework::Soc2,
        args::Framework::Iso27001 => ::evidence::Framework::Iso27001,
        args::Framework::Pci => ::evidence::Framework::Pci,
        args::Framework::Hipaa => ::evidence::Framework::Hipaa,
        args::Framework::Gdpr => ::evidence::Framework::Gdpr,
    }
}

/// The policies that say which columns have which tags, by database.
fn bundles(
    config: Option<&Path>,
    bundle: Option<&Path>,
    database: Option<&str>,
) -> Result<BTreeMap<String, Bundle>, Failure> {
    let load = |dir: &Path, name: &str| policy::load(dir, name).map_err(|error| Failure::of(&error));
    if let Some(dir) = bundle {
        let name = database.ok_or_else(|| {
            Failure::usage("--bundle is that of one database; say of which, with --database")
        })?;
        return Ok(BTreeMap::from([(name.to_owned(), load(dir, name)?)]));
    }
    // An auditor with the journal's files alone has no configuration, and is told that tags are missing. One that was named must be good.
    let known = if config.is_some() || settings::path(config).exists() {
        Some(settings::load(config)?)
    } else {
        None
    };
    let databases = known.iter().flat_map(|config| &config.databases);
    let wanted = databases.filter(|it| database.is_none_or(|name| name == it.name));
    wanted.map(|it| Ok((it.name.clone(), load(&it.policy, &it.name)?))).collect()
}

fn facts(scope: &Scope, bundles: &BTreeMap<String, Bundle>) -> Vec<(&'static str, String)> {
    let end = |time: Option<Time>, open: &str| time.map_or_else(|| open.to_owned(), |time| time.to_string());
    let tags = bundles.iter().map(|(name, bundle)| format!("{name}: {} {}", bundle.name(), bundle.version()));
    let tags = tags.collect::<Vec<_>>().join(", ");
    vec![
        ("From", end(scope.since, "the journal's beginning")),
        ("To (before)", end(scope.until, "the journal's end")),
        ("Database", scope.database.clone().unwrap_or_else(|| "all".to_owned())),
        ("Identity", scope.identity.clone().unwrap_or_else(|| "all".to_owned())),
        ("Made", Time::from(SystemTime::now()).to_string()),
        ("Made by", format!("gatepost {}", env!("CARGO_PKG_VERSION"))),
        (
            "Tags of columns from",
            if tags.is_empty() { "records only; no bundle was given".to_owned() } else { tags },
        ),
    ]
}

/// Says how the whole journal stands, which has the period in it.
fn verified(standing: &Standing, facts: &mut Vec<(&'static str, String)>, warnings: &mut Vec<String>) {
    match standing {
        Standing::Whole(report) => {
            facts.push(("Journal", report.journal.to_string()));
            facts.push(("Integrity", format!("whole: {} records from {}", report.records, report.first.0)));
            facts.push(("Head (anchor)", format!("{}:{}", report.head.seq, report.head.hash)));
        }
        Standing::Unfinished(finding) => {
            facts.push(("Integrity", format!("whole, but its end is unfinished: {finding}")))
        }
        Standing::Damaged(finding) => {
            facts.push(("Integrity", "damaged".to_owned()));
            warnings.push(format!(
                "The journal is damaged: {finding}. What is below can't be relied on from there."
            ));
        }
    }
    facts.push(("Check it with", "gatepost audit verify --anchor HEAD".to_owned()));
}

fn figures(
    dir: &Path,
    scope: Scope,
    bundles: &BTreeMap<String, Bundle>,
    warnings: &mut Vec<String>,
) -> Result<Vec<(Part, Vec<Table>)>, Failure> {
    // Few columns are asked for again and again.
    let asked: RefCell<HashMap<String, Vec<String>>> = RefCell::default();
    let tags = |database: &str, relation: &str, column: &str| {
        let key = format!("{database}\0{relation}\0{column}");
        if let Some(tags) = asked.borrow().get(&key) {
            return tags.clone();
        }
        let tags = bundles.get(database).map(|bundle| tags_of(bundle, relation, column)).unwrap_or_default();
        let mut asked = asked.borrow_mut();
        if asked.len() >= ASKED_MAX {
            asked.clear();
        }
        asked.insert(key, tags.clone());
        tags
    };
    let mut figures = Figures::new(scope, &tags);
    let mut reader = Reader::open_from(dir, audit::Seq(0)).map_err(|error| Failure::of(&error))?;
    loop {
        match reader.read() {
            Ok(Some(record)) => {
                if let Ok(value) = serde_json::from_slice::<Value>(record.payload) {
                    figures.take(record.seq.0, record.time, &value);
                }
            }
            Ok(None) => break,
            Err(error) => {
                let last = figures.last();
                warnings.push(format!(
                    "The figures end at record {last}, since what follows can't be read: {error}"
                ));
                break;
            }
        }
    }
    Ok(figures.finish())
}

/// Answers about tags that are kept.
const ASKED_MAX: usize = 100_000;

/// A record names a relation with one dot between schema and name; where a name has dots of its own, each reading is asked for.
// SECURITY: a column too many is called sensitive rather than one too few.
fn tags_of(bundle: &Bundle, relation: &str, column: &str) -> Vec<String> {
    let readings = relation.match_indices('.').filter_map(|(at, _)| relation.split_at_checked(at));
    let mut found: Vec<String> = readings
        .flat_map(|(schema, name)| {
            let name =
                QualifiedName { schema: schema.to_owned(), name: name.trim_start_matches('.').to_owned() };
            bundle.tags(&name, column).into_iter().map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Writes page and CSV files, which only their owner can read: who did what is nobody else's business.
fn write(dir: &Path, report: &Page, format: Format) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::caused(&format!("can't write \"{}\"", path.display()), error)
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed(dir, error))?;
    if fs::read_dir(dir).map_err(|error| failed(dir, error))?.next().is_some() {
        return Err(Failure::new(format!(
            "\"{}\" is not empty; name a new folder, so that no older evidence is overwritten",
            dir.display()
        )));
    }
    let save = |name: &str, text: &str| {
        let path = dir.join(name);
        let new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        new.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&path, error))
    };
    let mut rows = Vec::new();
    for table in report.parts.iter().flat_map(|(_, tables)| tables) {
        let name = format!("{}.csv", table.id);
        save(&name, &csv(table))?;
        rows.push(vec![Cell::new(name), Cell::new(table.rows.len() as u64), Cell::new(table.records)]);
    }
    save(PAGE, &page(report))?;
    rows.push(vec![Cell::new(PAGE), Cell::new(Value::Null), Cell::new(Value::Null)]);
    let mut out = Out::new();
    out.table(format, &["file", "rows", "records"], &rows)?;
    out.flush()?;
    warn(&report.warnings);
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "what is written goes to files, and what is wrong with it to whoever asked"
)]
fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("gatepost: {}", audit::render::cell(warning));
    }
}
