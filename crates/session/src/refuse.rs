//! Why something is refused, and the one map from that to what the client reads.

use std::fmt;

use model::Method;
use wire::error::{ErrorFields, Severity, field};
use wire::sqlstate;

use crate::quota::Reached;
use crate::unapproved::Unapproved;

/// One reason to refuse. The client sees it as an ErrorResponse with SQLSTATE, detail and hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The policy doesn't allow it.
    Denied {
        /// Which touches were refused, for example `select on column public.customers.ssn`.
        what: String,
        /// Which rules said so.
        rules: String,
        /// What would help.
        help: String,
    },
    /// The policy allows it if these groups agree.
    ApprovalRequired {
        /// What needs it.
        what: String,
        /// Approver groups by name.
        approvers: Vec<String>,
    },
    /// Approvers were, or were to be, asked, and have not agreed.
    Unapproved(Box<Unapproved>),
    /// What the statement touches can't be known.
    NotUnderstood(String),
    /// A kind of statement, message or option that doesn't pass.
    Unsupported(String),
    /// Over one of the limits.
    TooLarge(String),
    /// Over one of the bundle's limits.
    Limited(Box<Reached>),
    /// Nested too deeply to be read.
    TooDeep(String),
    /// The audit record can't be kept.
    Unrecorded(String),
    /// A masked column can't be masked where it appears.
    Unmaskable(String),
    /// A value that is to be stored is what a mask makes of values.
    WrittenBack {
        /// The masked column that the statement writes.
        column: String,
        /// The kind of its mask.
        mask: &'static str,
    },
    /// The result isn't what the analysis said.
    Incident(String),
    /// The server would not even parse it.
    ByServer(Box<ErrorFields>),
    /// Not a statement, in PostgreSQL's own words.
    Syntax(String),
    /// The prepared statement was decided as something else than it would be now.
    Changed(String),
    /// The prepared statement returns other columns than when it was prepared.
    CachedPlan,
    /// No such prepared statement.
    NoStatement(String),
    /// No such portal.
    NoPortal(String),
    /// No such cursor, in SQL.
    NoCursor(String),
    /// A name that the gateway keeps for itself.
    Reserved(String),
    /// Text in an encoding that can't be read.
    Encoding(String),
}

impl fmt::Display for Refusal {
    /// Writes the error's message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.error().message().unwrap_or_default()))
    }
}

impl Refusal {
    /// Returns why a text isn't even put to the server, if it is over a limit.
    pub(crate) fn of_limit(error: &sql::SyntaxError) -> Option<Self> {
        (error.sqlstate == "54000").then(|| Self::TooLarge(error.message.clone()))
    }

    /// Returns why a text can't be known that the server takes and our grammar doesn't.
    pub(crate) fn of_grammar(error: &sql::SyntaxError) -> Self {
        match error.sqlstate {
            "54001" => Self::TooDeep(error.message.clone()),
            _ => Self::NotUnderstood(format!(
                "the server accepts it, but Gatepost's grammar does not: {error}"
            )),
        }
    }

    /// Returns the error as the client gets it.
    pub fn error(&self) -> ErrorFields {
        use sqlstate as s;
        let error = |code, text: String| ErrorFields::new(Severity::Error, code, text);
        match self {
            Self::Denied { what, rules, help } => {
                error(s::INSUFFICIENT_PRIVILEGE, format!("permission denied: {what}"))
                    .detail(rules)
                    .hint(help)
            }
            Self::ApprovalRequired { what, approvers } => {
                error(s::INSUFFICIENT_PRIVILEGE, format!("approval required: {what}"))
                    .detail(format!("The policy allows this when approved by: {}.", approvers.join(" and ")))
                    .hint("Gatepost holds the statement and asks them when it is sent.")
            }
            Self::Unapproved(unapproved) => unapproved.error(),
            Self::NotUnderstood(why) => error(
                s::FEATURE_NOT_SUPPORTED,
                format!("statement refused: what it touches can't be known: {why}"),
            )
            .hint("Gatepost passes only what it understands. Write the statement in another way."),
            Self::Unsupported(what) => {
                error(s::FEATURE_NOT_SUPPORTED, format!("{what} is not passed by Gatepost"))
            }
            Self::TooLarge(what) => error(s::PROGRAM_LIMIT_EXCEEDED, what.clone()),
            Self::Limited(reached) => reached.error(),
            Self::TooDeep(what) => error(s::STATEMENT_TOO_COMPLEX, what.clone()).hint(
                "Gatepost reads some 300 sub-selects in one another, and 700 operators in a row. \
                 Parentheses around parts of a long row make it less deep.",
            ),
            Self::Unrecorded(why) => {
                error(s::IO_ERROR, "statement refused: its audit record can't be kept".to_owned())
                    .detail(why)
                    .hint(
                        "Tell the operator of the gateway; it resumes when the journal can be written again.",
                    )
            }
            Self::Unmaskable(what) => error(s::INSUFFICIENT_PRIVILEGE, format!("statement refused: {what}"))
                .hint("Leave the masked column out, or ask for it in text format."),
            Self::WrittenBack { column, mask } => error(
                s::INSUFFICIENT_PRIVILEGE,
                format!("statement refused: a masked value would be stored; column {column} is masked by \"{mask}\""),
            )
            .hint("What you were shown is not the value. Leave the column out, or write a value that you know."),
            Self::Incident(what) => error(
                s::INSUFFICIENT_PRIVILEGE,
                format!("result withheld: it is not what the statement was decided as: {what}"),
            )
            .hint("This was recorded as an incident. Tell the operator of the gateway."),
            Self::ByServer(fields) => (**fields).clone(),
            Self::Syntax(text) => error(s::SYNTAX_ERROR, text.clone()),
            Self::Changed(what) => {
                error(s::FEATURE_NOT_SUPPORTED, format!("prepared statement refused: {what}"))
                    .hint("Names have changed their meaning since it was prepared. Prepare it again.")
            }
            // Drivers know it by text and routine, and prepare again (plancache.c).
            Self::CachedPlan => {
                error(s::FEATURE_NOT_SUPPORTED, "cached plan must not change result type".to_owned())
                    .with(field::FILE, "plancache.c")
                    .with(field::ROUTINE, "RevalidateCachedQuery")
            }
            // The texts of PostgreSQL itself (prepare.c, portalcmds.c): a client must not see a difference.
            Self::NoStatement(name) if name.is_empty() => {
                error(s::INVALID_SQL_STATEMENT_NAME, "unnamed prepared statement does not exist".to_owned())
            }
            Self::NoStatement(name) => {
                error(s::INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"))
            }
            Self::NoPortal(name) => {
                error(s::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
            }
            Self::NoCursor(name) => {
                error(s::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
            }
            Self::Reserved(name) => error(
                s::RESERVED_NAME,
                format!("name \"{name}\" is reserved: Gatepost uses names that begin with \"gatepost.\""),
            ),
            Self::Encoding(what) => error(s::CHARACTER_NOT_IN_REPERTOIRE, what.clone())
                .hint("Gatepost reads statements as UTF-8; leave client_encoding at UTF8."),
        }
    }
}

/// Says why a session ends at its time.
pub(crate) const fn time_is_over(method: Method) -> &'static str {
    match method {
        Method::Token | Method::OAuthBearer => "the token has expired",
        Method::Certificate => "the certificate has expired",
        Method::Passthrough => "the longest time of a legacy account's session is over",
    }
}

/// Returns the error that ends a session: SQLSTATE 57P01 (admin_shutdown) with the reason.
pub(crate) fn termination(reason: &str) -> ErrorFields {
    ErrorFields::new(Severity::Fatal, sqlstate::ADMIN_SHUTDOWN, format!("terminating connection: {reason}"))
}

/// Returns the error that ends a session whose client breaks the protocol.
pub(crate) fn protocol_violation(what: &str) -> ErrorFields {
    ErrorFields::new(Severity::Fatal, sqlstate::PROTOCOL_VIOLATION, what)
}

/// Replaces everything in an error or notice that could quote a value by the condition's name: of a statement that touched masked columns
/// only the severity, the SQLSTATE and the position in the client's own text remain.
pub(crate) fn redact(fields: &ErrorFields) -> ErrorFields {
    const KEPT: [u8; 4] = [field::SEVERITY, field::SEVERITY_NONLOCALIZED, field::SQLSTATE, field::POSITION];
    let name = sqlstate::condition_name(fields.sqlstate().unwrap_or(sqlstate::INTERNAL_ERROR));
    let mut redacted = fields.clone();
    redacted.retain(|code| KEPT.contains(&code));
    redacted
        .with(field::MESSAGE, format!("{name} (the text is withheld: the statement touches masked columns)"))
}
