//! Recordings for other programs: JSON lines, asciicast, an SQL script, a page that plays by itself. Each is a writer that takes entries
//! one by one and returns text: a recording of any size passes through.

mod asciicast;
mod html;
mod jsonl;
mod sql;

pub use asciicast::Asciicast;
pub use html::Html;
pub(crate) use html::{PLAYER, STYLE};
pub use jsonl::Jsonl;
pub use sql::SqlScript;

use std::time::Duration;

use audit::Time;
use recording::Opening;

/// When something was, as RFC 3339 has it.
fn moment(opening: &Opening, at: Duration) -> String {
    let at = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    Time(opening.began.saturating_mul(1000).saturating_add(at)).to_string()
}
