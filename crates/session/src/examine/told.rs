//! What is told about a text to people and programs: the shape of `policy explain`'s JSON, documented in
//! `docs/reference/explain.md`. Knows how answers are put together, not how they are found.

use policy::explain::{ReportPart, report_part};
use policy::{ApproverGroup, Verdict};
use serde::Serialize;
use wire::error::field;

use crate::authorize::Weighed;
use crate::refuse::Refusal;

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

impl Relation {
    /// A relation of which nothing is known but its name.
    pub(super) fn named(schema: Option<String>, name: String, role: String) -> Self {
        Self {
            schema,
            name,
            kind: None,
            oid: None,
            exists: false,
            temporary: false,
            checked_as: CheckedAs::Invoker,
            role,
            checked: true,
            named_in: vec![Place::Statement],
            views: Vec::new(),
            named_for: Vec::new(),
            privileges: Vec::new(),
            any_column: Vec::new(),
            whole_row: false,
            inherited: false,
            children: Vec::new(),
            row_locks: false,
            row_security: false,
            columns: Vec::new(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.oid == other.oid
            && self.schema == other.schema
            && self.name == other.name
            && self.checked_as == other.checked_as
            && self.role == other.role
            && self.checked == other.checked
    }
}

fn join<T: PartialEq>(into: &mut Vec<T>, from: Vec<T>) {
    for item in from {
        if !into.contains(&item) {
            into.push(item);
        }
    }
}

/// Adds a relation, to what is known of it if it is there.
pub(super) fn add_relation(all: &mut Vec<Relation>, new: Relation) {
    let Some(known) = all.iter_mut().find(|known| known.is_like(&new)) else {
        all.push(new);
        return;
    };
    join(&mut known.named_in, new.named_in);
    join(&mut known.views, new.views);
    join(&mut known.named_for, new.named_for);
    join(&mut known.privileges, new.privileges);
    join(&mut known.any_column, new.any_column);
    join(&mut known.children, new.children);
    known.whole_row |= new.whole_row;
    known.inherited |= new.inherited;
    known.row_locks |= new.row_locks;
    known.row_security |= new.row_security;
    for column in new.columns {
        match known.columns.iter_mut().find(|one| one.number == column.number) {
            Some(one) => {
                join(&mut one.ways, column.ways);
                join(&mut one.privileges, column.privileges);
                join(&mut one.sources, column.sources);
                one.whole_row |= column.whole_row;
            }
            None => known.columns.push(column),
        }
    }
    known.columns.sort_by_key(|column| column.number);
}

/// Adds a function, to what is known of it if it is there.
pub(super) fn add_function(all: &mut Vec<Function>, new: Function) {
    match all.iter_mut().find(|known| known.oid == new.oid) {
        Some(known) => {
            join(&mut known.named_in, new.named_in);
            join(&mut known.views, new.views);
        }
        None => all.push(new),
    }
}

/// Adds a type, to what is known of it if it is there.
pub(super) fn add_type(all: &mut Vec<Type>, new: Type) {
    match all.iter_mut().find(|known| known.oid == new.oid) {
        Some(known) => {
            join(&mut known.uses, new.uses);
            join(&mut known.named_in, new.named_in);
            join(&mut known.views, new.views);
        }
        None => all.push(new),
    }
}

impl Told {
    /// A text that is not understood.
    pub fn unknown(code: UnknownCode, reason: impl Into<String>) -> Self {
        let unknown = Unknown { code, reason: reason.into() };
        Self { status: Status::Unknown, unknown: Some(unknown), ..Self::default() }
    }

    /// Puts together what is told about each statement of a text.
    pub fn union(mut statements: Vec<Self>) -> Self {
        match (statements.pop(), statements.is_empty()) {
            (None, _) => return Self::default(),
            (Some(only), true) => return only,
            (Some(last), false) => statements.push(last),
        }
        let mut all = Self::default();
        for one in &statements {
            // The first that stops the text says why.
            if one.status > all.status {
                all.status = one.status;
                all.unknown.clone_from(&one.unknown);
                all.error.clone_from(&one.error);
            }
            all.kinds.extend(&one.kinds);
            one.relations.iter().for_each(|new| add_relation(&mut all.relations, new.clone()));
            one.functions.iter().for_each(|new| add_function(&mut all.functions, new.clone()));
            one.types.iter().for_each(|new| add_type(&mut all.types, new.clone()));
            join(&mut all.operators, one.operators.clone());
            join(&mut all.sequences, one.sequences.clone());
            join(&mut all.objects, one.objects.clone());
            all.flags.add(one.flags);
            match (&mut all.decision, &one.decision) {
                (Some(known), Some(new)) => known.add(new),
                (known @ None, new) => known.clone_from(new),
                (Some(_), None) => {}
            }
        }
        if all.status == Status::Error {
            all.decision = None;
        }
        Self { statements, ..all }
    }
}

impl Refused {
    fn of(refusal: &Refusal) -> Self {
        let error = refusal.error();
        let text = |code| error.get(code).map(|text| String::from_utf8_lossy(text).into_owned());
        Self {
            sqlstate: error.sqlstate().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            message: text(field::MESSAGE).unwrap_or_default(),
            detail: text(field::DETAIL),
            hint: text(field::HINT),
        }
    }
}

impl Flags {
    fn add(&mut self, other: Self) {
        self.has_where &= other.has_where;
        self.row_locks |= other.row_locks;
        self.modifies_in_cte |= other.modifies_in_cte;
        self.has_limit |= other.has_limit;
        self.reads_only &= other.reads_only;
        self.changes_names |= other.changes_names;
        self.further_results |= other.further_results;
        self.parameters = self.parameters.max(other.parameters);
    }
}

impl Decision {
    /// What the policy says, as it was weighed.
    pub(super) fn of(weighed: &Weighed, database: &str) -> Self {
        let verdict = match &weighed.refusal {
            None => "allow",
            Some(Refusal::ApprovalRequired { .. }) => "hold",
            Some(_) => "deny",
        };
        let approvers = match &weighed.decision.verdict {
            Verdict::Hold { approvers } => approvers.clone(),
            Verdict::Allow | Verdict::Deny => Vec::new(),
        };
        let parts = weighed.touches.iter().zip(&weighed.decision.parts);
        let parts = parts.chain(weighed.told.iter().map(|(touch, part)| (touch, part)));
        let mut decision = Self {
            verdict,
            approvers,
            refusal: weighed.refusal.as_ref().map(Refused::of),
            parts: Vec::new(),
        };
        for (touch, part) in parts {
            let part = report_part(database, touch, part);
            if !decision.parts.contains(&part) {
                decision.parts.push(part);
            }
        }
        decision
    }

    /// What is refused without the policy being asked.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let refusal = Some(Refused::of(refusal));
        Self { verdict: "deny", approvers: Vec::new(), refusal, parts: Vec::new() }
    }

    fn add(&mut self, other: &Self) {
        let rank = |verdict: &str| ["allow", "hold", "deny"].iter().position(|word| *word == verdict);
        if rank(other.verdict) > rank(self.verdict) {
            self.verdict = other.verdict;
            self.refusal.clone_from(&other.refusal);
        }
        join(&mut self.approvers, other.approvers.clone());
        join(&mut self.parts, other.parts.clone());
    }
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
