//! `gatepost policy explain`: what statements touch, what the policy says of it, and why. Asks the database; executes nothing.

mod batch;
mod grants;
mod table;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use model::{Identity, Party};
use serde_json::Value;
use server::probe::{self, Explainer, Line, Status as Understood, Told};

use crate::args;
use crate::failure::{Failure, Status};
use crate::output::{Format, Out};
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, explained: args::Explain) -> Result<Status, Failure> {
    let args::Explain { database, identity, on_behalf_of, groups, attributes, sql, .. } = explained;
    let args::Explain { batch, grants, role, search_path, format, .. } = explained;
    let identity = who(identity.as_deref(), on_behalf_of.as_deref(), groups, &attributes)?;
    let search_path = match &search_path {
        Some(list) => {
            probe::search_path(list).map_err(|why| Failure::usage(format!("--search-path: {why}")))?
        }
        None => None,
    };
    let config = settings::load(config)?;
    let database = settings::database(&config, database.as_deref())?;
    let bundle = policy::load(&database.policy, &database.name).map_err(|error| Failure::of(&error))?;
    if grants {
        return grants::run(database, &bundle, &identity, &role, format).await;
    }
    let opened = Explainer::open(&config, database, &bundle, &identity).await;
    let mut explainer = opened.map_err(|error| Failure::of(&error))?;
    if let Some(file) = batch {
        return batch::run(&mut explainer, &file).await;
    }
    let sql = sql.unwrap_or_default();
    let sql = if sql == "-" { from_standard_input()? } else { sql };
    let told = explainer.explain(&sql, search_path.as_deref()).await;
    let mut out = Out::new();
    match format {
        Format::Table => {
            let about = table::About { identity: &identity, bundle: &bundle };
            table::print(&mut out, &about, &told)?;
        }
        Format::Json => {
            let line = Line::answer(None, &Value::Null, &told);
            let json = serde_json::to_string_pretty(&line)
                .map_err(|error| Failure::caused("can't write the explanation", error))?;
            out.line(&json)?;
        }
    }
    out.flush()?;
    Ok(status(&told))
}

/// A text that isn't understood fails, whosever fault it is; one that is refused by the policy doesn't.
fn status(told: &Told) -> Status {
    match told.status {
        Understood::Understood => Status::Success,
        Understood::Error | Understood::Unknown => Status::CheckFailed,
    }
}

/// Reads `--as`, `--on-behalf-of`, `--groups` and `--attribute`.
fn who(
    identity: Option<&str>,
    on_behalf_of: Option<&str>,
    groups: Vec<String>,
    attributes: &[String],
) -> Result<Identity, Failure> {
    if identity.is_none() && groups.is_empty() {
        return Err(Failure::usage("say who asks: --as ISSUER:SUBJECT, --groups GROUP,GROUP, or both"));
    }
    let party = |option: &str, text: &str| {
        let named =
            text.split_once(':').filter(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
        named
            .map(|(issuer, subject)| Party { issuer: issuer.to_owned(), subject: subject.to_owned() })
            .ok_or_else(|| Failure::usage(format!("{option} \"{text}\" must be like corp:alice")))
    };
    let Party { issuer, subject } = match identity {
        Some(text) => party("--as", text)?,
        None => Party { issuer: "explain".to_owned(), subject: "anybody".to_owned() },
    };
    let on_behalf_of = on_behalf_of.map(|text| party("--on-behalf-of", text)).transpose()?;
    let pair = |text: &String| {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .ok_or_else(|| Failure::usage(format!("--attribute \"{text}\" must be like team=sales")))
    };
    Ok(Identity {
        issuer,
        subject,
        name: None,
        groups: groups.into_iter().filter(|group| !group.is_empty()).collect(),
        attributes: attributes.iter().map(pair).collect::<Result<BTreeMap<_, _>, _>>()?,
        token_id: None,
        on_behalf_of,
    })
}

fn from_standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::caused("can't read the statement from standard input", error))?;
    Ok(text)
}
