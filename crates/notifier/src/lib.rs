//! What approvers are told where they already are, and what is believed of what comes back from there.
//!
//! `letter` says what there is to say of a request, `shown` makes strangers' text harmless; `slack`, `teams`, `email` and `webhook` are that for one
//! kind of channel each; `signature` signs and checks, `inbound` reads what somebody answers; `send` is the only part that does I/O.
//! Knows no store, decides nothing about a request, and fetches no secret.

mod email;
mod inbound;
mod letter;
mod send;
mod shown;
mod signature;
mod slack;
mod teams;
#[cfg(test)]
mod testdata;
mod webhook;

pub use inbound::{BadCall, Decision, Said, interaction, webhook_decision};
pub use letter::{DIGEST_MAX, Event, Letter};
pub use send::{Failure, Outgoing, Receipt, Secrets, Sender, Whose};
pub use signature::{BadSignature, SlackHeaders, WINDOW, WebhookHeaders, WebhookSecret, slack_verify};
pub use slack::{Approvable, LONGEST_SHOWN};
