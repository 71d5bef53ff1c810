//! Explains texts one after the other: what each touches, and what the policy says of it for one identity.
//!
//! Whatever a text does to the connection, the next one is asked all the same. Executes nothing but catalog queries; knows
//! neither lines nor tables.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use model::{Identity, Method};
use policy::{Bundle, SessionFacts};
use session::{
    About, Asker, CatalogError, Examiner, Limits, Lore, Refusal, Row, Step, Text, Told, UnknownCode,
};

use super::{ANSWER_TIMEOUT, Probe, ProbeError};
use crate::catalog;
use crate::serve::session_limits;
use crate::upstream::{QueryError, QueryLimits};

/// What the server itself gives a question before it gives up; sooner than [`ANSWER_TIMEOUT`], which costs the connection.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

const _: () = assert!(STATEMENT_TIMEOUT.as_secs() < ANSWER_TIMEOUT.as_secs());

/// How old names may be, as in a session.
const NAMES_AGE_MAX: Duration = Duration::from_secs(60);

/// How long to wait for a server that comes back, from try to try.
const RECONNECT_PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// For names of all roles, types and functions.
const LORE_LIMITS: QueryLimits =
    QueryLimits { rows_max: 10_000_000, bytes_max: 1 << 30, timeout: Duration::from_secs(60) };

/// Explains texts over one connection, which is made again when it breaks.
pub struct Explainer<'a> {
    database: &'a config::Database,
    limits: Limits,
    bundle: &'a Bundle,
    identity: &'a Identity,
    link: Option<Link>,
    /// The server could not be reached again; then one try is made for each text.
    gone: bool,
}

struct Link {
    probe: Probe,
    lore: Lore,
    learnt: Instant,
    /// What `search_path` was set to; `None`: nothing.
    search_path: Option<String>,
}

/// Why a link can't be used any more.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("a question of the gateway's own has no answer")]
    Query(#[from] QueryError),
    #[error(transparent)]
    Rows(#[from] CatalogError),
    #[error(transparent)]
    Load(#[from] catalog::LoadError),
}

impl<'a> Explainer<'a> {
    /// Logs in and reads what things are called. `identity` is only supposed: nothing is allowed by what comes out.
    ///
    /// # Errors
    /// [`ProbeError::Connect`]: operator.
    pub async fn open(
        config: &config::Config,
        database: &'a config::Database,
        bundle: &'a Bundle,
        identity: &'a Identity,
    ) -> Result<Self, ProbeError> {
        let limits = session_limits(&config.limits);
        let link = Some(Link::open(database).await?);
        Ok(Self { database, limits, bundle, identity, link, gone: false })
    }

    /// Explains a text. `search_path` is a list of schemas as [`session::search_path`] returns it; `None`: the login's own.
    ///
    /// Always answers; what can't be found out says why.
    pub async fn explain(&mut self, sql: &str, search_path: Option<&str>) -> Told {
        let text = match Text::read(sql, self.limits) {
            Ok(text) => text,
            Err(refusal) => return Told::refused(None, false, &refusal),
        };
        let mut why = String::new();
        // A connection that broke since the last text is no fault of this one's.
        for _ in 0..2 {
            if self.link.is_none()
                && let Err(error) = self.reconnect().await
            {
                return Told::unknown(UnknownCode::Connection, oidc::chain(&error));
            }
            let Some(mut link) = self.link.take() else { break };
            let view =
                View { bundle: self.bundle, asker: asker(self.identity, self.bundle), limits: self.limits };
            match link.text(sql, &text, search_path, view).await {
                Ok(told) => {
                    self.link = Some(link);
                    return told;
                }
                Err(Broken::Probe(error @ ProbeError::TimedOut)) => {
                    return Told::unknown(UnknownCode::Timeout, error.to_string());
                }
                Err(error) => why = oidc::chain(&error),
            }
        }
        Told::unknown(UnknownCode::Connection, format!("{why}; it was tried twice"))
    }

    async fn reconnect(&mut self) -> Result<(), ProbeError> {
        let tries = if self.gone { 1 } else { RECONNECT_PAUSES.len() };
        let mut last = ProbeError::TimedOut;
        for pause in RECONNECT_PAUSES.iter().take(tries) {
            tokio::time::sleep(*pause).await;
            match Link::open(self.database).await {
                Ok(link) => {
                    self.link = Some(link);
                    self.gone = false;
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        self.gone = true;
        Err(last)
    }
}

/// As a session over TLS from this host would be, now.
fn asker<'a>(identity: &'a Identity, bundle: &'a Bundle) -> Asker<'a> {
    Asker {
        identity,
        database: bundle.database(),
        session: SessionFacts {
            application_name: "gatepost",
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: true,
            method: Method::Token,
        },
        now: SystemTime::now(),
    }
}

/// How a text is looked at.
#[derive(Clone, Copy)]
struct View<'a> {
    bundle: &'a Bundle,
    asker: Asker<'a>,
    limits: Limits,
}

impl Link {
    async fn open(database: &config::Database) -> Result<Self, ProbeError> {
        let mut probe = Probe::open(database).await?;
        let failed = |error: Broken| ProbeError::Connect(database.name.clone(), oidc::chain(&error));
        let milliseconds = STATEMENT_TIMEOUT.as_millis();
        let limit = format!("SET statement_timeout TO {milliseconds}");
        probe.upstream.query(&limit).await.map_err(|error| failed(error.into()))?;
        let lore = lore(&mut probe, Lore::default(), Lore::queries()).await.map_err(failed)?;
        Ok(Self { probe, lore, learnt: Instant::now(), search_path: None })
    }

    /// Explains all statements of a text.
    async fn text(
        &mut self,
        sql: &str,
        text: &Text,
        search_path: Option<&str>,
        view: View<'_>,
    ) -> Result<Told, Broken> {
        self.keep_young().await?;
        self.set_search_path(search_path).await?;
        let steps = match text {
            Text::Steps(steps) => steps,
            Text::Unreadable(error) => {
                let version = self.probe.upstream.version_major;
                let catalog = self.probe.catalog.clone();
                let examiner = Examiner::unreadable(sql, error.clone(), version, catalog, view.limits);
                return self.examine(examiner, view).await.map(|(told, _)| told);
            }
        };
        if steps.is_empty() {
            return Ok(Told::empty(view.bundle, view.asker, Instant::now()));
        }
        let (mut all, mut changed) = (Vec::with_capacity(steps.len()), false);
        for step in steps {
            if changed && !step.names_nothing(view.limits) {
                all.push(Told::depends(step, view.limits));
                continue;
            }
            let (told, changes) = self.step(step, view).await?;
            all.push(told);
            changed |= changes;
        }
        Ok(Told::union(all))
    }

    async fn step(&mut self, step: &Step, view: View<'_>) -> Result<(Told, bool), Broken> {
        let version = self.probe.upstream.version_major;
        let examiner = Examiner::step(step, version, self.probe.catalog.clone(), view.limits);
        self.examine(examiner, view).await
    }

    /// Asks about one statement, and says whether later ones may depend on it.
    async fn examine(
        &mut self,
        examiner: Result<Examiner, Refusal>,
        view: View<'_>,
    ) -> Result<(Told, bool), Broken> {
        let mut examiner = match examiner {
            Ok(examiner) => examiner,
            Err(refusal) => return Ok((Told::refused(None, false, &refusal), true)),
        };
        let examined = match self.probe.run(&mut examiner).await? {
            Ok(examined) => examined,
            Err(refusal) => {
                let told = Told::refused(examiner.kind(), examiner.needs_session(), &refusal);
                return Ok((told, true));
            }
        };
        let lacks = examined.lacks(&self.probe.catalog, &self.lore);
        if !lacks.is_empty() {
            let known = std::mem::take(&mut self.lore);
            self.lore = lore(&mut self.probe, known, lacks).await?;
        }
        let told = examined.tell(&self.probe.catalog, &self.lore, view.bundle, view.asker);
        Ok((told, examined.changes_names()))
    }

    /// Reads all names again if they are old.
    async fn keep_young(&mut self) -> Result<(), Broken> {
        if self.learnt.elapsed() < NAMES_AGE_MAX {
            return Ok(());
        }
        self.probe.catalog = Arc::new(catalog::load(&mut self.probe.upstream, None).await?);
        self.lore = lore(&mut self.probe, Lore::default(), Lore::queries()).await?;
        self.learnt = Instant::now();
        Ok(())
    }

    async fn set_search_path(&mut self, wanted: Option<&str>) -> Result<(), Broken> {
        if self.search_path.as_deref() == wanted {
            return Ok(());
        }
        let sql = match wanted {
            Some(list) => {
                let list = model::quote_literal(list);
                format!("SELECT pg_catalog.set_config('search_path', {list}, false)")
            }
            None => "RESET search_path".to_owned(),
        };
        self.probe.upstream.query(&sql).await?;
        self.search_path = wanted.map(str::to_owned);
        Ok(())
    }
}

/// Adds the answers to queries about names to what is known.
async fn lore(probe: &mut Probe, mut known: Lore, queries: Vec<(About, String)>) -> Result<Lore, Broken> {
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL search_path TO ''; SET LOCAL statement_timeout TO {}",
        LORE_LIMITS.timeout.as_millis()
    );
    probe.upstream.query(&begin).await?;
    for (about, sql) in queries {
        let mut rows: Vec<Row> = Vec::new();
        let keep = |row: Row| -> Result<(), QueryError> {
            rows.push(row);
            Ok(())
        };
        probe.upstream.query_each(&sql, LORE_LIMITS, keep).await?;
        known.add(about, &rows)?;
    }
    probe.upstream.query("COMMIT").await?;
    Ok(known)
}
