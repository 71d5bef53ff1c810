//! Recorded statements as policy sees them: what another bundle makes of them, and which bundle they need.
//!
//! Pure: records in, findings and texts out. Knows what the journal's records look like and what policy decides; no files, no clock, no
//! database. What is only known of a statement's text, such as what an expression would tell of a masked column, is not decided again.

mod cedar;
mod compare;
mod recorded;
mod suggest;

pub use compare::{Change, Changed, Comparison, Difference};
pub use recorded::{Met, Recorded, Recording, Unread};
pub use suggest::{For, Suggestion, suggest};
