//! What can go wrong with a store, and how to mend it. Matches result codes and SQLSTATEs, never message text.

use crate::location::Location;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or did not answer in time. A write may have been done or not: read again before relying on either.
    #[error("the store {location} can't be reached: {why}")]
    Unavailable {
        /// Which store.
        location: String,
        /// Why.
        why: String,
    },
    /// The file or schema is not a store.
    #[error("{location} is not a store of gatepost: {why}; name another in [store] url")]
    NotOurs {
        /// Which store.
        location: String,
        /// How that is known.
        why: String,
    },
    /// A later version has written it.
    #[error(
        "the store {location} has schema {found}, and this gatepost knows those up to {known}: run the version that wrote it, or a later one"
    )]
    Newer {
        /// Which store.
        location: String,
        /// Its schema.
        found: i64,
        /// The latest that is known here.
        known: i64,
    },
    /// It may not be written.
    #[error("the store {location} can't be written: {why}")]
    ReadOnly {
        /// Which store.
        location: String,
        /// Why, and what would help.
        why: String,
    },
    /// No room on the disk.
    #[error("the store {location} has no room on its disk: free some; nothing that was acknowledged is lost")]
    DiskFull {
        /// Which store.
        location: String,
    },
    /// Others may read or change it.
    #[error("the store {location} is open to others (mode {mode:04o}): chmod 600 it")]
    Exposed {
        /// Which store.
        location: String,
        /// Its mode.
        mode: u32,
    },
    /// There is as much of something as there may be.
    #[error("there are {most} {what} already, and no more are taken")]
    Full {
        /// Of what.
        what: &'static str,
        /// The bound.
        most: u64,
    },
    /// What is in it can't be understood.
    #[error("the store {location} holds {what} that can't be read: {why}")]
    Damaged {
        /// Which store.
        location: String,
        /// What.
        what: &'static str,
        /// How that is known.
        why: String,
    },
    /// It refused for another reason.
    #[error("the store {location} refused: {why}")]
    Refused {
        /// Which store.
        location: String,
        /// What it said.
        why: String,
    },
}

impl StoreError {
    /// Returns whether waiting may mend it; otherwise somebody must.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn unavailable(location: &Location, why: impl Into<String>) -> Self {
        Self::Unavailable { location: location.to_string(), why: why.into() }
    }

    /// Says what an error of the driver means.
    pub(crate) fn of(location: &Location, error: sqlx::Error) -> Self {
        let at = || location.to_string();
        let why = chain(&error);
        match &error {
            sqlx::Error::Database(database) => match location {
                Location::Sqlite(_) => of_sqlite(&at(), database.code().as_deref(), why),
                Location::Postgres(_) => of_postgres(&at(), database.code().as_deref(), why),
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Self::Damaged { location: at(), what: "a row", why }
            }
            _ => Self::Unavailable { location: at(), why },
        }
    }
}

/// Result codes of SQLite (<https://www.sqlite.org/rescode.html>); the primary one is in the lowest byte.
fn of_sqlite(at: &str, code: Option<&str>, why: String) -> StoreError {
    let location = at.to_owned();
    match code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
        Some(8) => {
            let why = format!("{why}; its folder and files must belong to whom the gateway runs as");
            StoreError::ReadOnly { location, why }
        }
        Some(13) => StoreError::DiskFull { location },
        Some(11) => StoreError::Damaged { location, what: "a database", why },
        Some(14) => {
            let why = format!("{why}; its folder must exist, and be writable for whom the gateway runs as");
            StoreError::ReadOnly { location, why }
        }
        Some(26) => StoreError::NotOurs { location, why },
        // BUSY, LOCKED, IOERR, FULL of memory, ...
        Some(5 | 6 | 7 | 10) => StoreError::Unavailable { location, why },
        _ => StoreError::Refused { location, why },
    }
}

/// SQLSTATEs (PostgreSQL 18 manual, appendix A).
fn of_postgres(at: &str, code: Option<&str>, why: String) -> StoreError {
    let location = at.to_owned();
    match code {
        Some("25006") => {
            let why = format!("{why}; it must be a primary, not a standby");
            StoreError::ReadOnly { location, why }
        }
        Some("53100") => StoreError::DiskFull { location },
        Some("42501") => {
            let why = format!(
                "{why}; its role needs CREATE on the database, or a schema \"gatepost\" that belongs to it"
            );
            StoreError::ReadOnly { location, why }
        }
        // insufficient resources, operator intervention, connection, authorisation, no such database, timeouts
        Some(code)
            if ["08", "28", "3D", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class)) =>
        {
            StoreError::Unavailable { location, why }
        }
        _ => StoreError::Refused { location, why },
    }
}

/// Writes an error and what caused it, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
