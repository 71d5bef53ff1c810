//! A store in PostgreSQL: its schema, listening for what other gateways write, and coming back after an outage.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::change::Change;
use crate::error::StoreError;
use crate::location::{Location, Postgres, Tls};
use crate::store::Probe;

/// The channel that the schema's triggers notify.
const CHANNEL: &str = "gatepost";
/// What makes each version of the schema of the one before.
const MIGRATIONS: &[&str] = &[include_str!("schema/postgres-1.sql")];
/// Held while the schema is brought up to date: "Gate".
const MIGRATION_LOCK: i64 = 0x4761_7465;
/// Connections, the listening one included.
const CONNECTIONS_MAX: u32 = 9;
/// For one to connect, log in and answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After a loss, before the first new attempt; doubled for each that fails.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long the listening connection may be silent before it is tried, and then until it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Of each connection. The path keeps objects of other schemas, temporary ones included, from standing in for ours.
const SETTINGS: &str = "SELECT pg_catalog.set_config('search_path', 'pg_catalog, gatepost, pg_temp', false),
    pg_catalog.set_config('statement_timeout', '8s', false), pg_catalog.set_config('lock_timeout', '5s', false),
    pg_catalog.set_config('idle_in_transaction_session_timeout', '10s', false)";
/// What was acknowledged survives, whatever the database's own setting is.
const DURABLE: &str = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
    WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

pub(crate) struct Side {
    pool: PgPool,
    trouble: Arc<RwLock<Option<StoreError>>>,
    keeper: JoinHandle<()>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Side {
    pub(crate) async fn open(
        location: &Location,
        postgres: &Postgres,
        changes: broadcast::Sender<Change>,
    ) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect_lazy_with(options(postgres, None));
        let trouble = Arc::new(RwLock::new(None));
        let keeper =
            Keeper { location: location.clone(), postgres: postgres.clone(), pool: pool.clone(), changes };
        let first = match keeper.connect().await {
            Ok(listener) => Some(listener),
            Err(error) if error.is_passing() => {
                tracing::error!(%error, "statements that need approval are refused until the store is there");
                *trouble.write() = Some(error);
                None
            }
            Err(error) => return Err(error),
        };
        let keeper = tokio::spawn(keeper.keep(first, trouble.clone()));
        Ok(Self { pool, trouble, keeper })
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns why it can't be used, if it can't.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.trouble.read().clone()
    }
}

/// Holds the listening connection, by which it is known whether the store is there.
struct Keeper {
    location: Location,
    postgres: Postgres,
    pool: PgPool,
    changes: broadcast::Sender<Change>,
}

impl Keeper {
    async fn keep(self, mut listener: Option<PgListener>, trouble: Arc<RwLock<Option<StoreError>>>) {
        let mut wait = RETRY_MIN;
        loop {
            if let Some(listening) = listener.take() {
                wait = RETRY_MIN;
                let error = self.listen(listening).await;
                tracing::error!(%error, "the store is lost; statements that need approval are refused until it is back");
                *trouble.write() = Some(error);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
            match self.connect().await {
                Ok(listening) => {
                    tracing::info!(location = %self.location, "the store is back");
                    *trouble.write() = None;
                    // What was notified meanwhile has not come.
                    let _ = self.changes.send(Change::Everything);
                    listener = Some(listening);
                }
                Err(error) => {
                    let mut trouble = trouble.write();
                    if trouble.as_ref() != Some(&error) {
                        tracing::error!(%error, "the store");
                    }
                    *trouble = Some(error);
                }
            }
        }
    }

    /// Logs in anew, brings the schema up to date, listens.
    async fn connect(&self) -> Result<PgListener, StoreError> {
        let location = &self.location;
        let late = || StoreError::unavailable(location, "it did not answer in time");
        let failed = |error| StoreError::of(location, error);
        let options = logged_in(location, &self.postgres).await?;
        self.pool.set_connect_options(options.clone());
        let connecting = async {
            let mut connection = options.connect().await.map_err(failed)?;
            prepare(&mut connection).await.map_err(failed)?;
            migrate(location, &mut connection).await?;
            // Polite only: the server sees the end of the connection anyway.
            let _ = connection.close().await;
            let mut listener = PgListener::connect_with(&self.pool).await.map_err(failed)?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await.map_err(failed)?;
            Ok(listener)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| late())?
    }

    /// Passes on what is notified until the connection is lost.
    async fn listen(&self, mut listener: PgListener) -> StoreError {
        let mut tried = false;
        loop {
            match tokio::time::timeout(SILENCE_MAX, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    tried = false;
                    if notification.payload() != "ping" {
                        let _ = self.changes.send(Change::parse(notification.payload()));
                    }
                }
                Ok(Ok(None)) => return StoreError::unavailable(&self.location, "the connection was lost"),
                Ok(Err(error)) => return StoreError::of(&self.location, error),
                Err(_) if tried => return StoreError::unavailable(&self.location, "it went silent"),
                // A connection that nothing comes over may be dead: what we notify must come back.
                Err(_) => {
                    tried = true;
                    let ping = sqlx::query("SELECT pg_notify($1, 'ping')").bind(CHANNEL).execute(&self.pool);
                    match tokio::time::timeout(CONNECT_TIMEOUT, ping).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => return StoreError::of(&self.location, error),
                        Err(_) => {
                            return StoreError::unavailable(&self.location, "it did not answer in time");
                        }
                    }
                }
            }
        }
    }
}

async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(SETTINGS).execute(&mut *connection).await?;
    sqlx::query(DURABLE).execute(&mut *connection).await.map(drop)
}

fn options(postgres: &Postgres, password: Option<&str>) -> PgConnectOptions {
    let Postgres { host, port, database, user, password: _, tls } = postgres;
    let options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(*port)
        .database(database)
        .username(user)
        // Always, so that none comes from the environment.
        .password(password.unwrap_or_default())
        .application_name("gatepost")
        .disable_statement_logging();
    match tls {
        Tls::Disable => options.ssl_mode(PgSslMode::Disable),
        Tls::VerifyFull(authorities) => {
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(authorities.clone())
        }
    }
}

async fn logged_in(location: &Location, postgres: &Postgres) -> Result<PgConnectOptions, StoreError> {
    let password =
        postgres.password.fetch().await.map_err(|why| {
            StoreError::unavailable(location, format!("its password can't be fetched: {why}"))
        })?;
    Ok(options(postgres, password.as_ref().map(|password| password.expose().as_str())))
}

/// Returns the schema's version, 0 where there is none yet.
async fn schema(location: &Location, connection: &mut PgConnection) -> Result<i64, StoreError> {
    let failed = |error| StoreError::of(location, error);
    // From the tables themselves: what functions as to_regclass say may be old, while another gateway makes the schema.
    let (table, all): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE relname = 'schema_version'), count(*) FROM pg_class JOIN pg_namespace n
         ON n.oid = relnamespace WHERE nspname = 'gatepost'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if table == 0 && all > 0 {
        let why = "its schema \"gatepost\" holds something else".to_owned();
        return Err(StoreError::NotOurs { location: location.to_string(), why });
    }
    if table == 0 {
        return Ok(0);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM gatepost.schema_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    match version.unwrap_or_default() {
        version if version > known() => {
            Err(StoreError::Newer { location: location.to_string(), found: version, known: known() })
        }
        version => Ok(version),
    }
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the schema up to date: wholly or not at all, and once, however many gateways start together.
async fn migrate(location: &Location, connection: &mut PgConnection) -> Result<(), StoreError> {
    let failed = |error| StoreError::of(location, error);
    if schema(location, connection).await? == known() {
        return Ok(());
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let from = schema(location, &mut transaction).await?;
    if from == 0 {
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'gatepost')")
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
        let schema =
            if exists { "" } else { "CREATE SCHEMA gatepost; REVOKE ALL ON SCHEMA gatepost FROM PUBLIC;" };
        let table = "CREATE TABLE gatepost.schema_version (version BIGINT PRIMARY KEY, made TIMESTAMPTZ NOT NULL DEFAULT now());";
        for text in [schema, table] {
            sqlx::raw_sql(text).execute(&mut *transaction).await.map_err(failed)?;
        }
    }
    for (version, text) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > from) {
        sqlx::raw_sql(*text).execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("INSERT INTO gatepost.schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        tracing::info!(%location, version, "the store's schema is now");
    }
    transaction.commit().await.map_err(failed)
}

pub(crate) async fn probe(location: &Location, postgres: &Postgres) -> Result<Probe, StoreError> {
    let failed = |error| StoreError::of(location, error);
    let mut connection = logged_in(location, postgres).await?.connect().await.map_err(failed)?;
    prepare(&mut connection).await.map_err(failed)?;
    let version: String =
        sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await.map_err(failed)?;
    let schema = schema(location, &mut connection).await?;
    let (standby, may_make): (bool, bool) = sqlx::query_as(
        "SELECT pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE')
         OR to_regnamespace('gatepost') IS NOT NULL AND has_schema_privilege('gatepost', 'CREATE')",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(failed)?;
    let read_only = |why: &str| StoreError::ReadOnly { location: location.to_string(), why: why.to_owned() };
    if standby {
        return Err(read_only("it is a standby; name the primary"));
    }
    if schema < known() && !may_make {
        return Err(read_only(
            "its role may not make the schema: it needs CREATE on the database, or a schema \"gatepost\" that belongs to it",
        ));
    }
    let _ = connection.close().await;
    let server = format!("PostgreSQL {}", version.split(' ').next().unwrap_or_default());
    Ok(Probe { server, schema: (schema > 0).then_some(schema) })
}
