//! Audit events, their canonical bytes, the hash chain and its verification.
//!
//! Knows no files, no clock, no policy: times, bytes and what was decided are given. What is written here is read by
//! auditors years later: codes, field names and bytes of a released format never change, they are only added to.
//!
//! ```text
//! segment = header record*
//! header  = magic[8] version:u16 zero:u16 first_seq:u64 journal:[16] previous:[32] crc:u32          (72 bytes)
//! record  = crc:u32 length:u32 seq:u64 time:i64 kind:u8 zero:u8 code:u16 hash:[32] payload[length]  (60 bytes + payload)
//! hash    = SHA-256("gatepost record 1" previous seq time kind zero code length SHA-256(payload))
//! ```
//!
//! All integers are little-endian. A CRC covers the rest of its header or record; it finds accidents, and the hash finds
//! intent. `previous` is the hash of the record before the segment's first; before record 1 it is
//! `SHA-256("gatepost journal 1" journal)`. A payload is one JSON object on one line, fields in a fixed order.

mod approval;
mod chain;
mod decision;
mod encode;
mod event;
mod frame;
mod integrity;
mod json;
mod notice;
mod recording;
pub mod render;
mod time;
mod verify;

pub use approval::{
    ApprovalEnded, ApprovalNeed, ApprovalRefused, ApprovalRequested, ApprovalUsed, ApprovalVoted,
    DelegationChanged, RowsCounted,
};
pub use chain::{Chain, TooLong};
pub use decision::{Decision, FunctionFacts, IdentityForm, MaskUse, StatementFacts, Touch, TouchFacts};
pub use encode::{Encoded, PARAMETER_BYTES_MAX};
pub use event::{
    Code, Completion, Durability, Event, Outcome, Parameter, Protocol, Refusal, SessionStarted, Statement,
    Verdict,
};
pub use frame::{
    FORMAT_VERSION, Frame, FrameError, HEADER_BYTES, Hash, HeaderError, JournalId, Kind, PAYLOAD_BYTES_MAX,
    PREFIX_BYTES, Record, SegmentHeader, Seq,
};
pub use integrity::Integrity;
pub use json::{Fragment, NotAFragment, is_deceptive};
pub use notice::{NotificationFailed, Notified, NotifyCallRefused};
pub use recording::{RecordingAnchored, RecordingArchived, RecordingEnded, RecordingLost, RecordingStarted};
pub use time::Time;
pub use verify::{Anchor, Finding, Problem, Report, Start, Verifier, classify, next_record, verify};
