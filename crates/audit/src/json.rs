//! One-line JSON, written by hand because it runs for every statement. Knows no events.

use std::io::Write as _;
use std::sync::Arc;

use model::SessionId;

/// A JSON object on one line, escaped as this crate escapes: made once (per shape, per session) and copied as is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment(Arc<str>);

/// The text is not one JSON object, or holds characters that a [`Fragment`] must escape.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("audit fragment is not one escaped JSON object: {0}")]
pub struct NotAFragment(String);

impl Fragment {
    /// Takes text from elsewhere, if it is one JSON object with nothing in it that needs escaping.
    ///
    /// # Errors
    /// [`NotAFragment`]: caller; not an object, or a control or formatting character stands in it unescaped.
    pub fn parse(text: &str) -> Result<Self, NotAFragment> {
        let object: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(text);
        object.map_err(|error| NotAFragment(error.to_string()))?;
        if let Some(c) = text.chars().find(|&c| c == '\t' || c == '\n' || is_deceptive(c)) {
            return Err(NotAFragment(format!("unescaped U+{:04X}", u32::from(c))));
        }
        if !text.starts_with('{') || !text.ends_with('}') {
            return Err(NotAFragment("space around the object".to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Builds one with this crate's writer, which is what makes it well-formed.
    pub(crate) fn build(fill: impl FnOnce(&mut Object<'_>)) -> Self {
        let mut bytes = Vec::with_capacity(256);
        object(&mut bytes, fill);
        // The writer copies whole `str`s and ASCII; replacing is what it can't need.
        Self(String::from_utf8_lossy(&bytes).into())
    }

    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes one object; `fill` names its fields in order.
pub(crate) fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    let mut open = Object { out, started: false };
    fill(&mut open);
    open.out.push(b'}');
}

/// An object being written. Field names are ours and need no escaping.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    started: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        if self.started {
            self.out.push(b',');
        }
        self.started = true;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        string(self.name(name), value);
        self
    }

    pub(crate) fn text_or_null(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    pub(crate) fn null(&mut self, name: &'static str) -> &mut Self {
        self.name(name).extend_from_slice(b"null");
        self
    }

    /// Writes a value whose `Display` is plain ASCII without quotes or backslashes, as a string.
    pub(crate) fn plain(&mut self, name: &'static str, value: impl std::fmt::Display) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        // Writing into a `Vec` can't fail.
        let _ = write!(out, "{value}");
        out.push(b'"');
        self
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    pub(crate) fn plain_or_null(
        &mut self,
        name: &'static str,
        value: Option<impl std::fmt::Display>,
    ) -> &mut Self {
        match value {
            Some(value) => self.plain(name, value),
            None => self.null(name),
        }
    }

    /// Writes a string of ours that needs no escaping.
    pub(crate) fn word(&mut self, name: &'static str, value: &'static str) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
        self
    }

    pub(crate) fn session(&mut self, value: SessionId) -> &mut Self {
        self.hex("session", &value.0.to_be_bytes())
    }

    pub(crate) fn session_or_null(&mut self, value: Option<SessionId>) -> &mut Self {
        match value {
            Some(value) => self.session(value),
            None => self.null("session"),
        }
    }

    pub(crate) fn plain_number(&mut self, name: &'static str, value: i32) -> &mut Self {
        let _ = write!(self.name(name), "{value}");
        self
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) -> &mut Self {
        let out = self.name(name);
        let start = out.len();
        let mut rest = value;
        loop {
            // A digit, by the remainder.
            out.push(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.get_mut(start..).unwrap_or_default().reverse();
        self
    }

    pub(crate) fn number_or_null(&mut self, name: &'static str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(name, value),
            None => self.null(name),
        }
    }

    pub(crate) fn hex(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        let out = self.name(name);
        out.reserve(value.len() * 2 + 2);
        out.push(b'"');
        for byte in value {
            out.extend_from_slice(&[nibble(byte >> 4), nibble(byte & 15)]);
        }
        out.push(b'"');
        self
    }

    pub(crate) fn fragment(&mut self, name: &'static str, value: &Fragment) -> &mut Self {
        self.name(name).extend_from_slice(value.0.as_bytes());
        self
    }

    pub(crate) fn fragment_or_null(&mut self, name: &'static str, value: Option<&Fragment>) -> &mut Self {
        match value {
            Some(value) => self.fragment(name, value),
            None => self.null(name),
        }
    }

    pub(crate) fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        object(self.name(name), fill);
        self
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) -> &mut Self {
        let out = self.name(name);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(out, item);
        }
        out.push(b']');
        self
    }

    pub(crate) fn texts<T: AsRef<str>>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.list(name, items, |out, item| string(out, item.as_ref()))
    }

    /// Writes an object whose names come from outside.
    pub(crate) fn map<'v>(
        &mut self,
        name: &'static str,
        entries: impl IntoIterator<Item = (&'v String, &'v String)>,
    ) -> &mut Self {
        let out = self.name(name);
        out.push(b'{');
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            string(out, key);
            out.push(b':');
            string(out, value);
        }
        out.push(b'}');
        self
    }
}

const fn nibble(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

/// Writes a JSON string that stays on one line and shows what it holds, on any terminal.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    // Runs of what needs no look are copied whole.
    while let Some(at) = rest.bytes().position(needs_look) {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = from.chars();
        if let Some(c) = chars.next() {
            character(out, c);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Bytes that start something that might have to be escaped. `position` stops only at the first byte of a character:
/// every byte of a multi-byte one is >= 0x80, and its first is met first.
const fn needs_look(byte: u8) -> bool {
    byte < 0x20 || byte >= 0x7f || byte == b'"' || byte == b'\\'
}

fn character(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if is_deceptive(c) => {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        _ => {
            let mut bytes = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
        }
    }
}

/// Whether a character moves the cursor, starts a line, turns the reading direction, or is not seen at all: control
/// characters (Cc), the line and paragraph separators, and the format characters (Cf) of Unicode 17 that don't belong to a
/// script's spelling; also the variation selectors and the fillers that hide text.
// SECURITY: SQL, names and claims come from clients; an auditor must see them as they are and in one line.
pub const fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_forges_lines_or_hides_is_escaped() {
        check("a", r#""a""#);
        check("", r#""""#);
        check("a\"b\\c", r#""a\"b\\c""#);
        check("a\r\n\tb", r#""a\r\n\tb""#);
        check("\u{1b}[2J\u{7f}\0", r#""\u001b[2J\u007f\u0000""#);
        check("\u{85}\u{9b}\u{2028}\u{202e}\u{2066}", r#""\u0085\u009b\u2028\u202e\u2066""#);
        check("é漢🐘", "\"é漢🐘\"");
        check("\u{e0041}", r#""\udb40\udc41""#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back_from_one_line(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, &text);
            let written = String::from_utf8(out).unwrap();
            prop_assert!(!written.chars().any(is_deceptive));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }

    #[test]
    fn a_fragment_is_one_escaped_object() {
        assert!(Fragment::parse(r#"{"a":"b\u001b"}"#).is_ok());
        for bad in [
            "",
            "[]",
            "1",
            "{} ",
            " {}",
            "{}{}",
            "{\"a\":1,\n\"b\":2}",
            "{\"a\":\"\u{202e}\"}",
            "{\"a\":\"\u{1b}\"}",
        ] {
            assert!(Fragment::parse(bad).is_err(), "{bad:?}");
        }
    }
}
