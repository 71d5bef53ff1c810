//! What is looked for, and the few fields of a record that decide it. Reads JSON; knows no files.

use std::collections::BTreeMap;

use audit::{Kind, Record, Time};
use model::SessionId;
use serde::Deserialize;
use serde_json::Value;

/// What to find; a record must pass every part that is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `issuer:subject`, or the subject alone.
    pub identity: Option<String>,
    /// For whom it was done: `issuer:subject`, or the subject alone.
    pub on_behalf_of: Option<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// Touched by the statement: `schema.name`, or the name alone.
    pub relation: Option<String>,
    /// The verdict's word: [`audit::Verdict::as_str`].
    pub verdict: Option<String>,
    /// The connection.
    pub session: Option<SessionId>,
    /// The event's name: [`audit::Event::name`].
    pub event: Option<String>,
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
    /// Contained in the statement's text, in whatever case.
    pub text: Option<String>,
    /// How many.
    pub limit: Option<Limit>,
}

/// How many rows to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The earliest.
    First(usize),
    /// The latest.
    Last(usize),
}

impl Filter {
    /// Returns whether the record is looked for. An outcome is not, by itself, unless `event` names it.
    pub(crate) fn admits(&self, time: Time, view: &View) -> bool {
        let Self { identity, on_behalf_of, database, relation, verdict, session, event, .. } = self;
        let Self { since, until, text, .. } = self;
        let given = |want: &Option<String>, is: &Option<String>| {
            want.as_ref().is_none_or(|want| is.as_ref() == Some(want))
        };
        let session_is = |want: &SessionId| view.session.as_deref() == Some(&*want.to_string());
        (event.is_some() || !view.is_outcome())
            && since.is_none_or(|since| time >= since)
            && until.is_none_or(|until| time < until)
            && given(event, &view.event)
            && given(database, &view.database)
            && given(verdict, &view.verdict)
            && session.as_ref().is_none_or(session_is)
            && identity.as_ref().is_none_or(|want| view.is_by(want))
            && on_behalf_of.as_ref().is_none_or(|want| view.is_on_behalf_of(want))
            && relation.as_ref().is_none_or(|want| view.touches(want))
            && text.as_ref().is_none_or(|want| view.says(want))
    }
}

/// Names a statement in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StatementKey {
    pub(crate) session: SessionId,
    statement: u64,
}

/// The fields of a record that filters, tables and counts look at; each is absent where the event has none.
#[derive(Debug, Default, Deserialize)]
pub struct View {
    /// The event's name: [`audit::Event::name`].
    pub event: Option<String>,
    pub(crate) session: Option<String>,
    /// The statement's number in its session.
    pub statement: Option<u64>,
    /// Whose, proven.
    pub identity: Option<Who>,
    issuer: Option<String>,
    subject: Option<String>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// The verdict's word: [`audit::Verdict::as_str`].
    pub verdict: Option<String>,
    /// What a statement touches, and why it is allowed or not.
    pub decision: Option<Decided>,
    /// The statement's text.
    pub text: Option<String>,
    /// What a client was told, or the server said.
    pub sqlstate: Option<String>,
    /// Why.
    pub reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) lost: Option<String>,
    /// A stable word for what happened, of an incident.
    pub kind: Option<String>,
    /// Rows that a statement returned or copied.
    pub rows: Option<u64>,
    /// Bytes of those rows.
    pub bytes: Option<u64>,
    /// From forwarding to the end.
    pub duration_us: Option<u64>,
    /// The bundle's name.
    pub bundle: Option<String>,
    /// The bundle's own version, or the gateway's.
    pub version: Option<String>,
    /// SHA-256 of the bundle, hex.
    pub hash: Option<String>,
    /// The limit that was reached, as `bundle.toml` calls it.
    pub limit: Option<String>,
    /// `issuer:subject` of who asked for approval.
    pub requester: Option<String>,
    /// Who did it: `issuer:subject`, or an object like `identity`.
    by: Option<Value>,
    // Of whatever type: a record of a newer gateway must not lose its other fields over it.
    approval: Option<Value>,
}

/// Whose a record is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Who {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Who, as the issuer says.
    pub subject: String,
    /// What people call it; in the record of a session's start only.
    #[serde(default)]
    pub name: Option<String>,
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Claims that rules may look at; in the record of a session's start only.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// For whom it acts.
    pub on_behalf_of: Option<Box<Who>>,
}

impl Who {
    fn is(&self, want: &str) -> bool {
        self.subject == want || self.to_string() == want
    }
}

impl std::fmt::Display for Who {
    /// Writes `issuer:subject`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.issuer, self.subject)
    }
}

/// What was decided about a statement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Decided {
    /// What kind of statement: `select`, `insert`, ...
    pub kind: String,
    /// Everything that it touches.
    pub touches: Vec<Touched>,
    /// The rules that determined the verdict, by id.
    pub rules: Vec<String>,
    /// The masks on its result.
    pub masks: Vec<Masked>,
}

/// How a statement touches one object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Touched {
    /// The action's name.
    pub action: String,
    /// `relation`, `function`, ...
    pub kind: String,
    /// `schema.name`, where there is a schema.
    pub name: String,
    /// The columns, where the action is about columns.
    pub columns: Vec<String>,
}

/// A mask on a statement's result.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Masked {
    /// `schema.relation.column`.
    pub column: String,
    /// The mask's name.
    pub mask: String,
}

/// SQLSTATEs of refusals of Gatepost's own: docs/reference/errors.md. With any other the server itself would not have the statement.
const OWN_SQLSTATES: [&str; 9] =
    ["42501", "0A000", "54000", "53400", "57014", "58030", "22021", "42939", "57P01"];

impl View {
    /// Reads a record; one that is not an event of a known shape has no fields.
    pub fn of(record: &Record<'_>) -> Self {
        match record.kind {
            Kind::Event => serde_json::from_slice(record.payload).unwrap_or_else(|_| {
                serde_json::from_slice(record.payload).map(Self::of_strange).unwrap_or_default()
            }),
            Kind::Checkpoint => Self { event: Some("checkpoint".to_owned()), ..Self::default() },
            Kind::Other(_) => Self::default(),
        }
    }

    /// Of an event of which some field is of another type than it was: what everybody looks for.
    fn of_strange(fields: serde_json::Map<String, Value>) -> Self {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let identity = fields.get("identity").cloned();
        Self {
            event: text("event"),
            session: text("session"),
            statement: fields.get("statement").and_then(Value::as_u64),
            identity: identity.and_then(|it| serde_json::from_value(it).ok()),
            database: text("database"),
            verdict: text("verdict"),
            sqlstate: text("sqlstate"),
            reason: text("reason"),
            requester: text("requester"),
            by: fields.get("by").cloned(),
            approval: fields.get("approval").cloned(),
            ..Self::default()
        }
    }

    /// Whether it is this event.
    pub fn is(&self, event: &str) -> bool {
        self.event.as_deref() == Some(event)
    }

    /// Whether it says how a statement ended.
    pub fn is_outcome(&self) -> bool {
        self.is("outcome")
    }

    /// Whether a statement was refused by the gateway.
    pub fn is_refusal(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(|it| OWN_SQLSTATES.contains(&it) || it.starts_with("57X"))
    }

    /// Whether an outcome follows: the statement was forwarded.
    pub fn awaits_outcome(&self) -> bool {
        self.is("statement") && self.sqlstate.is_none()
    }

    /// Returns the connection's id.
    pub fn session(&self) -> Option<SessionId> {
        u128::from_str_radix(self.session.as_deref()?, 16).ok().map(SessionId)
    }

    pub(crate) fn key(&self) -> Option<StatementKey> {
        (self.is_outcome() || self.is("statement"))
            .then(|| Some(StatementKey { session: self.session()?, statement: self.statement? }))?
    }

    /// Who: proven, or else as claimed.
    pub fn who(&self) -> Option<String> {
        match (&self.identity, &self.issuer, &self.subject) {
            (Some(who), _, _) => Some(who.to_string()),
            (None, Some(issuer), Some(subject)) => Some(format!("{issuer}:{subject}")),
            (None, _, subject) => subject.clone(),
        }
    }

    /// The subject: proven, or else as claimed.
    pub(crate) fn subject(&self) -> Option<&str> {
        let subject = self.identity.as_ref().map(|who| &who.subject).or(self.subject.as_ref());
        subject.map(String::as_str)
    }

    /// For whom it was done.
    pub fn behalf(&self) -> Option<&Who> {
        self.identity.as_ref().and_then(|who| who.on_behalf_of.as_deref())
    }

    fn is_by(&self, want: &str) -> bool {
        self.names().iter().any(|name| name == want)
    }

    /// Everybody whom the record is about, each as `issuer:subject` and as the subject alone.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.subject().map(str::to_owned).into_iter().chain(self.who()).collect();
        let by = match &self.by {
            Some(Value::String(by)) => Some(by.clone()),
            Some(by @ Value::Object(_)) => Who::deserialize(by).ok().map(|who| who.to_string()),
            _ => None,
        };
        for name in self.requester.iter().cloned().chain(by) {
            names.extend(name.split_once(':').map(|(_, subject)| subject.to_owned()));
            names.push(name);
        }
        names
    }

    fn is_on_behalf_of(&self, want: &str) -> bool {
        self.behalf().is_some_and(|party| party.is(want))
    }

    /// The rules that determined the verdict, by id.
    pub fn rules(&self) -> &[String] {
        self.decision.as_ref().map_or(&[][..], |decision| &decision.rules)
    }

    pub(crate) fn touches_column(&self, want: &str) -> bool {
        let Some((relation, column)) = want.rsplit_once('.') else { return false };
        let is = |name: &str| {
            name == relation || name.strip_suffix(relation).is_some_and(|schema| schema.ends_with('.'))
        };
        self.touched().iter().any(|it| is(&it.name) && it.columns.iter().any(|name| name == column))
    }

    fn touches(&self, want: &str) -> bool {
        self.touched().iter().any(|Touched { name, .. }| {
            name == want || name.strip_suffix(want).is_some_and(|schema| schema.ends_with('.'))
        })
    }

    /// Everything that a statement touches.
    pub fn touched(&self) -> &[Touched] {
        self.decision.as_ref().map_or(&[][..], |decision| &decision.touches)
    }

    /// Returns how it ended: a command tag, an SQLSTATE, or why that is not known.
    pub fn result(&self) -> Option<String> {
        let lost = self.lost.as_ref().map(|why| format!("lost: {why}"));
        self.tag.clone().or_else(|| self.sqlstate.clone()).or(lost)
    }

    /// Returns why it is not known how a statement ended.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Returns what exactly an event is about, in words.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Returns the number of the approval request that the record is about.
    pub fn approval(&self) -> Option<u64> {
        self.approval.as_ref().and_then(Value::as_u64)
    }

    fn says(&self, want: &str) -> bool {
        self.text.as_ref().is_some_and(|text| text.to_lowercase().contains(&want.to_lowercase()))
    }
}
