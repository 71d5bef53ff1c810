//! What the client reads of approvals: that its statement is held, and why one that approvers were to agree to is refused.
//!
//! Knows words and SQLSTATEs; decides nothing.

use std::time::SystemTime;

use approval::{Ended, Number, Waiting};
use wire::error::{ErrorFields, Severity};
use wire::sqlstate;

use crate::refuse::Refusal;

/// A statement that approvers would have to agree to, and have not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapproved {
    /// What needs approval.
    pub(crate) what: String,
    /// The request, if there is one.
    pub(crate) number: Option<Number>,
    /// Why it is refused.
    pub(crate) why: Why,
}

/// Why an unapproved statement is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Approvers have been asked, and the client doesn't wait.
    Pending(Box<Waiting>),
    /// An approver said no.
    Denied {
        /// Who.
        by: String,
        /// What the requester is told.
        message: Option<String>,
    },
    /// The request is over, undecided.
    Ended(Ended),
    /// Approvers can't be asked.
    Unavailable(String),
    /// A transaction is open, and the policy holds nothing there.
    InTransaction(Vec<String>),
    /// The transaction that is open has failed.
    Aborted,
}

impl Unapproved {
    /// What was approved was approved under another policy.
    pub(crate) fn changed(number: Option<Number>) -> Refusal {
        let what = "what it was approved under".to_owned();
        Refusal::Unapproved(Box::new(Self { what, number, why: Why::Ended(Ended::PolicyChanged) }))
    }

    /// Returns the error as the client gets it.
    pub(crate) fn error(&self) -> ErrorFields {
        use sqlstate as s;
        let error = |code, text: String| ErrorFields::new(Severity::Error, code, text);
        let what = &self.what;
        let number = self.number.map(|number| number.to_string()).unwrap_or_default();
        match &self.why {
            Why::Pending(waiting) => {
                let until = time(waiting.until.into());
                error(s::APPROVAL_PENDING, format!("approval {number} is pending: {what}"))
                    .detail(asked(&waiting.asked, &until, waiting.link.as_deref()))
                    .hint("Send the same statement again when it is approved.")
            }
            Why::Denied { by, message } => {
                let said = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                error(s::INSUFFICIENT_PRIVILEGE, format!("approval {number} was denied{said}"))
                    .detail(format!("Denied by {by}. It was asked for: {what}."))
            }
            Why::Ended(Ended::Cancelled) => {
                let text = "canceling statement due to user request".to_owned();
                error(s::QUERY_CANCELED, text).detail(request(&number, "It waited for approval"))
            }
            Why::Ended(why) => {
                let (text, hint) = match why {
                    Ended::Expired => ("nobody approved it in time", "Send the statement again to ask again."),
                    Ended::PolicyChanged => {
                        ("the policy has changed", "Send the statement again: it is decided anew.")
                    }
                    Ended::Withdrawn | Ended::Cancelled => {
                        ("the request was withdrawn", "Send the statement again to ask again.")
                    }
                    Ended::SessionEnded | Ended::Lost => {
                        ("the gateway lost the request", "Send the statement again to ask again.")
                    }
                };
                error(s::APPROVAL_ENDED, format!("statement not approved: {text}"))
                    .detail(request(&number, &format!("It was asked for: {what}")))
                    .hint(hint)
            }
            Why::Unavailable(why) => {
                error(s::APPROVAL_UNAVAILABLE, format!("statement refused: approval can't be asked for: {what}"))
                    .detail(why)
                    .hint("Tell the operator of the gateway. Nothing is open: send the statement again later.")
            }
            Why::InTransaction(approvers) => {
                error(s::INSUFFICIENT_PRIVILEGE, format!("approval required: {what}"))
                    .detail(format!(
                        "The policy allows this when approved by: {}. In an open transaction, whose locks others wait for, it doesn't hold \
                         statements.",
                        approvers.join(" and ")
                    ))
                    .hint(
                        "Send it outside of a transaction, or have it approved before: SET gatepost.approval = async asks, refuses, and lets \
                         it through when it is sent again after approval.",
                    )
            }
            Why::Aborted => error(
                s::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block".to_owned(),
            ),
        }
    }
}

fn request(number: &str, text: &str) -> String {
    if number.is_empty() { format!("{text}.") } else { format!("{text}, by request {number}.") }
}

fn asked(groups: &[String], until: &str, link: Option<&str>) -> String {
    let link = link.map(|link| format!(" {link}")).unwrap_or_default();
    format!("Asked: {}; until {until}.{link}", groups.join(" and "))
}

/// What the client is told at once of a statement that is held.
pub(crate) fn held(waiting: &Waiting, what: &str) -> ErrorFields {
    let number = waiting.number;
    let until = time(waiting.until.into());
    let text = format!(
        "statement held: approval {number} is asked of {}, until {until}",
        waiting.asked.join(" and ")
    );
    let notice = ErrorFields::new(Severity::Notice, sqlstate::STATEMENT_HELD, text)
        .detail(format!("It needs approval: {what}. Nothing of it has run."));
    match &waiting.link {
        Some(link) => {
            notice.hint(format!("Approvers decide at {link} or with: gatepost approvals show {number}"))
        }
        None => notice.hint(format!("Approvers decide with: gatepost approvals show {number}")),
    }
}

/// RFC 3339, in seconds.
fn time(at: SystemTime) -> String {
    let text = audit::Time::from(at).to_string();
    text.split_once('.').map(|(seconds, _)| format!("{seconds}Z")).unwrap_or(text)
}
