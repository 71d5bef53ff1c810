//! Everything that a session may ask of its shell, and the bytes that it wants sent.

use std::time::SystemTime;

use audit::Encoded;
use model::{Identity, Method, ScramKeys, Secret};

use crate::forward::UpstreamBytes;
use crate::record::Ticket;
use crate::trace::Trace;

/// One thing that the shell must do. Closed: a new ability is a new variant.
pub enum Effect {
    /// Check this token and answer with `Input::CredentialVerified`.
    VerifyCredential {
        /// What the client presented.
        token: Secret<String>,
        /// How it was presented.
        method: Method,
    },
    /// Find what the proof of the user asked for is to be checked by, and answer with `Input::VerifierFound`; a mock where there is no
    /// such account, which must take as long.
    FindVerifier,
    /// Of the verifier that was found, nothing remembered may be used again: a proof did not fit it.
    ForgetVerifier,
    /// Check the certificate that the client showed in its TLS handshake, if it did, and answer with `Input::CredentialVerified`.
    VerifyCertificate,
    /// Log in upstream with these startup parameters and answer with `Input::UpstreamReady` or `UpstreamFailed`.
    Connect {
        /// Run-time parameters from the client that passed the allow-list.
        parameters: Vec<(String, String)>,
        /// For whom: the server may be told, and the role made for it.
        identity: Box<Identity>,
        /// When the credential ends, and with it whatever is made for the session.
        expires_at: SystemTime,
        /// Of a legacy account: it logs in as itself, by these. The session keeps no copy.
        keys: Option<Box<ScramKeys>>,
    },
    /// Tell the operator's log that a legacy account comes near its deadline and is still in use.
    AccountEnds {
        /// The account.
        identity: Box<Identity>,
    },
    /// Something is to be known of a traced statement. Only where [`Opening::sample`](crate::Opening::sample) says so.
    Trace(Trace),
    /// Append to the journal, in order, and answer with `Input::Written`, and `Durable` if asked, for the ticket.
    AppendAudit {
        /// Names the record in the answer.
        ticket: Ticket,
        /// How strongly, and so which answer is awaited.
        keep: Keep,
        /// The record.
        event: Encoded,
    },
    /// Put this before approvers, and answer with `Input::Approval`, perhaps twice: first that it waits, then what came of it.
    AskApproval {
        /// Counts what the session has asked, from 1; names it in answers.
        asked: u64,
        /// What is asked.
        ask: Box<approval::Ask>,
    },
    /// Nobody waits any more for what was asked: close the request, for this reason. An answer that is on its way is not taken.
    WithdrawApproval {
        /// Of [`Effect::AskApproval`].
        asked: u64,
        /// Why.
        why: approval::Ended,
    },
    /// Ask the server to cancel what the upstream connection runs, and answer with `Input::CancelSent` when it has been told.
    CancelUpstream,
    /// The session ends in the middle of something: have the server stop that, and send it nothing more.
    Interrupt,
    /// Send what is left to the client and close both connections.
    Close,
}

/// How strongly a record is to be kept before the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Soon, with the next record that is written: nothing waits for it.
    Soon,
    /// It has left the process before any byte that this turn produced is sent: `Input::Written`.
    Written,
    /// It is on disk: `Input::Durable`.
    Durable,
}

/// What one call of `Session::handle` produced. The shell empties it.
#[derive(Default)]
pub struct Outbox {
    /// Bytes for the client.
    pub client: Vec<u8>,
    /// Bytes for the upstream; only `forward` adds to them.
    pub upstream: UpstreamBytes,
    /// What else is to be done, in order.
    pub effects: Vec<Effect>,
}
