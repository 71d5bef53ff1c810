//! `gatepost legacy`: takes verifiers of service accounts over from a database. Never sees a password.

use std::path::Path;

use config::SecretRef;
use model::Pattern;
use server::legacy::{Found, Outcome};

use crate::args;
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, command: args::Legacy) -> Result<Status, Failure> {
    let args::Legacy::Import { database, admin, users, file, format } = command;
    let config = settings::load(config)?;
    let database = settings::database(&config, database.as_deref())?;
    let from = match (&admin, &database.verifiers) {
        (Some(reference), _) => SecretRef::parse(reference, Path::new("."))
            .map_err(|error| Failure::usage(format!("--admin {error}")))?,
        (None, Some(verifiers)) => verifiers.from.clone(),
        (None, None) => {
            return Err(Failure::usage(format!(
                "say with --admin where the login is that may read pg_authid, like env:ADMIN_URL, or add verifiers to database \"{}\"",
                database.name
            )));
        }
    };
    let patterns: Vec<Pattern> = users.iter().map(|user| Pattern::new(user)).collect();
    let wanted = |role: &server::legacy::Role<'_>| match patterns.as_slice() {
        // A superuser is nobody's service account; whoever wants it has to say so.
        [] => !role.superuser,
        patterns => patterns.iter().any(|pattern| pattern.matches(role.name)),
    };
    let found = server::legacy::import(database, &from, &file, wanted);
    let found = found.await.map_err(|error| Failure::of(&error))?;
    if found.is_empty() {
        return Err(Failure::new("no role of the server is wanted by --user, so nothing was imported"));
    }
    show(&found, &file, format)
}

/// Prints what became of each role; the status says whether all that were wanted can be used.
fn show(found: &[Found], file: &Path, format: Format) -> Result<Status, Failure> {
    let mut out = Out::new();
    let rows: Vec<Vec<Cell>> = found.iter().map(|found| row(found, file)).collect();
    out.table(format, &["account", "result", "file", "detail"], &rows)?;
    let usable: Vec<_> = found.iter().filter(|found| found.outcome.is_usable()).collect();
    if format == Format::Table && !usable.is_empty() {
        out.line("\n# For the configuration, with groups, owner and the last day of each:")?;
        for found in &usable {
            let [name, reference] = [found.name.clone(), format!("file:{}", shown(file))].map(toml_string);
            out.line(&format!("[[legacy]]\nname = {name}\nverifier = {reference}"))?;
        }
        out.flush()?;
    }
    Ok(if usable.len() == found.len() { Status::Success } else { Status::CheckFailed })
}

fn row(found: &Found, file: &Path) -> Vec<Cell> {
    let Found { name, outcome, superuser } = found;
    let (tone, result) = match outcome {
        Outcome::Imported => (Tone::Good, "imported"),
        Outcome::Replaced => (Tone::Good, "replaced"),
        Outcome::Unchanged => (Tone::Good, "unchanged"),
        Outcome::NoPassword => (Tone::Bad, "no password"),
        Outcome::Unfit(_) => (Tone::Bad, "unfit"),
    };
    let detail = match outcome {
        Outcome::Unfit(why) => format!("its password {why}"),
        Outcome::NoPassword => "there is nothing that its proof could be checked by".to_owned(),
        _ if *superuser => "a superuser: PostgreSQL itself refuses it nothing".to_owned(),
        _ => String::new(),
    };
    let file = outcome.is_usable().then(|| shown(file));
    vec![Cell::new(name.as_str()), Cell::toned(tone, result), Cell::new(file), Cell::new(detail)]
}

/// The file from anywhere: the configuration may be in another folder.
fn shown(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// Writes a TOML string: one of JSON is one, but for DEL (TOML 1.0, "String").
fn toml_string(text: String) -> String {
    serde_json::Value::String(text).to_string().replace('\u{7f}', "\\u007f")
}
