//! `[[database]]`: what a client may name, where it is, who logs in there. Loads no policy.

use std::path::PathBuf;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::upstream::{Roots, Upstream, UpstreamTls};

/// A database that clients may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// What clients call it. Unique.
    pub name: String,
    /// Where it is.
    pub upstream: Upstream,
    /// Who the gateway is there.
    pub login: Login,
    /// The folder of the policy bundle.
    pub policy: PathBuf,
    /// `false`: decide and record, refuse nothing.
    pub enforce: bool,
    /// `false`: record what would have been masked, and send it in the clear.
    // INVARIANT: `false` only where `enforce` is `false` too.
    pub mask: bool,
}

/// How the gateway logs in to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// One login for all sessions.
    Static {
        /// The role.
        user: SecretRef,
        /// Its password; `None` where the upstream asks for none.
        password: Option<SecretRef>,
    },
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Database> {
    let name = table.value("name", context).and_then(|value| name(&value, context));
    let fallback = name.as_deref().unwrap_or("?");
    let upstream = table.value("upstream", context).and_then(|value| upstream(&value, fallback, context));
    let login = table.table("login", context).and_then(|table| login(&table, context));
    let policy = table.value("policy", context).and_then(|value| value.path(PathKind::Folder, context));
    let enforced = table.value("enforce", context);
    let masked = table.value("mask", context);
    let enforce = enforced.as_ref().and_then(|value| value.boolean(context));
    let mask = masked.as_ref().and_then(|value| value.boolean(context));
    match (enforced, enforce, masked, mask) {
        (_, Some(true), Some(value), Some(false)) => {
            // SECURITY: a gateway that refuses but does not mask would look safe and not be.
            let message = "mask = false needs enforce = false: to send masked columns in the clear is for observing only";
            context.error(value.span(), message.to_owned());
        }
        (Some(value), Some(false), _, Some(mask)) => {
            let clear = if mask { "" } else { ", and masked columns are sent in the clear" };
            context.warn(
                value.span(),
                format!("database \"{fallback}\" is only observed: nothing is refused{clear}"),
            );
        }
        _ => {}
    }
    Some(Database {
        name: name?,
        upstream: upstream?,
        login: login?,
        policy: policy?,
        enforce: enforce?,
        mask: mask?,
    })
}

fn name(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let name = value.string(context)?;
    if name.chars().any(char::is_control) {
        context.error(
            value.span(),
            format!("the name \"{}\" has control characters in it", name.escape_debug()),
        );
        return None;
    }
    Some(name)
}

fn upstream(value: &Value<'_>, name: &str, context: &mut Context<'_>) -> Option<Upstream> {
    let text = value.string(context)?;
    let upstream = match Upstream::parse(&text, name, |path| context.resolve(path)) {
        Ok(upstream) => upstream,
        Err(message) => {
            context.error_at_secret(value.span(), message);
            return None;
        }
    };
    if let Some(Roots::File(path)) = upstream.tls.roots() {
        context.readable(value.span(), &path.to_string_lossy(), PathKind::File);
    }
    if !upstream.host.is_local() {
        let what = match upstream.tls {
            UpstreamTls::Disable => Some("in plain text"),
            UpstreamTls::Require => Some("with TLS to whoever answers: its certificate is not checked"),
            UpstreamTls::VerifyCa(_) | UpstreamTls::VerifyFull(_) => None,
        };
        if let Some(what) = what {
            context.warn(
                value.span(),
                format!("database \"{name}\" is reached {what}; sslmode=verify-full is safer"),
            );
        }
    }
    Some(upstream)
}

fn login(table: &Table<'_>, context: &mut Context<'_>) -> Option<Login> {
    let kind = table.value("kind", context)?;
    let word = kind.string(context)?;
    match word.as_str() {
        "static" => {}
        "ephemeral" | "passthrough" => {
            let message =
                format!("login kind \"{word}\" is not available in this version; write kind = \"static\"");
            context.error(kind.span(), message);
            return None;
        }
        _ => {
            context.error(kind.span(), format!("login kind \"{word}\" is unknown; write kind = \"static\""));
            return None;
        }
    }
    let user = table.value("user", context).and_then(|value| value.secret(context));
    let password = match table.value("password", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    Some(Login::Static { user: user?, password: password? })
}
