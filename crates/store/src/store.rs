//! The handle that everybody holds, and what both kinds of store have in common: time limits, errors, notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{PgPool, SqlitePool};
use tokio::sync::broadcast;

use crate::change::Change;
use crate::error::StoreError;
use crate::location::Location;
use crate::{postgres, sqlite};

/// How long one question to a store may take, waiting for a connection included.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Notices that wait for a slow listener; one that is further behind is told so, and reads everything again.
const CHANGES_WAITING_MAX: usize = 4096;

/// What gateways share. Cheap to clone; the last clone to go closes it.
///
/// Every write that succeeds is on disk when it returns. A write that fails as [`StoreError::Unavailable`] may have been done or
/// not.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    location: Location,
    side: Side,
    changes: broadcast::Sender<Change>,
    errors: AtomicU64,
}

enum Side {
    Sqlite(sqlite::Side),
    Postgres(postgres::Side),
}

/// Where a statement goes.
pub(crate) enum Pool<'a> {
    Sqlite(&'a SqlitePool),
    Postgres(&'a PgPool),
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Where it is, without user and password.
    pub location: String,
    /// Why it can't be used, if it can't.
    pub trouble: Option<String>,
    /// Questions that failed since the start.
    pub errors: u64,
}

/// What is at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Program and version.
    pub server: String,
    /// The schema's version; `None` where there is none yet.
    pub schema: Option<i64>,
}

/// Runs one expression with `$pool` being whichever pool there is, within the time limit.
macro_rules! on {
    ($store:expr, $which:ident, |$pool:ident| $run:expr) => {{
        let store: &$crate::Store = $store;
        match store.$which()? {
            $crate::store::Pool::Sqlite($pool) => store.settle($run).await,
            $crate::store::Pool::Postgres($pool) => store.settle($run).await,
        }
    }};
}

/// Asks a question: all rows.
macro_rules! ask {
    ($store:expr, $query:expr) => {
        on!($store, reader, |pool| $query.fetch_all(pool))
    };
}

/// Makes a change: all rows that it returns.
///
/// INVARIANT: read to its end, also where one row is enough: a row may come before the change is committed.
macro_rules! put {
    ($store:expr, $query:expr) => {{
        let done = on!($store, writer, |pool| $query.fetch_all(pool));
        $store.wrote();
        done
    }};
}

/// Makes a change that returns no rows: how many it concerned.
macro_rules! run {
    ($store:expr, $query:expr) => {{
        let done =
            on!($store, writer, |pool| async { $query.execute(pool).await.map(|done| done.rows_affected()) });
        $store.wrote();
        done
    }};
}

impl Store {
    /// Opens a store, and brings its schema up to date. One in PostgreSQL that can't be reached is tried again until it can, and
    /// refuses everything until then.
    ///
    /// # Errors
    /// Operator: what [`StoreError`] says. Never [`StoreError::Unavailable`] for PostgreSQL.
    pub async fn open(location: Location) -> Result<Self, StoreError> {
        let (changes, _) = broadcast::channel(CHANGES_WAITING_MAX);
        let side = match &location {
            Location::Sqlite(path) => {
                Side::Sqlite(sqlite::Side::open(&location, path, changes.clone()).await?)
            }
            Location::Postgres(postgres) => {
                Side::Postgres(postgres::Side::open(&location, postgres, changes.clone()).await?)
            }
        };
        Ok(Self(Arc::new(Inner { location, side, changes, errors: AtomicU64::new(0) })))
    }

    /// Tells of every write to requests, delegations and outbox, by whichever gateway.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Returns how it is, without asking it.
    pub fn health(&self) -> Health {
        let trouble = match &self.0.side {
            Side::Sqlite(_) => None,
            Side::Postgres(side) => side.trouble().map(|error| error.to_string()),
        };
        let errors = self.0.errors.load(Ordering::Relaxed);
        Health { location: self.0.location.to_string(), trouble, errors }
    }

    /// Asks it something small.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn ping(&self) -> Result<(), StoreError> {
        ask!(self, sqlx::query_scalar::<_, i64>("SELECT count(*) FROM instances")).map(first).map(drop)
    }

    pub(crate) fn location(&self) -> &Location {
        &self.0.location
    }

    pub(crate) fn reader(&self) -> Result<Pool<'_>, StoreError> {
        match &self.0.side {
            Side::Sqlite(side) => Ok(Pool::Sqlite(side.reader())),
            Side::Postgres(side) => self.usable(side),
        }
    }

    pub(crate) fn writer(&self) -> Result<Pool<'_>, StoreError> {
        match &self.0.side {
            Side::Sqlite(side) => Ok(Pool::Sqlite(side.writer())),
            Side::Postgres(side) => self.usable(side),
        }
    }

    fn usable<'a>(&self, side: &'a postgres::Side) -> Result<Pool<'a>, StoreError> {
        match side.trouble() {
            None => Ok(Pool::Postgres(side.pool())),
            Some(error) => {
                self.0.errors.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Awaits one question within the time limit, and counts it if it fails.
    pub(crate) async fn settle<T>(
        &self,
        question: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let location = self.location();
        let done = match tokio::time::timeout(ANSWER_TIME_MAX, question).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(StoreError::of(location, error)),
            Err(_) => Err(StoreError::unavailable(location, "it did not answer in time")),
        };
        if done.is_err() {
            self.0.errors.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    pub(crate) fn damaged(&self, what: &'static str, why: &dyn std::error::Error) -> StoreError {
        self.0.errors.fetch_add(1, Ordering::Relaxed);
        StoreError::Damaged { location: self.location().to_string(), what, why: why.to_string() }
    }

    /// Sees to it that listeners are told soon.
    pub(crate) fn wrote(&self) {
        match &self.0.side {
            Side::Sqlite(side) => side.wrote(),
            // The server tells.
            Side::Postgres(_) => {}
        }
    }
}

/// Looks at a location without making or changing anything.
///
/// # Errors
/// What [`StoreError`] says.
pub async fn probe(location: &Location) -> Result<Probe, StoreError> {
    let looked = async {
        match location {
            Location::Sqlite(path) => sqlite::probe(location, path).await,
            Location::Postgres(postgres) => postgres::probe(location, postgres).await,
        }
    };
    match tokio::time::timeout(ANSWER_TIME_MAX, looked).await {
        Ok(probe) => probe,
        Err(_) => Err(StoreError::unavailable(location, "it did not answer in time")),
    }
}

/// Columns are signed.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Nothing is ever written that is negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(crate) fn first<T>(rows: Vec<T>) -> Option<T> {
    rows.into_iter().next()
}
