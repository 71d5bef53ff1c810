//! `[recording]`: where sessions are recorded, and for whom. Opens nothing; what is recorded of whom, bundles say.

use std::path::PathBuf;

use crate::context::Context;
use crate::read::Table;
use crate::vault::optional;

/// Where recordings are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// A folder, which may not exist yet: of the sessions that run, and of those whose recordings are not archived.
    pub path: PathBuf,
    /// For whom they are encrypted, `age1...`; empty: they aren't.
    pub recipients: Vec<String>,
    /// Bytes that may wait to be written, of all sessions.
    pub backlog: u64,
    /// The `[[object_store]]` that they are moved to when they are closed; `None`: they stay.
    // INVARIANT: there is one of that name.
    pub archive: Option<String>,
}

const MIB: u64 = 1 << 20;

pub(crate) fn read(table: &Table<'_>, stores: &[&str], context: &mut Context<'_>) -> Option<Recording> {
    let path = table.value("path", context).and_then(|value| value.string(context));
    let backlog = table.value("backlog", context).and_then(|value| value.bytes(MIB..=65_536 * MIB, context));
    let archive = optional(table, "archive", context, |value, context| {
        let name = value.string(context)?;
        if stores.contains(&name.as_str()) {
            return Some(name);
        }
        context.error(value.span(), format!("there is no [[object_store]] named \"{name}\""));
        None
    });
    let recipients = optional(table, "recipients", context, |value, context| {
        let mut names = Vec::new();
        for (span, name) in value.strings(context)? {
            let good = name.starts_with("age1")
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if !good {
                // A secret key could stand there by mistake: it is not repeated.
                let message = "a recipient must be \"age1...\", as age-keygen prints it; a secret key does not belong here";
                context.error_at_secret(span, message.to_owned());
                return None;
            }
            names.push(name);
        }
        Some(names)
    });
    Some(Recording {
        path: context.resolve(&path?),
        recipients: recipients?.unwrap_or_default(),
        backlog: backlog?,
        archive: archive?,
    })
}
