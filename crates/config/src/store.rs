//! `[store]`: where is kept what gateways share and must not forget. Opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::upstream::{Roots, Upstream, UpstreamTls};
use crate::vault::optional;

/// What is kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where.
    pub place: StorePlace,
    /// How long requests are kept that are over.
    pub keep: Duration,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// A file, which may not exist yet.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    // INVARIANT: encrypted with a server that proves its name, or on this host.
    Postgres {
        /// Where it is.
        server: Box<Upstream>,
        /// The role.
        user: SecretRef,
        /// Its password; `None` where the server asks for none.
        password: Option<SecretRef>,
    },
}

/// The file in `state.path`, where `url` says nothing.
const FILE: &str = "store.db";
const DATABASE: &str = "gatepost";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KEEP_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

impl fmt::Display for StorePlace {
    /// Writes `url`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres { server, .. } => server.fmt(f),
        }
    }
}

pub(crate) fn read(table: &Table<'_>, state: Option<&Path>, context: &mut Context<'_>) -> Option<Store> {
    let keep = table.value("keep", context).and_then(|value| value.duration(DAY..=KEEP_MAX, context));
    let mut secret = |key: &str| optional(table, key, context, |value, context| value.secret(context));
    let (user, password) = (secret("user"), secret("password"));
    let place = match table.value("url", context) {
        None => {
            stray(table, context);
            state.map(|state| StorePlace::Sqlite(state.join(FILE)))
        }
        Some(value) => {
            let text = value.string(context)?;
            match text.strip_prefix("sqlite:") {
                Some(path) => {
                    stray(table, context);
                    file(&value, path, context)
                }
                None => server(&value, &text, context).and_then(|server| {
                    let Some(user) = user? else {
                        table.lacks("user", context);
                        return None;
                    };
                    Some(StorePlace::Postgres { server: Box::new(server), user, password: password? })
                }),
            }
        }
    };
    Some(Store { place: place?, keep: keep? })
}

/// A file has no login.
fn stray(table: &Table<'_>, context: &mut Context<'_>) {
    for key in ["user", "password"] {
        if let Some(span) = table.written(key) {
            let message = format!("\"{key}\" is not for a store in a file; remove it");
            context.error_at_secret(span, message);
        }
    }
}

fn file(value: &Value<'_>, path: &str, context: &mut Context<'_>) -> Option<StorePlace> {
    if path.is_empty() || path.contains(['?', '#']) || path.starts_with("//") {
        let message = "\"url\" must be \"sqlite:PATH\", without \"//\", \"?\" and \"#\"";
        context.error_at_secret(value.span(), message.to_owned());
        return None;
    }
    Some(StorePlace::Sqlite(context.resolve(path)))
}

fn server(value: &Value<'_>, text: &str, context: &mut Context<'_>) -> Option<Upstream> {
    let parsed = Upstream::parse(text, DATABASE, |path| context.resolve(path));
    let server = match parsed {
        Ok(server) => server,
        Err(message) => {
            let message = message
                .replace("\"upstream\"", "\"url\"")
                .replace("name them in \"login\"", "name them in \"user\" and \"password\"")
                .replace("name user and password in \"login\"", "name them in \"user\" and \"password\"");
            let message = format!("{message}; a file is \"sqlite:PATH\"");
            context.error_at_secret(value.span(), message);
            return None;
        }
    };
    if let Some(Roots::File(path)) = server.tls.roots() {
        context.readable(value.span(), &path.to_string_lossy(), PathKind::File);
    }
    match server.tls {
        UpstreamTls::VerifyFull(_) => {}
        UpstreamTls::Disable if server.host.is_local() => {}
        // SECURITY: who stands in between would decide what is approved.
        UpstreamTls::Disable | UpstreamTls::Require | UpstreamTls::VerifyCa(_) => {
            let message =
                "the store must prove who it is: write sslmode=verify-full, or leave it out on this host";
            context.error(value.span(), message.to_owned());
            return None;
        }
    }
    Some(server)
}
