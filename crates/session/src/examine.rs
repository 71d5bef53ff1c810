//! The same analysis outside a session: for `policy explain`, and for a bundle's own tests.
//!
//! Asks the same questions in the same way; nothing is executed, and nothing is allowed here.

mod asked;
mod lore;
mod named;
mod remains;
mod tell;
pub mod told;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use model::Oid;
use policy::{Bundle, StatementFacts, Touch};
use querytree::{Access, ServerVersion};
use sql::{Ask, CopySource, Effect, QueryRole, Statement};
use wire::error::{ErrorFields, field};
use wire::sqlstate::SqlState;

pub use asked::Asked;
pub use lore::{About, Lore};
pub use remains::Remains;
use told::Destination;
pub use told::{Line, Status, Told, UnknownCode};

use crate::analysis::{self, Analysis, Built, Lookup};
use crate::authorize;
use crate::catalog::Catalog;
use crate::forward::UpstreamBytes;
use crate::inquiry::{Inquiry, Job};
use crate::limits::Limits;
use crate::names::parameter_is_harmless;
use crate::refuse::Refusal;
use crate::scope::Asker;
use crate::simple::Origin;
use lore::Wanted;
use tell::{Teller, Use};

/// One statement of a text.
pub struct Step {
    text: String,
    /// Characters of the text before it.
    offset_chars: usize,
}

/// A text as it is to be examined.
pub enum Text {
    /// Its statements; none of an empty text.
    Steps(Vec<Step>),
    /// It can't be read: the server is asked for its own words about all of it.
    Unreadable(sql::SyntaxError),
}

impl Text {
    /// Splits a text into its statements.
    ///
    /// # Errors
    /// [`Refusal`]: over a limit, or it can't be sent at all.
    pub fn read(text: &str, limits: Limits) -> Result<Self, Refusal> {
        if text.contains('\0') {
            return Err(Refusal::Encoding("the text has a zero byte in it, which can't be sent".to_owned()));
        }
        let parsed = sql::parse(text, sql_limits(limits));
        let statements = match parsed {
            Ok(statements) => statements,
            Err(error) if error.sqlstate == "54000" => return Err(Refusal::TooLarge(error.message)),
            Err(error) => return Ok(Self::Unreadable(error)),
        };
        if statements.len() == 1 {
            return Ok(Self::Steps(vec![Step { text: text.to_owned(), offset_chars: 0 }]));
        }
        // Characters are counted once over the whole text.
        let (mut bytes, mut chars) = (0, 0);
        let mut steps = Vec::with_capacity(statements.len());
        for statement in statements {
            let before = text.get(bytes..statement.range.start).unwrap_or_default();
            chars += before.chars().count();
            bytes = statement.range.start;
            let own = text.get(statement.range).unwrap_or_default();
            steps.push(Step { text: own.to_owned(), offset_chars: chars });
        }
        Ok(Self::Steps(steps))
    }
}

impl Step {
    /// Whether there is no name in it that could mean something else.
    pub fn names_nothing(&self, limits: Limits) -> bool {
        sql::parse(&self.text, sql_limits(limits))
            .is_ok_and(|statements| statements.iter().all(|statement| statement.asks.is_empty()))
    }
}

fn sql_limits(limits: Limits) -> sql::Limits {
    sql::Limits { bytes_max: limits.statement_bytes_max, statements_max: limits.statements_max }
}

/// Reads what may follow `SET search_path TO`; `None` stands for the default.
///
/// # Errors
/// What is wrong with it.
pub fn search_path(list: &str) -> Result<Option<String>, String> {
    if list.trim().is_empty() {
        return Ok(Some(String::new()));
    }
    let wrong = || format!("\"{list}\" can't follow SET search_path TO; write schemas with commas between");
    let mut statements =
        sql::parse(&format!("SET search_path TO {list}"), sql::Limits::default()).map_err(|_| wrong())?;
    match (statements.pop().map(|statement| statement.effect), statements.is_empty()) {
        (Some(Effect::Set { name, local: false, value }), true) if name == "search_path" => match value {
            sql::SetTo::Value(value) => Ok(Some(value)),
            sql::SetTo::Default => Ok(None),
            sql::SetTo::Current => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// One statement being examined over a connection of the caller's.
pub struct Examiner {
    inquiry: Inquiry,
    overlay: Catalog,
    catalog: Arc<Catalog>,
    version: ServerVersion,
    limits: Limits,
    /// `None`: the text can't be read.
    statement: Option<Statement>,
    offset_chars: usize,
    syntax: Option<sql::SyntaxError>,
}

/// What [`Examiner::advance`] came to.
pub enum Progress {
    /// Bytes are to be sent; answers are to be given to [`Examiner::answer`].
    Asked,
    /// It is known what the statement touches.
    Done(Box<Examined>),
}

/// What a statement touches.
pub struct Examined {
    analysis: Arc<Analysis>,
    statement: Statement,
    accesses: Vec<(Use, Access)>,
    /// By ask: what a relation's name was resolved to.
    named: Vec<Option<Oid>>,
    /// Types of values in it that didn't come with the server.
    made_types: BTreeSet<u32>,
    overlay: Catalog,
    version: ServerVersion,
}

impl Examiner {
    /// Reads a text of one statement.
    ///
    /// # Errors
    /// [`Refusal`]: as a session would refuse it.
    pub fn new(text: &str, version_major: u32, catalog: Arc<Catalog>) -> Result<Self, Refusal> {
        let limits = Limits::default();
        match Text::read(text, limits)? {
            Text::Unreadable(error) => Err(Refusal::Syntax(error.to_string())),
            Text::Steps(steps) => match steps.as_slice() {
                [step] => Self::step(step, version_major, catalog, limits),
                [] => Err(Refusal::Syntax("the text has no statement".to_owned())),
                _ => Err(Refusal::Syntax("the text has more than one statement".to_owned())),
            },
        }
    }

    /// Takes one statement of a text.
    ///
    /// # Errors
    /// [`Refusal`]: as a session would refuse it.
    pub fn step(
        step: &Step,
        version_major: u32,
        catalog: Arc<Catalog>,
        limits: Limits,
    ) -> Result<Self, Refusal> {
        Self::typed(step, &[], version_major, catalog, limits)
    }

    /// The same, with the types that a client gives its parameters.
    ///
    /// # Errors
    /// [`Refusal`]: as a session would refuse it.
    pub fn typed(
        step: &Step,
        param_types: &[Oid],
        version_major: u32,
        catalog: Arc<Catalog>,
        limits: Limits,
    ) -> Result<Self, Refusal> {
        let version = known_version(version_major)?;
        let statement = sql::parse(&step.text, sql_limits(limits))
            .map_err(|error| Refusal::Syntax(error.to_string()))?
            .pop()
            .ok_or_else(|| Refusal::Syntax("the text has no statement".to_owned()))?;
        let job = Job::Simple(Origin::step(step.text.clone(), 0));
        let inquiry = Inquiry::new(job, statement.clone(), param_types);
        let statement = Some(statement);
        let overlay = Catalog::default();
        let offset_chars = step.offset_chars;
        Ok(Self { inquiry, overlay, catalog, version, limits, statement, offset_chars, syntax: None })
    }

    /// Takes a text that can't be read, for the server's own words about it.
    ///
    /// # Errors
    /// [`Refusal`]: the server is of a version that can't be read.
    pub fn unreadable(
        text: &str,
        error: sql::SyntaxError,
        version_major: u32,
        catalog: Arc<Catalog>,
        limits: Limits,
    ) -> Result<Self, Refusal> {
        let version = known_version(version_major)?;
        let job = Job::Simple(Origin::step(text.to_owned(), 0));
        let inquiry = Inquiry::syntax(job, error.clone());
        let overlay = Catalog::default();
        let syntax = Some(error);
        Ok(Self { inquiry, overlay, catalog, version, limits, statement: None, offset_chars: 0, syntax })
    }

    /// Returns the command tag, if the text could be read.
    pub fn kind(&self) -> Option<&'static str> {
        self.statement.as_ref().map(|statement| statement.command.tag())
    }

    /// Whether what the statement runs was prepared or declared in a session, which there is none of here.
    pub fn needs_session(&self) -> bool {
        self.statement.as_ref().is_some_and(|statement| crate::effects::is_session_bound(&statement.effect))
    }

    /// Asks what is next to be asked, or concludes.
    ///
    /// # Errors
    /// [`Refusal`]: as a session would refuse the statement.
    pub fn advance(&mut self, now: Instant, out: &mut UpstreamBytes) -> Result<Progress, Refusal> {
        if self.needs_session() {
            let what = "what it runs was prepared or declared in a session; examine that".to_owned();
            return Err(Refusal::NotUnderstood(what));
        }
        loop {
            let too_long = |error: wire::EncodeError| Refusal::TooLarge(error.to_string());
            if !self.inquiry.is_sent() && self.inquiry.ask(out).map_err(too_long)? {
                return Ok(Progress::Asked);
            }
            if self.syntax.take().is_some() {
                let job = Job::Simple(Origin::step(self.inquiry.text().to_owned(), 0));
                let accepted = std::mem::replace(&mut self.inquiry, Inquiry::bare(job));
                self.statement = Some(Statement::unread(accepted.text()));
                self.inquiry = accepted.unread();
                continue;
            }
            let lookup =
                Lookup { shared: Some(&self.catalog), overlay: &self.overlay, past: Some(&self.catalog) };
            match self.inquiry.build(&lookup, self.version, None, now) {
                Some(Built::Done(analysis)) => {
                    return self.examined(Arc::from(analysis)).map(|it| Progress::Done(Box::new(it)));
                }
                Some(Built::Refused(Refusal::NotUnderstood(why))) => {
                    return Err(self.inquiry.unread.take().unwrap_or(Refusal::NotUnderstood(why)));
                }
                Some(Built::Refused(refusal)) => return Err(refusal),
                Some(Built::Missing(missing)) => {
                    let why = format!("the server names objects that its catalog doesn't have: {missing}");
                    if !self.inquiry.ask_more(missing) {
                        return Err(Refusal::NotUnderstood(why));
                    }
                }
                None => return Err(Refusal::NotUnderstood("there is nothing to examine".to_owned())),
            }
        }
    }

    /// Takes one message of the server's; `true` if the answer is complete and [`Self::advance`] is next.
    ///
    /// # Errors
    /// [`Refusal`]: the server's own error, or an answer that can't be read.
    pub fn answer(&mut self, tag: u8, body: &[u8]) -> Result<bool, Refusal> {
        if tag == wire::backend::tag::ERROR_RESPONSE {
            let mut error =
                ErrorFields::parse(body).map_err(|error| Refusal::NotUnderstood(error.to_string()))?;
            crate::upstream::shift_position(&mut error, self.offset_chars);
            return Err(Refusal::ByServer(Box::new(error)));
        }
        self.inquiry
            .message(tag, body, self.limits.tree_bytes_max, &mut self.overlay)
            .map_err(Refusal::NotUnderstood)
    }

    /// Keeps what was answered, for telling it by name.
    fn examined(&mut self, analysis: Arc<Analysis>) -> Result<Examined, Refusal> {
        let statement = self
            .statement
            .clone()
            .ok_or_else(|| Refusal::NotUnderstood("there is nothing to examine".to_owned()))?;
        let (mut accesses, mut made_types) = (Vec::new(), BTreeSet::new());
        let (mut named, mut relations) = (vec![None; statement.asks.len()], 0);
        let resolved = self.inquiry.resolved_names()?;
        for (i, ask) in statement.asks.iter().enumerate() {
            let asked = match ask {
                Ask::Query { role, .. } => Use::Query(*role),
                Ask::Expression { role, .. } => Use::Expression(*role),
                Ask::Relation { .. } => {
                    if let Some(slot) = named.get_mut(i) {
                        *slot = resolved.get(relations).copied().flatten();
                    }
                    relations += 1;
                    continue;
                }
                _ => continue,
            };
            let tree = self.inquiry.tree(i).unwrap_or_default();
            let access = querytree::read(tree, self.version)
                .map_err(|unknown| Refusal::NotUnderstood(unknown.to_string()))?;
            made_types.extend(remains::made_types(tree));
            accesses.push((asked, access));
        }
        let overlay = std::mem::take(&mut self.overlay);
        Ok(Examined { analysis, statement, accesses, named, made_types, overlay, version: self.version })
    }
}

fn known_version(major: u32) -> Result<ServerVersion, Refusal> {
    ServerVersion::from_major(major).ok_or_else(|| Refusal::Unsupported(format!("PostgreSQL {major}")))
}

impl Examined {
    /// Returns everything that policy is asked about the statement.
    pub fn touches(&self, bundle: &Bundle) -> Vec<Touch> {
        authorize::asked(&self.analysis, bundle)
    }

    /// Returns what policy may ask about the statement as a whole.
    pub fn facts(&self) -> StatementFacts<'static> {
        StatementFacts {
            command: self.analysis.kind(),
            has_where: self.analysis.has_where,
            row_locks: self.analysis.row_locks,
        }
    }

    /// Whether names may mean something else once it has run.
    pub fn changes_names(&self) -> bool {
        let analysis = &self.analysis;
        let set = match &analysis.effect {
            Effect::Set { name, .. } | Effect::Reset(name) => !parameter_is_harmless(name),
            Effect::ResetAll
            | Effect::SetRole { .. }
            | Effect::SetSessionAuthorization { .. }
            | Effect::DiscardAll
            | Effect::DiscardTemp => true,
            _ => false,
        };
        set || analysis.unsettles || analysis.defines
    }

    /// Returns the queries that would give names to what has none yet.
    pub fn lacks(&self, catalog: &Catalog, lore: &Lore) -> Vec<(About, String)> {
        let lookup = Lookup { shared: Some(catalog), overlay: &self.overlay, past: Some(catalog) };
        let mut wanted = Wanted::default();
        for (_, access) in &self.accesses {
            tell::want(access, &mut wanted);
        }
        for oid in &self.named {
            named::want(*oid, &mut wanted);
        }
        if let analysis::Results::Columns(columns) = &self.analysis.results {
            wanted.types.extend(tell::types_of(columns));
        }
        lore.lacks(&wanted, &lookup)
    }

    /// Tells what it touches and what the policy says of it.
    pub fn tell(&self, catalog: &Catalog, lore: &Lore, bundle: &Bundle, asker: Asker<'_>) -> Told {
        let lookup = Lookup { shared: Some(catalog), overlay: &self.overlay, past: Some(catalog) };
        let teller = Teller { lookup: &lookup, lore };
        let kinds = vec![self.statement.command.tag()];
        let mut told = Told { commands: kinds.clone(), kinds, ..Told::default() };
        for (asked, access) in &self.accesses {
            teller.access(access, *asked, &mut told);
            if let Use::Query(role) = asked {
                told.output = teller.output(access);
                told.output_to = (!told.output.is_empty()).then(|| self.destination(*role));
            }
        }
        for (ask, oid) in self.statement.asks.iter().zip(&self.named) {
            teller.named(ask, *oid, self.version.major(), &mut told);
        }
        if told.output_to.is_none() && !told.output.is_empty() {
            told.output_to = Some(self.destination(QueryRole::CopyOut));
        }
        told.flags.reads_only = self.analysis.reads_only;
        // TRUNCATE never chooses rows, as policy sees it too.
        told.flags.has_where &=
            self.analysis.has_where && self.statement.command != sql::Command::TruncateTable;
        told.flags.changes_names = self.changes_names();
        let weighed = authorize::weigh(&self.analysis, bundle, asker);
        let inner = self.analysis.inner.as_ref().map(|inner| authorize::weigh(inner, bundle, asker));
        let masks = match told.output_to {
            Some(Destination::Client) => weighed.masks.as_slice(),
            Some(Destination::Cursor | Destination::Prepared) => {
                inner.as_ref().map(|inner| inner.masks.as_slice()).unwrap_or_default()
            }
            _ => &[],
        };
        for (output, mask) in told.output.iter_mut().zip(masks) {
            output.mask = mask.as_ref().map(|mask| mask.kind());
        }
        told.decision = Some(told::Decision::of(&weighed, asker.database));
        told
    }

    fn destination(&self, role: QueryRole) -> Destination {
        match role {
            QueryRole::Statement | QueryRole::Unread => Destination::Client,
            QueryRole::CopyOut => match &self.analysis.effect {
                Effect::CopyOut(format) if format.source != CopySource::Client => Destination::Server,
                _ => Destination::Client,
            },
            QueryRole::Explained { .. } => Destination::Plan,
            QueryRole::CreateTableAs | QueryRole::MaterializedView => Destination::Stored,
            QueryRole::View => Destination::View,
            QueryRole::Declare => Destination::Cursor,
            QueryRole::Prepare => Destination::Prepared,
        }
    }
}

impl Told {
    /// An empty text, which the server answers with EmptyQueryResponse.
    pub fn empty(bundle: &Bundle, asker: Asker<'_>, now: Instant) -> Self {
        let weighed = authorize::weigh(&Analysis::empty(now), bundle, asker);
        Self { decision: Some(told::Decision::of(&weighed, asker.database)), ..Self::default() }
    }

    /// What is told of a statement that a session would refuse as this says.
    pub fn refused(kind: Option<&'static str>, needs_session: bool, refusal: &Refusal) -> Self {
        let kinds: Vec<_> = kind.into_iter().collect();
        let commands = kinds.clone();
        let error = refusal.error();
        let message = error.message().map(|text| String::from_utf8_lossy(text).into_owned());
        let message = message.unwrap_or_default();
        let code = match refusal {
            Refusal::ByServer(fields) => match server_code(fields.sqlstate()) {
                Some(code) => code,
                None => {
                    let position =
                        fields.get(field::POSITION).and_then(|text| std::str::from_utf8(text).ok());
                    let error = told::ServerError {
                        sqlstate: fields
                            .sqlstate()
                            .map(|state| state.as_str().to_owned())
                            .unwrap_or_default(),
                        message,
                        position: position.and_then(|text| text.parse().ok()),
                    };
                    let error = Some(error);
                    return Self { status: Status::Error, kinds, commands, error, ..Self::default() };
                }
            },
            _ if needs_session => UnknownCode::Session,
            Refusal::TooLarge(_) => UnknownCode::TooLarge,
            Refusal::Unsupported(_) => UnknownCode::Unsupported,
            Refusal::Reserved(_) => UnknownCode::Reserved,
            Refusal::Encoding(_) => UnknownCode::Encoding,
            _ => UnknownCode::NotUnderstood,
        };
        let reason = match refusal {
            Refusal::NotUnderstood(why) => why.clone(),
            _ => message,
        };
        let decision = told::Decision::refused(refusal);
        Self { kinds, commands, decision: Some(decision), ..Self::unknown(code, reason) }
    }

    /// What is told of a statement whose names an earlier one of the same text may have changed.
    pub fn depends(step: &Step, limits: Limits) -> Self {
        let parsed = sql::parse(&step.text, sql_limits(limits)).ok();
        let kind = parsed.and_then(|mut all| all.pop()).map(|statement| statement.command.tag());
        let why = "an earlier statement of the same text may change what its names mean; give it by itself";
        let refusal = Refusal::NotUnderstood(why.to_owned());
        Self {
            kinds: kind.into_iter().collect(),
            commands: kind.into_iter().collect(),
            decision: Some(told::Decision::refused(&refusal)),
            ..Self::unknown(UnknownCode::Depends, why)
        }
    }
}

/// Errors that say something of the server and nothing of the statement (errcodes.txt: classes 53, 57, 58, and no lock).
fn server_code(sqlstate: Option<SqlState>) -> Option<UnknownCode> {
    let state = sqlstate?;
    match state.as_str() {
        "57014" | "55P03" => Some(UnknownCode::Timeout),
        text if ["53", "57", "58", "08"].iter().any(|class| text.starts_with(class)) => {
            Some(UnknownCode::Server)
        }
        _ => None,
    }
}
