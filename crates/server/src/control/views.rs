//! What the gateway shows of itself, for whoever may see it: [`crate::views`], asked through a running gateway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use audit::{Seq, Time};
use model::{Identity, SessionId};
use policy::grants::{self, Objects};
use serde_json::Value;
use store::{RequestFilter, Standing};

use super::sessions::State;
use super::{Control, Session};
use crate::gateway::Served;
use crate::probe::{self, Explainer, Line};
use crate::views::{
    self, ApprovalCounts, AuditDetail, AuditPage, AuditQuery, CertificateHealth, DataPage, DataQuery,
    DatabaseView, ExplainAs, Health, IdentityDetail, IdentityPage, IdentityQuery, IssuerHealth,
    JournalHealth, Live, MayDo, Overview, PolicyDetail, PolicyInForce, PolicyTests, RunningNow,
    SessionCounts, Sight, StoreHealth, UpstreamHealth, ViewError,
};

/// Statements that run, in one overview.
const RUNNING_MAX: usize = 100;
/// Of those, whose texts are looked for.
const RUNNING_TEXTS_MAX: usize = 20;
/// Characters of such a text.
const TEXT_CHARS_MAX: usize = 400;
/// Privileges of one identity in one database that are shown.
const GRANTS_MAX: usize = 500;
/// What an identity used and was refused, in its detail.
const DETAIL_ROWS: usize = 100;

impl Control {
    /// Returns what is told as it happens.
    pub fn live(&self) -> Live {
        self.gateway.views.live.clone()
    }

    /// Shows the gateway at a glance.
    pub async fn overview(&self, sight: Sight) -> Overview {
        let sessions = self.sessions().await;
        let mut counts = SessionCounts { live: sessions.len(), ..SessionCounts::default() };
        let now = Instant::now();
        let mut running: Vec<RunningNow> = Vec::new();
        for session in &sessions {
            match session.activity.as_ref().map(|activity| &activity.state) {
                Some(State::Running { .. }) => counts.running += 1,
                Some(State::InTransaction | State::InFailedTransaction) => counts.in_transaction += 1,
                Some(State::Held { .. }) => counts.held += 1,
                _ => continue,
            }
            running.extend(running_now(session, now));
        }
        let held = running.iter().filter(|it| it.state == "held").filter_map(|it| it.for_ms).max();
        running.sort_by_key(|it| std::cmp::Reverse(it.for_ms));
        running.truncate(RUNNING_MAX);
        if sight == Sight::Texts {
            running = self.with_texts(running).await;
        }
        let approvals = self.approval_counts(held).await;
        self.gateway.views.observed.lock().overview(sight, (counts, approvals), running)
    }

    async fn approval_counts(&self, longest_held_ms: Option<u64>) -> ApprovalCounts {
        let store = &self.gateway.store;
        let open = RequestFilter { states: [Standing::Open].into(), ..RequestFilter::default() };
        let due = RequestFilter { review_due: true, ..RequestFilter::default() };
        let (open, review_due) = tokio::join!(store.count_requests(&open), store.count_requests(&due));
        ApprovalCounts { open: open.ok(), review_due: review_due.ok(), longest_held_ms }
    }

    /// Returns the texts of what sessions run, 400 characters at most each, by session; what can't be found at once is left out, and all of it
    /// for whom texts are not.
    pub async fn texts_of(&self, sight: Sight, sessions: &[Session]) -> HashMap<String, String> {
        if sight != Sight::Texts {
            return HashMap::new();
        }
        let now = Instant::now();
        let running = sessions.iter().filter(|session| {
            matches!(session.activity.as_ref().map(|it| &it.state), Some(State::Running { .. }))
        });
        let running = running.filter_map(|session| running_now(session, now)).collect();
        let with_texts = self.with_texts(running).await;
        with_texts.into_iter().filter_map(|it| Some((it.session, it.text?))).collect()
    }

    /// Adds the texts of statements that run. What can't be found at once is left out.
    async fn with_texts(&self, mut running: Vec<RunningNow>) -> Vec<RunningNow> {
        let wanted: Vec<_> = running
            .iter()
            .take(RUNNING_TEXTS_MAX)
            .map(|it| it.statement.map(|statement| (it.session.clone(), statement)))
            .collect();
        if wanted.iter().all(Option::is_none) {
            return running;
        }
        let found = self.gateway.views.look(move |index, _| {
            let find = |(session, statement): (String, u64)| {
                let row = index.statement(&session, statement, Seq(u64::MAX)).ok().flatten()?;
                journal::query::View::of(&row.record()).text
            };
            Ok(wanted.into_iter().map(|it| it.and_then(find)).collect::<Vec<_>>())
        });
        for (running, text) in running.iter_mut().zip(found.await.unwrap_or_default()) {
            running.text = text.map(|text| text.chars().take(TEXT_CHARS_MAX).collect());
        }
        running
    }

    /// Searches the audit trail, the newest records first. Each call looks for a bounded time; its page says how far it came.
    ///
    /// # Errors
    /// [`ViewError`]: what is asked makes no sense or is not for them; the journal.
    pub async fn audit_search(&self, sight: Sight, query: AuditQuery) -> Result<AuditPage, ViewError> {
        let asked = query.read(sight)?;
        let indexed = self.gateway.views.indexed.clone();
        let look =
            move |index: &_, budget| views::audit_page(index, indexed.as_deref(), budget, &asked, sight);
        self.gateway.views.look(look).await
    }

    /// Shows one record of the audit trail, with the rules that decided it.
    ///
    /// # Errors
    /// [`ViewError`]: there is none of that number; the journal.
    pub async fn audit_record(&self, sight: Sight, seq: u64) -> Result<AuditDetail, ViewError> {
        let found =
            self.gateway.views.look(move |index, budget| views::audit_find(index, budget, seq)).await?;
        let found = found.ok_or_else(|| ViewError::Missing(format!("record {seq}")))?;
        let database = found.database();
        let served = database.and_then(|name| self.gateway.databases.get(&name));
        let bundle = served.map(|served| served.bundle());
        let hash = found.policy_hash();
        let same = bundle.filter(|bundle| hash.as_deref() == Some(&hex::encode(bundle.hash())));
        found.show(sight, same.as_deref())
    }

    /// Shows identities that have been seen, who was seen last first.
    ///
    /// # Errors
    /// [`ViewError::Invalid`]: whoever asked.
    pub fn identities(&self, query: &IdentityQuery) -> Result<IdentityPage, ViewError> {
        let live = self.live_sessions();
        let observed = self.gateway.views.observed.lock();
        let (mut items, next) = observed.people_page(query)?;
        for item in &mut items {
            item.live = live.get(&item.identity).copied().unwrap_or(0);
        }
        Ok(IdentityPage { since: observed.counted_since(), items, next })
    }

    fn live_sessions(&self) -> HashMap<String, u64> {
        let mut live = HashMap::new();
        for entry in self.gateway.trust.sessions() {
            if let Some(who) = entry.who() {
                *live.entry(who.identity.to_string()).or_default() += 1;
            }
        }
        live
    }

    /// Shows one identity: what it did, was refused, and may do. Asks each of its databases what there is that could be granted.
    ///
    /// # Errors
    /// [`ViewError::Missing`]: nobody of that name has been seen.
    pub async fn identity(
        &self,
        sight: Sight,
        issuer: &str,
        subject: &str,
    ) -> Result<IdentityDetail, ViewError> {
        let name = format!("{issuer}:{subject}");
        let live = self.live_sessions();
        let (mut detail, identity) = {
            let observed = self.gateway.views.observed.lock();
            observed.identity(sight, &name, DETAIL_ROWS)
        }
        .ok_or_else(|| {
            ViewError::Missing(format!("identity {name} that has been seen since counts began"))
        })?;
        detail.identity.live = live.get(&name).copied().unwrap_or(0);
        let databases = detail.identity.databases.clone();
        for served in databases.iter().filter_map(|it| self.gateway.databases.get(it)) {
            detail.may.push(self.may(served, &identity).await);
        }
        Ok(detail)
    }

    async fn may(&self, served: &Served, identity: &Identity) -> MayDo {
        let bundle = served.bundle();
        let mut may = MayDo {
            database: served.config.name.clone(),
            bundle: bundle.name().to_owned(),
            version: bundle.version().to_owned(),
            grants: Vec::new(),
            grants_total: 0,
            beyond: Vec::new(),
            limits: bundle.limits(identity).lines(),
            unknown: None,
        };
        match self.objects(served, &bundle).await {
            Ok(objects) => {
                let held = grants::derive(&bundle, identity, &objects);
                may.grants_total = held.len();
                may.grants = held.iter().take(GRANTS_MAX).map(|(_, grant)| views::grant(&grant)).collect();
                may.beyond = held.beyond().iter().map(views::beyond).collect();
            }
            Err(error) => may.unknown = Some(error.to_string()),
        }
        may
    }

    /// What could be granted in a database, as of at most a minute ago.
    async fn objects(
        &self,
        served: &Served,
        bundle: &Arc<policy::Bundle>,
    ) -> Result<Arc<Objects>, ViewError> {
        let views = &self.gateway.views;
        let key = (served.config.name.clone(), bundle.hash());
        if let Some(known) = views.objects.get(&key) {
            return Ok(known);
        }
        let _permit = views.question().await?;
        // Somebody else may have asked meanwhile.
        if let Some(known) = views.objects.get(&key) {
            return Ok(known);
        }
        let objects = probe::objects(&served.config, bundle).await;
        let objects = Arc::new(objects.map_err(|error| ViewError::Database(oidc::chain(&error)))?);
        views.objects.keep(key, objects.clone());
        Ok(objects)
    }

    /// Shows the databases that are served, by name.
    pub fn databases(&self) -> Vec<DatabaseView> {
        let mut databases: Vec<_> = self.gateway.databases.values().collect();
        databases.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        let view = |served: &&Arc<Served>| {
            let (catalog, bundle) = (served.database.past(), served.bundle());
            views::Data { database: &served.config.name, catalog: catalog.as_deref(), bundle: &bundle }
                .database()
        };
        databases.iter().map(view).collect()
    }

    /// Shows relations of a database: columns, tags, masks, and who read them of late.
    ///
    /// # Errors
    /// [`ViewError::Missing`]: there is no such database.
    pub async fn data(&self, database: &str, query: DataQuery) -> Result<DataPage, ViewError> {
        let served = self.served(database)?.clone();
        let observed = self.gateway.views.observed.clone();
        // A catalog may have a hundred thousand relations.
        let shown = tokio::task::spawn_blocking(move || {
            let (catalog, bundle) = (served.database.past(), served.bundle());
            let data =
                views::Data { database: &served.config.name, catalog: catalog.as_deref(), bundle: &bundle };
            data.page(&query, &observed.lock())
        });
        shown.await.map_err(|error| ViewError::Database(error.to_string()))
    }

    fn served(&self, database: &str) -> Result<&Arc<Served>, ViewError> {
        let served = self.gateway.databases.get(database);
        served.ok_or_else(|| ViewError::Missing(format!("database {database:?}")))
    }

    /// Shows the policies in force, by database.
    pub fn policies(&self) -> Vec<PolicyInForce> {
        let observed = self.gateway.views.observed.lock();
        let mut policies: Vec<_> = self
            .gateway
            .databases
            .values()
            .map(|it| views::in_force(&it.config, &it.bundle(), observed.versions_of(&it.config.name)))
            .collect();
        policies.sort_by(|a, b| a.database.cmp(&b.database));
        policies
    }

    /// Shows the policy of a database: files, approver groups, limits, versions.
    ///
    /// # Errors
    /// [`ViewError::Missing`]: there is no such database.
    pub fn policy(&self, database: &str) -> Result<PolicyDetail, ViewError> {
        let served = self.served(database)?;
        let observed = self.gateway.views.observed.lock();
        Ok(views::policy_detail(&served.config, &served.bundle(), observed.versions_of(database)))
    }

    /// Explains a text under the policy in force, as if somebody asked it: the JSON of `gatepost policy explain`
    /// (docs/reference/explain.md). Executes nothing of it; the database is asked what it means.
    ///
    /// # Errors
    /// [`ViewError`]: what is asked makes no sense or is not for them; the database can't be asked.
    pub async fn policy_explain(
        &self,
        sight: Sight,
        database: &str,
        asked: ExplainAs,
    ) -> Result<Value, ViewError> {
        if sight != Sight::Texts {
            return Err(ViewError::NotForThem);
        }
        let served = self.served(database)?.clone();
        let identity = asked.identity(|name| self.gateway.views.observed.lock().known(name))?;
        let wrong = |why| ViewError::Invalid(format!("search_path: {why}"));
        let search_path = match &asked.search_path {
            Some(list) => probe::search_path(list).map_err(wrong)?,
            None => None,
        };
        let _permit = self.gateway.views.question().await?;
        let (config, bundle) = (&self.gateway.config, served.bundle());
        let failed = |error: probe::ProbeError| ViewError::Database(oidc::chain(&error));
        let mut explainer =
            Explainer::open(config, &served.config, &bundle, &identity).await.map_err(failed)?;
        let told = explainer.explain(&asked.sql, search_path.as_deref()).await;
        serde_json::to_value(Line::answer(None, &Value::Null, &told))
            .map_err(|error| ViewError::Database(error.to_string()))
    }

    /// Runs the tests of the bundle in force that ask the database, which executes nothing of them.
    ///
    /// # Errors
    /// [`ViewError`]: not for them; there is no such database.
    pub async fn policy_test(&self, sight: Sight, database: &str) -> Result<PolicyTests, ViewError> {
        if sight != Sight::Texts {
            return Err(ViewError::NotForThem);
        }
        let served = self.served(database)?.clone();
        let _permit = self.gateway.views.question().await?;
        let bundle = served.bundle();
        let failures = match probe::run_tests(&served.config, &bundle).await {
            Ok(_) | Err(probe::TestError::NoQuestions(0)) => Vec::new(),
            Err(probe::TestError::Failed(failures)) => failures.lines().map(str::to_owned).collect(),
            Err(error) => vec![oidc::chain(&error)],
        };
        Ok(PolicyTests {
            version: bundle.version().to_owned(),
            hash: hex::encode(bundle.hash()),
            passed: failures.is_empty(),
            at_load: bundle.tests_passed(),
            with_sql: bundle.sql_tests().len(),
            failures,
        })
    }

    /// Shows how the gateway itself is.
    pub async fn health(&self) -> Health {
        let journal = self.journal_health().await;
        let (upstreams, configuration, views_complete) = {
            let observed = self.gateway.views.observed.lock();
            let mut names: Vec<&String> = self.gateway.databases.keys().collect();
            names.sort();
            let upstreams: Vec<_> = names.into_iter().map(|it| observed.upstream(it)).collect();
            (upstreams, observed.configuration(), observed.is_complete())
        };
        let certificates = self.certificates();
        let index = self.index_health();
        let store = self.store_health().await;
        let mut reasons: Vec<String> = self.not_ready().into_iter().map(str::to_owned).collect();
        reasons.extend(journal.fault.iter().map(|fault| format!("audit records can't be kept: {fault}")));
        let unsigned = self.gateway.journal().signing_fault();
        reasons.extend(unsigned.iter().map(|fault| format!("the audit trail is not signed: {fault}")));
        reasons
            .extend(store.fault.iter().map(|it| format!("statements that need approval are refused: {it}")));
        let failing = |it: &UpstreamHealth| it.failing;
        let down = upstreams.iter().filter(|it| failing(it));
        reasons.extend(down.map(|it| format!("the last login to database \"{}\" failed", it.database)));
        let soon = certificates.iter().filter(|it| it.days.is_some_and(|days| days < 14));
        reasons.extend(soon.map(|it| format!("the certificate of {} ends soon, or has ended", it.what)));
        Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: views::shown(self.gateway.started),
            ready: self.not_ready().is_none(),
            reasons,
            journal,
            index,
            store,
            upstreams,
            issuers: self.issuers_health(),
            certificates,
            configuration,
            views_complete,
        }
    }

    pub(super) async fn journal_health(&self) -> JournalHealth {
        let journal = self.gateway.journal();
        let (written, durable) = (journal.written().0, journal.durable().0);
        let folder = self.gateway.config.journal.path.clone();
        let disk = tokio::task::spawn_blocking(move || views::disk(&folder)).await.ok().flatten();
        let read = self.gateway.views.observed.lock().last_read();
        JournalHealth {
            fault: journal.fault().map(|fault| fault.to_string()),
            written,
            durable,
            lag: written.saturating_sub(durable),
            views_lag: written.saturating_sub(read),
            disk_free: disk.map(|it| it.0),
            disk_total: disk.map(|it| it.1),
        }
    }

    pub(super) fn index_health(&self) -> Option<views::IndexHealth> {
        let written = self.gateway.journal().written().0;
        self.gateway.views.indexed.as_ref().map(|indexed| indexed.health(written))
    }

    pub(super) async fn store_health(&self) -> StoreHealth {
        let store = &self.gateway.store;
        let (answer, outbox, instances) =
            tokio::join!(store.ping(), store.count_waiting(), store.instances());
        StoreHealth {
            fault: answer.err().map(|error| oidc::chain(&error)),
            outbox: outbox.ok(),
            gateways: instances.ok().map(|it| it.len()),
        }
    }

    fn issuers_health(&self) -> Vec<IssuerHealth> {
        let live = self.gateway.live();
        live.issuers
            .iter()
            .map(|issuer| {
                let known = issuer.keys_known();
                IssuerHealth {
                    name: issuer.name().to_owned(),
                    url: issuer.url().to_owned(),
                    keys: known.map(|it| it.0),
                    keys_age_s: known.map(|it| it.1.as_secs()),
                    from_file: issuer.has_file(),
                }
            })
            .collect()
    }

    fn certificates(&self) -> Vec<CertificateHealth> {
        const DAY_NS: i64 = 86_400 * 1_000_000_000;
        let now = Time::from(SystemTime::now()).0;
        let shown = self.gateway.tls.as_ref().map(|certificate| {
            let ends = certificate.shown().ends.map(Time::from);
            CertificateHealth {
                what: "[listen] tls".to_owned(),
                ends: ends.map(views::shown),
                days: ends.map(|ends| ends.0.saturating_sub(now).div_euclid(DAY_NS)),
            }
        });
        shown.into_iter().collect()
    }
}

fn running_now(session: &Session, now: Instant) -> Option<RunningNow> {
    let state = &session.activity.as_ref()?.state;
    let (statement, approval, since) = match state {
        State::Running { statement, since } => (Some(*statement), None, Some(*since)),
        State::Held { approval, since } => (None, *approval, Some(*since)),
        _ => (None, None, None),
    };
    let for_ms = since.map(|since| u64::try_from(now.saturating_duration_since(since).as_millis()));
    Some(RunningNow {
        session: id(session.id),
        identity: session.identity.as_ref().map(ToString::to_string),
        database: session.database.clone(),
        state: state.as_str().to_owned(),
        statement,
        approval,
        for_ms: for_ms.and_then(Result::ok),
        text: None,
    })
}

fn id(session: SessionId) -> String {
    session.to_string()
}
