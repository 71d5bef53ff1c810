//! How requests and delegations are written as JSON: as `approval` has them, with times as people and programs read them.

use std::collections::BTreeSet;
use std::time::SystemTime;

use approval::{Members, Stamp, Value, Wait};
use schemars::JsonSchema;
use serde::Serialize;

use super::sessions::time;

/// Of a statement's text, in a list; whole it may have a MiB.
const TEXT_CHARS_MAX: usize = 400;

/// Somebody who asks or decides, as they were then.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Person {
    /// The issuer's name in the configuration.
    issuer: String,
    /// Unique within the issuer.
    subject: String,
    name: Option<String>,
    groups: BTreeSet<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// `issuer:subject` of whom it acts for.
    on_behalf_of: Option<String>,
}

/// A statement.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Statement {
    /// As the client sent it; in a list perhaps only its beginning.
    text: String,
    /// What that runs which was prepared or declared before: of EXECUTE or FETCH, that text.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<String>,
    /// The command's tag.
    command: String,
    /// Values bound to `$1`, `$2`, ...; none in a list.
    parameters: Vec<Parameter>,
    /// Whether any literals and parameters may stand where these do.
    pattern: bool,
}

/// A value bound to a parameter.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Parameter {
    /// 0 where the client left it open and only the server will decide it.
    type_oid: u32,
    type_name: Option<String>,
    value: Bound,
}

/// A value as it came.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// Other bytes, hexadecimal.
    Binary(String),
}

/// What a statement touches.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Touched {
    action: String,
    resource: String,
    /// `allow`, `mask`, `hold`.
    verdict: String,
    mask: Option<String>,
    /// Ids of the rules that decided.
    rules: Vec<String>,
}

/// A rule of a bundle.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rule {
    id: String,
    file: String,
    line: u32,
    forbid: bool,
}

/// The bundle that decided.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Bundle {
    name: String,
    version: String,
    /// SHA-256, hexadecimal.
    hash: String,
}

/// A group that must agree.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Need {
    /// Its name in `[approvers]`.
    name: String,
    members: MembersOf,
    /// How many persons must; of `all`, of each group.
    quorum: u32,
    /// How many must in all.
    wanted: u32,
    /// How many have.
    have: u32,
    /// Whether an approval must say why.
    reason_required: bool,
    /// For how many seconds the number of rows may be counted; null: it may not.
    count_rows: Option<u64>,
    /// Whose members may have it run at once.
    break_glass: Option<String>,
}

/// Groups of identities, as tokens name them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MembersOf {
    /// Members of any of them count.
    Any(Vec<String>),
    /// Each of them must approve.
    All(Vec<String>),
}

/// How the requester waits.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waiting {
    /// Its connection is held.
    Held {
        /// Within a transaction, whose locks are held with it.
        in_transaction: bool,
    },
    /// It was refused, and will send the statement again.
    Async,
    /// It has not sent the statement yet.
    Before,
}

/// What somebody said.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Vote {
    by: Person,
    /// In whose place.
    delegated_by: Option<Person>,
    /// `approve`, `deny`, `break_glass`, `review`.
    verdict: &'static str,
    reason: Option<String>,
    at: String,
    /// `console`, `cli`, `api`, or the kind of a channel. `cli` is what whoever comes with a bearer token says of itself, and proves nothing.
    via: String,
    /// Names in `[approvers]`.
    counts_for: Vec<String>,
}

/// A request, in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Item {
    number: u64,
    /// `open`, `approved`, `denied`, `used`; or why it is over: `expired`, `cancelled`, `session_ended`, `policy_changed`, `withdrawn`,
    /// `lost`.
    state: &'static str,
    opened: String,
    /// Until when it may be decided; of an approved one, used.
    until: String,
    /// When it became what it is.
    changed: String,
    requester: Person,
    /// As clients name it.
    database: String,
    statement: Statement,
    /// Whether that is the whole text.
    text_is_whole: bool,
    /// What needs approval, in a line.
    why: String,
    /// All of these must agree.
    needs: Vec<Need>,
    wait: Waiting,
    used: u32,
    uses: u32,
    /// The session's id.
    session: Option<String>,
    votes: Vec<Vote>,
    /// Of a break-glass: `none`, `due`, `done`.
    review: &'static str,
}

/// A request, whole.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Request {
    #[serde(flatten)]
    item: Item,
    client: Option<String>,
    application_name: Option<String>,
    touches: Vec<Touched>,
    /// The rules that ask.
    rules: Vec<Rule>,
    bundle: Bundle,
    /// What an approval is bound to: a digest of it.
    binding: String,
    /// For how long it may be used once it is approved, where nobody waits for it.
    use_within_seconds: u64,
    /// Why it is wanted, in the requester's words.
    purpose: Option<String>,
    /// The instance that holds the session.
    gateway: String,
    /// Where the console shows it.
    link: Option<String>,
}

/// A vote that is lent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Delegation {
    id: String,
    from: Person,
    /// `issuer:subject`.
    to: String,
    groups: BTreeSet<String>,
    until: String,
    reason: String,
    made: String,
    ended: Option<String>,
}

fn stamp(stamp: Stamp) -> String {
    time(SystemTime::from(stamp))
}

/// Reads a time as RFC 3339 writes it.
pub(crate) fn when(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

impl Person {
    pub(crate) fn of(who: &approval::Who) -> Self {
        let approval::Who { issuer, subject, name, groups, owner, on_behalf_of, email: _ } = who.clone();
        Self { issuer, subject, name, groups, owner, on_behalf_of }
    }
}

impl Vote {
    fn of(vote: &approval::Vote) -> Self {
        Self {
            by: Person::of(&vote.by),
            delegated_by: vote.delegated_by.as_ref().map(Person::of),
            verdict: vote.verdict.as_str(),
            reason: vote.reason.clone(),
            at: stamp(vote.at),
            via: vote.via.clone(),
            counts_for: vote.counts_for.clone(),
        }
    }
}

impl Statement {
    fn of(statement: &approval::Statement) -> Self {
        let value = |value: &Value| match value {
            Value::Null => Bound::Null,
            Value::Text(text) => Bound::Text(text.clone()),
            Value::Binary(hex) => Bound::Binary(hex.clone()),
        };
        let parameters = statement.parameters.iter().map(|it| Parameter {
            type_oid: it.type_oid,
            type_name: it.type_name.clone(),
            value: value(&it.value),
        });
        Self {
            text: statement.text.clone(),
            runs: statement.runs.clone(),
            command: statement.command.clone(),
            parameters: parameters.collect(),
            pattern: statement.pattern,
        }
    }

    /// The same with the beginning of the text, and without parameters.
    fn begun(statement: &approval::Statement) -> Self {
        Self {
            text: statement.text.chars().take(TEXT_CHARS_MAX).collect(),
            runs: None,
            command: statement.command.clone(),
            parameters: Vec::new(),
            pattern: statement.pattern,
        }
    }
}

fn needs(request: &approval::Request) -> Vec<Need> {
    let progress = request.progress();
    let need = |group: &approval::Group| {
        // One for each group of which any will do, that is for each lot of places.
        let of_group = || progress.iter().filter(|it| it.name == group.name);
        Need {
            name: group.name.clone(),
            members: match &group.members {
                Members::Any(groups) => MembersOf::Any(groups.clone()),
                Members::All(groups) => MembersOf::All(groups.clone()),
            },
            quorum: group.quorum,
            wanted: of_group().map(|it| it.needed).sum(),
            have: of_group().map(|it| it.have).sum(),
            reason_required: group.reason_required,
            count_rows: group.count_rows.map(|time| time.as_secs()),
            break_glass: group.break_glass.clone(),
        }
    };
    request.ask.needs.iter().map(need).collect()
}

impl Item {
    /// For a list.
    pub(crate) fn of(request: &approval::Request) -> Self {
        Self::with(request, Statement::begun(&request.ask.statement))
    }

    fn with(request: &approval::Request, statement: Statement) -> Self {
        let ask = &request.ask;
        Self {
            number: request.number.0,
            state: request.state.as_str(),
            opened: stamp(request.opened),
            until: stamp(request.until),
            changed: stamp(request.changed),
            requester: Person::of(&ask.requester),
            database: ask.database.clone(),
            text_is_whole: statement.text.len() == ask.statement.text.len(),
            statement,
            why: ask.why.clone(),
            needs: needs(request),
            wait: match ask.wait {
                Wait::Held { in_transaction } => Waiting::Held { in_transaction },
                Wait::Async => Waiting::Async,
                Wait::Before => Waiting::Before,
            },
            used: request.used,
            uses: ask.uses,
            session: ask.session.clone(),
            votes: request.votes.iter().map(Vote::of).collect(),
            review: match request.review {
                approval::Review::None => "none",
                approval::Review::Due => "due",
                approval::Review::Done => "done",
            },
        }
    }
}

impl Request {
    pub(crate) fn of(request: &approval::Request, link: Option<String>) -> Self {
        let ask = &request.ask;
        let touches = ask.touches.iter().map(|it| Touched {
            action: it.action.clone(),
            resource: it.resource.clone(),
            verdict: it.verdict.clone(),
            mask: it.mask.clone(),
            rules: it.rules.clone(),
        });
        let rules = ask.rules.iter().map(|it| Rule {
            id: it.id.clone(),
            file: it.file.clone(),
            line: it.line,
            forbid: it.forbid,
        });
        Self {
            item: Item::with(request, Statement::of(&ask.statement)),
            client: ask.client.clone(),
            application_name: ask.application_name.clone(),
            touches: touches.collect(),
            rules: rules.collect(),
            bundle: Bundle {
                name: ask.bundle.name.clone(),
                version: ask.bundle.version.clone(),
                hash: ask.bundle.hash.clone(),
            },
            binding: ask.binding.to_string(),
            use_within_seconds: ask.use_within.as_secs(),
            purpose: ask.purpose.clone(),
            gateway: request.gateway.clone(),
            link,
        }
    }
}

impl Delegation {
    pub(crate) fn of(delegation: &approval::Delegation) -> Self {
        Self {
            id: delegation.id.clone(),
            from: Person::of(&delegation.from),
            to: delegation.to.clone(),
            groups: delegation.groups.clone(),
            until: stamp(delegation.until),
            reason: delegation.reason.clone(),
            made: stamp(delegation.made),
            ended: delegation.ended.map(stamp),
        }
    }
}
