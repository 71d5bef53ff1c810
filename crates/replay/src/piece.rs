//! What is shown of a recording, piece by piece: text that is safe anywhere, and what it is. Knows no terminal and no markup.

use std::time::Duration;

use recording::Mark;
use serde::Serialize;

/// A stretch of what was to be seen: whole lines, the last one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Since the session began.
    pub at: Duration,
    /// Which statement it belongs to; 0 for none.
    pub statement: u64,
    /// What it is.
    pub kind: Kind,
    /// Its lines. Nothing in it steers a terminal or hides; it is not markup, and has to be escaped where it becomes a part of one.
    pub text: String,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A statement, as it was sent.
    Statement,
    /// Lines of data that the client sent for COPY.
    Input,
    /// Rows that it received, or data of COPY.
    Rows,
    /// How the server says that it is done.
    Tag,
    /// A notice, or a notification.
    Notice,
    /// An error of the server's.
    Error,
    /// An error of the gateway's, instead of a result.
    Refusal,
    /// It waits for approval, or no longer.
    Hold,
    /// What the recording says of itself or of the session; it was on nobody's screen.
    Note,
}

impl Kind {
    /// Returns the word that exports and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Input => "input",
            Self::Rows => "rows",
            Self::Tag => "tag",
            Self::Notice => "notice",
            Self::Error => "error",
            Self::Refusal => "refusal",
            Self::Hold => "hold",
            Self::Note => "note",
        }
    }

    /// Returns the mark that it has on a timeline.
    pub const fn mark(self) -> Option<Mark> {
        match self {
            Self::Statement => Some(Mark::Statement),
            Self::Error => Some(Mark::Error),
            Self::Refusal => Some(Mark::Refusal),
            Self::Hold => Some(Mark::Hold),
            Self::Input | Self::Rows | Self::Tag | Self::Notice | Self::Note => None,
        }
    }
}

/// Writes a time of a session: `0:03.214`, `1:02:03.000`.
pub fn clock(at: Duration) -> String {
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}.{millis:03}")
    } else {
        format!("{minutes}:{rest:02}.{millis:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_has_hours_where_there_are_any() {
        assert_eq!(clock(Duration::from_millis(3214)), "0:03.214");
        assert_eq!(clock(Duration::from_millis(3_723_000)), "1:02:03.000");
    }
}
