//! Everything that can happen to a session. Closed: a new happening is a new variant.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use identity::{Account, Verified};
use model::ScramVerifier;

use crate::catalog::Catalog;
use crate::record::Ticket;

/// The time of an input, as both clocks show it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations and deadlines.
    pub monotonic: Instant,
    /// For policy conditions.
    pub wall: SystemTime,
}

/// One thing that happened.
pub enum Input<'a> {
    /// The client sent these bytes, in order, of any length.
    ClientBytes(&'a [u8]),
    /// The client closed its side, or its connection broke.
    ClientClosed,
    /// The upstream sent these bytes, in order, of any length.
    UpstreamBytes(&'a [u8]),
    /// The upstream closed the connection, or it broke.
    UpstreamClosed,
    /// The answer to [`Effect::VerifyCredential`](crate::Effect::VerifyCredential).
    CredentialVerified(Result<Credential, CredentialFailure>),
    /// The answer to [`Effect::FindVerifier`](crate::Effect::FindVerifier).
    VerifierFound(Box<Candidate>),
    /// The third answer to [`Effect::VerifyCredential`](crate::Effect::VerifyCredential): it is good, and its owner is not to come in.
    Blocked(Box<Blocked>),
    /// The answer to [`Effect::Connect`](crate::Effect::Connect).
    UpstreamReady(Box<UpstreamReady>),
    /// The other answer to [`Effect::Connect`](crate::Effect::Connect).
    UpstreamFailed(UpstreamFailure),
    /// Every record up to and including this one has left the process.
    Written(Ticket),
    /// Every record up to and including this one is on disk.
    Durable(Ticket),
    /// The journal can't keep records; none that isn't yet acknowledged can be relied on.
    JournalFailed(String),
    /// A new bundle is in force from now on.
    PolicyChanged(Arc<policy::Bundle>),
    /// The session must end, for this reason.
    Revoked(String),
    /// [`Session::deadline`](crate::Session::deadline) has passed.
    Deadline,
    /// The answer to [`Effect::CancelUpstream`](crate::Effect::CancelUpstream): the server has taken the request, or never will.
    CancelSent,
    /// An answer to [`Effect::AskApproval`](crate::Effect::AskApproval).
    Approval {
        /// What it answers.
        asked: u64,
        /// The answer.
        answer: Box<approval::Answer>,
    },
    /// The client has sent a CancelRequest with the session's key.
    CancelRequested,
    /// The gateway is going down; end when idle.
    Drain,
}

/// A verified credential, and when it ends on the monotonic clock.
pub struct Credential {
    /// The proof.
    pub verified: Box<Verified>,
    /// `verified.expires_at()` on the monotonic clock.
    pub expires: Instant,
}

/// Somebody who has proven who they are, and is kept out.
pub struct Blocked {
    /// Who.
    pub identity: model::Identity,
    /// Why; the client is told.
    pub reason: String,
}

/// What a client's proof is checked by, whether it is somebody or not.
pub struct Candidate {
    /// The account's verifier, or a mock that no proof fits.
    pub verifier: ScramVerifier,
    /// The account; `None` with a mock.
    pub account: Option<Account>,
    /// When the account is over.
    pub until: Option<SystemTime>,
    /// Within this time of the account's deadline it is warned.
    pub warn_before: Duration,
    /// Our part of the nonce: random, in characters of base64.
    pub nonce: String,
    /// Why there is a mock; for the log and the audit.
    pub reason: String,
}

/// Why a credential was refused. The client is told nothing of it.
pub struct CredentialFailure {
    /// For the log and the audit.
    pub reason: String,
    /// Whether the identity provider couldn't be asked, which is not the client's fault.
    pub unavailable: bool,
}

/// An upstream connection that is logged in and idle.
pub struct UpstreamReady {
    /// What the server reported, in its order.
    pub parameters: Vec<(String, String)>,
    /// The server process's real ID; shown to the client.
    pub process_id: i32,
    /// The gateway's own cancel key for the client; the server's stays with the shell.
    pub cancel_key: Vec<u8>,
    /// PostgreSQL's major version.
    pub version_major: u32,
    /// What names mean for this login: its `search_path` and `current_user`, as the server shows them.
    pub name_scope: String,
    /// [`Database::roles_named`](crate::Database::roles_named) from before that was asked, where the login was made for this session and
    /// stands for another role; `None` for one that sessions have in common.
    pub alike_since: Option<u64>,
    /// The catalog as of this login.
    pub catalog: Arc<Catalog>,
}

/// Why there is no upstream connection.
pub struct UpstreamFailure {
    /// For the log and the audit; may name hosts.
    pub reason: String,
    /// The server's own SQLSTATE, if it refused the login.
    pub sqlstate: Option<String>,
}
