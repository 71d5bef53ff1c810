//! `[[database]]`: what a client may name, where it is, who logs in there. Loads no policy.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Where verifiers of legacy accounts are asked for; `None`: all are imported.
    pub verifiers: Option<Verifiers>,
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
    /// A role for each session.
    Ephemeral(Ephemeral),
    /// None: only legacy accounts come, and log in as themselves.
    Passthrough {
        /// Who asks the gateway's own questions: tests of the bundle that have SQL, `policy explain`, `check --connect`.
        questions: Option<Questions>,
    },
}

/// A login for the gateway's own questions. No session ever uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// The role.
    pub user: SecretRef,
    /// Its password; `None` where the upstream asks for none.
    pub password: Option<SecretRef>,
}

/// Where verifiers of legacy accounts are asked for that are not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifiers {
    /// The login that may read them: `postgres://USER:PASSWORD@HOST:PORT/DBNAME`.
    pub from: SecretRef,
    /// The query, with `$1` for the account's name; its first row's first column is the verifier.
    pub query: String,
}

/// How roles for sessions are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ephemeral {
    /// The login that makes them: `postgres://USER:PASSWORD@HOST:PORT/DBNAME`.
    pub admin: SecretRef,
    /// What becomes of what a session's role owns.
    pub at_end: AtEnd,
    /// Who gets it; `None`: the admin.
    pub owner: Option<String>,
    /// How many roles are kept prepared for each scope in use.
    pub pool: u32,
    /// What the names of all roles begin with.
    // INVARIANT: 1 to 16 of a-z, 0-9 and `_`, a letter first, not `pg_`.
    pub prefix: String,
    /// How often roles that a crash has left are looked for.
    pub sweep_interval: Duration,
}

/// What becomes of what a session's role owns when the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// The owner gets it.
    Reassign,
    /// It is dropped.
    Drop,
}

impl AtEnd {
    /// Returns the word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reassign => "reassign",
            Self::Drop => "drop",
        }
    }
}

pub(crate) fn read(table: &Table<'_>, context: &mut Context<'_>) -> Option<Database> {
    let name = table.value("name", context).and_then(|value| name(&value, context));
    let fallback = name.as_deref().unwrap_or("?");
    let upstream = table.value("upstream", context).and_then(|value| upstream(&value, fallback, context));
    let login = table.table("login", context).map(|table| (table.span(), login(&table, context)));
    let login_at = login.clone().and_then(|(span, login)| Some((span, login?)));
    let login = login.and_then(|(_, login)| login);
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
    if let (Some(upstream), Some(login)) = (&upstream, &login_at) {
        check_login(upstream, login, context);
    }
    let verifiers = verifiers(table, context);
    Some(Database {
        name: name?,
        upstream: upstream?,
        login: login?,
        policy: policy?,
        enforce: enforce?,
        mask: mask?,
        verifiers: verifiers?,
    })
}

fn verifiers(table: &Table<'_>, context: &mut Context<'_>) -> Option<Option<Verifiers>> {
    let query = table.value("verifier_query", context)?;
    let text = query.string(context);
    if text.as_ref().is_some_and(|text| !text.contains("$1")) {
        context.error(query.span(), "\"verifier_query\" must have \"$1\", for the account's name".to_owned());
        return None;
    }
    match table.value("verifiers", context) {
        Some(from) => Some(Some(Verifiers { from: from.secret(context)?, query: text? })),
        None => text.map(|_| None),
    }
}

/// What only login and upstream together can get wrong.
fn check_login(upstream: &Upstream, (span, login): &(Range<usize>, Login), context: &mut Context<'_>) {
    let Login::Static { user, password } = login else { return };
    if matches!(user, SecretRef::AwsRdsIam(_)) {
        let message = "aws:rds-iam is a password, not a user; name the role that was granted rds_iam";
        context.error_at_secret(span.clone(), message.to_owned());
    }
    // SECURITY: it is sent as it is, and good for anybody for 15 minutes.
    if matches!(password, Some(SecretRef::AwsRdsIam(_))) && upstream.tls.roots().is_none() {
        let message = "aws:rds-iam needs TLS with a server whose certificate is checked; add sslmode=verify-full and sslrootcert to upstream";
        context.error_at_secret(span.clone(), message.to_owned());
    }
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

/// The keys of [`LOGIN`](crate::keys::LOGIN) that only one kind has.
const OF_STATIC: [&str; 2] = ["user", "password"];
const OF_EPHEMERAL: [&str; 6] = ["admin", "at_end", "owner", "pool", "prefix", "sweep_interval"];

fn login(table: &Table<'_>, context: &mut Context<'_>) -> Option<Login> {
    let kind = table.value("kind", context)?;
    let word = kind.string(context)?;
    let others: &[&str] = match word.as_str() {
        "static" => &OF_EPHEMERAL,
        "ephemeral" => &OF_STATIC,
        "passthrough" => &OF_EPHEMERAL,
        _ => {
            let message = format!(
                "login kind \"{word}\" is unknown; write kind = \"static\", \"ephemeral\" or \"passthrough\""
            );
            context.error(kind.span(), message);
            return None;
        }
    };
    let mut strangers = false;
    for (name, span) in others.iter().filter_map(|name| Some((name, table.written(name)?))) {
        strangers = true;
        context.error_at_secret(span, format!("\"{name}\" is not for login kind \"{word}\"; remove it"));
    }
    let login = match word.as_str() {
        "static" => one_login(table, context),
        "ephemeral" => ephemeral(table, context),
        _ => passthrough(table, context),
    };
    login.filter(|_| !strangers)
}

fn required<'t>(table: &Table<'t>, name: &str, kind: &str, context: &mut Context<'_>) -> Option<Value<'t>> {
    let value = table.value(name, context);
    if value.is_none() {
        // An inline table may hold secrets.
        let message =
            format!("database.login lacks \"{name}\" (secret reference), which kind \"{kind}\" needs");
        context.error_at_secret(table.span(), message);
    }
    value
}

fn one_login(table: &Table<'_>, context: &mut Context<'_>) -> Option<Login> {
    let user = required(table, "user", "static", context).and_then(|value| value.secret(context));
    let password = match table.value("password", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    Some(Login::Static { user: user?, password: password? })
}

fn passthrough(table: &Table<'_>, context: &mut Context<'_>) -> Option<Login> {
    let Some(user) = table.value("user", context) else {
        if let Some(span) = table.written("password") {
            context.error_at_secret(span, "\"password\" without \"user\" is nobody's; add it".to_owned());
            return None;
        }
        return Some(Login::Passthrough { questions: None });
    };
    let user = user.secret(context);
    let password = match table.value("password", context) {
        Some(value) => value.secret(context).map(Some),
        None => Some(None),
    };
    Some(Login::Passthrough { questions: Some(Questions { user: user?, password: password? }) })
}

fn ephemeral(table: &Table<'_>, context: &mut Context<'_>) -> Option<Login> {
    let admin = required(table, "admin", "ephemeral", context).and_then(|value| value.secret(context));
    let at_end = table.value("at_end", context).and_then(|value| {
        let word = value.string(context)?;
        let known = [AtEnd::Reassign, AtEnd::Drop].into_iter().find(|known| known.as_str() == word);
        if known.is_none() {
            context
                .error(value.span(), format!("at_end \"{word}\" is unknown; write \"reassign\" or \"drop\""));
        }
        known
    });
    let owner = match table.value("owner", context) {
        Some(value) => value.string(context).map(Some),
        None => Some(None),
    };
    let pool = table.value("pool", context).and_then(|value| value.number(0..=100, context));
    let prefix = table.value("prefix", context).and_then(|value| prefix(&value, context));
    let sweep = table.value("sweep_interval", context);
    let sweep =
        sweep.and_then(|value| value.duration(Duration::from_secs(1)..=Duration::from_secs(3600), context));
    Some(Login::Ephemeral(Ephemeral {
        admin: admin?,
        at_end: at_end?,
        owner: owner?,
        pool: u32::try_from(pool?).ok()?,
        prefix: prefix?,
        sweep_interval: sweep?,
    }))
}

fn prefix(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let prefix = value.string(context)?;
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let fits = (1..=16).contains(&prefix.len())
        && prefix.bytes().all(letters)
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        // PostgreSQL's own (`IsReservedName`, catalog/catalog.c).
        && !prefix.starts_with("pg_");
    if !fits {
        let message = format!(
            "the prefix \"{}\" must be 1 to 16 lower-case letters, digits and \"_\", with a letter first, \
             and not begin with \"pg_\"",
            prefix.escape_debug()
        );
        context.error(value.span(), message);
    }
    fits.then_some(prefix)
}
