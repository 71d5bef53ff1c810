//! A store in a file: opening it safely, its schema, and noticing what other processes write to it.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;

use crate::change::Change;
use crate::error::StoreError;
use crate::location::Location;
use crate::store::{ANSWER_TIME_MAX, Probe};

/// `PRAGMA application_id` of our files: "Gate".
const APPLICATION_ID: i64 = 0x4761_7465;
/// What makes each version of the schema of the one before.
const MIGRATIONS: &[&str] = &[include_str!("schema/sqlite-1.sql")];
/// How long a writer waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that only read; one writes.
const READERS: u32 = 4;
/// How often writes of other processes are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct Side {
    writer: SqlitePool,
    reader: SqlitePool,
    wake: Arc<Notify>,
    watch: JoinHandle<()>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Side {
    pub(crate) async fn open(
        location: &Location,
        path: &Path,
        changes: broadcast::Sender<Change>,
    ) -> Result<Self, StoreError> {
        prepare_file(location, path)?;
        let failed = |error| StoreError::of(location, error);
        let plain = plain(path);
        // Nothing of a file that is not ours is changed, not even how it keeps its journal.
        let mut first = plain.connect().await.map_err(failed)?;
        schema(location, &mut first).await?;
        first.close().await.map_err(failed)?;

        // SECURITY: what was acknowledged survives the loss of power: FULL syncs the log at each commit.
        let options = plain
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = |most| SqlitePoolOptions::new().max_connections(most).acquire_timeout(ANSWER_TIME_MAX);
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        migrate(location, &writer).await?;
        let reader = pool(READERS).connect_lazy_with(options.clone().pragma("query_only", "on"));
        let wake = Arc::new(Notify::new());
        let connection = options.pragma("query_only", "on").connect().await.map_err(failed)?;
        let watch = tokio::spawn(watch(connection, wake.clone(), changes).await.map_err(failed)?);
        Ok(Self { writer, reader, wake, watch })
    }

    pub(crate) const fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    pub(crate) const fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    pub(crate) fn wrote(&self) {
        self.wake.notify_one();
    }
}

fn plain(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // SECURITY: a file may not bring functions or views that do more than data.
        .pragma("trusted_schema", "off")
        .disable_statement_logging()
}

/// Makes file and folder for nobody else, or refuses those that others can read.
fn prepare_file(location: &Location, path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| {
        let why = format!("{error}; its folder must exist, and be writable for whom the gateway runs as");
        StoreError::ReadOnly { location: location.to_string(), why }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).open(path).map_err(failed)?
        }
        made => made.map_err(failed)?,
    };
    exposed(location, &file.metadata().map_err(failed)?)
}

fn exposed(location: &Location, metadata: &std::fs::Metadata) -> Result<(), StoreError> {
    if !metadata.is_file() {
        let why = "it is no file".to_owned();
        return Err(StoreError::NotOurs { location: location.to_string(), why });
    }
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(StoreError::Exposed { location: location.to_string(), mode }),
    }
}

/// Returns the schema's version, 0 where there is none yet.
async fn schema(location: &Location, connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let failed = |error| StoreError::of(location, error);
    let not_ours = |why: &str| StoreError::NotOurs { location: location.to_string(), why: why.to_owned() };
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, version, _) if version > known() => {
            Err(StoreError::Newer { location: location.to_string(), found: version, known: known() })
        }
        (APPLICATION_ID, version, _) if version > 0 => Ok(version),
        _ => Err(not_ours("it is a database of another program")),
    }
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the schema up to date: wholly or not at all, and once, however many processes try.
async fn migrate(location: &Location, writer: &SqlitePool) -> Result<(), StoreError> {
    let failed = |error| StoreError::of(location, error);
    let mut connection = writer.acquire().await.map_err(failed)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let from = schema(location, &mut transaction).await?;
    for (version, text) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > from) {
        sqlx::raw_sql(*text).execute(&mut *transaction).await.map_err(failed)?;
        tracing::info!(%location, version, "the store's schema is now");
    }
    if from < known() {
        // Numbers of ours, which PRAGMA takes in its text only.
        let pragmas = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", known());
        sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas)).execute(&mut *transaction).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// Tells of changes, our own at once and those of other processes soon.
async fn watch(
    mut connection: SqliteConnection,
    wake: Arc<Notify>,
    changes: broadcast::Sender<Change>,
) -> Result<impl Future<Output = ()>, sqlx::Error> {
    let mut last: i64 =
        sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM changes").fetch_one(&mut connection).await?;
    let mut version = data_version(&mut connection).await?;
    Ok(async move {
        let mut tick = tokio::time::interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = wake.notified() => {}
                _ = tick.tick() => {}
            }
            let looked = look(&mut connection, &mut version, &mut last).await;
            for change in looked.unwrap_or_else(|error| {
                tracing::warn!(%error, "the store's changes can't be read");
                vec![Change::Everything]
            }) {
                // Nobody listening is fine.
                let _ = changes.send(change);
            }
        }
    })
}

/// Changes when another connection has written.
async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

async fn look(
    connection: &mut SqliteConnection,
    version: &mut i64,
    last: &mut i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let now = data_version(connection).await?;
    if now == *version {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT seq, what FROM changes WHERE seq > $1 ORDER BY seq")
            .bind(*last)
            .fetch_all(connection)
            .await?;
    *version = now;
    let mut found = Vec::with_capacity(rows.len());
    for (seq, what) in rows {
        if seq != *last + 1 {
            found.push(Change::Everything);
        }
        *last = seq;
        found.push(Change::parse(&what));
    }
    Ok(found)
}

pub(crate) async fn probe(location: &Location, path: &Path) -> Result<Probe, StoreError> {
    let failed = |error| StoreError::of(location, error);
    let server = |version: String| format!("SQLite {version}");
    match path.symlink_metadata() {
        Ok(_) => {
            let metadata = path.metadata().map_err(|error| StoreError::ReadOnly {
                location: location.to_string(),
                why: error.to_string(),
            })?;
            exposed(location, &metadata)?;
            let mut connection = plain(path).connect().await.map_err(failed)?;
            let schema = schema(location, &mut connection).await?;
            let version = sqlx::query_scalar("SELECT sqlite_version()")
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
            // Would it take a write?
            let transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
            transaction.rollback().await.map_err(failed)?;
            connection.close().await.map_err(failed)?;
            Ok(Probe { server: server(version), schema: (schema > 0).then_some(schema) })
        }
        Err(_) => {
            let mut memory = SqliteConnectOptions::new().in_memory(true).connect().await.map_err(failed)?;
            let version =
                sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut memory).await.map_err(failed)?;
            Ok(Probe { server: server(version), schema: None })
        }
    }
}
