//! Pieces in colour, for terminals that have it. Knows ECMA-48's SGR; no terminal.

use crate::piece::{Kind, Piece};

/// Writes a piece with the colour of what it is.
pub fn coloured(piece: &Piece) -> String {
    let on = match piece.kind {
        Kind::Statement => "\u{1b}[1m",
        Kind::Input | Kind::Rows => return piece.text.clone(),
        Kind::Tag => "\u{1b}[32m",
        Kind::Notice => "\u{1b}[33m",
        Kind::Error => "\u{1b}[31m",
        Kind::Refusal => "\u{1b}[1;35m",
        Kind::Hold => "\u{1b}[36m",
        Kind::Note => "\u{1b}[2m",
    };
    // Each line by itself: whoever cuts a line in two cuts no other's colour.
    piece.text.split_inclusive('\n').fold(String::new(), |mut text, line| {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        text.extend([on, line, "\u{1b}[0m", end]);
        text
    })
}
