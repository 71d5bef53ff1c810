//! What there is to say of a request, whatever the channel. Knows no channel's markup.

use approval::{Binding, Ended, Number, Parameter, Request, Stamp, State, Value, Verdict, Vote, Wait};
use audit::Time;
use config::NotifyStatement;

use crate::shown::{self, Looks, Shown};

/// Of a fact, in characters.
const FACT_CHARS_MAX: usize = 300;
/// Of what a statement touches, and of rules.
const LISTED_MAX: usize = 12;
/// Requests that a digest names.
pub const DIGEST_MAX: usize = 20;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It waits for approvers.
    Opened,
    /// Somebody has said something, and it still waits.
    Voted,
    /// It is approved or denied.
    Decided,
    /// It is over, undecided.
    Ended,
    /// It was run without approval, to be reviewed.
    BreakGlass,
    /// Another channel could not be told of it.
    Undelivered,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 6] =
        [Self::Opened, Self::Voted, Self::Decided, Self::Ended, Self::BreakGlass, Self::Undelivered];

    /// Returns the word that configuration, outbox and webhooks use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Voted => "voted",
            Self::Decided => "decided",
            Self::Ended => "ended",
            Self::BreakGlass => "break_glass",
            Self::Undelivered => "undelivered",
        }
    }

    /// Reads such a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// What is said, in no markup. All of it is harmless as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What it tells.
    pub(crate) event: Option<Event>,
    /// In a line.
    pub(crate) title: String,
    /// Label and value, a line each.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// The statement's parts with their labels: its text, what it runs, what is bound to its parameters. Empty: they are not to leave.
    pub(crate) parts: Vec<(&'static str, Shown)>,
    /// Why it can't be approved by what is here, whatever the channel can show.
    pub(crate) incomplete: Option<&'static str>,
    /// Where it is to be read and decided.
    pub(crate) link: Option<String>,
    /// Which request, as long as approvers can decide it.
    pub(crate) open: Option<(Number, Binding)>,
    /// When what it tells happened.
    pub(crate) at: Stamp,
}

impl Letter {
    /// Says what has happened to a request. `console` is where the gateway's pages are, without a slash at its end.
    pub fn of(
        event: Event,
        request: &Request,
        sent: NotifyStatement,
        console: Option<&str>,
        at: Stamp,
    ) -> Self {
        let ask = &request.ask;
        let mut parts = Vec::new();
        let mut incomplete = None;
        match sent {
            NotifyStatement::None => incomplete = Some("the statement is not sent to this channel"),
            // All of it; a channel cuts by its own limits.
            NotifyStatement::Full => {
                parts.push(("Statement", shown::statement(&ask.statement.text)));
                parts.extend(ask.statement.runs.iter().map(|text| ("Which runs", shown::statement(text))));
                parts.extend(parameters(&ask.statement.parameters).map(|shown| ("Parameters", shown)));
            }
        }
        if ask.statement.pattern {
            incomplete = Some("it is asked for a pattern, of which this is one statement");
        }
        let open = matches!(request.state, State::Open) && event != Event::Undelivered;
        Self {
            event: Some(event),
            title: title(event, request),
            facts: facts(request),
            parts,
            incomplete,
            link: console.map(|base| format!("{base}/approvals/{}", request.number)),
            open: open.then_some((request.number, ask.binding)),
            at,
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: &str) -> Self {
        self.facts.push((label, one(value)));
        self
    }

    /// Says that so many requests wait, where a message for each would be too many.
    pub fn digest(requests: &[&Request], more: usize, console: Option<&str>, at: Stamp) -> Self {
        let named = requests.iter().take(DIGEST_MAX).map(|request| {
            let who = request.ask.requester.to_string();
            let (command, database) = (&request.ask.statement.command, &request.ask.database);
            ("Request", one(&format!("{}: {who} wants {command} on {database}", request.number)))
        });
        let mut facts: Vec<_> = named.collect();
        let all = requests.len() + more;
        let unnamed = all.saturating_sub(facts.len());
        if unnamed > 0 {
            facts.push(("Further", format!("{unnamed} more")));
        }
        Self {
            event: Some(Event::Opened),
            title: format!("{all} requests wait for approval"),
            facts,
            parts: Vec::new(),
            incomplete: None,
            link: console.map(|base| format!("{base}/approvals")),
            open: None,
            at,
        }
    }

    /// Says nothing but that messages arrive.
    pub fn test(channel: &str, console: Option<&str>, at: Stamp) -> Self {
        Self {
            event: None,
            title: "A test message of Gatepost".to_owned(),
            facts: vec![
                ("Channel", one(channel)),
                (
                    "Means",
                    "requests for approval will be told here; nothing waits because of this message"
                        .to_owned(),
                ),
            ],
            parts: Vec::new(),
            incomplete: None,
            link: console.map(|base| format!("{base}/approvals")),
            open: None,
            at,
        }
    }

    /// The title, for logs of the sender: nothing of a statement is in it.
    pub fn title(&self) -> &str {
        &self.title
    }
}

fn one(text: &str) -> String {
    shown::line(text, FACT_CHARS_MAX)
}

fn title(event: Event, request: &Request) -> String {
    let (number, database) = (request.number, one(&request.ask.database));
    let became = match (event, &request.state) {
        (Event::Undelivered, _) => "could not be told to everybody who should know",
        (Event::BreakGlass, _) => "was run without approval, and is to be reviewed",
        (_, State::Open) => "waits for approval",
        (_, State::Approved | State::Used) => "is approved",
        (_, State::Denied) => "is denied",
        (_, State::Ended(Ended::Expired)) => "has expired",
        (_, State::Ended(Ended::Cancelled)) => "was cancelled",
        (_, State::Ended(Ended::SessionEnded)) => "is over: its session has ended",
        (_, State::Ended(Ended::PolicyChanged)) => "is over: the policy has changed",
        (_, State::Ended(Ended::Withdrawn)) => "was withdrawn",
        (_, State::Ended(Ended::Lost)) => "is over: its gateway has gone",
    };
    format!("Request {number} on {database} {became}")
}

fn facts(request: &Request) -> Vec<(&'static str, String)> {
    let ask = &request.ask;
    let who = &ask.requester;
    let mut facts = Vec::new();
    let mut say = |label, value: String| facts.push((label, one(&value)));
    say(
        "Who asks",
        match &who.name {
            Some(name) => format!("{who} ({name})"),
            None => who.to_string(),
        },
    );
    if let Some(on_behalf_of) = &who.on_behalf_of {
        say("Acts for", on_behalf_of.clone());
    }
    if let Some(owner) = &who.owner {
        say("Owner", owner.clone());
    }
    if let Some(application) = &ask.application_name {
        say("Application", application.clone());
    }
    say("Database", ask.database.clone());
    say("Command", ask.statement.command.clone());
    if ask.statement.pattern {
        say("For", "a pattern: any literals and parameters may stand where these do".to_owned());
    }
    if ask.uses != 1 {
        say("How often", format!("up to {} times", ask.uses));
    }
    say("Why it is asked", ask.why.clone());
    let rules = ask.rules.iter().map(|rule| format!("{} ({}:{})", rule.id, rule.file, rule.line));
    if let Some(rules) = listed(rules) {
        say("Rules", rules);
    }
    let touches = ask.touches.iter().map(|touch| format!("{} {}", touch.action, touch.resource));
    if let Some(touches) = listed(touches) {
        say("Touches", touches);
    }
    if let Some(purpose) = &ask.purpose {
        say("Purpose, as they say", purpose.clone());
    }
    if let Some(groups) = listed(ask.needs.iter().map(|group| match group.quorum {
        1 => group.name.clone(),
        quorum => format!("{quorum} of {}", group.name),
    })) {
        say("Asked", groups);
    }
    match (&request.state, ask.wait) {
        (State::Open, Wait::Held { in_transaction: false }) => say("Waits", "on its connection".to_owned()),
        (State::Open, Wait::Held { in_transaction: true }) => {
            say("Waits", "on its connection, in an open transaction whose locks are held".to_owned());
        }
        (State::Open, Wait::Async) => say("Waits", "it will send the statement again".to_owned()),
        (State::Open, Wait::Before) => say("Waits", "it has not sent the statement yet".to_owned()),
        _ => {}
    }
    if matches!(request.state, State::Open) {
        say("Until", Time::from(std::time::SystemTime::from(request.until)).to_string());
    }
    for vote in request.votes.iter().rev().take(LISTED_MAX).rev() {
        say(said(vote.verdict), voted(vote));
    }
    facts
}

const fn said(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "Approved by",
        Verdict::Deny => "Denied by",
        Verdict::BreakGlass => "Break-glass by",
        Verdict::Review => "Reviewed by",
    }
}

fn voted(vote: &Vote) -> String {
    let mut text = format!("{} ({})", vote.by, vote.via);
    if let Some(delegator) = &vote.delegated_by {
        text += &format!(", for {delegator}");
    }
    if let Some(reason) = &vote.reason {
        text += &format!(": {reason}");
    }
    text
}

fn listed(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<_> = items.collect();
    let mut text = items.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > LISTED_MAX {
        text += &format!(", and {} more", items.len() - LISTED_MAX);
    }
    (!items.is_empty()).then_some(text)
}

/// Returns what is bound to parameters, one a line. Never beside the text: a comment in it could look like a parameter.
fn parameters(parameters: &[Parameter]) -> Option<Shown> {
    let mut all = Shown { text: String::new(), looks: Looks::AsItIs };
    for (index, parameter) in parameters.iter().enumerate() {
        let value = match &parameter.value {
            Value::Null => "NULL".to_owned(),
            Value::Binary(hex) => format!("'\\x{}'", shown::value(hex).text),
            Value::Text(text) => {
                let shown = shown::value(text);
                if shown.looks == Looks::Otherwise {
                    all.looks = Looks::Otherwise;
                }
                format!("'{}'", shown.text)
            }
        };
        all.text += &format!("${} {} = {value}\n", index + 1, shown::line(&parameter.type_shown(), 100));
    }
    all.text.truncate(all.text.trim_end_matches('\n').len());
    (!parameters.is_empty()).then_some(all)
}
