//! `[journal.signing]`: who signs the audit trail's checkpoints, and when. Knows no key.

use std::time::Duration;

use crate::context::Context;
use crate::read::Table;
use crate::secret_ref::{ExecCommand, SecretRef};

/// When checkpoints are signed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// At the latest after so many records.
    pub every: u64,
    /// At the latest after this time, if there are new records.
    pub interval: Duration,
    /// Who signs.
    pub signer: Signer,
    /// Who signed before, and hands over to `signer`.
    pub previous: Option<Signer>,
}

/// Somebody who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// What the key is called in signatures. Has neither white space nor "+".
    pub name: String,
    /// The key.
    pub key: Key,
}

/// Where a signing key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a file of the gateway's own, which it makes where it is missing.
    Own,
    /// A private key as PEM.
    Private(SecretRef),
    /// With a command, which signs what it reads.
    Command {
        /// The command.
        command: ExecCommand,
        /// The public key that its signatures are of.
        public_key: String,
    },
}

/// The own key's file, in the state folder.
pub const OWN_KEY_FILE: &str = "signing.pem";

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Signing> {
    let every = table.value("every", context).and_then(|value| value.number(1..=10_000_000, context));
    let allowed = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    let interval = table.value("interval", context).and_then(|value| value.duration(allowed, context));
    let own = signer(table, context);
    let previous = match table.written("previous") {
        None => Some(None),
        Some(at) => table.table("previous", context).and_then(|previous| match signer(&previous, context)? {
            Signer { key: Key::Own, .. } => {
                let message = "journal.signing.previous needs \"key\", or \"command\" and \"public_key\"";
                context.error_at_secret(at, message.to_owned());
                None
            }
            signer => Some(Some(signer)),
        }),
    };
    Some(Signing { every: every?, interval: interval?, signer: own?, previous: previous? })
}

fn signer(table: &Table<'_>, context: &mut Context<'_>) -> Option<Signer> {
    let name = table.value("name", context).and_then(|value| {
        let name = value.string(context)?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            let message =
                format!("a key's name must not be empty and has neither white space nor \"+\": \"{name}\"");
            context.error(value.span(), message);
            return None;
        }
        Some(name)
    });
    let public_key = table.value("public_key", context).and_then(|value| value.string(context));
    let (key, command) = (table.written("key"), table.written("command"));
    if let (Some(at), None) = (table.written("public_key"), &command) {
        context
            .error(at, "\"public_key\" is for a \"command\"; that of a \"key\" follows from it".to_owned());
    }
    let key = match (key, command) {
        (Some(at), Some(_)) => {
            context.error_at_secret(at, "write \"key\" or \"command\", not both: one signs".to_owned());
            None
        }
        (Some(_), None) => {
            table.value("key", context).and_then(|value| value.secret(context)).map(Key::Private)
        }
        (None, Some(at)) => {
            let command = table.value("command", context).and_then(|value| value.secret(context));
            if table.written("public_key").is_none() {
                table.lacks("public_key", context);
            }
            match command? {
                SecretRef::Exec(command) => Some(Key::Command { command, public_key: public_key? }),
                _ => {
                    let message =
                        "a command that signs is written \"exec:COMMAND\"; a private key is a \"key\"";
                    context.error(at, message.to_owned());
                    None
                }
            }
        }
        (None, None) => Some(Key::Own),
    };
    Some(Signer { name: name?, key: key? })
}
