//! Splits a message's text into statements and has each one read. Knows limits and positions, not statements.

use std::ops::Range;

use crate::tokens::{Token, Tokens, tokens, too_dear};
use crate::{Limits, Statement, Strings, SyntaxError, grammar, read};

/// Splits a message's text, classifies each statement and takes it apart. Empty text: no statement.
///
/// Reads literals as with `standard_conforming_strings` on: the caller must see to it that it is.
///
/// Needs a stack of [`STACK_BYTES`](crate::STACK_BYTES).
///
/// # Errors
/// The client's fault: the text is over a limit, has a NUL in it, or isn't PostgreSQL 18's SQL. As in PostgreSQL one
/// statement that can't be read spoils the whole text.
pub fn parse(text: &str, limits: Limits) -> Result<Vec<Statement>, SyntaxError> {
    parse_with(text, limits, read::Inner::Asked)
}

/// As [`parse`], but asks nothing about queries and expressions inside definitions: what they name is asked about instead, each
/// name for all that it can mean. For definitions whose queries the server doesn't take by themselves.
///
/// # Errors
/// As [`parse`].
pub fn parse_by_names(text: &str, limits: Limits) -> Result<Vec<Statement>, SyntaxError> {
    parse_with(text, limits, read::Inner::Named)
}

fn parse_with(text: &str, limits: Limits, inner: read::Inner) -> Result<Vec<Statement>, SyntaxError> {
    if text.len() > limits.bytes_max {
        let message =
            format!("statement of {} bytes is longer than the limit of {}", text.len(), limits.bytes_max);
        return Err(SyntaxError { message, position: None, sqlstate: "54000" });
    }
    if let Some(at) = text.find('\0') {
        return Err(refused("invalid byte 0x00 in statement".to_owned(), Some(chars(text, at) + 1)));
    }
    if too_dear(text.as_bytes(), Strings::Standard) {
        let message = "too many comments and operators without a space between them".to_owned();
        return Err(SyntaxError { message, position: None, sqlstate: "54000" });
    }
    let parts = parts(text.as_bytes());
    if parts > limits.statements_max.max(COUNTED_PARTS_MIN) {
        return Err(too_many(parts, limits));
    }
    let trees = grammar::raw(text).map_err(|message| {
        if TOO_DEEP.contains(&message.as_str()) {
            let message = "statement is nested too deeply to be read".to_owned();
            return SyntaxError { message, position: None, sqlstate: "54001" };
        }
        SyntaxError { position: position(text, &message), message, sqlstate: "42601" }
    })?;
    if trees.len() > limits.statements_max {
        return Err(too_many(trees.len(), limits));
    }
    // SECURITY: what PostgreSQL's scanner accepted and ours doesn't is a difference to refuse, not to guess about.
    let tokens = tokens(text.as_bytes(), Strings::Standard)
        .map_err(|_| refused("the statement's literals can't be read with certainty".to_owned(), None))?;

    let mut statements = Vec::with_capacity(trees.len());
    let mut rest = tokens.as_slice();
    for tree in trees {
        let start = usize::try_from(tree.stmt_location).unwrap_or_default();
        let end = match usize::try_from(tree.stmt_len) {
            Ok(0) | Err(_) => text.len(),
            Ok(bytes) => start + bytes,
        };
        let own = split(&mut rest, text.as_bytes(), start..end);
        let (Some(first), Some(last), Some(node)) =
            (own.first(), own.last(), tree.stmt.and_then(|stmt| stmt.node))
        else {
            return Err(refused("the statement's end can't be found".to_owned(), None));
        };
        let range = first.start..last.end;
        statements.push(read::statement(read::Source { text, tokens: own, range }, node, inner));
    }
    Ok(statements)
}

/// From so many on, parts between semicolons count as statements, so that the time to parse them is saved. Below, the
/// statements of a function's body (`BEGIN ATOMIC`) are parts that aren't.
const COUNTED_PARTS_MIN: usize = 1_000;

/// How many parts that aren't empty semicolons make.
fn parts(text: &[u8]) -> usize {
    let mut reader = Tokens::new(text, Strings::Standard);
    let (mut parts, mut empty) = (0, true);
    while let Ok(Some(token)) = reader.next() {
        if token.is_mark(text, b";") {
            empty = true;
        } else if std::mem::take(&mut empty) {
            parts += 1;
        }
    }
    parts
}

fn too_many(count: usize, limits: Limits) -> SyntaxError {
    let message = format!("{count} statements in one message, the limit is {}", limits.statements_max);
    SyntaxError { message, position: None, sqlstate: "54000" }
}

/// What libpg_query says of a tree that its 2 MB of stack don't suffice for (pg_query.c, `set_max_stack_depth`, and
/// pg_query_outfuncs_protobuf.c): some 300 sub-selects, or 700 operators one after another.
const TOO_DEEP: [&str; 2] =
    ["stack depth limit exceeded", "parse tree is nested too deeply to serialize to protobuf"];

/// Takes the tokens of one statement off the front of `rest`, semicolons around it left out.
fn split<'a>(rest: &mut &'a [Token], text: &[u8], range: Range<usize>) -> &'a [Token] {
    let begin = rest.partition_point(|token| token.start < range.start);
    let all = rest.get(begin..).unwrap_or_default();
    let (mut own, after) = all.split_at(all.partition_point(|token| token.end <= range.end));
    *rest = after;
    while let Some((_, tail)) = own.split_first().filter(|(first, _)| first.is_mark(text, b";")) {
        own = tail;
    }
    while let Some((_, head)) = own.split_last().filter(|(last, _)| last.is_mark(text, b";")) {
        own = head;
    }
    own
}

fn refused(message: String, position: Option<usize>) -> SyntaxError {
    SyntaxError { message, position, sqlstate: "42601" }
}

fn chars(text: &str, bytes: usize) -> usize {
    text.get(..bytes).map_or(0, |before| before.chars().count())
}

/// Longest text in which the place of an error is looked for: it takes several readings of the text.
const POSITION_BYTES_MAX: usize = 64 << 10;

/// Where PostgreSQL's error is, in characters from 1.
///
/// pg_query's Rust side drops the position. Its message quotes the token it stopped at; of those that look so, the
/// first is meant after which the text, cut there, fails with the same words (PostgreSQL's grammar is LR: it stops at
/// the first token that can't go on, having looked at the next one at most).
fn position(text: &str, message: &str) -> Option<usize> {
    if message.ends_with("at end of input") {
        return Some(text.chars().count() + 1);
    }
    if text.len() > POSITION_BYTES_MAX {
        return None;
    }
    let (_, near) = message.split_once(" at or near \"")?;
    let near = near.strip_suffix('"')?;
    let Ok(all) = tokens(text.as_bytes(), Strings::Standard) else {
        // The scanner stopped: it quotes all that is left, or the character.
        let at = if text.ends_with(near) { text.len() - near.len() } else { text.find(near)? };
        return Some(chars(text, at) + 1);
    };
    let alike: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text(text.as_bytes()) == near.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let fails = |at: &usize| {
        let mut ends = all.iter().skip(*at).take(2).filter_map(|token| text.get(..token.end));
        ends.any(|cut| grammar::raw(cut).is_err_and(|error| error == message))
    };
    let meant = alike.get(alike.partition_point(|at| !fails(at)))?;
    all.get(*meant).map(|token| chars(text, token.start) + 1)
}
