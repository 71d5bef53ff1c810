//! What the command line asks of a database without a client: is it reachable, what does a statement touch.
//!
//! Logs in as a session would; executes nothing but catalog queries.

mod explain;
mod members;

use std::sync::Arc;
use std::time::Duration;

use policy::Bundle;
use session::{Catalog, Examined, Examiner, Outbox, Progress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::frame;

pub use explain::Explainer;
pub use members::MEMBERS;
pub use session::{Line, Status, Told, UnknownCode, search_path, told};

use crate::login::{self, Login};
use crate::upstream::{Target, Upstream};
use crate::{catalog, roles, tags};

/// To connect and log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the answer to one flight of questions.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection for questions.
pub struct Probe {
    upstream: Upstream,
    catalog: Arc<Catalog>,
}

/// Why a probe came to nothing, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The database can't be reached or refuses the login.
    #[error("database \"{0}\": {1}")]
    Connect(String, String),
    /// The connection broke.
    #[error("the connection to the database broke: {0}")]
    Io(#[from] std::io::Error),
    /// The database does not answer.
    #[error("the database did not answer within {ANSWER_TIMEOUT:?}")]
    TimedOut,
}

impl Probe {
    /// Logs in and reads the catalog.
    ///
    /// # Errors
    /// [`ProbeError::Connect`]: operator.
    pub async fn open(database: &config::Database) -> Result<Self, ProbeError> {
        let failed = |why: String| ProbeError::Connect(database.name.clone(), why);
        let target = Target::new(&database.upstream).map_err(|e| failed(oidc::chain(&e)))?;
        let mut upstream = login::log_in(database, &target, &Login::default(), CONNECT_TIMEOUT)
            .await
            .map_err(|failure| failed(failure.reason))?;
        let catalog = catalog::load(&mut upstream, None).await.map_err(|e| failed(oidc::chain(&e)))?;
        Ok(Self { upstream, catalog: Arc::new(catalog) })
    }

    /// Finds out what one statement touches.
    ///
    /// # Errors
    /// - Outer, [`ProbeError`]: operator; the connection.
    /// - Inner: the statement can't be understood; the words that a client would get.
    pub async fn examine(&mut self, sql: &str) -> Result<Result<Examined, session::Refusal>, ProbeError> {
        match Examiner::new(sql, self.upstream.version_major, self.catalog.clone()) {
            Ok(mut examiner) => self.run(&mut examiner).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Takes a connection that somebody has logged in.
    pub(crate) fn over(upstream: Upstream, catalog: Arc<Catalog>) -> Self {
        Self { upstream, catalog }
    }

    pub(crate) fn upstream(&mut self) -> &mut Upstream {
        &mut self.upstream
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    /// Ends the connection in order.
    pub(crate) async fn close(self) {
        self.upstream.terminate().await;
    }

    /// Asks what an examiner wants to know, to its end.
    pub(crate) async fn run(
        &mut self,
        examiner: &mut Examiner,
    ) -> Result<Result<Examined, session::Refusal>, ProbeError> {
        use wire::backend::tag::READY_FOR_QUERY;
        loop {
            let mut out = Outbox::default();
            match examiner.advance(std::time::Instant::now(), &mut out.upstream) {
                Ok(Progress::Asked) => {}
                Ok(Progress::Done(examined)) => return Ok(Ok(*examined)),
                Err(refusal) => return Ok(Err(refusal)),
            }
            // The Sync in the same flight ends the questions' transaction, or what an error has left. No client waits for what they
            // have locked, and it saves a round trip.
            let mut flight = out.upstream.as_slice().to_vec();
            wire::frontend::encode::sync(&mut flight);
            self.send(&flight).await?;
            let mut ready = false;
            let answered = self
                .answers(|tag, body| {
                    ready |= tag == READY_FOR_QUERY;
                    examiner.answer(tag, body)
                })
                .await?;
            if !ready {
                let over = |tag: u8, _: &[u8]| Ok::<_, ProbeError>(tag == READY_FOR_QUERY);
                self.answers(over).await??;
            }
            if let Err(refusal) = answered {
                return Ok(Err(refusal));
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        let stream = &mut self.upstream.stream;
        let sent = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        Ok(tokio::time::timeout(ANSWER_TIMEOUT, sent).await.map_err(|_| ProbeError::TimedOut)??)
    }

    /// Hands over messages until `take` says that it has all.
    async fn answers<E>(
        &mut self,
        mut take: impl FnMut(u8, &[u8]) -> Result<bool, E>,
    ) -> Result<Result<(), E>, ProbeError> {
        let bytes_max = session::Limits::default().upstream_message_bytes_max;
        let Upstream { stream, leftover: buffer, .. } = &mut self.upstream;
        loop {
            let mut used = 0;
            while let Ok(Some(frame)) = frame::next(buffer.get(used..).unwrap_or_default(), bytes_max) {
                let taken = take(frame.tag, frame.body);
                used += frame.raw.len();
                match taken {
                    Ok(false) => {}
                    Ok(true) => {
                        buffer.drain(..used);
                        return Ok(Ok(()));
                    }
                    Err(error) => {
                        buffer.drain(..used);
                        return Ok(Err(error));
                    }
                }
            }
            buffer.drain(..used);
            let read = tokio::time::timeout(ANSWER_TIMEOUT, stream.read_buf(buffer)).await;
            if read.map_err(|_| ProbeError::TimedOut)?? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// Finds out what statements touch, in order, over one connection.
///
/// # Errors
/// [`ProbeError`]: operator; the database can't be asked. Of a single statement: why it would be refused.
pub async fn analyse(
    database: &config::Database,
    bundle: &Bundle,
    statements: &[&str],
) -> Result<Vec<Result<policy::Analysis, String>>, ProbeError> {
    Probe::open(database).await?.analyse(bundle, statements).await
}

impl Probe {
    async fn analyse(
        &mut self,
        bundle: &Bundle,
        statements: &[&str],
    ) -> Result<Vec<Result<policy::Analysis, String>>, ProbeError> {
        let mut analyses = Vec::with_capacity(statements.len());
        for sql in statements {
            let examined = self.examine(sql).await?;
            analyses.push(examined.map_err(|refusal| refusal.to_string()).map(|examined| {
                let facts = examined.facts();
                policy::Analysis {
                    touches: examined.touches(bundle),
                    command: facts.command.to_owned(),
                    has_where: facts.has_where,
                    row_locks: facts.row_locks,
                }
            }));
        }
        Ok(analyses)
    }
}

/// Reads what a database has that could be granted.
///
/// # Errors
/// [`ProbeError`]: operator; the database can't be asked.
pub async fn objects(
    database: &config::Database,
    bundle: &Bundle,
) -> Result<policy::grants::Objects, ProbeError> {
    let mut probe = Probe::open(database).await?;
    let grantable = crate::grants::read(&mut probe.upstream, &probe.catalog)
        .await
        .map_err(|error| ProbeError::Connect(database.name.clone(), oidc::chain(&error)))?;
    Ok(grantable.objects(bundle, std::time::Instant::now()))
}

/// Why a bundle's tests did not pass, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// They ran, and these failed.
    #[error("tests of the bundle fail:\n{0}")]
    Failed(String),
    /// `[tags]` names columns that the database doesn't have.
    #[error(
        "[tags] \"{0}\": the database has no such column, so nothing would be masked; mend the name, or take it out"
    )]
    NoColumn(String),
    /// Nothing can be asked of the database: only legacy accounts log in there.
    #[error(
        "its login is passthrough, and the gateway has none of its own for questions; {0} tests with SQL can't be run"
    )]
    NoQuestions(usize),
    /// They could not be run.
    #[error("tests of the bundle can't be run: {0}")]
    NotRun(#[from] ProbeError),
}

/// Runs the tests of a bundle that give SQL. Returns the catalog that they, and the bundle's tags, were seen to hold for.
///
/// # Errors
/// [`TestError`].
pub async fn run_tests(database: &config::Database, bundle: &Bundle) -> Result<Arc<Catalog>, TestError> {
    let statements: Vec<&str> = bundle.sql_tests().iter().map(policy::SqlTest::sql).collect();
    if !has_questions(database) {
        return Err(TestError::NoQuestions(statements.len()));
    }
    let mut probe = Probe::open(database).await?;
    let missing = tags_without_column(&probe.catalog, bundle);
    // SECURITY: a name that is misspelt would leave the column that was meant unmasked.
    let (patterns, names): (Vec<String>, Vec<String>) =
        missing.into_iter().partition(|tag| tag.contains('*'));
    if !names.is_empty() {
        return Err(TestError::NoColumn(names.join("\", \"")));
    }
    for tag in patterns {
        tracing::warn!(
            database = database.name,
            tag,
            "a pattern in [tags] matches no column of the database: nothing is masked by it"
        );
    }
    let mut analyses = probe.analyse(bundle, &statements).await?.into_iter();
    let failures = policy::run_sql_tests(bundle, |_| {
        analyses.next().unwrap_or_else(|| Err("the database was not asked about it".to_owned()))
    });
    if failures.is_empty() {
        return Ok(probe.catalog);
    }
    Err(TestError::Failed(failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// Whether the gateway has a login of its own at a database.
fn has_questions(database: &config::Database) -> bool {
    !matches!(database.login, config::Login::Passthrough { questions: None })
}

/// One thing that a gateway needs from elsewhere, tried.
pub struct Reach {
    /// `issuer` or `database`.
    pub what: &'static str,
    /// Its name.
    pub subject: String,
    /// What was found, or what is wrong.
    pub outcome: Result<String, String>,
    /// What works and should be better.
    pub advice: Vec<String>,
}

/// Tries every issuer and every database of a configuration.
pub async fn connect_check(config: &config::Config) -> Vec<Reach> {
    let mut found = Vec::new();
    match crate::issuers(&config.issuers).map(oidc::Issuers::new) {
        Ok(Ok(issuers)) => {
            for issuer in issuers.iter() {
                let checked = issuer.check().await;
                found.push(Reach {
                    what: "issuer",
                    subject: issuer.name().to_owned(),
                    advice: checked.as_ref().map(|c| c.left_out.clone()).unwrap_or_default(),
                    outcome: checked
                        .map(|c| match c.authorities {
                            0 => format!("{} keys at {}", c.keys.len(), c.jwks_uri),
                            n => format!("{} keys and {n} authorities at {}", c.keys.len(), c.jwks_uri),
                        })
                        .map_err(|error| oidc::chain(&*error)),
                });
            }
        }
        Ok(Err(error)) => found.push(Reach::failed("issuer", "*", oidc::chain(&error))),
        Err(error) => found.push(Reach::failed("issuer", "*", oidc::chain(&error))),
    }
    found.push(reach_store(&config.store).await);
    for database in &config.databases {
        found.push(match reach(database).await {
            Ok(reach) => reach,
            Err(error) => Reach::failed("database", &database.name, oidc::chain(&error)),
        });
    }
    found
}

impl Reach {
    fn failed(what: &'static str, subject: &str, why: String) -> Self {
        Self { what, subject: subject.to_owned(), outcome: Err(why), advice: Vec::new() }
    }
}

async fn reach_store(config: &config::Store) -> Reach {
    let subject = config.place.to_string();
    match crate::storage::probe(config).await {
        Ok(store::Probe { server, schema }) => {
            let schema = schema.map_or_else(
                || "empty: the gateway makes what it needs at its start".to_owned(),
                |schema| format!("schema {schema}"),
            );
            let outcome = Ok(format!("{server}, {schema}"));
            Reach { what: "store", subject, outcome, advice: Vec::new() }
        }
        Err(error) => Reach::failed("store", &subject, oidc::chain(&error)),
    }
}

async fn reach(database: &config::Database) -> Result<Reach, ProbeError> {
    let failed = |why: String| ProbeError::Connect(database.name.clone(), why);
    if !has_questions(database) {
        let not_tried = "not tried: only legacy accounts log in there; add user and password to login for questions of the gateway's own";
        return Ok(Reach {
            what: "database",
            subject: database.name.clone(),
            outcome: Ok(not_tried.to_owned()),
            advice: Vec::new(),
        });
    }
    let target = Target::new(&database.upstream).map_err(|e| failed(oidc::chain(&e)))?;
    let mut upstream = login::log_in(database, &target, &Login::default(), CONNECT_TIMEOUT)
        .await
        .map_err(|failure| failed(failure.reason))?;
    let version = upstream.version_major;
    let rows = upstream
        .query(
            "SELECT pg_catalog.current_setting('log_min_messages'), r.rolsuper, r.rolbypassrls, r.rolname \
             FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
        )
        .await
        .map_err(|e| failed(oidc::chain(&e)))?;
    let ephemeral = matches!(database.login, config::Login::Ephemeral(_));
    let mut advice = Vec::new();
    let mut who = String::new();
    if let Some([messages, superuser, bypass, name]) = rows.first().map(Vec::as_slice) {
        let text = |value: &Option<Vec<u8>>| {
            String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
        };
        who = text(name);
        // A role that is made for a session has no settings of its own.
        let whose = if ephemeral {
            format!("DATABASE {}", model::quote_identifier(&database.upstream.database))
        } else {
            format!("ROLE {}", model::quote_identifier(&who))
        };
        if text(superuser) == "t" && !ephemeral {
            advice.push(format!("the login {who} is a superuser: PostgreSQL itself refuses it nothing; use a role with no more than the policy allows"));
        }
        if text(bypass) == "t" && !ephemeral {
            advice.push(format!("the login {who} bypasses row-level security"));
        }
        if text(messages) != "fatal" && text(messages) != "panic" {
            advice.push(format!(
                "the server's log gets a query tree for each new statement shape; to stop that, a superuser runs: \
                 ALTER {whose} SET log_min_messages = fatal;"
            ));
        }
    }
    if let config::Login::Ephemeral(ephemeral) = &database.login {
        let found = roles::check(ephemeral, &target, CONNECT_TIMEOUT).await;
        let roles::Findings { missing, advice: more } = found.map_err(|e| failed(oidc::chain(&e)))?;
        if !missing.is_empty() {
            let why = format!("the admin {who} lacks rights; the statements below give them");
            return Ok(Reach {
                what: "database",
                subject: database.name.clone(),
                outcome: Err(why),
                advice: missing,
            });
        }
        advice.extend(more);
    }
    if querytree::ServerVersion::from_major(version).is_none() {
        return Err(failed(format!(
            "PostgreSQL {version} is not one that Gatepost can read; it reads 14 to 18"
        )));
    }
    let catalog = catalog::load(&mut upstream, None).await.map_err(|e| failed(oidc::chain(&e)))?;
    if let Ok(bundle) = policy::load(&database.policy, &database.name) {
        let missing = tags_without_column(&catalog, &bundle);
        if !missing.is_empty() {
            let patterns = missing.join("\", \"");
            let why = format!(
                "[tags] \"{patterns}\": no column of the database matches, so nothing is masked by it"
            );
            return Err(failed(why));
        }
    }
    Ok(Reach {
        what: "database",
        subject: database.name.clone(),
        outcome: Ok(format!(
            "PostgreSQL {version}, logged in as {who}, {} relations",
            catalog.relations().count()
        )),
        advice,
    })
}

/// Lists the patterns in a bundle's `[tags]` that match no column.
fn tags_without_column(catalog: &Catalog, bundle: &Bundle) -> Vec<String> {
    tags::without_column(catalog, bundle).map(ToString::to_string).collect()
}
