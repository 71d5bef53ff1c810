//! What is told about a text to people and programs: the shape of `policy explain`'s JSON, documented in
//! `docs/reference/explain.md`. Knows how answers are put together, not how they are found.

mod union;

use policy::ApproverGroup;
use policy::explain::ReportPart;
use serde::Serialize;

pub(super) use union::{add_function, add_relation, add_type};

/// The version of the shape. It goes up when a member goes away or changes its meaning, not when one is added.
pub const SCHEMA: u32 = 1;

/// What is told about a text, or about one statement of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Told {
    /// Whether it is known what it touches.
    pub status: Status,
    /// Why not.
    pub unknown: Option<Unknown>,
    /// Why the server itself refuses.
    pub error: Option<ServerError>,
    /// Command tags, one for each statement.
    pub kinds: Vec<&'static str>,
    /// Every command in it, each once: the kinds, then those of queries that it carries, of WITH and of rules.
    pub commands: Vec<&'static str>,
    /// By relation and role whose privileges are checked.
    pub relations: Vec<Relation>,
    /// Functions that are called.
    pub functions: Vec<Function>,
    /// Operators that somebody made, where their function is not named besides.
    pub operators: Vec<Operator>,
    /// Types whose own behaviour runs.
    pub types: Vec<Type>,
    /// Sequences that identity columns advance.
    pub sequences: Vec<Sequence>,
    /// What else a utility statement names.
    pub objects: Vec<Object>,
    /// Where `output` goes.
    pub output_to: Option<Destination>,
    /// Columns of the result.
    pub output: Vec<Output>,
    /// Facts about it as a whole.
    pub flags: Flags,
    /// What the policy says; of what the server refuses, nothing.
    pub decision: Option<Decision>,
    /// Of a text that has more than one: each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<Told>,
}

/// Whether it is known what a statement touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    #[default]
    Understood,
    /// PostgreSQL refuses it before it would run.
    Error,
    /// It isn't: Gatepost refuses it.
    Unknown,
}

/// Why it is not known what a statement touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// What kind of reason.
    pub code: UnknownCode,
    /// In words.
    pub reason: String,
}

/// What kind of reason there is for not knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCode {
    /// The server's answer has something in it that Gatepost can't read, or its grammar can't read the text.
    NotUnderstood,
    /// A kind of statement or option that Gatepost doesn't pass.
    Unsupported,
    /// Over one of the limits.
    TooLarge,
    /// It uses names that Gatepost keeps for itself.
    Reserved,
    /// The text can't be sent.
    Encoding,
    /// It runs what was prepared or declared in a session.
    Session,
    /// An earlier statement of the same text may change what its names mean.
    Depends,
    /// The server gave no answer in time.
    Timeout,
    /// The server had no room or no time for an answer.
    Server,
    /// The connection to the server broke.
    Connection,
}

/// An error of the server's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerError {
    /// Five characters.
    pub sqlstate: String,
    /// As the server words it.
    pub message: String,
    /// In characters of the text, from 1.
    pub position: Option<usize>,
}

/// A relation as checked with one role's privileges.
#[derive(Clone, Debug, Serialize)]
pub struct Relation {
    /// Its schema; a session's own temporary schema is `pg_temp`. `None`: the statement names none, and the relation doesn't exist.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// In the words that rules use; `None` if it doesn't exist.
    pub kind: Option<&'static str>,
    /// `pg_class.oid`.
    pub oid: Option<u32>,
    /// Utility statements may name what isn't there.
    pub exists: bool,
    /// Only this session sees it.
    pub temporary: bool,
    /// The session's role, or a role that the tree names.
    pub checked_as: CheckedAs,
    /// That role's name.
    pub role: String,
    /// PostgreSQL checks these privileges when the statement runs.
    pub checked: bool,
    /// Where it is named.
    pub named_in: Vec<Place>,
    /// The views in whose definitions it is named.
    pub views: Vec<String>,
    /// What a utility statement does with it.
    pub named_for: Vec<&'static str>,
    /// Privileges that PostgreSQL checks, of it or of the columns.
    pub privileges: Vec<&'static str>,
    /// Those that are checked somewhere without a column being named: one column's is enough there.
    pub any_column: Vec<&'static str>,
    /// All of its columns are used at once.
    pub whole_row: bool,
    /// Children and partitions are read or written too.
    pub inherited: bool,
    /// Those, at any depth.
    pub children: Vec<String>,
    /// Its rows are locked.
    pub row_locks: bool,
    /// A row-level-security policy or a view's check applies.
    pub row_security: bool,
    /// Its columns, by number.
    pub columns: Vec<Column>,
}

/// Whose privileges are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckedAs {
    /// The role that runs the statement.
    Invoker,
    /// A role that the tree names: the owner of a view or rule.
    Role,
}

/// Where something is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the statement's own text, or a rule's.
    Statement,
    /// In a view's definition.
    View,
    /// In a row-level-security policy.
    Security,
}

/// A column.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// How it is used.
    pub ways: Vec<&'static str>,
    /// Privileges that PostgreSQL checks of it.
    pub privileges: Vec<&'static str>,
    /// It is used as a part of the whole row.
    pub whole_row: bool,
    /// Of a view's column: what it is made of.
    pub sources: Vec<Source>,
}

/// A column that a value depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Schema and name of the relation.
    pub relation: String,
    /// The column; `*` is the whole row.
    pub column: String,
    /// The role whose privileges it is read with.
    pub role: String,
    /// The value is that column's, unchanged.
    pub bare: bool,
}

/// A function, procedure or aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Types of its arguments; `None` if it has gone since.
    pub arguments: Option<String>,
    /// `pg_proc.oid`.
    pub oid: u32,
    /// What calling it can do: `harmless`, `changes`, `reveals`, `runs_text`, `unknown`.
    pub class: &'static str,
    /// Why it is in that class, if it was read.
    pub reason: Option<&'static str>,
    /// It came with the server.
    pub builtin: bool,
    /// It runs with its owner's rights.
    pub security_definer: bool,
    /// Whether it runs SQL that is given to it or that it makes: `yes`, `no`, `unknown`.
    pub dynamic: &'static str,
    /// `pg_language.lanname`.
    pub language: Option<String>,
    /// `immutable`, `stable` or `volatile`.
    pub volatility: &'static str,
    /// Where it is called.
    pub named_in: Vec<Place>,
    /// The views in whose definitions it is called.
    pub views: Vec<String>,
}

/// An operator that somebody made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Types of its sides.
    pub operands: String,
    /// `pg_operator.oid`.
    pub oid: u32,
    /// The function that it calls.
    pub function: String,
    /// Where it is used.
    pub named_in: Vec<Place>,
    /// The views in whose definitions it is used.
    pub views: Vec<String>,
}

/// A type with behaviour of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Type {
    /// As `format_type` writes it, with its schema.
    pub name: String,
    /// `pg_type.oid`.
    pub oid: u32,
    /// `base`, `composite`, `domain`, `enum`, `pseudo`, `range` or `multirange`.
    pub kind: &'static str,
    /// What of it runs: `constraints`, `input_output`, `comparison`.
    pub uses: Vec<&'static str>,
    /// Where it is used.
    pub named_in: Vec<Place>,
    /// The views in whose definitions it is used.
    pub views: Vec<String>,
}

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sequence {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.oid`.
    pub oid: u32,
}

/// Anything else that a utility statement names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    /// What it is, as SQL calls it.
    pub kind: &'static str,
    /// Its name as the statement gives it; `None`: the current one, or all.
    pub name: Option<String>,
    /// What the statement does with it.
    pub does: &'static str,
}

/// Where the columns of a result go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// To the client, as rows or as COPY data.
    Client,
    /// To a file or program of the server.
    Server,
    /// Nowhere: only their plan is shown.
    Plan,
    /// To the client, by FETCH.
    Cursor,
    /// To the client, by EXECUTE.
    Prepared,
    /// Into a table or materialized view.
    Stored,
    /// To whoever reads the view.
    View,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// As the client is told.
    pub name: String,
    /// Its type; `None` where the tree doesn't say.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Columns that the value depends on: a view's as its own and as those it is made of.
    pub sources: Vec<Source>,
    /// How its values are masked for the identity.
    pub mask: Option<&'static str>,
}

/// Facts about a statement as a whole; of several, about any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flags {
    /// `false` if an UPDATE or DELETE has no condition that reads its table.
    pub has_where: bool,
    /// Rows are locked.
    pub row_locks: bool,
    /// WITH holds an INSERT, UPDATE, DELETE or MERGE.
    pub modifies_in_cte: bool,
    /// There is a LIMIT or OFFSET.
    pub has_limit: bool,
    /// Nothing is changed or locked.
    pub reads_only: bool,
    /// Names may mean something else after it.
    pub changes_names: bool,
    /// A rule adds results of its own, which `output` doesn't have.
    pub further_results: bool,
    /// The highest `$n`.
    pub parameters: u32,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            has_where: true,
            row_locks: false,
            modifies_in_cte: false,
            has_limit: false,
            reads_only: true,
            changes_names: false,
            further_results: false,
            parameters: 0,
        }
    }
}

/// What the policy says of a statement.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// `allow`, `hold` or `deny`.
    pub verdict: &'static str,
    /// Who must approve, all of them.
    pub approvers: Vec<ApproverGroup>,
    /// The error that a client would get.
    pub refusal: Option<Refused>,
    /// One for each touch.
    pub parts: Vec<ReportPart>,
}

/// The error in place of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Five characters.
    pub sqlstate: String,
    /// What is refused.
    pub message: String,
    /// By which rules.
    pub detail: Option<String>,
    /// What would help.
    pub hint: Option<String>,
}

/// One line of JSON: an answer with what it answers.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    schema: u32,
    line: Option<u64>,
    id: &'a serde_json::Value,
    #[serde(flatten)]
    answer: Answer<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Told(&'a Told),
    Invalid { status: &'static str, reason: &'a str },
}

impl<'a> Line<'a> {
    /// The answer to a text; `line` is the number of the line that it came in, from 1.
    pub fn answer(line: Option<u64>, id: &'a serde_json::Value, told: &'a Told) -> Self {
        Self { schema: SCHEMA, line, id, answer: Answer::Told(told) }
    }

    /// The answer to a line that asks nothing.
    pub fn invalid(line: u64, id: &'a serde_json::Value, reason: &'a str) -> Self {
        Self { schema: SCHEMA, line: Some(line), id, answer: Answer::Invalid { status: "invalid", reason } }
    }
}
