//! What a recording says, entry by entry. Knows no bytes of a file.

use std::time::Duration;

use model::SessionId;

/// How much is kept of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// What the client sent, and how it ended; no row of a result.
    Statements,
    /// What the client received, too, up to the limits.
    Results,
}

impl Kept {
    /// Returns the word for it, as bundles have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Statements => "statements",
            Self::Results => "results",
        }
    }
}

/// Whose session it is, from what; the first thing that a recording says. It is never encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The session.
    pub session: SessionId,
    /// The journal that the session's records are in: 32 hexadecimal digits.
    pub journal: String,
    /// The gateway's name in its configuration, or of its machine.
    pub gateway: String,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub began: i64,
    /// How much is kept; [`What::Kept`] tells of changes.
    pub kept: Kept,
    /// Who: `issuer:subject`.
    pub identity: String,
    /// For whom, if it acts for somebody: `issuer:subject`.
    pub on_behalf_of: Option<String>,
    /// The groups of its token.
    pub groups: Vec<String>,
    /// The database as clients name it.
    pub database: String,
    /// The startup packet's `application_name`.
    pub application_name: String,
    /// The server's `server_version`.
    pub server_version: String,
    /// Rows and bytes that are kept of one statement's result at the most.
    pub rows_max: u64,
    /// See `rows_max`.
    pub bytes_max: u64,
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since [`Opening::began`], by a clock that doesn't step; kept to the microsecond.
    pub at: Duration,
    /// The statement's number in its session, as in the journal; 0 where it is about none.
    pub statement: u64,
    /// What.
    pub what: What,
}

/// See [`Entry::what`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The client sent a statement, and this was decided.
    Sent(Box<Sent>),
    /// The client received these messages of PostgreSQL's protocol 3.0, whole and as they were sent to it: masked, with tag and
    /// length (RowDescription, DataRow, CommandComplete, ErrorResponse, NoticeResponse, CopyData, ParameterStatus, NotificationResponse, ReadyForQuery ...).
    Received(Vec<u8>),
    /// Messages for the client that are not kept: over the limit, or because only statements are.
    Cut {
        /// Rows among them.
        rows: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The client sent data of a COPY: CopyData's payload.
    CopyData(Vec<u8>),
    /// Data of a COPY from the client that is not kept, for the reasons of [`What::Cut`]: its bytes.
    CopyCut(u64),
    /// It waits for approval, or no longer.
    Hold(Hold),
    /// The client asked to cancel what runs.
    CancelRequested,
    /// Nothing was recorded from here, or from somewhere before here, up to the next entry.
    Gap {
        /// Why: `backlog`, `disk`, ...
        why: String,
    },
    /// From here this much is kept, since the policy has changed.
    Kept(Kept),
    /// The session ended.
    Ended {
        /// Why, as the journal's `disconnected` says.
        why: String,
    },
}

/// See [`What::Sent`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The whole text, the literals of secrets already taken out.
    pub text: String,
    /// The values bound to `$1`, `$2`, ...: text, or bytes in hex (`\x...`) where it was binary or not UTF-8; `None` is NULL.
    pub parameters: Vec<Option<String>>,
    /// Bytes of parameters that are not kept, since they are over the limit: the text of such a one ends where it was cut.
    pub parameters_cut: u64,
    /// The OIDs of their types, where the client said or the server found them; 0 where neither.
    pub parameter_types: Vec<u32>,
    /// Which of them were binary, from 0.
    pub parameters_binary: Vec<u16>,
    /// Whether it came by Parse, Bind and Execute rather than by Query.
    pub extended: bool,
    /// How many characters of the client's message stand before its text: the positions in errors count from there.
    pub offset: u64,
    /// What its result has for columns, where no RowDescription need come with it: by Execute. Empty where that isn't known.
    pub columns: Vec<Column>,
    /// What was decided.
    pub decision: Decision,
}

/// A column of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's OID.
    pub type_oid: u32,
    /// 0 for text, 1 for binary, as the client asked.
    pub format: i16,
}

/// What the policy said about a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The journal's word: `allow`, `mask`, `hold`, `deny`, ...
    pub verdict: String,
    /// The rules that decided it.
    pub rules: Vec<String>,
    /// The SQLSTATE that the client was told, where it was refused.
    pub sqlstate: Option<String>,
    /// The number of the request that let it pass, or that it was refused by.
    pub approval: Option<u64>,
    /// The columns of the result that came masked, from 0.
    pub masked: Vec<u16>,
}

/// See [`What::Hold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The request's number.
    pub request: u64,
    /// What became of it: `waiting`, `approved`, `denied`, `expired`, ...
    pub state: String,
    /// What was said, by whom it may be known to the client.
    pub message: Option<String>,
}

/// Where a player's timeline has a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A statement.
    Statement,
    /// It waits for approval.
    Hold,
    /// It was refused by the gateway.
    Refusal,
    /// The server answered with an error.
    Error,
}

impl Mark {
    /// All of them, in the order of their counts in an index.
    pub const ALL: [Self; 4] = [Self::Statement, Self::Hold, Self::Refusal, Self::Error];
}

/// A mark and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// When, as [`Entry::at`].
    pub at: Duration,
    /// Of which statement.
    pub statement: u64,
    /// Of what.
    pub mark: Mark,
}
