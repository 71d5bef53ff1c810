//! What becomes of the audit trail itself: who signs it, what leaves it, what must stay.

use crate::event::Code;
use crate::json::Object;

/// See [`Event::Integrity`](crate::Event::Integrity).
#[derive(Clone, Copy, Debug)]
pub enum Integrity<'a> {
    /// No checkpoint could be signed. The first of a row of failures.
    SigningFailed {
        /// Why.
        reason: &'a str,
    },
    /// Another key signs from here on; the one before has signed that it hands over.
    SigningKeyChanged {
        /// The public key until now, as `NAME+ID+KEY`.
        from: &'a str,
        /// The public key from now on.
        to: &'a str,
        /// How many records the last checkpoint of the old key covers.
        size: u64,
    },
}

impl Integrity<'_> {
    pub(crate) const fn code(&self) -> Code {
        Code(match self {
            Self::SigningFailed { .. } => 105,
            Self::SigningKeyChanged { .. } => 106,
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::SigningFailed { .. } => "signing_failed",
            Self::SigningKeyChanged { .. } => "signing_key_changed",
        }
    }

    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        match self {
            Self::SigningFailed { reason } => o.text("reason", reason),
            Self::SigningKeyChanged { from, to, size } => {
                o.text("from", from).text("to", to).number("size", *size)
            }
        }
    }
}
