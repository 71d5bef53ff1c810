//! `[[notify]]`: where approvers are told of requests. Sends nothing, and fetches no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::Pattern;

use crate::context::{Context, PathKind};
use crate::read::{Table, Value};
use crate::secret_ref::SecretRef;
use crate::vault::address;
use crate::words::{is_loopback, name, one_of, required, web};

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Unique; lower-case letters, digits, `-`, `_`: it is part of an URL.
    pub name: String,
    /// What it is.
    pub kind: NotifyKind,
    /// Of which databases it tells. Never empty.
    pub databases: Vec<Pattern>,
    /// Of requests to which approver groups; empty: to any.
    pub groups: Vec<String>,
    /// Of which events it tells. Never empty.
    pub events: Vec<NotifyEvent>,
    /// Whether statements leave by it.
    pub statement: NotifyStatement,
    /// Authorities beside the system's.
    pub ca: Option<PathBuf>,
}

/// What a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyKind {
    /// Slack.
    Slack {
        /// How messages get there.
        way: SlackWay,
        /// Where its API is: `https`, or `http` on loopback; without a slash at its end.
        api: String,
        /// Whose decisions are taken from it; `None`: nobody's.
        answers: Option<SlackAnswers>,
    },
    /// Microsoft Teams, by a webhook of Workflows.
    Teams {
        /// The webhook's URL, which is a secret.
        webhook: SecretRef,
    },
    /// E-mail.
    Email(Smtp),
    /// A signed webhook.
    Webhook {
        /// Where it goes: `https`, or `http` on loopback.
        url: String,
        /// What it is signed with: `whsec_` and base64.
        secret: SecretRef,
        /// Whose decisions are taken by one that comes back; `None`: nobody's.
        answers: Option<Answers>,
    },
}

impl NotifyKind {
    /// Returns the word of the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Email(_) => "email",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// How messages get to Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackWay {
    /// By `chat.postMessage`, and `chat.update` when it is decided.
    Bot {
        /// The bot's token.
        token: SecretRef,
        /// The channel's id.
        channel: String,
    },
    /// By an incoming webhook.
    Webhook {
        /// Its URL, which is a secret.
        url: SecretRef,
    },
}

/// Whose decisions are taken from Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackAnswers {
    /// The workspace's id: users' ids are unique within it.
    pub workspace: String,
    /// Who is who.
    pub answers: Answers,
}

/// Whose decisions are taken from a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// What calls are signed with.
    pub secret: SecretRef,
    /// From an id of the channel's to issuer and subject. Never empty.
    pub people: BTreeMap<String, (String, String)>,
    /// How old a person's last login may be, whose groups count.
    pub login_age_max: Duration,
}

/// A mail server, and between whom mails go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub tls: SmtpTls,
    /// User and password, where it asks for them.
    pub login: Option<(SecretRef, SecretRef)>,
    /// From whom.
    pub from: String,
    /// To whom. Never empty.
    pub to: Vec<String>,
}

/// How a connection to a mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// By STARTTLS, without which nothing is sent.
    StartTls,
    /// From the first byte (RFC 8314).
    Implicit,
    /// Not at all: on loopback only.
    None,
}

impl SmtpTls {
    const ALL: [Self; 3] = [Self::StartTls, Self::Implicit, Self::None];

    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Implicit => "implicit",
            Self::None => "none",
        }
    }
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyEvent {
    /// A request waits.
    Opened,
    /// It is approved or denied.
    Decided,
    /// It is over, undecided.
    Ended,
    /// It was run without approval.
    BreakGlass,
    /// Another channel could not be told.
    Undelivered,
}

impl NotifyEvent {
    /// Every event.
    pub const ALL: [Self; 5] =
        [Self::Opened, Self::Decided, Self::Ended, Self::BreakGlass, Self::Undelivered];

    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Decided => "decided",
            Self::Ended => "ended",
            Self::BreakGlass => "break_glass",
            Self::Undelivered => "undelivered",
        }
    }
}

/// Whether statements leave by a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyStatement {
    /// Text and parameters.
    Full,
    /// Neither.
    None,
}

impl NotifyStatement {
    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

/// Keys that not every kind has.
const OF_KINDS: [(&str, &[&str]); 17] = [
    ("token", &["slack"]),
    ("channel", &["slack"]),
    ("webhook", &["slack", "teams"]),
    ("signing_secret", &["slack"]),
    ("workspace", &["slack"]),
    ("api", &["slack"]),
    ("people", &["slack", "webhook"]),
    ("login_age_max", &["slack", "webhook"]),
    ("host", &["email"]),
    ("tls", &["email"]),
    ("user", &["email"]),
    ("password", &["email"]),
    ("from", &["email"]),
    ("to", &["email"]),
    ("url", &["webhook"]),
    ("secret", &["webhook"]),
    ("inbound_secret", &["webhook"]),
];

/// The longest that groups of a person who does not log in are believed.
const LOGIN_AGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(90 * 24 * 3600);

/// `known` holds the names of all issuers, `None` for one whose name is itself a problem.
pub(crate) fn read(table: &Table<'_>, known: &[Option<String>], context: &mut Context<'_>) -> Option<Notify> {
    let name = table.value("name", context).and_then(|value| name(&value, context));
    let kind = table.value("kind", context).and_then(|value| kind_word(&value, context));
    let databases = table.value("databases", context).and_then(|value| value.strings(context));
    let groups = match table.value("groups", context) {
        None => Some(Vec::new()),
        Some(value) => value.strings(context),
    };
    let events = table.value("events", context).and_then(|value| events(&value, context));
    let statement = table.value("statement", context).and_then(|value| {
        let options = [NotifyStatement::Full, NotifyStatement::None];
        one_of(&value, &options.map(|it| (it.as_str(), it)), context)
    });
    let ca = match table.value("ca", context) {
        None => Some(None),
        Some(value) => value.path(PathKind::File, context).map(Some),
    };
    let kind = kind.and_then(|word| {
        for (key, kinds) in OF_KINDS {
            if let (false, Some(span)) = (kinds.contains(&word), table.written(key)) {
                let message = format!("\"{key}\" means nothing for kind \"{word}\"; remove it");
                context.error_at_secret(span, message);
            }
        }
        match word {
            "slack" => slack(table, known, context),
            "teams" => {
                Some(NotifyKind::Teams { webhook: required(table, "webhook", context)?.secret(context)? })
            }
            "email" => smtp(table, context).map(NotifyKind::Email),
            _ => webhook(table, known, context),
        }
    });
    if let (Some(NotifyKind::Slack { answers: Some(_), .. }), Some(NotifyStatement::None)) =
        (&kind, statement)
    {
        let message = "nothing can be approved in Slack without seeing it: with \"signing_secret\", write statement = \"full\"; or remove that key, and messages have a link only";
        context.error_at_secret(table.span(), message.to_owned());
        return None;
    }
    Some(Notify {
        name: name?,
        kind: kind?,
        databases: databases?.iter().map(|(_, text)| Pattern::new(text)).collect(),
        groups: groups?.into_iter().map(|(_, text)| text).collect(),
        events: events?,
        statement: statement?,
        ca: ca?,
    })
}

fn kind_word(value: &Value<'_>, context: &mut Context<'_>) -> Option<&'static str> {
    let words = ["slack", "teams", "email", "webhook"];
    one_of(value, &words.map(|word| (word, word)), context)
}

fn events(value: &Value<'_>, context: &mut Context<'_>) -> Option<Vec<NotifyEvent>> {
    let mut events = Vec::new();
    let mut complete = true;
    for (span, text) in value.strings(context)? {
        match NotifyEvent::ALL.into_iter().find(|event| event.as_str() == text) {
            Some(event) if events.contains(&event) => {}
            Some(event) => events.push(event),
            None => {
                let known: Vec<_> = NotifyEvent::ALL.iter().map(|event| event.as_str()).collect();
                context.error(span, format!("there is no event \"{text}\"; known are {}", known.join(", ")));
                complete = false;
            }
        }
    }
    complete.then_some(events)
}

fn slack(table: &Table<'_>, known: &[Option<String>], context: &mut Context<'_>) -> Option<NotifyKind> {
    let way = match (table.value("token", context), table.value("webhook", context)) {
        (Some(token), None) => {
            let token = token.secret(context);
            let channel = required(table, "channel", context)?.string(context)?;
            token.map(|token| SlackWay::Bot { token, channel })
        }
        (None, Some(webhook)) => {
            if let Some(span) = table.written("channel") {
                let message = "an incoming webhook has its channel; remove \"channel\"";
                context.error(span, message.to_owned());
            }
            webhook.secret(context).map(|url| SlackWay::Webhook { url })
        }
        _ => {
            let message = "kind \"slack\" needs \"token\" and \"channel\", or \"webhook\", and not both";
            context.error_at_secret(table.span(), message.to_owned());
            None
        }
    };
    let api = table.value("api", context).and_then(|value| address(&value, context));
    let answers = match table.value("signing_secret", context) {
        None => {
            needless(table, &["workspace", "people"], "signing_secret", context);
            Some(None)
        }
        Some(secret) => {
            let answers = answers(table, &secret, known, context);
            let workspace = required(table, "workspace", context).and_then(|value| value.string(context));
            Some(Some(SlackAnswers { workspace: workspace?, answers: answers? }))
        }
    };
    Some(NotifyKind::Slack { way: way?, api: api?, answers: answers? })
}

/// Reports keys that mean nothing without another.
fn needless(table: &Table<'_>, keys: &[&str], without: &str, context: &mut Context<'_>) {
    for key in keys {
        if let Some(span) = table.written(key) {
            let message =
                format!("\"{key}\" means nothing without \"{without}\"; add that, or remove \"{key}\"");
            context.error_at_secret(span, message);
        }
    }
}

fn webhook(table: &Table<'_>, known: &[Option<String>], context: &mut Context<'_>) -> Option<NotifyKind> {
    let url = required(table, "url", context).and_then(|value| web(&value, context));
    let secret = required(table, "secret", context).and_then(|value| value.secret(context));
    let answers = match table.value("inbound_secret", context) {
        None => {
            needless(table, &["people"], "inbound_secret", context);
            Some(None)
        }
        Some(inbound) => answers(table, &inbound, known, context).map(Some),
    };
    if let (Some(secret), Some(Some(answers))) = (&secret, &answers)
        && *secret == answers.secret
    {
        // SECURITY: else whoever receives events could send them back as decisions.
        let message =
            "\"inbound_secret\" must not be that of \"secret\": whoever receives events would decide";
        context.error_at_secret(table.span(), message.to_owned());
        return None;
    }
    Some(NotifyKind::Webhook { url: url?, secret: secret?, answers: answers? })
}

fn answers(
    table: &Table<'_>,
    secret: &Value<'_>,
    known: &[Option<String>],
    context: &mut Context<'_>,
) -> Option<Answers> {
    let secret = secret.secret(context);
    let age = table.value("login_age_max", context).and_then(|value| value.duration(LOGIN_AGE, context));
    let value = required(table, "people", context)?;
    let mut people = BTreeMap::new();
    let mut complete = true;
    for (id, text) in value.string_map(context)? {
        match text.split_once(':').filter(|(_, subject)| !subject.is_empty()) {
            Some((issuer, _))
                if !known.iter().any(|known| known.as_ref().is_none_or(|known| known == issuer)) =>
            {
                context
                    .error(value.span(), format!("there is no [[issuer]] named \"{issuer}\" for \"{id}\""));
                complete = false;
            }
            Some((issuer, subject)) => {
                people.insert(id, (issuer.to_owned(), subject.to_owned()));
            }
            None => {
                let message = format!("\"{id}\" must be somebody of an issuer, as in \"corp:alice\"");
                context.error(value.span(), message);
                complete = false;
            }
        }
    }
    if people.is_empty() && complete {
        let message = "\"people\" names nobody: nobody could decide anything there";
        context.error(value.span(), message.to_owned());
        return None;
    }
    complete.then_some(Answers { secret: secret?, people, login_age_max: age? })
}

fn smtp(table: &Table<'_>, context: &mut Context<'_>) -> Option<Smtp> {
    let tls = table
        .value("tls", context)
        .and_then(|value| one_of(&value, &SmtpTls::ALL.map(|it| (it.as_str(), it)), context));
    let host = required(table, "host", context).and_then(|value| host(&value, tls, context));
    let (user, password) = (table.value("user", context), table.value("password", context));
    let login = match (user, password) {
        (None, None) => Some(None),
        (Some(user), Some(password)) => match (user.secret(context), password.secret(context)) {
            (Some(user), Some(password)) => Some(Some((user, password))),
            _ => None,
        },
        _ => {
            let message = "\"user\" and \"password\" belong together: write both, or neither";
            context.error_at_secret(table.span(), message.to_owned());
            None
        }
    };
    let from = required(table, "from", context)
        .and_then(|value| mail(&value.string(context)?, value.span(), context));
    let to = required(table, "to", context).and_then(|value| {
        let all = value.strings(context)?;
        let read: Vec<_> = all.into_iter().map(|(span, text)| mail(&text, span, context)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let (host, port) = host?;
    Some(Smtp { host, port, tls: tls?, login: login?, from: from?, to: to? })
}

fn host(value: &Value<'_>, tls: Option<SmtpTls>, context: &mut Context<'_>) -> Option<(String, u16)> {
    let text = value.string(context)?;
    let usual = if tls == Some(SmtpTls::Implicit) { 465 } else { 587 };
    // Through the parser of URLs, so that a name is one, and an IPv6 address has its brackets.
    let url = url::Url::parse(&format!("smtp://{text}")).ok();
    let plain = url.as_ref().filter(|url| {
        url.username().is_empty()
            && url.password().is_none()
            && url.path().is_empty()
            && url.query().is_none()
    });
    let Some((name, port)) =
        plain.and_then(|url| Some((url.host_str()?.to_owned(), url.port().unwrap_or(usual))))
    else {
        context.error(value.span(), format!("\"{text}\" must be written as HOST or HOST:PORT"));
        return None;
    };
    if tls == Some(SmtpTls::None) && !is_loopback(&name) {
        let message = format!(
            "\"{name}\" is not this host, and tls = \"none\" is for loopback only; write \"starttls\" or \"implicit\""
        );
        context.error(value.span(), message);
        return None;
    }
    Some((name.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

/// Takes what looks like `name@host` or `Name <name@host>`; whoever sends it reads it wholly.
fn mail(text: &str, span: std::ops::Range<usize>, context: &mut Context<'_>) -> Option<String> {
    let address = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map_or(text, |(_, it)| it);
    let parts = address.split_once('@');
    let good = parts.is_some_and(|(local, domain)| {
        let plain = |text: &str| {
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "<>,;@".contains(c))
        };
        plain(local) && plain(domain)
    });
    if good && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    let message = format!(
        "\"{}\" is no mail address like \"dba@example.com\" or \"DBA <dba@example.com>\"",
        text.escape_debug()
    );
    context.error(span, message);
    None
}
