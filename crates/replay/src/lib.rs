//! Recordings as people see them: printed as psql prints, played in time, exported, compared with what another database says.
//!
//! Pure: entries in, text and decisions out. Knows no file, no terminal, no clock and no connection. Whatever it writes is safe:
//! nothing that was recorded steers a terminal, hides, or becomes markup.

mod ansi;
mod compare;
pub mod export;
mod fault;
mod lexer;
mod piece;
mod player;
mod printer;
mod safe;
mod table;
mod timeline;
mod values;

pub use ansi::coloured;
pub use compare::{Chain, Comparison, Control, Difference, Outcome, Tally, compare, control};
pub use piece::{Kind, Piece, clock};
pub use player::{Command, Done, Player, Poll};
pub use printer::{Printer, Style};
pub use table::Column;
pub use timeline::{Moment, Timeline};

/// The player as an ECMAScript module, for pages.
pub const PLAYER_MODULE: &str = export::PLAYER;
/// How it looks.
pub const PLAYER_STYLE: &str = export::STYLE;
