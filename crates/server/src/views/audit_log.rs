//! The audit trail as it is searched and shown: pages of short rows, and one record with everything.

use audit::{Seq, Time};
use index::{Asked, Fingerprint};
use journal::query::{Filter, Row, View};
use journal::search::{Budget, From, Index, Page, Search};
use model::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Indexed, Sight, ViewError, shown};

/// Rows of one page.
const ROWS: usize = 50;
const ROWS_MAX: usize = 500;
/// Characters of a text in a row.
const TEXT_CHARS_MAX: usize = 400;
/// Statements of the session before and after one.
const NEIGHBOURS: usize = 10;
/// Members of a record that hold what was written in a statement, or bound to it.
const TEXTS: [&str; 3] = ["text", "parameters", "runs"];

/// What to look for; a record must pass every part that is given.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// `issuer:subject`, or the subject alone.
    pub identity: Option<String>,
    /// For whom it was done: `issuer:subject`, or the subject alone.
    pub on_behalf_of: Option<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// The verdict's word: `allow`, `mask`, `hold`, `deny`, `observed-...`.
    pub verdict: Option<String>,
    /// What the client was told, or what the server said of the statement.
    pub sqlstate: Option<String>,
    /// The event's name: `statement`, `session_started`, ...
    pub event: Option<String>,
    /// The session's id.
    pub session: Option<String>,
    /// Contained in the statement's text, in whatever case. Only for who may see texts.
    pub text: Option<String>,
    /// Touched by the statement: `schema.name`, or the name alone.
    pub relation: Option<String>,
    /// Touched by the statement: `schema.relation.column`, or `relation.column`.
    pub column: Option<String>,
    /// A rule that determined the verdict, by id.
    pub rule: Option<String>,
    /// The number of an approval request.
    pub approval: Option<u64>,
    /// A group of whoever did it.
    pub group: Option<String>,
    /// What texts have in common that differ in literals alone: a row's `fingerprint`.
    pub fingerprint: Option<String>,
    /// So many rows at least, returned or copied.
    pub rows_min: Option<u64>,
    /// So many rows at most.
    pub rows_max: Option<u64>,
    /// So many microseconds at least, from forwarding to the end.
    pub duration_us_min: Option<u64>,
    /// So many microseconds at most.
    pub duration_us_max: Option<u64>,
    /// Not before, RFC 3339.
    pub since: Option<String>,
    /// Before, RFC 3339.
    pub until: Option<String>,
    /// Where the page before ended: its `next`.
    pub before: Option<u64>,
    /// At most so many rows: 50 unless told, 500 at most.
    pub limit: Option<usize>,
}

/// Records, the newest first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditPage {
    /// The records; there may be none though there is a `next`.
    pub items: Vec<AuditRow>,
    /// For the next page: `before`. `None`: there is nothing before.
    pub next: Option<u64>,
    /// How far back was looked, RFC 3339: each call looks only for a while.
    pub searched_to: Option<String>,
    /// Whether it was looked for as long as one call may, and the page has room for more: ask on with `next`.
    pub unfinished: bool,
    /// Records that may be looked for and can't be read: the journal was changed there.
    pub unreadable: usize,
}

/// A record in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuditRow {
    /// Its number.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The event's name; `None`: a kind of record that this version doesn't know.
    pub event: Option<String>,
    /// The session's id.
    pub session: Option<String>,
    /// The statement's number in its session.
    pub statement: Option<u64>,
    /// `issuer:subject`.
    pub identity: Option<String>,
    /// For whom it was done.
    pub on_behalf_of: Option<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// What kind of statement: `select`, ...
    pub kind: Option<String>,
    /// The verdict's word.
    pub verdict: Option<String>,
    /// What the client was told where it was refused, or the server said.
    pub sqlstate: Option<String>,
    /// How it ended: a command tag, an SQLSTATE, or why that is not known.
    pub result: Option<String>,
    /// Why, or what exactly.
    pub why: Option<String>,
    /// Relations that it touches: `schema.name`, 20 at most.
    pub relations: Vec<String>,
    /// Rows returned or copied.
    pub rows: Option<u64>,
    /// From forwarding to the end, in microseconds.
    pub duration_us: Option<u64>,
    /// The number of its approval request.
    pub approval: Option<u64>,
    /// Of a forwarded statement: whether it has ended. `None`: it does not apply, or was not found out in time.
    pub ended: Option<bool>,
    /// The statement's text, 400 characters at most; only for who may see texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether that is all of it.
    pub text_is_whole: bool,
    /// What texts have in common that differ in literals alone: 16 hexadecimal digits; only for who may see texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// One record, with everything about it that may be seen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditDetail {
    /// In short.
    pub row: AuditRow,
    /// The record as it is in the journal, with its outcome; without texts and parameters for who may not see them.
    #[schemars(with = "Map<String, Value>")]
    pub record: Value,
    /// SHA-256 of the record, its link of the chain, hex.
    pub hash: String,
    /// What the statement touches.
    pub touches: Vec<Touching>,
    /// Masks on its result.
    pub masks: Vec<Masking>,
    /// The rules that decided it.
    pub rules: Vec<DecidingRule>,
    /// The bundle that decided it, as far as that is known.
    pub policy: Option<super::BundleVersion>,
    /// Whether that bundle is in force now.
    pub policy_is_current: bool,
    /// The session's statements before it, the latest first, 10 at most.
    pub before: Vec<AuditRow>,
    /// The session's statements after it, in order, 10 at most.
    pub after: Vec<AuditRow>,
}

/// A pair of action and resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Touching {
    /// The action.
    pub action: String,
    /// `relation`, `function`, ...
    pub kind: String,
    /// `schema.name`, where there is a schema.
    pub name: String,
    /// The columns.
    pub columns: Vec<String>,
}

/// A mask on a column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Masking {
    /// `schema.relation.column`.
    pub column: String,
    /// The mask's name.
    pub mask: String,
}

/// A rule that decided about a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DecidingRule {
    /// Its id.
    pub id: String,
    /// The file within the bundle, and its line; `None`: the bundle that is in force now is another.
    pub file: Option<String>,
    /// The line that it begins in.
    pub line: Option<u32>,
    /// Whether it forbids.
    pub forbid: Option<bool>,
    /// Its text.
    pub text: Option<String>,
}

impl AuditQuery {
    /// Reads what is asked.
    ///
    /// # Errors
    /// [`ViewError`]: whoever asked.
    pub(crate) fn read(self, sight: Sight) -> Result<(Asked, From, usize), ViewError> {
        if self.text.is_some() && sight.text(()).is_none() {
            return Err(ViewError::NotForThem);
        }
        let instant = |name: &str, text: Option<String>| text.map(|text| time(name, &text)).transpose();
        let filter = Filter {
            identity: self.identity,
            on_behalf_of: self.on_behalf_of,
            database: self.database,
            relation: self.relation,
            verdict: self.verdict,
            session: self.session.map(|text| session(&text)).transpose()?,
            event: self.event,
            since: instant("since", self.since)?,
            until: instant("until", self.until)?,
            text: self.text,
            limit: None,
        };
        let search = Search {
            filter,
            sqlstate: self.sqlstate,
            column: self.column,
            rule: self.rule,
            approval: self.approval,
            group: self.group,
            measure: journal::search::Measure {
                rows_min: self.rows_min,
                rows_max: self.rows_max,
                duration_us_min: self.duration_us_min,
                duration_us_max: self.duration_us_max,
            },
        };
        let fingerprint =
            self.fingerprint.map(|text| text.parse().map_err(ViewError::Invalid)).transpose()?;
        let from = self.before.map_or(From::End, |before| From::Before(Seq(before)));
        Ok((Asked { search, fingerprint }, from, self.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX)))
    }
}

fn session(text: &str) -> Result<SessionId, ViewError> {
    let read = || u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(SessionId);
    read().ok_or_else(|| ViewError::Invalid(format!("session {text:?} is no id: 32 hexadecimal digits")))
}

fn time(name: &str, text: &str) -> Result<Time, ViewError> {
    let read: Result<jiff::Timestamp, _> = text.parse();
    let wrong = |_| ViewError::Invalid(format!("{name} {text:?} is no time; write 2026-11-23T10:00:00Z"));
    read.map_err(wrong).map(|it| Time::from(std::time::SystemTime::from(it)))
}

/// Looks for a page: in the index, or, where there is none that is up to date, in the journal.
pub(crate) fn page(
    index: &Index,
    indexed: Option<&Indexed>,
    budget: Budget,
    asked: &(Asked, From, usize),
    sight: Sight,
) -> Result<AuditPage, ViewError> {
    if let Some(indexed) = indexed.filter(|_| asked.0.is_known()) {
        match indexed.index.search(&asked.0, asked.1, asked.2, budget) {
            Ok(found) => return Ok(found_page(found, asked.2, sight)),
            Err(error) => indexed.doubt(&error),
        }
    }
    let (Asked { search, fingerprint }, from, limit) = asked;
    if fingerprint.is_some() {
        let why = "fingerprints are found by the index only, which is not there, or not up to date yet";
        return Err(ViewError::Journal(why.to_owned()));
    }
    let Page { rows, next, searched_to, unjoined } = index.search(search, *from, *limit, budget)?;
    let unfinished = next.is_some() && rows.len() < *limit;
    let items = rows.iter().map(|it| row(it, sight, !unjoined.contains(&it.record().seq))).collect();
    let (next, searched_to) = (next.map(|seq| seq.0), searched_to.map(shown));
    Ok(AuditPage { items, next, searched_to, unfinished, unreadable: 0 })
}

fn found_page(found: index::Found, limit: usize, sight: Sight) -> AuditPage {
    let index::Found { rows, next, searched_to, unreadable } = found;
    AuditPage {
        items: rows.iter().map(|it| row(it, sight, true)).collect(),
        unfinished: next.is_some() && rows.len() < limit,
        next: next.map(|seq| seq.0),
        searched_to: searched_to.map(shown),
        unreadable: unreadable.len(),
    }
}

/// What is found of one record without asking any policy.
pub(crate) struct Found {
    row: Row,
    joined: bool,
    before: Vec<Row>,
    after: Vec<Row>,
    /// The bundle that was loaded last before it.
    policy: Option<Row>,
}

/// Looks for one record and what stands around it.
pub(crate) fn find(index: &Index, budget: Budget, seq: u64) -> Result<Option<Found>, ViewError> {
    let Some((row, joined)) = index.record(Seq(seq), budget)? else { return Ok(None) };
    let view = View::of(&row.record());
    let (mut before, mut after, mut policy) = (Vec::new(), Vec::new(), None);
    if let Some(session) = view.session() {
        let event = Some("statement".to_owned());
        let filter = Filter { session: Some(session), event, ..Filter::default() };
        let of_session = Search { filter, ..Search::default() };
        before = index.search(&of_session, From::Before(Seq(seq)), NEIGHBOURS, budget)?.rows;
        after = index.search(&of_session, From::After(Seq(seq)), NEIGHBOURS, budget)?.rows;
    }
    if view.is("statement") && view.database.is_some() {
        let event = Some("policy_loaded".to_owned());
        let filter = Filter { database: view.database, event, ..Filter::default() };
        let loaded = Search { filter, ..Search::default() };
        policy = index.search(&loaded, From::Before(Seq(seq)), 1, budget)?.rows.pop();
    }
    Ok(Some(Found { row, joined, before, after, policy }))
}

impl Found {
    /// The database that the record is about.
    pub(crate) fn database(&self) -> Option<String> {
        View::of(&self.row.record()).database
    }

    /// The hash of the bundle that decided it, hex.
    pub(crate) fn policy_hash(&self) -> Option<String> {
        self.policy.as_ref().and_then(|it| View::of(&it.record()).hash)
    }

    /// Shows it, as far as it may be seen. `bundle` is the one in force, if it is the one that decided.
    pub(crate) fn show(
        self,
        sight: Sight,
        bundle: Option<&policy::Bundle>,
    ) -> Result<AuditDetail, ViewError> {
        let wrong = |error: serde_json::Error| ViewError::Journal(error.to_string());
        let record = self.row.record();
        let view = View::of(&record);
        let mut json: Map<String, Value> = serde_json::from_str(&self.row.to_json()).map_err(wrong)?;
        if sight.text(()).is_none() {
            TEXTS.iter().for_each(|name| drop(json.remove(*name)));
            if quotes(&view) {
                json.remove("reason");
            }
        }
        let decision = view.decision.unwrap_or_default();
        let rule = |id: String| {
            let found = bundle.and_then(|bundle| bundle.rule(&id));
            DecidingRule {
                file: found.map(|it| it.0.file.clone()),
                line: found.map(|it| it.0.line),
                forbid: found.map(|it| it.0.forbid),
                text: found.map(|it| it.1.to_owned()),
                id,
            }
        };
        let touching = |it: journal::query::Touched| Touching {
            action: it.action,
            kind: it.kind,
            name: it.name,
            columns: it.columns,
        };
        let masking = |it: journal::query::Masked| Masking { column: it.column, mask: it.mask };
        Ok(AuditDetail {
            row: row(&self.row, sight, self.joined),
            record: Value::Object(json),
            hash: record.hash.to_string(),
            touches: decision.touches.into_iter().map(touching).collect(),
            masks: decision.masks.into_iter().map(masking).collect(),
            rules: decision.rules.into_iter().map(rule).collect(),
            policy: self.policy.as_ref().map(super::bundles::version_of),
            policy_is_current: bundle.is_some(),
            before: self.before.iter().map(|it| row(it, sight, true)).collect(),
            after: self.after.iter().map(|it| row(it, sight, true)).collect(),
        })
    }
}

/// Whether the reason may repeat what was written in a statement: the server's own words do.
fn quotes(view: &View) -> bool {
    view.is("statement") && !super::observed::is_refusal(view)
}

/// Shows a record in one line. `joined`: its outcome was looked for to the end.
pub(crate) fn row(found: &Row, sight: Sight, joined: bool) -> AuditRow {
    const RELATIONS_MAX: usize = 20;
    let record = found.record();
    let view = View::of(&record);
    let outcome = found.outcome().map(|outcome| View::of(&outcome));
    let ended = view.awaits_outcome().then_some(outcome.is_some()).filter(|ended| *ended || joined);
    let identity = view.who().or_else(|| view.requester.clone());
    let on_behalf_of =
        view.identity.as_ref().and_then(|who| who.on_behalf_of.as_ref()).map(|it| it.to_string());
    let mut relations = Vec::new();
    for touch in view.decision.iter().flat_map(|it| &it.touches).filter(|it| it.kind == "relation") {
        if !relations.contains(&touch.name) && relations.len() < RELATIONS_MAX {
            relations.push(touch.name.clone());
        }
    }
    let result = outcome.as_ref().and_then(View::result).or_else(|| view.result());
    let why = view.reason.clone().or_else(|| view.detail().map(str::to_owned));
    let measured = outcome.as_ref().unwrap_or(&view);
    let whole = view.text.as_deref();
    let cut = view.text.as_ref().and_then(|text| text.char_indices().nth(TEXT_CHARS_MAX)).map(|it| it.0);
    let text = view.text.as_ref().map(|text| text.get(..cut.unwrap_or(text.len())).unwrap_or_default());
    AuditRow {
        seq: record.seq.0,
        at: shown(record.time),
        session: view.session().map(|id| id.to_string()),
        statement: view.statement,
        identity,
        on_behalf_of,
        kind: view.decision.as_ref().map(|it| it.kind.clone()).filter(|it| !it.is_empty()),
        sqlstate: view.sqlstate.clone().or_else(|| outcome.as_ref().and_then(|it| it.sqlstate.clone())),
        result,
        why: if quotes(&view) { sight.text(why).flatten() } else { why },
        relations,
        rows: measured.rows,
        duration_us: measured.duration_us,
        approval: view.approval(),
        ended,
        text: sight.text(text.map(str::to_owned)).flatten(),
        text_is_whole: cut.is_none(),
        fingerprint: sight.text(whole.map(|text| Fingerprint::of(text).to_string())).flatten(),
        event: view.event,
        database: view.database,
        verdict: view.verdict,
    }
}
