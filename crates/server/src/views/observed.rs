//! What records say, added up as they are read. Bounded in every part; knows no file and no clock.

use std::collections::{HashMap, VecDeque};

use audit::{Record, Time};
use journal::query::View;
use model::{Identity, SessionId};

use super::health::UpstreamHealth;
use super::live::{Live, LiveKind};
use super::overview::Incident;
use super::people::{IdentityDetail, IdentityQuery, IdentityView, People, count_outcome};
use super::series::Series;
use super::tally::Tally;
use super::trial::Known;
use super::uses::Uses;
use super::{Sight, ViewError, shown};

/// Refusals that are remembered.
const REFUSED_MAX: usize = 1000;
/// Characters of a refused statement's text that are remembered.
const TEXT_CHARS_MAX: usize = 400;
/// Incidents, and versions of each bundle, that are remembered.
const NOTED_MAX: usize = 50;
/// Sessions of which is remembered whose they are.
const SESSIONS_MAX: usize = 100_000;

/// Whether a statement was refused by the gateway.
pub(super) fn is_refusal(view: &View) -> bool {
    view.is_refusal()
}

/// Somebody or something that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(super) seq: u64,
    pub(super) time: Time,
    pub(super) event: String,
    pub(super) session: Option<SessionId>,
    pub(super) identity: Option<String>,
    pub(super) database: Option<String>,
    pub(super) verdict: Option<String>,
    pub(super) sqlstate: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) rules: Vec<String>,
    pub(super) text: Option<String>,
    pub(super) text_is_whole: bool,
}

/// A bundle that was loaded, or was not.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(super) seq: u64,
    pub(super) time: Time,
    pub(super) bundle: String,
    pub(super) version: String,
    pub(super) hash: String,
    /// Why it was refused.
    pub(super) refused: Option<String>,
}

/// Something that is to be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(super) seq: u64,
    pub(super) time: Time,
    pub(super) event: String,
    pub(super) database: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) detail: Option<String>,
}

/// How logins to a database went of late.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    pub(super) last_good: Option<Time>,
    pub(super) last_bad: Option<Time>,
    pub(super) why: Option<String>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Observed {
    /// The time of the first record that was read.
    pub(super) since: Option<Time>,
    /// Whether all that was there has been read.
    pub(super) caught_up: bool,
    pub(super) series: Series,
    pub(super) people: People,
    pub(super) uses: Uses,
    pub(super) refused: VecDeque<Refused>,
    pub(super) versions: HashMap<String, VecDeque<Version>>,
    pub(super) noted: VecDeque<Noted>,
    pub(super) logins: HashMap<String, Logins>,
    /// Whose statements' outcomes are.
    sessions: HashMap<SessionId, String>,
    /// Since activity was told last.
    statements: u64,
    last: u64,
    tally: Tally,
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl Observed {
    /// Nothing yet; `last` is the last record before this run of the gateway.
    pub(super) fn after(last: u64) -> Self {
        Self { tally: Tally::after(last), ..Self::default() }
    }

    /// Returns what this run of the gateway has recorded, counted.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Takes in the next record, and tells who looks on what is worth it.
    pub(super) fn take(&mut self, record: &Record<'_>, view: &View, live: Option<&Live>) {
        let time = record.time;
        self.since.get_or_insert(time);
        self.last = record.seq.0;
        self.tally.take(record.seq.0, view);
        let identity = view.identity.as_ref().map(ToString::to_string);
        if let Some(who) = &view.identity {
            self.people.take(time, view, who);
        }
        let told = match view.event.as_deref().unwrap_or_default() {
            "session_started" => self.session_started(time, view, identity),
            "disconnected" => {
                let id = view.session();
                id.and_then(|id| self.sessions.remove(&id));
                identity.zip(id).map(|(identity, id)| LiveKind::Session {
                    id: id.to_string(),
                    what: "ended",
                    identity: Some(identity),
                    database: view.database.clone(),
                })
            }
            "statement" => self.statement(record, view, identity),
            "outcome" => {
                let whose = view.session().and_then(|id| self.sessions.get(&id));
                if let Some(whose) = whose {
                    self.people.ended(whose, view);
                }
                self.series.count(time, |counts| count_outcome(counts, view));
                None
            }
            "authentication_failed" => {
                self.series.count(time, |counts| counts.strangers += 1);
                Some(self.refuse(record, view, view.who()))
            }
            "limit_exceeded" | "control_refused" => Some(self.refuse(record, view, identity)),
            "upstream_failed" => {
                let logins = self.logins.entry(view.database.clone().unwrap_or_default()).or_default();
                (logins.last_bad, logins.why) = (Some(time), view.reason.clone());
                Some(self.refuse(record, view, identity))
            }
            event @ ("policy_loaded" | "policy_refused") => Some(self.policy(record, view, event)),
            "gateway_started" => {
                // Nothing survives its gateway.
                self.sessions.clear();
                None
            }
            event @ ("incident"
            | "journal_faulted"
            | "journal_recovered"
            | "clock_stepped"
            | "configuration_reloaded") => {
                self.series.count(time, |counts| counts.incidents += u64::from(event == "incident"));
                Some(self.note(record, view, event))
            }
            _ => None,
        };
        if let (Some(live), Some(told)) = (live, told) {
            live.tell(told);
        }
    }

    /// Returns how many statements were decided since it was asked last.
    pub(super) fn activity(&mut self) -> u64 {
        std::mem::take(&mut self.statements)
    }

    fn session_started(&mut self, time: Time, view: &View, identity: Option<String>) -> Option<LiveKind> {
        let (id, identity) = (view.session()?, identity?);
        self.series.count(time, |counts| counts.sessions += 1);
        if let Some(database) = &view.database {
            self.logins.entry(database.clone()).or_default().last_good = Some(time);
        }
        self.belongs(id, &identity);
        let (identity, database) = (Some(identity), view.database.clone());
        Some(LiveKind::Session { id: id.to_string(), what: "began", identity, database })
    }

    fn belongs(&mut self, id: SessionId, identity: &str) {
        if self.sessions.len() < SESSIONS_MAX && !self.sessions.contains_key(&id) {
            self.sessions.insert(id, identity.to_owned());
        }
    }

    fn statement(&mut self, record: &Record<'_>, view: &View, identity: Option<String>) -> Option<LiveKind> {
        self.statements += 1;
        let refused = is_refusal(view);
        let by_server = view.sqlstate.is_some() && !refused;
        let verdict = view.verdict.as_deref().unwrap_or_default();
        self.series.count(record.time, |counts| {
            if by_server {
                counts.failed += 1;
            } else {
                counts.verdict(verdict);
            }
        });
        if let Some(identity) = &identity {
            if let Some(id) = view.session() {
                self.belongs(id, identity);
            }
            if !by_server {
                self.uses.take(record.time, view, identity);
            }
        }
        refused.then(|| self.refuse(record, view, identity))
    }

    fn refuse(&mut self, record: &Record<'_>, view: &View, identity: Option<String>) -> LiveKind {
        let event = view.event.clone().unwrap_or_default();
        let text = view.text.as_ref();
        let cut = text.and_then(|text| text.char_indices().nth(TEXT_CHARS_MAX)).map(|it| it.0);
        let refused = Refused {
            seq: record.seq.0,
            time: record.time,
            event: event.clone(),
            session: view.session(),
            identity: identity.clone(),
            database: view.database.clone(),
            verdict: view.verdict.clone(),
            sqlstate: view.sqlstate.clone(),
            reason: view.reason.clone().or_else(|| view.limit.clone()),
            rules: view.decision.as_ref().map(|it| it.rules.clone()).unwrap_or_default(),
            text: text.map(|text| text.get(..cut.unwrap_or(text.len())).unwrap_or_default().to_owned()),
            text_is_whole: cut.is_none(),
        };
        let (database, sqlstate) = (refused.database.clone(), refused.sqlstate.clone());
        push(&mut self.refused, refused, REFUSED_MAX);
        LiveKind::Refused { seq: record.seq.0, what: event, identity, database, sqlstate }
    }

    fn policy(&mut self, record: &Record<'_>, view: &View, event: &str) -> LiveKind {
        let database = view.database.clone().unwrap_or_default();
        let is_refused = event == "policy_refused";
        let version = Version {
            seq: record.seq.0,
            time: record.time,
            bundle: view.bundle.clone().unwrap_or_default(),
            version: view.version.clone().unwrap_or_default(),
            hash: view.hash.clone().unwrap_or_default(),
            refused: is_refused.then(|| view.reason.clone().unwrap_or_default()),
        };
        push(self.versions.entry(database.clone()).or_default(), version, NOTED_MAX);
        LiveKind::Policy { database, what: if is_refused { "refused" } else { "loaded" } }
    }

    fn note(&mut self, record: &Record<'_>, view: &View, event: &str) -> LiveKind {
        let noted = Noted {
            seq: record.seq.0,
            time: record.time,
            event: event.to_owned(),
            database: view.database.clone(),
            kind: view.kind.clone(),
            detail: view.detail().map(str::to_owned),
        };
        push(&mut self.noted, noted, NOTED_MAX);
        LiveKind::Health { what: event.to_owned() }
    }

    /// The last record that was taken in.
    pub(crate) const fn last_read(&self) -> u64 {
        self.last
    }

    /// Whether all that was there at the start has been taken in.
    pub(crate) const fn is_complete(&self) -> bool {
        self.caught_up
    }

    /// Counts go back to here.
    pub(crate) fn counted_since(&self) -> Option<String> {
        self.since()
    }

    /// Shows a page of identities, and where the next begins.
    ///
    /// # Errors
    /// [`ViewError::Invalid`]: whoever asked.
    pub(crate) fn people_page(
        &self,
        query: &IdentityQuery,
    ) -> Result<(Vec<IdentityView>, Option<String>), ViewError> {
        self.people.page(query)
    }

    /// Shows what somebody did and was refused, and returns who they are to the policy.
    pub(crate) fn identity(
        &self,
        sight: Sight,
        name: &str,
        rows: usize,
    ) -> Option<(IdentityDetail, Identity)> {
        let (who, person) = self.people.get(name)?;
        let of_them = self.refused.iter().rev().filter(|it| it.identity.as_deref() == Some(name));
        let detail = IdentityDetail {
            identity: super::people::view(who, person),
            since: self.since(),
            uses: self.uses.by(name, rows),
            refused: of_them.take(rows).map(|it| it.shown(sight)).collect(),
            may: Vec::new(),
        };
        let identity = Identity {
            issuer: who.issuer.clone(),
            subject: who.subject.clone(),
            name: None,
            groups: person.groups.iter().cloned().collect(),
            attributes: person.attributes.clone(),
            token_id: None,
            on_behalf_of: None,
        };
        Some((detail, identity))
    }

    /// What is known of somebody from their last session.
    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        let (_, person) = self.people.get(name)?;
        Some(Known { groups: person.groups.clone(), attributes: person.attributes.clone() })
    }

    /// What is known of a database's bundles, oldest first.
    pub(crate) fn versions_of(&self, database: &str) -> impl DoubleEndedIterator<Item = &Version> + Clone {
        self.versions.get(database).into_iter().flatten()
    }

    /// Shows how logins to a database go.
    pub(crate) fn upstream(&self, database: &str) -> UpstreamHealth {
        let Logins { last_good, last_bad, why } = self.logins.get(database).cloned().unwrap_or_default();
        UpstreamHealth {
            database: database.to_owned(),
            failing: last_bad.is_some_and(|bad| last_good.is_none_or(|good| good < bad)),
            last_good: last_good.map(shown),
            last_bad: last_bad.map(shown),
            why,
        }
    }

    /// Shows what became of the configuration when it was read again last.
    pub(crate) fn configuration(&self) -> Option<Incident> {
        self.noted.iter().rfind(|it| it.event == "configuration_reloaded").map(Noted::shown)
    }

    /// Counts go back to here.
    pub(super) fn since(&self) -> Option<String> {
        self.since.map(shown)
    }
}
