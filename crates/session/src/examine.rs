//! The same analysis outside a session: for `policy explain`, and for a bundle's own tests.
//!
//! Asks the same questions in the same way; nothing is executed, and nothing is decided here.

use std::sync::Arc;
use std::time::Instant;

use policy::{Bundle, StatementFacts, Touch};
use querytree::ServerVersion;
use wire::error::ErrorFields;

use crate::analysis::{Analysis, Built, Lookup};
use crate::authorize;
use crate::catalog::Catalog;
use crate::forward::UpstreamBytes;
use crate::inquiry::{Inquiry, Job};
use crate::limits::Limits;
use crate::refuse::Refusal;
use crate::simple::Origin;

/// One statement being examined over a connection of the caller's.
pub struct Examiner {
    inquiry: Inquiry,
    overlay: Catalog,
    catalog: Arc<Catalog>,
    version: ServerVersion,
    limits: Limits,
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
    analysis: Analysis,
}

impl Examiner {
    /// Reads a text of one statement.
    ///
    /// # Errors
    /// [`Refusal`]: as a session would refuse it.
    pub fn new(text: &str, version_major: u32, catalog: Arc<Catalog>) -> Result<Self, Refusal> {
        let limits = Limits::default();
        let sql_limits =
            sql::Limits { bytes_max: limits.statement_bytes_max, statements_max: limits.statements_max };
        let version = ServerVersion::from_major(version_major)
            .ok_or_else(|| Refusal::Unsupported(format!("PostgreSQL {version_major}")))?;
        let mut statements =
            sql::parse(text, sql_limits).map_err(|error| Refusal::Syntax(error.to_string()))?;
        let statement = match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => statement,
            (None, _) => return Err(Refusal::Syntax("the text has no statement".to_owned())),
            (Some(_), false) => {
                return Err(Refusal::Syntax("the text has more than one statement".to_owned()));
            }
        };
        if crate::effects::is_session_bound(&statement.effect) {
            let what = "what it runs was prepared or declared in a session; examine that".to_owned();
            return Err(Refusal::NotUnderstood(what));
        }
        let job = Job::Simple(Origin::step(text.to_owned(), 0));
        let inquiry = Inquiry::new(job, statement, &[]);
        Ok(Self { inquiry, overlay: Catalog::default(), catalog, version, limits })
    }

    /// Asks what is next to be asked, or concludes.
    ///
    /// # Errors
    /// [`Refusal`]: as a session would refuse the statement.
    pub fn advance(&mut self, now: Instant, out: &mut UpstreamBytes) -> Result<Progress, Refusal> {
        loop {
            let too_long = |error: wire::EncodeError| Refusal::TooLarge(error.to_string());
            if !self.inquiry.is_sent() && self.inquiry.ask(out).map_err(too_long)? {
                return Ok(Progress::Asked);
            }
            let lookup = Lookup { shared: Some(&self.catalog), overlay: &self.overlay };
            match self.inquiry.build(&lookup, self.version, None, now) {
                Some(Built::Done(analysis)) => {
                    return Ok(Progress::Done(Box::new(Examined { analysis: *analysis })));
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
            let message = ErrorFields::parse(body)
                .ok()
                .and_then(|fields| fields.message().map(|m| String::from_utf8_lossy(m).into_owned()));
            return Err(Refusal::Syntax(message.unwrap_or_else(|| "the server gave an error".to_owned())));
        }
        self.inquiry
            .message(tag, body, self.limits.tree_bytes_max, &mut self.overlay)
            .map_err(Refusal::NotUnderstood)
    }
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
}
