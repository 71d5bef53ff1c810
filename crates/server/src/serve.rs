//! The gateway as a process: opens the journal, loads policies, listens, reloads, drains.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::Event;
use journal::Journal;
use model::Secret;
use session::{Database, Limits, MaskKeys, Settings};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::archives::Archives;
use crate::control::Control;
use crate::desk::{Desk, Happened};
use crate::gateway::{Gateway, Live, Served};
use crate::issuers::{credential, issuers};
use crate::kept::Arrivals;
use crate::legacy::Accounts;
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::outgoing::Outgoing;
use crate::recorder::{Archiver, Recorder, RecordingError};
use crate::roles::{self, Roles};
use crate::rotation::{self, Certificate};
use crate::shell::Order;
use crate::tls::ClientCertificates;
use crate::traces::Traces;
use crate::trust::{StateError, Trust};
use crate::upstream::Target;
use crate::{cancel, connection, probe, reload, secrets, storage, tls, views};

/// Why the gateway can't start, or had to stop. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address that can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The audit journal.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// What was taken today of limits that count by the day.
    #[error("the audit journal can't be read, which knows what was taken today")]
    Usage(#[from] journal::reader::ReadError),
    /// Nobody can sign the audit journal.
    #[error("the audit journal can't be signed")]
    Signer(#[from] crate::signing::SignerError),
    /// The audit journal isn't the one that was signed before.
    #[error("the audit journal can't be signed")]
    Signing(#[from] journal::signing::SigningError),
    /// The audit journal can't take its first record.
    #[error("the audit journal can't be written: {0}")]
    Unrecorded(#[from] journal::JournalError),
    /// A policy bundle.
    #[error("policy of database \"{0}\" is refused:\n{1}")]
    Policy(String, String),
    /// An issuer.
    #[error(transparent)]
    Issuer(#[from] oidc::BadIssuer),
    /// A claim or algorithm of an issuer.
    #[error("issuer \"{0}\": {1}")]
    IssuerRules(String, String),
    /// A secret that the gateway itself needs.
    #[error("{0}: {1}")]
    Secret(&'static str, secrets::SecretError),
    /// The key of answers to names without an account.
    #[error("[passthrough] mock_key must have at least 32 characters")]
    MockKey,
    /// The operating system.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// A mask key.
    #[error("[mask]: {0}")]
    MaskKey(#[from] mask::KeyTooShort),
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The certificate's file.
    #[error("{0}: {1}")]
    Certificate(PathBuf, std::io::Error),
    /// What roles for sessions need.
    #[error("roles of database \"{0}\": {1}")]
    Roles(String, String),
    /// What must outlive the gateway.
    #[error(transparent)]
    State(#[from] StateError),
    /// Where sessions are recorded.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// What gateways share and must not forget.
    #[error(transparent)]
    Store(#[from] storage::PlaceError),
    /// Where spans go.
    #[error("telemetry.otlp: {0}")]
    Otlp(String),
    /// What serves those who administer it.
    #[error("{0}")]
    Console(String),
    /// The operating system.
    #[error("the thread that reads the journal for the console can't be started: {0}")]
    Thread(std::io::Error),
    /// The operating system.
    #[error("the thread of a stream of audit events can't be started: {0}")]
    Stream(std::io::Error),
    /// The operating system.
    #[error("signals can't be caught: {0}")]
    Signals(std::io::Error),
}

/// What a running gateway tells whoever started it.
pub struct Ready {
    /// Where it listens; ports that were 0 are filled in.
    pub postgres: Vec<SocketAddr>,
    /// Likewise for HTTP.
    pub http: Vec<SocketAddr>,
}

/// How long the gateway waits at its end for the roles of the last sessions to be dropped; those that are left are swept.
const ROLES_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Likewise for streams to deliver the last events; what is left they deliver after the next start.
const STREAMS_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Likewise for requests for approval to be closed.
const REQUESTS_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the gateway until SIGTERM or SIGINT, and drains it. The configuration is read again from `source` when that changes. `console` begins to serve those who administer it, and returns where.
///
/// # Errors
/// [`ServeError`]: nothing was served.
pub async fn serve<C>(
    config: config::Config,
    source: &Path,
    console: impl FnOnce(Control) -> C,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServeError>
where
    C: Future<Output = Result<Vec<SocketAddr>, String>>,
{
    let config_hash = hex::encode(Sha256::digest(config::render_redacted(&config)));
    let mut options = journal::Options::new(&config.journal.path);
    options.segment_bytes_max = config.journal.segment_bytes_max;
    let required = config.streams.iter().filter(|it| it.required).map(|it| it.name.clone());
    let (arrivals, kept) = Arrivals::new(required);
    let (journal, recovery) = Journal::open(options, Arrivals::progress(&arrivals))?;
    let journal = Arc::new(journal);
    let journal_id = recovery.journal.to_string();
    tracing::info!(?recovery, "the journal is open");
    let started = Event::GatewayStarted { version: env!("CARGO_PKG_VERSION"), config_hash: &config_hash };
    journal.append(&started, SystemTime::now())?;
    journal.write()?;
    let signing = crate::signing::signing(&config.journal, &config.state, Box::new(|_| {})).await?;
    journal.sign(signing)?;
    let trust = Trust::open(&config.state, SystemTime::now())?;
    let live = live(&config, None)?;
    live.issuers.warm();
    let keys = mask_keys(&config.mask).await?;
    let mut databases = HashMap::new();
    for database in &config.databases {
        let bundle = load(database, &journal)?;
        // Its upstream may be down, which keeps no other database from being served.
        let taken = Instant::now();
        let catalog = match probe::run_tests(database, &bundle).await {
            Ok(catalog) => Some(catalog),
            Err(probe::TestError::NoQuestions(0)) => None,
            Err(error @ (probe::TestError::NotRun(_) | probe::TestError::NoQuestions(_))) => {
                tracing::warn!(database = database.name, reason = oidc::chain(&error), "policy");
                None
            }
            Err(error @ (probe::TestError::Failed(_) | probe::TestError::NoColumn(_))) => {
                let reason = error.to_string();
                journal.append(
                    &Event::PolicyRefused { database: &database.name, reason: &reason },
                    SystemTime::now(),
                )?;
                journal.write()?;
                return Err(ServeError::Policy(database.name.clone(), reason));
            }
        };
        let target = Arc::new(Target::new(&database.upstream)?);
        let shared = Database::new(settings(&config, database, &keys));
        if let Some(catalog) = catalog {
            shared.set_catalog(catalog, shared.epoch(), taken);
        }
        let roles = match &database.login {
            config::Login::Static { .. } | config::Login::Passthrough { .. } => None,
            config::Login::Ephemeral(ephemeral) => Some(
                Roles::new(database, ephemeral, target.clone())
                    .map_err(|error| ServeError::Roles(database.name.clone(), oidc::chain(&error)))?,
            ),
        };
        let served = Served::new(database.clone(), target, shared, bundle, roles);
        databases.insert(database.name.clone(), Arc::new(served));
    }
    crate::usage::restore(&config.journal.path, &databases, SystemTime::now())?;
    let tls = match &config.listen.tls {
        Some(listen) => {
            let asks = listen.client_ca.is_some() || live.issuers.take_certificates();
            let clients = if asks { ClientCertificates::Asked } else { ClientCertificates::NotAsked };
            let make = move |certificate: &[u8], key: &Secret<String>| {
                tls::acceptor_asking(clients, certificate, key)
            };
            Some(Certificate::load(listen.clone(), make).await?)
        }
        None => None,
    };
    let accounts = Accounts::new(&config).await?;
    let mut listeners = Vec::new();
    for address in &config.listen.postgres {
        let listener = TcpListener::bind(address).await.map_err(|e| ServeError::Listen(*address, e))?;
        listeners.push(listener);
    }
    let mask = config.mask.clone();
    let (store, state) = (storage::open(&config.store).await?, config.state.clone());
    let started = (config, source.to_owned());
    let tls = (tls, rotation::MaskKeys::note(mask).await);
    let instance = hex::encode(cancel::random::<8>().map_err(|_| ServeError::NoRandomness)?);
    let pages = started.0.listen.public_url.as_ref().map(ToString::to_string);
    let notices = Notices::new(store.clone(), journal.clone(), started.0.notify.clone(), pages);
    let metrics = Arc::new(Metrics::default());
    let told = {
        let (notices, metrics) = (notices.clone(), metrics.clone());
        move |request: &approval::Request, happened: Happened| {
            metrics.happened(request, happened);
            notices.happened(request, happened);
        }
    };
    let desk = Desk::new(store.clone(), journal.clone(), (instance.clone(), state), Box::new(told));
    let traces = match &started.0.telemetry.otlp {
        None => None,
        Some(otlp) => Some(Arc::new(Traces::start(otlp, &instance).map_err(ServeError::Otlp)?)),
    };
    let outgoing = Outgoing::start(&started.0, &journal, &arrivals).map_err(ServeError::Stream)?;
    let recorder = recorder(&started.0, journal.clone(), journal_id)?;
    let mut gateway = Gateway::new(
        started,
        databases,
        (live, trust),
        tls,
        accounts,
        (store, desk, notices),
        ((journal, kept, outgoing), metrics, traces),
    );
    gateway.recorder = recorder;
    let gateway = Arc::new(gateway);
    views::watch(&gateway).map_err(ServeError::Thread)?;
    views::follow(&gateway).map_err(ServeError::Thread)?;
    let http = console(Control::new(gateway.clone())).await.map_err(ServeError::Console)?;
    run(gateway, listeners, http, ready).await
}

async fn run(
    gateway: Arc<Gateway>,
    listeners: Vec<TcpListener>,
    http: Vec<SocketAddr>,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let watcher = reload::watch(&gateway);
    let postgres = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let mut accepting = JoinSet::new();
    let sessions = tokio_util_tracker();
    for listener in listeners {
        accepting.spawn(accept(gateway.clone(), listener, sessions.clone()));
    }
    tokio::spawn(write_behind(gateway.clone()));
    tokio::spawn(gateway.desk.clone().keep());
    tokio::spawn(crate::approval::tell_onlookers(gateway.clone()));
    gateway.notices.start();
    tokio::spawn(storage::keep(gateway.clone()));
    for served in gateway.databases.values() {
        if let Some(kept) = &served.roles {
            roles::keep(&gateway, served, kept);
        }
    }
    ready(&Ready { postgres, http });
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload::all(&gateway).await,
        }
    }
    tracing::info!("draining");
    accepting.shutdown().await;
    drop(watcher);
    drain(&gateway, &sessions).await;
    if let Some(recorder) = gateway.recorder.clone() {
        // Whatever becomes of the task, the next gateway closes what is open.
        let _closed = tokio::task::spawn_blocking(move || recorder.close()).await;
    }
    let stopped = Event::GatewayStopped { reason: "signal" };
    gateway.record(&stopped)?;
    gateway.outgoing.drained(gateway.journal(), STREAMS_DRAIN_TIMEOUT).await;
    if let Some(traces) = &gateway.traces {
        traces.close().await;
    }
    let signing_off = tokio::task::spawn_blocking(move || gateway.journal().sign_off());
    signing_off.await.map_err(|error| ServeError::Thread(std::io::Error::other(error)))??;
    Ok(())
}

/// Begins to record sessions, if they are recorded, and to archive recordings.
fn recorder(
    config: &config::Config,
    journal: Arc<Journal>,
    journal_id: String,
) -> Result<Option<Arc<Recorder>>, ServeError> {
    let Some(recording) = &config.recording else { return Ok(None) };
    let closed = Arc::new(tokio::sync::Notify::new());
    let told = closed.clone();
    let recorder = Recorder::start(recording, (journal.clone(), journal_id), move || told.notify_one())?;
    if let Some(name) = recording.archive.clone() {
        let (spool, archives) = (recorder.spool().clone(), Archives::new(&config.object_stores));
        tokio::spawn(Archiver { spool, archives, name, journal, closed }.run());
    }
    Ok(Some(Arc::new(recorder)))
}

/// Counts the sessions that are open.
#[derive(Clone)]
pub(crate) struct Sessions(tokio::sync::watch::Sender<usize>);

fn tokio_util_tracker() -> Sessions {
    Sessions(tokio::sync::watch::Sender::new(0))
}

async fn drain(gateway: &Gateway, sessions: &Sessions) {
    gateway.order(Order::Drain);
    let mut open = sessions.0.subscribe();
    let limit = gateway.live().config.limits.drain_timeout;
    if tokio::time::timeout(limit, open.wait_for(|open| *open == 0)).await.is_err() {
        gateway.order(Order::End("the gateway is shutting down".to_owned()));
        let _ = tokio::time::timeout(Duration::from_secs(5), open.wait_for(|open| *open == 0)).await;
    }
    gateway.desk.drained(REQUESTS_DRAIN_TIMEOUT).await;
    for served in gateway.databases.values() {
        if let Some(roles) = &served.roles {
            roles.drained(ROLES_DRAIN_TIMEOUT).await;
        }
    }
}

async fn accept(gateway: Arc<Gateway>, listener: TcpListener, sessions: Sessions) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let (gateway, sessions) = (gateway.clone(), sessions.clone());
                tokio::spawn(async move {
                    sessions.0.send_modify(|open| *open += 1);
                    connection::serve(gateway, stream, client).await;
                    sessions.0.send_modify(|open| *open -= 1);
                });
            }
            Err(error) => {
                // Out of descriptors, say: others may close theirs.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Writes records that nothing waits for.
async fn write_behind(gateway: Arc<Gateway>) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        if let Err(error) = gateway.journal().write() {
            tracing::error!(%error, "audit records wait to be written");
        }
    }
}

/// Loads a bundle and records whether it decides from now on.
pub(crate) fn load(database: &config::Database, journal: &Journal) -> Result<policy::Bundle, ServeError> {
    let record = |event: &Event<'_>| -> Result<(), ServeError> {
        journal.append(event, SystemTime::now())?;
        journal.write()?;
        Ok(())
    };
    match policy::load(&database.policy, &database.name) {
        Ok(bundle) => {
            let hash = hex::encode(bundle.hash());
            record(&Event::PolicyLoaded {
                database: &database.name,
                bundle: bundle.name(),
                version: bundle.version(),
                hash: &hash,
            })?;
            for warning in bundle.warnings() {
                tracing::warn!(database = database.name, %warning, "policy");
            }
            Ok(bundle)
        }
        Err(error) => {
            let reason = error.to_string();
            record(&Event::PolicyRefused { database: &database.name, reason: &reason })?;
            Err(ServeError::Policy(database.name.clone(), reason))
        }
    }
}

/// A session's limits as they were configured.
pub(crate) fn session_limits(limits: &config::Limits) -> Limits {
    Limits {
        statement_bytes_max: limits.statement_bytes_max as usize,
        message_bytes_max: limits.message_bytes_max as usize,
        statements_max: limits.statements_max as usize,
        prepared_max: limits.prepared_statements_max as usize,
        recorded_bytes_max: limits.recorded_bytes_max as usize,
        ..Limits::default()
    }
}

fn settings(config: &config::Config, database: &config::Database, keys: &Keys) -> Settings {
    Settings {
        name: database.name.clone(),
        enforce: database.enforce,
        mask: database.mask,
        durability: match config.journal.durability {
            // SECURITY: a record that has only left the process has arrived nowhere else.
            config::Durability::Written if config.streams.iter().any(|it| it.required) => {
                session::Durability::Sync
            }
            config::Durability::Written => session::Durability::Written,
            config::Durability::Sync => session::Durability::Sync,
        },
        limits: session_limits(&config.limits),
        mask_keys: MaskKeys {
            default: keys.default.clone(),
            named: keys.named.iter().map(|(name, key)| (name.clone(), key.clone())).collect(),
        },
    }
}

struct Keys {
    default: Option<mask::Key>,
    named: Vec<(String, mask::Key)>,
}

async fn mask_keys(config: &config::Mask) -> Result<Keys, ServeError> {
    // The same name gives the same pseudonyms in every database of the gateway.
    let key = |secret: Secret<String>| -> Result<mask::Key, ServeError> {
        Ok(mask::Key::new(&Sha256::digest(check_length(secret.expose().as_bytes())?))?)
    };
    let failed = |error| ServeError::Secret("[mask]", error);
    let default = match &config.hash_key {
        Some(reference) => Some(key(secrets::resolve(reference).await.map_err(failed)?)?),
        None => None,
    };
    let mut named = Vec::new();
    for (name, reference) in &config.keys {
        named.push((name.clone(), key(secrets::resolve(reference).await.map_err(failed)?)?));
    }
    Ok(Keys { default, named })
}

fn check_length(secret: &[u8]) -> Result<&[u8], mask::KeyTooShort> {
    mask::Key::new(secret).map(|_| secret)
}

/// Makes what a reload changes from a configuration; issuers that did not change keep their keys.
pub(crate) fn live(config: &config::Config, before: Option<&Live>) -> Result<Live, ServeError> {
    let make = |configs: Vec<oidc::IssuerConfig>, before: Option<&oidc::Issuers>| match before {
        Some(before) => before.reconfigured(configs),
        None => oidc::Issuers::new(configs),
    };
    let configs = issuers(&config.issuers)?;
    let believed = make(configs.clone(), before.map(|before| &before.issuers))?;
    let operators = match &config.operators.audience {
        None => believed.clone(),
        Some(audience) => {
            let of_operators = configs.into_iter().map(|mut config| {
                config.rules.audiences.clone_from(audience);
                config
            });
            make(of_operators.collect(), before.map(|before| &before.operators))?
        }
    };
    let login = match &config.console {
        None => None,
        Some(console) => {
            let flow = believed.get(&console.issuer).map(|issuer| {
                let secret = console.client_secret.as_ref().map(credential);
                oidc::CodeFlow::new(issuer.clone(), console.client_id.clone(), secret)
            });
            flow.transpose()?.map(Arc::new)
        }
    };
    Ok(Live { config: config.clone(), issuers: believed, operators, login })
}
