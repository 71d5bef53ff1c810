//! Finds the literals of a statement that are secrets, by the words before them. Best effort: for records, not
//! for decisions. Knows no grammar.

use std::ops::Range;

use crate::tokens::{Kind, Token};

/// Words after which a literal is a secret.
const BEFORE: [&[u8]; 5] = [b"password", b"passwd", b"connection", b"passfile", b"sslpassword"];

/// Functions that take a connection string, or a secret, as an argument.
const CALLS: [&[u8]; 12] = [
    b"dblink",
    b"dblink_connect",
    b"dblink_connect_u",
    b"dblink_exec",
    b"dblink_open",
    b"dblink_send_query",
    b"crypt",
    b"hmac",
    b"pgp_sym_encrypt",
    b"pgp_sym_decrypt",
    b"pgp_sym_encrypt_bytea",
    b"pgp_sym_decrypt_bytea",
];

/// Byte ranges of a statement's secrets.
pub(crate) fn find(text: &[u8], tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // Parentheses open since a call that takes secrets.
    let mut call_depth = 0_usize;
    let mut previous: Option<&Token> = None;
    for token in tokens {
        let before = previous.map(|token| (token.kind, token.text(text)));
        match token.kind {
            Kind::Mark if token.text(text) == b"(" => {
                let takes = before.is_some_and(|(kind, word)| kind == Kind::Word && one_of(&CALLS, word));
                call_depth += usize::from(takes || call_depth > 0);
            }
            Kind::Mark if token.text(text) == b")" => call_depth = call_depth.saturating_sub(1),
            Kind::Text | Kind::National | Kind::Unicode => {
                let named = before.is_some_and(|(kind, word)| match kind {
                    Kind::Word => one_of(&BEFORE, word),
                    Kind::Quoted => {
                        word.get(1..word.len().saturating_sub(1)).is_some_and(|w| one_of(&BEFORE, w))
                    }
                    _ => false,
                });
                if named || call_depth > 0 || holds_password(token.text(text)) {
                    found.push(token.range());
                }
            }
            _ => {}
        }
        previous = Some(token);
    }
    found
}

fn one_of(words: &[&[u8]], word: &[u8]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// A connection string or URL with a password in it.
fn holds_password(literal: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(literal) else { return false };
    let lower = text.to_ascii_lowercase();
    let keyword = lower.split_once("password").is_some_and(|(_, rest)| rest.trim_start().starts_with('='));
    let url = lower.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    keyword || url.is_some_and(|(user, _)| user.contains(':') && !user.contains('/'))
}
