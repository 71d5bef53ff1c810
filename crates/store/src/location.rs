//! Where a store is. Reads no configuration and fetches no secret itself.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use model::Secret;

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file of this gateway's own; made where it is missing.
    Sqlite(PathBuf),
    /// A schema `gatepost` of a PostgreSQL database, for several gateways.
    Postgres(Postgres),
}

/// A PostgreSQL database.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Where its password comes from.
    pub password: Password,
    /// Whether and how the server proves who it is.
    pub tls: Tls,
}

/// How the connection is kept from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Disable,
    /// libpq's `verify-full`, with these authorities (PEM) beside the public ones that are built in.
    VerifyFull(Vec<u8>),
}

type Fetched = Pin<Box<dyn Future<Output = Result<Option<Secret<String>>, String>> + Send>>;

/// Fetches a password each time that it is needed, so that it can change.
#[derive(Clone)]
pub struct Password(Arc<dyn Fn() -> Fetched + Send + Sync>);

impl Password {
    /// `fetch` gives the password, `None` where none is sent, or why there is none: a fragment without any part of it.
    pub fn new<F>(fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Option<Secret<String>>, String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(fetch())))
    }

    /// None is sent.
    pub fn none() -> Self {
        Self::new(|| async { Ok(None) })
    }

    pub(crate) async fn fetch(&self) -> Result<Option<Secret<String>>, String> {
        (self.0)().await
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl fmt::Display for Location {
    /// Writes it without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(Postgres { host, port, database, .. }) if host.starts_with('/') => {
                write!(f, "postgres:///{database}?host={host}&port={port}")
            }
            Self::Postgres(Postgres { host, port, database, .. }) => {
                write!(f, "postgres://{host}:{port}/{database}")
            }
        }
    }
}
