//! Why the index can't be used. Knows what is to be done about it.

use std::path::PathBuf;

use journal::reader::ReadError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is none yet, or one of another version: who writes it makes it anew.
    #[error("there is no index at \"{}\" yet; a gateway makes it, or \"gatepost audit reindex\"", .0.display())]
    Missing(PathBuf),
    /// It is far behind the journal: who asks reads that instead.
    #[error("the index is more than {0} records behind the journal")]
    Behind(u64),
    /// What is in it can't be so. It is to be made anew.
    #[error("the index is damaged ({0}); \"gatepost audit reindex\" makes it anew")]
    Damaged(String),
    /// Operator: something else has that name.
    #[error("\"{}\" is no index of Gatepost's ({why}), and is left as it is; name another file in [index]", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// Somebody else writes it just now.
    #[error("another process keeps the index \"{}\" up to date", .0.display())]
    Busy(PathBuf),
    /// Operator: disk or permissions.
    #[error("the index \"{}\" can't be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// SQLite, for another reason than damage.
    #[error("the index can't be used: {0}")]
    Sqlite(String),
    /// The journal that it is made of.
    #[error(transparent)]
    Journal(#[from] ReadError),
}

impl IndexError {
    /// Whether making it anew is what helps.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

impl From<rusqlite::Error> for IndexError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch};
        match &error {
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(failure.code, DatabaseCorrupt | NotADatabase | TypeMismatch) =>
            {
                Self::Damaged(error.to_string())
            }
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
