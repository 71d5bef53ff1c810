//! What is looked for, and the few fields of a record that decide it. Reads JSON; knows no files.

use audit::{Kind, Record, Time};
use model::SessionId;
use serde::Deserialize;

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

/// The fields of a record that filters and tables look at.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct View {
    pub(crate) event: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) statement: Option<u64>,
    pub(crate) identity: Option<Who>,
    issuer: Option<String>,
    subject: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) verdict: Option<String>,
    pub(crate) decision: Option<Decided>,
    pub(crate) text: Option<String>,
    pub(crate) sqlstate: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) lost: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Who {
    issuer: String,
    subject: String,
    on_behalf_of: Option<Box<Who>>,
}

impl Who {
    fn is(&self, want: &str) -> bool {
        self.subject == want || format!("{}:{}", self.issuer, self.subject) == want
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Decided {
    pub(crate) touches: Vec<Touched>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Touched {
    pub(crate) action: String,
    pub(crate) name: String,
}

impl View {
    /// Reads a record; one that is not an event of a known shape has no fields.
    pub(crate) fn of(record: &Record<'_>) -> Self {
        match record.kind {
            Kind::Event => serde_json::from_slice(record.payload).unwrap_or_default(),
            Kind::Checkpoint | Kind::Other(_) => Self::default(),
        }
    }

    pub(crate) fn is(&self, event: &str) -> bool {
        self.event.as_deref() == Some(event)
    }

    pub(crate) fn is_outcome(&self) -> bool {
        self.is("outcome")
    }

    /// Whether an outcome follows: the statement was forwarded.
    pub(crate) fn awaits_outcome(&self) -> bool {
        self.is("statement") && self.sqlstate.is_none()
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        u128::from_str_radix(self.session.as_deref()?, 16).ok().map(SessionId)
    }

    pub(crate) fn key(&self) -> Option<StatementKey> {
        (self.is_outcome() || self.is("statement"))
            .then(|| Some(StatementKey { session: self.session()?, statement: self.statement? }))?
    }

    /// Who: proven, or else as claimed.
    pub(crate) fn who(&self) -> Option<String> {
        match (&self.identity, &self.issuer, &self.subject) {
            (Some(Who { issuer, subject, .. }), _, _) | (None, Some(issuer), Some(subject)) => {
                Some(format!("{issuer}:{subject}"))
            }
            (None, _, subject) => subject.clone(),
        }
    }

    fn is_by(&self, want: &str) -> bool {
        let subject = self.identity.as_ref().map(|who| &who.subject).or(self.subject.as_ref());
        subject.is_some_and(|subject| subject == want) || self.who().is_some_and(|who| who == want)
    }

    fn is_on_behalf_of(&self, want: &str) -> bool {
        let behalf = self.identity.as_ref().and_then(|who| who.on_behalf_of.as_ref());
        behalf.is_some_and(|party| party.is(want))
    }

    fn touches(&self, want: &str) -> bool {
        let touches = self.decision.as_ref().map_or(&[][..], |decision| &decision.touches);
        touches.iter().any(|Touched { action: _, name }| {
            name == want || name.strip_suffix(want).is_some_and(|schema| schema.ends_with('.'))
        })
    }

    fn says(&self, want: &str) -> bool {
        self.text.as_ref().is_some_and(|text| text.to_lowercase().contains(&want.to_lowercase()))
    }
}
