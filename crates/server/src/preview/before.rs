//! A statement, or a pattern, that somebody asks approval for before running it: analysed as a session of theirs would.

use std::sync::Arc;
use std::time::Duration;

use approval::Ask;
use model::Identity;
use schemars::JsonSchema;
use serde::Deserialize;
use session::Asked;

use super::NotShown;
use super::second::{Second, Whom, asker, database};
use crate::desk::AskRefused;
use crate::gateway::Gateway;

/// How often a pattern may be used.
const USES_MAX: u32 = 1000;
/// The longest purpose, in bytes.
const PURPOSE_BYTES_MAX: usize = 4096;

/// What somebody asks for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The database as clients name it.
    pub database: String,
    /// The statement, as it will be sent: one, without parameters unless it is a pattern.
    pub sql: String,
    /// Whether any literals and parameters may stand where these do.
    #[serde(default)]
    pub pattern: bool,
    /// How often, of a pattern; 1 unless told.
    #[serde(default)]
    pub uses: Option<u32>,
    /// How long after the approval it may be used, in seconds; no longer than the policy says.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Why it is wanted.
    #[serde(default)]
    pub purpose: Option<String>,
    /// What could follow `SET search_path TO`, if the session will set that.
    #[serde(default)]
    pub search_path: Option<String>,
}

/// Why nothing is asked.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// Whoever asked: it needs no approval.
    #[error("the policy allows it without approval")]
    Allowed,
    /// Whoever asked: the policy refuses it, whoever approves.
    #[error("{0}")]
    Refused(String),
    /// Whoever asked.
    #[error("{0}")]
    Invalid(String),
    /// It can't be analysed.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// No request is taken.
    #[error(transparent)]
    Desk(AskRefused),
}

/// Makes what approvers are asked.
pub(crate) async fn ask_before(
    gateway: &Arc<Gateway>,
    identity: &Identity,
    before: &Before,
) -> Result<Ask, NotAsked> {
    let invalid = |why: &str| NotAsked::Invalid(why.to_owned());
    let uses = before.uses.unwrap_or(1);
    if !(1..=USES_MAX).contains(&uses) {
        return Err(NotAsked::Invalid(format!("uses must be from 1 to {USES_MAX}")));
    }
    if uses > 1 && !before.pattern {
        return Err(invalid("a statement is approved for one use; ask for its pattern"));
    }
    if before.purpose.as_ref().is_some_and(|purpose| purpose.len() > PURPOSE_BYTES_MAX) {
        return Err(NotAsked::Invalid(format!("the purpose is longer than {PURPOSE_BYTES_MAX} bytes")));
    }
    let path = match &before.search_path {
        Some(list) => session::search_path(list).map_err(NotAsked::Invalid)?,
        None => None,
    };
    // SECURITY: who may not connect learns nothing of the database; that it exists is told to whoever is somebody.
    let mut second = Second::open(gateway, &before.database, Whom::present(identity)).await?;
    let asked = analysed(&mut second, identity, before, path.as_deref()).await;
    second.close().await;
    let mut ask = asked?;
    if before.pattern {
        let pattern = ask.pattern.ok_or_else(|| {
            invalid("what it means depends on more than its shape: ask for the statement itself")
        })?;
        ask.binding = pattern;
        ask.statement.pattern = true;
    }
    ask.uses = uses;
    if let Some(seconds) = before.for_seconds {
        if seconds == 0 {
            return Err(invalid("for_seconds must be at least 1"));
        }
        ask.use_within = ask.use_within.min(Duration::from_secs(seconds));
    }
    ask.purpose.clone_from(&before.purpose);
    Ok(ask)
}

async fn analysed(
    second: &mut Second,
    identity: &Identity,
    before: &Before,
    path: Option<&str>,
) -> Result<Ask, NotAsked> {
    let begin = "BEGIN READ ONLY; SET LOCAL statement_timeout TO 8000; SET LOCAL lock_timeout TO 1000";
    second.run(begin).await.map_err(database)?;
    if let Some(path) = path {
        let path = model::quote_literal(path);
        let set = format!("SELECT pg_catalog.set_config('search_path', {path}, true)");
        second.run(&set).await.map_err(database)?;
    }
    let examined = second.examine(&before.sql, &[]).await?;
    if examined.parameters() > 0 && !before.pattern {
        let why =
            "it has parameters, whose values would be approved too: write them out, or ask for its pattern";
        return Err(NotAsked::Invalid(why.to_owned()));
    }
    let bundle = second.bundle.clone();
    let asked = examined.ask(&before.sql, &bundle, asker(identity, &before.database));
    second.run("ROLLBACK").await.map_err(database)?;
    match asked {
        Asked::Allowed => Err(NotAsked::Allowed),
        Asked::Refused(refusal) => Err(NotAsked::Refused(refusal.to_string())),
        Asked::Approval(ask) => Ok(*ask),
    }
}
