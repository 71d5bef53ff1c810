//! What happens in a gateway, as the audit says it. Knows no policy and no protocol: words are given.

use std::time::Duration;

use model::{ClientAddr, Identity, SessionId};

use crate::approval::{
    ApprovalEnded, ApprovalRefused, ApprovalRequested, ApprovalUsed, ApprovalVoted, DelegationChanged,
    RowsCounted,
};
use crate::integrity::Integrity;
use crate::notice::{NotificationFailed, Notified, NotifyCallRefused};
use crate::recording::{
    RecordingAnchored, RecordingArchived, RecordingEnded, RecordingLost, RecordingStarted,
};
use crate::{Fragment, Seq, Time};

/// One thing that happened. Borrowed: it is turned into bytes where it happens, see [`Event::encode`].
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The gateway opened its journal and is about to listen.
    GatewayStarted {
        /// The gateway's version.
        version: &'a str,
        /// SHA-256 of the configuration, hex.
        config_hash: &'a str,
    },
    /// The gateway ended in order.
    GatewayStopped {
        /// Why: `drained`, `signal`, ...
        reason: &'a str,
    },
    /// A bundle decides from now on.
    PolicyLoaded {
        /// The database as clients name it.
        database: &'a str,
        /// The bundle's name.
        bundle: &'a str,
        /// The version that the bundle gives itself.
        version: &'a str,
        /// SHA-256 of the bundle, hex.
        hash: &'a str,
    },
    /// A bundle was refused; the one before it, if any, still decides.
    PolicyRefused {
        /// The database as clients name it.
        database: &'a str,
        /// What is wrong with it.
        reason: &'a str,
    },
    /// A client connected and is not yet anybody.
    Connected {
        /// The connection.
        session: SessionId,
        /// Where from.
        client: ClientAddr,
        /// Protocol and cipher, or `None` for a plain connection.
        tls: Option<&'a str>,
    },
    /// A client did not prove who it is. The reason is for operators, never for the client.
    AuthenticationFailed {
        /// The connection.
        session: SessionId,
        /// Where from.
        client: ClientAddr,
        /// The startup packet's `user`, if it came that far.
        user: Option<&'a str>,
        /// The startup packet's `database`.
        database: Option<&'a str>,
        /// The method of the `[[auth]]` rule, if one matched.
        method: Option<&'a str>,
        /// Why.
        reason: &'a str,
        /// The issuer that the credential claims, unproven.
        issuer: Option<&'a str>,
        /// The subject that the credential claims, unproven.
        subject: Option<&'a str>,
    },
    /// A client is somebody, and its upstream connection is ready.
    SessionStarted(SessionStarted<'a>),
    /// A statement was decided; the record that promise 2 is about.
    Statement(Statement<'a>),
    /// A statement that was forwarded has ended.
    Outcome(Outcome<'a>),
    /// Something that must not happen did, and was stopped or survived.
    Incident {
        /// The connection, if it is about one.
        session: Option<SessionId>,
        /// The statement's number in its session.
        statement: Option<u64>,
        /// Whose, from [`crate::IdentityForm`].
        identity: Option<&'a Fragment>,
        /// The database as clients name it.
        database: Option<&'a str>,
        /// A stable word: `unseen_masked_column`, ...
        kind: &'a str,
        /// What exactly.
        detail: &'a str,
    },
    /// One of the bundle's limits was reached. Of statements refused one after another for the same limit, the first has one.
    LimitExceeded {
        /// The connection.
        session: SessionId,
        /// The statement's number in its session, if it is about one.
        statement: Option<u64>,
        /// Whose, from [`crate::IdentityForm`].
        identity: &'a Fragment,
        /// The database as clients name it.
        database: &'a str,
        /// The limit's key in `bundle.toml`.
        limit: &'a str,
        /// The group whose limit it is; `None` for everybody's.
        group: Option<&'a str>,
        /// The SQLSTATE that the client was told.
        sqlstate: &'a str,
        /// The message.
        reason: &'a str,
    },
    /// A connection ended, by whichever side.
    Disconnected {
        /// The connection.
        session: SessionId,
        /// Where from.
        client: ClientAddr,
        /// Whose, if it came that far.
        identity: Option<&'a Fragment>,
        /// The database, if it came that far.
        database: Option<&'a str>,
        /// Why: `terminated`, `token_expired`, `killed`, ...
        reason: &'a str,
        /// Statements decided in it.
        statements: u64,
        /// Bytes sent to the client.
        bytes: u64,
    },
    /// A database role was made, for a session or to be given to one later.
    RoleMade {
        /// The session that it is for; `None`: kept prepared.
        session: Option<SessionId>,
        /// Whose session, from [`crate::IdentityForm`].
        identity: Option<&'a Fragment>,
        /// The database as clients name it.
        database: &'a str,
        /// The role that the session logs in as.
        role: &'a str,
        /// The role whose grants it has.
        scope: &'a str,
        /// Until when one can log in as it.
        valid_until: Time,
    },
    /// A role that was kept prepared was given to a session.
    RoleGiven {
        /// The session.
        session: SessionId,
        /// Whose, from [`crate::IdentityForm`].
        identity: &'a Fragment,
        /// The database as clients name it.
        database: &'a str,
        /// The role.
        role: &'a str,
        /// The role whose grants it has.
        scope: &'a str,
    },
    /// A role was dropped.
    RoleGone {
        /// The session that it was for, if that is known.
        session: Option<SessionId>,
        /// The database as clients name it.
        database: &'a str,
        /// The role.
        role: &'a str,
        /// Why: `session_ended`, `unused`, `swept`, `scope_unused`.
        reason: &'a str,
        /// What became of what it owned: `reassigned`, `dropped`.
        owned: &'a str,
    },
    /// A session's role has the grants of another scope from now on.
    RoleMoved {
        /// The session.
        session: SessionId,
        /// The database as clients name it.
        database: &'a str,
        /// The role.
        role: &'a str,
        /// The scope role before.
        from: &'a str,
        /// The scope role now.
        to: &'a str,
    },
    /// A client that had proven who it is got no connection to the database: not its fault.
    UpstreamFailed {
        /// The connection.
        session: SessionId,
        /// Where from.
        client: ClientAddr,
        /// Whose, from [`crate::IdentityForm`].
        identity: &'a Fragment,
        /// The database as clients name it.
        database: &'a str,
        /// Why; for operators, never for the client.
        reason: &'a str,
        /// The server's own SQLSTATE, if it gave one.
        sqlstate: Option<&'a str>,
    },
    /// A legacy account logged in, and the last day on which it may is near.
    LegacyAccountEnds {
        /// The connection.
        session: SessionId,
        /// Where from.
        client: ClientAddr,
        /// The account, from [`crate::IdentityForm`].
        identity: &'a Fragment,
        /// The database as clients name it.
        database: &'a str,
        /// Its last day: `2027-03-31`.
        until: &'a str,
        /// Whom to ask about it.
        owner: Option<&'a str>,
    },
    /// Sessions were ended by somebody. Written before they end, but where the journal fails.
    SessionsEnded {
        /// Who did it: `issuer:subject`, or `local:uid=0` over the local socket.
        by: &'a str,
        /// Which: `identity corp:alice`, `group agents`, ...
        selector: &'a str,
        /// Why, as they said, and as clients are told.
        reason: &'a str,
        /// Who was found at that moment.
        sessions: &'a [SessionId],
        /// The block that was made with it.
        block: Option<&'a str>,
    },
    /// From now on some are refused when they connect.
    BlockAdded {
        /// Who did it.
        by: &'a str,
        /// The block's name.
        block: &'a str,
        /// Which.
        selector: &'a str,
        /// Why, as they said.
        reason: &'a str,
        /// Until when; `None`: until it is removed.
        until: Option<Time>,
        /// Only with tokens that were issued by then.
        issued_until: Option<Time>,
    },
    /// A block is no more. Written before it goes.
    BlockRemoved {
        /// Who did it.
        by: &'a str,
        /// The block's name.
        block: &'a str,
        /// Which.
        selector: &'a str,
    },
    /// An issuer said that trust in a subject or a session of its has ended.
    TrustEnded {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// How it said so: `backchannel-logout`, `session-revoked`.
        kind: &'a str,
        /// `sub`, if it names one.
        subject: Option<&'a str>,
        /// `sid`, if it names one.
        issuer_session: Option<&'a str>,
        /// The token's `jti`.
        token_id: &'a str,
        /// Who was found at that moment.
        sessions: &'a [SessionId],
    },
    /// Somebody asked for an administrative act, or told of one, and was refused.
    ControlRefused {
        /// What was asked for: `kill`, `logout`, ...
        act: &'a str,
        /// Where from; `None` over the local socket.
        client: Option<ClientAddr>,
        /// Who, if that was proven.
        by: Option<&'a str>,
        /// Why. For operators, never for the client.
        reason: &'a str,
    },
    /// Somebody has logged in with a browser.
    LoggedIn {
        /// Who: `issuer:subject`.
        by: &'a str,
        /// Where from.
        client: Option<ClientAddr>,
        /// Their session at the issuer, if it says so (`sid`).
        issuer_session: Option<&'a str>,
        /// What they may do by their groups: `viewer`, `approver`, ...
        roles: &'a [&'a str],
        /// When the login ends at the latest.
        until: Time,
    },
    /// A browser's login has ended before its time.
    LoggedOut {
        /// Whose it was.
        by: &'a str,
        /// Why: `logout`, or what took the trust away.
        reason: &'a str,
        /// How many logins.
        logins: u64,
    },
    /// The configuration was read again.
    ConfigurationReloaded {
        /// SHA-256 of the configuration, hex; `None` where it was refused, and all stays as it was.
        config_hash: Option<&'a str>,
        /// What has changed, or what is wrong with it.
        detail: &'a str,
    },
    /// Approvers are asked about a statement. Written before anybody can answer.
    ApprovalRequested(ApprovalRequested<'a>),
    /// Somebody says yes or no, or has looked at a break-glass. Written before it counts.
    ApprovalVoted(ApprovalVoted<'a>),
    /// A request is decided or over. Written before it is; where somebody else was faster, `approval_refused` with `overtaken` follows.
    ApprovalEnded(ApprovalEnded<'a>),
    /// A statement goes on by an approval. Written before it does.
    ApprovalUsed(ApprovalUsed<'a>),
    /// Somebody tried to decide who may not, or too late; or somebody else was faster.
    ApprovalRefused(ApprovalRefused<'a>),
    /// A delegation was made or ended.
    Delegation(DelegationChanged<'a>),
    /// Somebody has a statement run that nobody has approved. Written before it runs; to be reviewed.
    BreakGlass(ApprovalVoted<'a>),
    /// A channel of `[[notify]]` has taken a message.
    Notified(Notified<'a>),
    /// A message did not arrive, again and again, or for good.
    NotificationFailed(NotificationFailed<'a>),
    /// A call by which somebody wanted to decide something was forged, repeated, old, or of nobody who is known.
    NotifyCallRefused(NotifyCallRefused<'a>),
    /// A statement that waits for approval is run and rolled back, to tell an approver how many rows it would change. Twice: before, and what
    /// came of it.
    RowsCounted(RowsCounted<'a>),
    /// A stream of audit events does not get on. Once, until it does again.
    StreamFailed {
        /// The name of the `[[stream]]`.
        stream: &'a str,
        /// Why.
        reason: &'a str,
        /// The record that waits.
        waiting: Seq,
    },
    /// A stream gets on again.
    StreamRecovered {
        /// The name of the `[[stream]]`.
        stream: &'a str,
        /// The last record that has arrived.
        delivered: Seq,
    },
    /// Records are gone from the journal that had not gone by a stream.
    StreamGap {
        /// The name of the `[[stream]]`.
        stream: &'a str,
        /// The first that is gone.
        first: Seq,
        /// The last.
        last: Seq,
    },
    /// Something became of the audit trail itself.
    Integrity(Integrity<'a>),
    /// A session is recorded. Written when the recording's file is there.
    RecordingStarted(RecordingStarted<'a>),
    /// How far a recording has come: what is in it by then can't be changed without its being found.
    RecordingAnchored(RecordingAnchored<'a>),
    /// A recording is closed.
    RecordingEnded(RecordingEnded<'a>),
    /// From here a session isn't recorded, though it should be.
    RecordingLost(RecordingLost<'a>),
    /// A recording is in an object store, and no longer in the gateway's folder.
    RecordingArchived(RecordingArchived<'a>),
    /// The journal's clock went backwards between the record before and this one. Written by the journal itself.
    ClockStepped {
        /// The time of the record before.
        from: Time,
        /// The clock now.
        to: Time,
    },
    /// The journal was opened after a crash that left a torn end, which was cut off. Written by the journal itself.
    JournalRecovered {
        /// The segment's file name.
        segment: &'a str,
        /// Where in it the torn end began, in bytes.
        offset: u64,
        /// How many bytes were cut.
        bytes: u64,
        /// SHA-256 of what was cut, hex.
        sha256: &'a str,
        /// The name of the file that keeps what was cut.
        kept_as: &'a str,
    },
    /// Records could not be written or synced for a while. Written by the journal itself when they could again.
    JournalFaulted {
        /// `write`, `sync`, ...
        operation: &'a str,
        /// The operating system's words.
        detail: &'a str,
        /// The first record that was late.
        first: Seq,
        /// The last record that was late.
        last: Seq,
    },
}

/// See [`Event::SessionStarted`].
#[derive(Clone, Debug)]
pub struct SessionStarted<'a> {
    /// The connection.
    pub session: SessionId,
    /// Where from.
    pub client: ClientAddr,
    /// Who.
    pub identity: &'a Identity,
    /// How it was proven: [`model::Method::as_str`].
    pub method: &'a str,
    /// The startup packet's `user`.
    pub user: &'a str,
    /// The database as clients name it.
    pub database: &'a str,
    /// The startup packet's `application_name`.
    pub application_name: &'a str,
    /// The upstream backend's process id.
    pub backend_pid: i32,
    /// The bundle's name.
    pub bundle: &'a str,
    /// The bundle's own version.
    pub bundle_version: &'a str,
    /// SHA-256 of the bundle, hex.
    pub bundle_hash: &'a str,
    /// When the credential ends.
    pub expires_at: Option<Time>,
    /// Who acted before, by the credential, latest first; written only if there is somebody.
    pub prior_actors: &'a [model::Party],
}

/// See [`Event::Statement`].
#[derive(Clone, Debug)]
pub struct Statement<'a> {
    /// The connection.
    pub session: SessionId,
    /// Its number in the session, from 1.
    pub statement: u64,
    /// Who, from [`crate::IdentityForm`].
    pub identity: &'a Fragment,
    /// Where from.
    pub client: ClientAddr,
    /// `application_name`, as it is now.
    pub application_name: &'a str,
    /// The database as clients name it.
    pub database: &'a str,
    /// How it came.
    pub protocol: Protocol,
    /// The whole text, the literals of secrets already taken out.
    pub text: &'a str,
    /// The values bound to `$1`, `$2`, ...
    pub parameters: &'a [Parameter<'a>],
    /// What it touches, the rules, the masks, from [`crate::Decision`].
    pub decision: &'a Fragment,
    /// The verdict.
    pub verdict: Verdict,
    /// What the client was told, where it was refused.
    pub refusal: Option<Refusal<'a>>,
    /// What the gateway waits for before it goes on.
    pub durability: Durability,
    /// The request for approval that let it pass, or that it was refused by.
    pub approval: Option<u64>,
}

/// How a statement reached the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Query.
    Simple,
    /// Parse, Bind, Execute.
    Extended,
}

/// A value bound to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// NULL.
    Null,
    /// Text format; bytes that are not UTF-8 are written as hex.
    Text(&'a [u8]),
    /// Binary format; written as hex.
    Binary(&'a [u8]),
    /// A secret: only its length is written.
    Withheld(usize),
}

/// What was decided. `Observed…` is what would have been with `enforce = true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forwarded, result untouched.
    Allow,
    /// Forwarded, result masked.
    Mask,
    /// Waits for approval, or is refused for want of it.
    Hold,
    /// Refused.
    Deny,
    /// Forwarded; the mask was not applied.
    ObservedMask,
    /// Forwarded without the approval.
    ObservedHold,
    /// Forwarded all the same.
    ObservedDeny,
}

impl Verdict {
    /// Returns the word in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Mask => "mask",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::ObservedMask => "observed-mask",
            Self::ObservedHold => "observed-hold",
            Self::ObservedDeny => "observed-deny",
        }
    }
}

/// What a refused client was told.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The SQLSTATE sent.
    pub sqlstate: &'a str,
    /// The message sent.
    pub message: &'a str,
}

/// Which receipt the statement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The record has left the process.
    Written,
    /// The record is on disk.
    Durable,
}

/// See [`Event::Outcome`].
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The connection.
    pub session: SessionId,
    /// The statement's number in the session.
    pub statement: u64,
    /// How it ended.
    pub completion: Completion<'a>,
    /// Rows returned or copied.
    pub rows: u64,
    /// Bytes of those rows, as they were on the wire.
    pub bytes: u64,
    /// From forwarding to the end.
    pub duration: Duration,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug)]
pub enum Completion<'a> {
    /// With this command tag.
    Completed(&'a str),
    /// With an error of this SQLSTATE.
    Failed(&'a str),
    /// Unknown: the connection ended first; says why.
    Lost(&'a str),
}

/// An event's stable number, in the record's header. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl Event<'_> {
    /// Returns the event's stable number.
    pub const fn code(&self) -> Code {
        Code(match self {
            Self::GatewayStarted { .. } => 1,
            Self::GatewayStopped { .. } => 2,
            Self::PolicyLoaded { .. } => 3,
            Self::PolicyRefused { .. } => 4,
            Self::Connected { .. } => 10,
            Self::AuthenticationFailed { .. } => 11,
            Self::SessionStarted(_) => 12,
            Self::Disconnected { .. } => 13,
            Self::Statement(_) => 20,
            Self::Outcome(_) => 21,
            Self::Incident { .. } => 30,
            Self::ClockStepped { .. } => 40,
            Self::JournalRecovered { .. } => 41,
            Self::JournalFaulted { .. } => 42,
            Self::RoleMade { .. } => 50,
            Self::RoleGiven { .. } => 51,
            Self::RoleGone { .. } => 52,
            Self::RoleMoved { .. } => 53,
            Self::UpstreamFailed { .. } => 54,
            Self::LegacyAccountEnds { .. } => 55,
            Self::SessionsEnded { .. } => 60,
            Self::BlockAdded { .. } => 61,
            Self::BlockRemoved { .. } => 62,
            Self::TrustEnded { .. } => 63,
            Self::ControlRefused { .. } => 64,
            Self::LoggedIn { .. } => 90,
            Self::LoggedOut { .. } => 91,
            Self::ConfigurationReloaded { .. } => 65,
            Self::LimitExceeded { .. } => 70,
            Self::ApprovalRequested(_) => 80,
            Self::ApprovalVoted(_) => 81,
            Self::ApprovalEnded(_) => 82,
            Self::ApprovalUsed(_) => 83,
            Self::ApprovalRefused(_) => 84,
            Self::Delegation(_) => 85,
            Self::BreakGlass(_) => 86,
            Self::Notified(_) => 95,
            Self::NotificationFailed(_) => 96,
            Self::NotifyCallRefused(_) => 97,
            Self::RowsCounted(_) => 88,
            Self::StreamFailed { .. } => 110,
            Self::StreamRecovered { .. } => 111,
            Self::StreamGap { .. } => 112,
            Self::Integrity(it) => it.code().0,
            Self::RecordingStarted(_) => 100,
            Self::RecordingAnchored(_) => 101,
            Self::RecordingEnded(_) => 102,
            Self::RecordingLost(_) => 103,
            Self::RecordingArchived(_) => 104,
        })
    }

    /// Returns the event's stable name, the `event` field of its record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GatewayStarted { .. } => "gateway_started",
            Self::GatewayStopped { .. } => "gateway_stopped",
            Self::PolicyLoaded { .. } => "policy_loaded",
            Self::PolicyRefused { .. } => "policy_refused",
            Self::Connected { .. } => "connected",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::SessionStarted(_) => "session_started",
            Self::Disconnected { .. } => "disconnected",
            Self::Statement(_) => "statement",
            Self::Outcome(_) => "outcome",
            Self::Incident { .. } => "incident",
            Self::ClockStepped { .. } => "clock_stepped",
            Self::JournalRecovered { .. } => "journal_recovered",
            Self::JournalFaulted { .. } => "journal_faulted",
            Self::RoleMade { .. } => "role_made",
            Self::RoleGiven { .. } => "role_given",
            Self::RoleGone { .. } => "role_gone",
            Self::RoleMoved { .. } => "role_moved",
            Self::UpstreamFailed { .. } => "upstream_failed",
            Self::LegacyAccountEnds { .. } => "legacy_account_ends",
            Self::SessionsEnded { .. } => "sessions_ended",
            Self::BlockAdded { .. } => "block_added",
            Self::BlockRemoved { .. } => "block_removed",
            Self::TrustEnded { .. } => "trust_ended",
            Self::ControlRefused { .. } => "control_refused",
            Self::LoggedIn { .. } => "logged_in",
            Self::LoggedOut { .. } => "logged_out",
            Self::ConfigurationReloaded { .. } => "configuration_reloaded",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::ApprovalRequested(_) => "approval_requested",
            Self::ApprovalVoted(_) => "approval_voted",
            Self::ApprovalEnded(_) => "approval_ended",
            Self::ApprovalUsed(_) => "approval_used",
            Self::ApprovalRefused(_) => "approval_refused",
            Self::Delegation(_) => "delegation",
            Self::BreakGlass(_) => "break_glass",
            Self::Notified(_) => "notified",
            Self::NotificationFailed(_) => "notification_failed",
            Self::NotifyCallRefused(_) => "notify_call_refused",
            Self::RowsCounted(_) => "rows_counted",
            Self::StreamFailed { .. } => "stream_failed",
            Self::StreamRecovered { .. } => "stream_recovered",
            Self::StreamGap { .. } => "stream_gap",
            Self::Integrity(it) => it.name(),
            Self::RecordingStarted(_) => "recording_started",
            Self::RecordingAnchored(_) => "recording_anchored",
            Self::RecordingEnded(_) => "recording_ended",
            Self::RecordingLost(_) => "recording_lost",
            Self::RecordingArchived(_) => "recording_archived",
        }
    }
}
