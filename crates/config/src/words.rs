//! What several tables read alike: names, words out of a list, keys that a kind must have. Knows no table.

use std::net::IpAddr;

use crate::context::Context;
use crate::keys;
use crate::read::{Table, Value};

/// Reads a name that becomes part of a path, a metric or an URL.
pub(crate) fn name(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if text.len() <= 40 && text.chars().all(plain) {
        return Some(text);
    }
    let message = format!(
        "\"{}\" must be at most 40 lower-case letters, digits, \"-\" and \"_\": it is part of an URL",
        text.escape_debug()
    );
    context.error(value.span(), message);
    None
}

/// Reads one of some words.
pub(crate) fn one_of<T: Copy>(
    value: &Value<'_>,
    known: &[(&'static str, T)],
    context: &mut Context<'_>,
) -> Option<T> {
    let text = value.string(context)?;
    if let Some((_, found)) = known.iter().find(|(word, _)| *word == text) {
        return Some(*found);
    }
    let words: Vec<_> = known.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let nearest = keys::nearest(&text, known.iter().map(|(word, _)| *word));
    let nearest = nearest.map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
    let message = format!("\"{}\" must be one of {}{nearest}", value.name(), words.join(", "));
    context.error(value.span(), message);
    None
}

/// Reads a key that this kind must have.
pub(crate) fn required<'t>(table: &Table<'t>, key: &str, context: &mut Context<'_>) -> Option<Value<'t>> {
    let value = table.value(key, context);
    if value.is_none() {
        table.lacks(key, context);
    }
    value
}

/// Returns whether a URL's host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    // RFC 6761 section 6.3.
    address
        .parse::<IpAddr>()
        .map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |it| it.is_loopback())
}

/// Reads where HTTP requests go: https, or http on loopback; unlike an address it may have a query.
pub(crate) fn web(value: &Value<'_>, context: &mut Context<'_>) -> Option<String> {
    let text = value.string(context)?;
    let url = url::Url::parse(&text).ok().filter(|url| url.host().is_some());
    let wrong = match &url {
        None => "is no URL like \"https://HOST/PATH\"",
        Some(url) if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() => {
            "must be without user, password and \"#\""
        }
        Some(url) if url.scheme() == "https" => return Some(text),
        Some(url) if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) => return Some(text),
        Some(_) => "must be https; http is for loopback only",
    };
    context.error_at_secret(value.span(), format!("\"{}\" {wrong}", value.name()));
    None
}
