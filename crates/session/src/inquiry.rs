//! Questions to the server about one statement, and what becomes of the answers.
//!
//! While an inquiry is under way no further client message is looked at, so that there is never more than one.

mod asking;

use std::sync::Arc;
use std::time::Instant;

use model::Oid;
use sql::{Ask, Statement, SyntaxError};
use wire::backend::{self, DataRow};
use wire::error::ErrorFields;

use crate::analysis::{self, Analysis, Answers, Built, Missing};
use crate::catalog::{Catalog, Row};
use crate::extended::{Binding, Prepared};
use crate::forward::{self, Guard, Question};
use crate::refuse::Refusal;
use crate::simple::Origin;

/// What the answers are for.
pub(crate) enum Job {
    /// Run a statement of the simple protocol.
    Simple(Origin),
    /// Take a Parse message.
    Parse { message: Vec<u8>, name: Vec<u8>, text: String, param_types: Vec<Oid> },
    /// Run EXECUTE of a statement whose analysis may be out of date.
    Refresh { name: Vec<u8>, prepared: Arc<Prepared>, origin: Origin },
    /// Take a Bind message for a statement whose analysis may be out of date.
    Bind(Binding),
}

impl Job {
    fn text(&self) -> &str {
        match self {
            Self::Simple(origin) => &origin.text,
            Self::Parse { text, .. } => text,
            Self::Refresh { prepared, .. } => &prepared.text,
            Self::Bind(binding) => &binding.prepared.text,
        }
    }

    /// Whether a Query message asks for it.
    fn is_simple(&self) -> bool {
        matches!(self, Self::Simple(_) | Self::Refresh { .. })
    }

    /// Whether what was prepared means something else now that it can be run as: then the server, which keeps a plan as long
    /// as nothing in the plan itself changes, must make a new one.
    fn means_something_else(&self, analysis: &Analysis) -> bool {
        let old = match self {
            Self::Simple(_) | Self::Parse { .. } => return false,
            Self::Refresh { prepared, .. } => prepared,
            Self::Bind(binding) => &binding.prepared,
        };
        old.judged_as(analysis).is_some_and(|new| !new.means_the_same_as(&old.judged.analysis))
    }

    fn offset_chars(&self) -> usize {
        match self {
            Self::Simple(origin) => origin.offset_chars,
            Self::Parse { .. } | Self::Refresh { .. } | Self::Bind(_) => 0,
        }
    }
}

/// What kind of question a flight's answers are to, in the order of their ParseComplete messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// ON and OFF.
    Own,
    /// A query tree for the ask of that index; `client` is the client's own Parse.
    Tree {
        ask: usize,
        client: bool,
    },
    /// Rows: the types of PREPARE's parameters.
    Types,
    /// Rows: names resolved, or facts.
    Names,
    /// Rows: what names lead to.
    Reached,
    Relations,
    Functions,
    Operators,
    Definitions,
    Domains,
    /// The whole text, only to learn what the server says of it.
    Syntax,
}

/// See the module.
pub(crate) struct Inquiry {
    job: Job,
    /// As the client gave them: with its text, what the answer is remembered by.
    remember_as: Option<Vec<Oid>>,
    statement: Option<Statement>,
    syntax: Option<SyntaxError>,
    param_types: Vec<Oid>,
    /// Of PREPARE's parameters, which must be known before its statement is asked about.
    types_wanted: bool,
    answers: Answers,
    missing: Option<Missing>,
    sent: bool,
    /// Anything was asked at all.
    asked: bool,
    rounds: u8,
    slots: Vec<Slot>,
    parses_seen: usize,
    closes_left: usize,
    rows: Vec<Row>,
    /// The client's Parse was carried out as a question.
    parsed: bool,
    /// Our grammar doesn't read the text: why it is refused if the server's tree doesn't tell either.
    pub(crate) unread: Option<Refusal>,
    /// Around the questions of a flight that may fail though the statement wouldn't.
    guard: Option<Guard>,
    /// An error of the flight is not the client's.
    retries: bool,
    /// The statement was read by its names: the server didn't take what was asked first.
    by_names: bool,
    /// The server must forget its plans before it runs what is prepared: they may be of other objects.
    replan: bool,
    replanned: bool,
    generation: u64,
    epoch: u64,
}

/// How many times the server is asked about what its own answers name, such as partitions of partitions; then the catalog is
/// changing faster than it can be read.
const ROUNDS_MAX: u8 = 12;

impl Inquiry {
    pub(crate) fn new(job: Job, statement: Statement, param_types: &[Oid]) -> Self {
        let types_wanted = !prepare_types(&statement).is_empty();
        let param_types = param_types.to_vec();
        let remember_as = Some(param_types.clone());
        Self { remember_as, statement: Some(statement), param_types, types_wanted, ..Self::bare(job) }
    }

    /// Asks the server only for its own words about a text that can't be read.
    pub(crate) fn syntax(job: Job, error: SyntaxError) -> Self {
        Self { syntax: Some(error), ..Self::bare(job) }
    }

    /// Asks for the tree of a text that the server has accepted and our grammar hasn't.
    pub(crate) fn unread(self) -> Self {
        let statement = Statement::unread(self.job.text());
        let param_types = match &self.job {
            Job::Parse { param_types, .. } => param_types.clone(),
            Job::Simple(_) | Job::Refresh { .. } | Job::Bind(_) => Vec::new(),
        };
        let unread = self.syntax.as_ref().map(Refusal::of_grammar);
        Self { remember_as: None, unread, ..Self::new(self.job, statement, &param_types) }
    }

    /// The text that it is about.
    pub(crate) fn text(&self) -> &str {
        self.job.text()
    }

    pub(crate) fn bare(job: Job) -> Self {
        Self {
            job,
            remember_as: None,
            statement: None,
            syntax: None,
            param_types: Vec::new(),
            types_wanted: false,
            answers: Answers::default(),
            missing: None,
            sent: false,
            asked: false,
            rounds: 0,
            slots: Vec::new(),
            parses_seen: 0,
            closes_left: 0,
            rows: Vec::new(),
            parsed: false,
            unread: None,
            guard: None,
            retries: false,
            by_names: false,
            replan: false,
            replanned: false,
            generation: 0,
            epoch: 0,
        }
    }

    /// The whole statement is one query, so that the client's own Parse is the question.
    fn asks_itself(&self) -> bool {
        let whole = |ask: &Ask| {
            matches!(ask, Ask::Query { role: sql::QueryRole::Statement | sql::QueryRole::Unread, .. })
        };
        matches!(self.job, Job::Parse { .. })
            && self.statement.as_ref().is_some_and(|s| matches!(s.asks.as_slice(), [ask] if whole(ask)))
    }
}

impl Inquiry {
    /// Sends what is next to be asked; `false` if nothing is.
    pub(crate) fn ask(&mut self, out: &mut forward::UpstreamBytes) -> Result<bool, wire::EncodeError> {
        self.sent = true;
        self.rounds += 1;
        self.closes_left = ask_next(self, out)?;
        self.parses_seen = 0;
        self.asked |= self.closes_left > 0;
        Ok(self.closes_left > 0)
    }

    /// Bytes of the trees that are to be read.
    pub(crate) fn tree_bytes(&self) -> usize {
        self.answers.tree_bytes()
    }

    /// Whether what is to be asked next has been asked.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent
    }

    /// Takes one message of the server's that answers a flight; `true` if the flight is over.
    pub(crate) fn message(
        &mut self,
        tag: u8,
        body: &[u8],
        tree_bytes_max: usize,
        overlay: &mut Catalog,
    ) -> Result<bool, String> {
        let slot = self.slots.get(self.parses_seen.saturating_sub(1)).copied();
        match tag {
            backend::tag::PARSE_COMPLETE => {
                self.parsed |=
                    matches!(self.slots.get(self.parses_seen), Some(Slot::Tree { client: true, .. }));
                self.parses_seen += 1;
            }
            backend::tag::NOTICE_RESPONSE => {
                // The tree comes before ParseComplete.
                if let Some(Slot::Tree { ask, .. }) = self.slots.get(self.parses_seen).copied() {
                    let fields = ErrorFields::parse(body).map_err(|e| e.to_string())?;
                    match analysis::tree_of(&fields) {
                        Some(tree) if tree.len() > tree_bytes_max => self.answers.too_large(ask),
                        Some(tree) => self.answers.add_tree(ask, tree),
                        None => {}
                    }
                }
            }
            backend::tag::DATA_ROW => {
                if matches!(
                    slot,
                    Some(
                        Slot::Types
                            | Slot::Names
                            | Slot::Reached
                            | Slot::Relations
                            | Slot::Functions
                            | Slot::Operators
                            | Slot::Definitions
                            | Slot::Domains
                    )
                ) {
                    let row = DataRow::parse(body).map_err(|e| e.to_string())?;
                    self.rows.push(row.iter().map(|value| value.map(<[u8]>::to_vec)).collect());
                }
            }
            backend::tag::CLOSE_COMPLETE => {
                self.closes_left = self.closes_left.saturating_sub(1);
                return Ok(self.closes_left == 0);
            }
            backend::tag::COMMAND_COMPLETE => {
                let rows = std::mem::take(&mut self.rows);
                let kept = match slot {
                    Some(Slot::Types) => {
                        self.param_types = types_of(&rows);
                        // Asked; the statement itself is next.
                        self.types_wanted = false;
                        self.sent = false;
                        Ok(())
                    }
                    Some(Slot::Names) => {
                        self.answers.names = rows;
                        Ok(())
                    }
                    Some(Slot::Reached) => {
                        self.answers.reached = rows;
                        Ok(())
                    }
                    Some(Slot::Relations) => overlay.add_relations(&rows),
                    Some(Slot::Functions) => overlay.add_functions(&rows),
                    Some(Slot::Operators) => overlay.add_operators(&rows),
                    Some(Slot::Definitions) => overlay.add_definitions(&rows),
                    Some(Slot::Domains) => overlay.add_domains(&rows),
                    Some(Slot::Own | Slot::Tree { .. } | Slot::Syntax) | None => Ok(()),
                };
                kept.map_err(|e| e.to_string())?;
            }
            // What a Bind or an Execute may bring besides.
            backend::tag::BIND_COMPLETE | backend::tag::PARAMETER_STATUS | backend::tag::NO_DATA => {}
            other => return Err(format!("unexpected message type {other} in answer to a question")),
        }
        Ok(false)
    }

    /// Returns the tree that the server printed for an ask.
    pub(crate) fn tree(&self, ask: usize) -> Option<&str> {
        self.answers.tree(ask).ok()
    }

    /// Returns what the relations that the statement names were resolved to, in the order of its asks.
    pub(crate) fn resolved_names(&self) -> Result<Vec<Option<Oid>>, Refusal> {
        analysis::resolved(&self.answers.names)
    }

    /// Keeps what is still missing to be asked next; `false` if that has been tried often enough.
    pub(crate) fn ask_more(&mut self, missing: Missing) -> bool {
        self.answers.routines_asked.extend(missing.1.iter().cloned());
        self.missing = Some(missing);
        self.sent = false;
        self.rounds < ROUNDS_MAX
    }

    /// Makes the analysis of what is answered so far.
    pub(crate) fn build(
        &self,
        lookup: &analysis::Lookup<'_>,
        version: querytree::ServerVersion,
        base: Option<&Analysis>,
        now: Instant,
    ) -> Option<Built> {
        let statement = self.statement.as_ref()?;
        Some(analysis::build(statement, &self.answers, lookup, version, base, now))
    }
}

/// Sends what is next to be asked; returns how many CloseComplete messages will end the answers, 0 for nothing asked.
fn ask_next(inquiry: &mut Inquiry, out: &mut forward::UpstreamBytes) -> Result<usize, wire::EncodeError> {
    let mut questions = Vec::new();
    let mut slots = Vec::new();
    if inquiry.replan {
        inquiry.replan = false;
        slots.push(Slot::Own);
        questions.push(Question::Rows("DISCARD PLANS".to_owned()));
    } else if let Some(missing) = inquiry.missing.take() {
        for (slot, text) in missing.queries() {
            slots.push(match slot {
                analysis::Kind::Relation => Slot::Relations,
                analysis::Kind::Function => Slot::Functions,
                analysis::Kind::Operator => Slot::Operators,
                analysis::Kind::Definition => Slot::Definitions,
                analysis::Kind::Domain => Slot::Domains,
            });
            questions.push(Question::Rows(text));
        }
    } else if inquiry.types_wanted {
        let types = inquiry.statement.as_ref().map(prepare_types).unwrap_or_default();
        slots.push(Slot::Types);
        questions.push(Question::Rows(forward::resolve_types_query(&types)));
    } else if inquiry.syntax.is_some() {
        slots.push(Slot::Syntax);
        questions.push(Question::Syntax(inquiry.job.text().to_owned()));
    } else if let Some(statement) = &inquiry.statement {
        let text = inquiry.job.text();
        let itself = inquiry.asks_itself();
        for (i, ask) in statement.asks.iter().enumerate() {
            if let Ask::Query { sql, .. } | Ask::Expression { sql, .. } = ask {
                slots.push(Slot::Tree { ask: i, client: itself });
                questions.push(match &inquiry.job {
                    Job::Parse { message, .. } if itself => Question::ClientParse(message.clone()),
                    _ => Question::Parse {
                        text: sql.padded(text).into_owned(),
                        param_types: inquiry.param_types.clone(),
                    },
                });
            }
        }
        if !slots.is_empty() {
            slots.splice(0..0, [Slot::Own; forward::PREAMBLE_PARSES]);
        }
        if let Some(query) = analysis::names_query(statement) {
            slots.push(Slot::Names);
            questions.push(Question::Rows(query));
        }
        if let Some(query) = analysis::reach_query(statement) {
            slots.push(Slot::Reached);
            questions.push(Question::Rows(query));
        }
    }
    if inquiry.guard.is_some() {
        // The first and the last thing to be parsed.
        slots.insert(0, Slot::Own);
        slots.push(Slot::Own);
    }
    inquiry.slots = slots;
    if questions.is_empty() { Ok(0) } else { forward::ask(out, &questions, inquiry.guard.as_ref()) }
}

/// The parameter types that PREPARE gives, as SQL.
fn prepare_types(statement: &Statement) -> Vec<String> {
    statement
        .asks
        .iter()
        .find_map(|ask| match ask {
            Ask::Query { parameters, .. } if !parameters.is_empty() => Some(parameters.clone()),
            _ => None,
        })
        .unwrap_or_default()
}

/// What doesn't exist is 0, "unspecified", as the server's own error will say.
fn types_of(rows: &[Row]) -> Vec<Oid> {
    let number = |value: &Option<Vec<u8>>| {
        value
            .as_ref()
            .and_then(|v| std::str::from_utf8(v).ok())
            .and_then(|v| v.parse().ok())
            .map_or(Oid(0), Oid)
    };
    rows.iter().map(|row| row.first().map_or(Oid(0), number)).collect()
}
