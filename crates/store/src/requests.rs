//! Requests for approval: opened once, changed by compare-and-swap.

use std::collections::BTreeSet;

use approval::{Ask, Binding, Number, Request, Review, Stamp, State};
use sqlx::QueryBuilder;

use crate::error::StoreError;
use crate::store::{Store, first, signed, unsigned};

/// The most that one question for requests answers with.
const REQUESTS_MAX: u32 = 1000;

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The request.
    pub request: Request,
    /// What [`Store::replace`] must name; another after each write.
    pub version: u64,
}

/// Where a request stands, without what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Waits for approvers.
    Open,
    /// May be used.
    Approved,
    /// Somebody has denied it.
    Denied,
    /// Used as often as it may be.
    Used,
    /// Over for another reason.
    Ended,
}

impl Standing {
    /// Returns the standing of a state.
    pub const fn of(state: &State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Approved => Self::Approved,
            State::Denied => Self::Denied,
            State::Used => Self::Used,
            State::Ended(_) => Self::Ended,
        }
    }

    /// Returns the word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
            Self::Ended => "ended",
        }
    }
}

/// Which requests. Everything that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct RequestFilter {
    /// Those that stand so; empty: all.
    pub states: BTreeSet<Standing>,
    /// `issuer:subject` of who asks.
    pub requester: Option<String>,
    /// What an approval is bound to.
    pub binding: Option<Binding>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// The instance that holds the session.
    pub gateway: Option<String>,
    /// Those with a lower number.
    pub before: Option<Number>,
    /// Break-glasses that nobody has reviewed, and no others.
    pub review_due: bool,
    /// How many at most, the newest first; `None`: as many as there may be at once, 1000.
    pub limit: Option<u32>,
}

/// The columns that requests are found by.
struct Columns {
    state: &'static str,
    requester: String,
    binding: String,
    until: i64,
    changed: i64,
    review_due: i64,
    body: String,
}

impl Columns {
    fn of(store: &Store, request: &Request) -> Result<Self, StoreError> {
        Ok(Self {
            state: Standing::of(&request.state).as_str(),
            requester: request.ask.requester.to_string(),
            binding: request.ask.binding.to_string(),
            until: signed(request.until.0),
            changed: signed(request.changed.0),
            review_due: i64::from(request.review == Review::Due),
            body: serde_json::to_string(request).map_err(|error| store.damaged("a request", &error))?,
        })
    }
}

type Row = (i64, i64, String);

/// Appends the conditions of a filter to a query that ends in `number <`.
macro_rules! narrowed {
    ($query:ident, $filter:ident) => {
        $query.push_bind($filter.before.map_or(i64::MAX, |before| signed(before.0)));
        if !$filter.states.is_empty() {
            $query.push(" AND state IN (");
            let mut words = $query.separated(", ");
            for state in &$filter.states {
                words.push_bind(state.as_str());
            }
            $query.push(")");
        }
        for (column, wanted) in [
            (" AND requester = ", &$filter.requester),
            (" AND binding = ", &$filter.binding.map(|binding| binding.to_string())),
            (" AND database = ", &$filter.database),
            (" AND gateway = ", &$filter.gateway),
        ] {
            if let Some(wanted) = wanted {
                $query.push(column).push_bind(wanted.clone());
            }
        }
        if $filter.review_due {
            $query.push(" AND review_due = 1");
        }
    };
}

impl Store {
    /// Opens a request, and gives it its number.
    ///
    /// # Errors
    /// What [`StoreError`] says; then nothing is to be held.
    pub async fn open_request(
        &self,
        ask: &Ask,
        gateway: &str,
        opened: Stamp,
        until: Stamp,
    ) -> Result<Request, StoreError> {
        // The column's number counts; this one is replaced wherever a request is read.
        let mut request = Request::open(Number(0), ask.clone(), gateway.to_owned(), opened, until);
        let columns = Columns::of(self, &request)?;
        let number: Option<i64> = put!(self, sqlx::query_scalar(
            "INSERT INTO requests (version, state, requester, binding, database, gateway, until, changed, review_due, body)
             VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING number",
        )
        .bind(columns.state)
        .bind(&columns.requester)
        .bind(&columns.binding)
        .bind(&ask.database)
        .bind(gateway)
        .bind(columns.until)
        .bind(columns.changed)
        .bind(columns.review_due)
        .bind(&columns.body)).map(first)?;
        let number =
            number.ok_or_else(|| self.damaged("no number for a request", &sqlx::Error::RowNotFound))?;
        request.number = Number(unsigned(number));
        Ok(request)
    }

    /// Returns a request.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn request(&self, number: Number) -> Result<Option<Kept>, StoreError> {
        let row: Option<Row> = ask!(
            self,
            sqlx::query_as("SELECT number, version, body FROM requests WHERE number = $1")
                .bind(signed(number.0))
        )
        .map(first)?;
        row.map(|row| self.kept(row)).transpose()
    }

    /// Writes a request over the one of `version`. `false`: somebody else has written since; nothing was done.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn replace(&self, request: &Request, version: u64) -> Result<bool, StoreError> {
        let columns = Columns::of(self, request)?;
        let written: Option<i64> = put!(self, sqlx::query_scalar(
            "UPDATE requests SET version = version + 1, state = $1, gateway = $2, until = $3, changed = $4, review_due = $5, body = $6
             WHERE number = $7 AND version = $8 RETURNING version",
        )
        .bind(columns.state)
        .bind(&request.gateway)
        .bind(columns.until)
        .bind(columns.changed)
        .bind(columns.review_due)
        .bind(&columns.body)
        .bind(signed(request.number.0))
        .bind(signed(version))).map(first)?;
        Ok(written.is_some())
    }

    /// Returns requests, the newest first.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Vec<Kept>, StoreError> {
        let limit = filter.limit.unwrap_or(REQUESTS_MAX).min(REQUESTS_MAX);
        let rows: Vec<Row> = on!(self, reader, |pool| async {
            let mut query = QueryBuilder::new("SELECT number, version, body FROM requests WHERE number < ");
            narrowed!(query, filter);
            query.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(pool).await
        })?;
        rows.into_iter().map(|row| self.kept(row)).collect()
    }

    /// Returns how many requests there are, whatever [`RequestFilter::limit`] is.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn count_requests(&self, filter: &RequestFilter) -> Result<u64, StoreError> {
        let counts: Vec<i64> = on!(self, reader, |pool| async {
            let mut query = QueryBuilder::new("SELECT count(*) FROM requests WHERE number < ");
            narrowed!(query, filter);
            query.build_query_scalar().fetch_all(pool).await
        })?;
        Ok(unsigned(counts.iter().sum()))
    }

    /// Returns requests that are open or approved and whose time is up at `now`, the most overdue first.
    ///
    /// # Errors
    /// What [`StoreError`] says.
    pub async fn overdue(&self, now: Stamp, limit: u32) -> Result<Vec<Kept>, StoreError> {
        let rows: Vec<Row> = ask!(
            self,
            sqlx::query_as(
                "SELECT number, version, body FROM requests WHERE state IN ('open', 'approved') AND until <= $1
                 ORDER BY until, number LIMIT $2"
            )
            .bind(signed(now.0))
            .bind(i64::from(limit.min(REQUESTS_MAX)))
        )?;
        rows.into_iter().map(|row| self.kept(row)).collect()
    }

    fn kept(&self, (number, version, body): Row) -> Result<Kept, StoreError> {
        let mut request: Request =
            serde_json::from_str(&body).map_err(|error| self.damaged("a request", &error))?;
        request.number = Number(unsigned(number));
        Ok(Kept { request, version: unsigned(version) })
    }
}
