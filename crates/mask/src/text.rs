//! Masks of text, and how text stands in values. Knows characters, not columns.

use crate::network::{self, Kept};
use crate::types::{Format, Shape};

/// NAMEDATALEN - 1 (pg_config_manual.h).
const NAME_BYTES_MAX: usize = 63;

/// What stands for hidden characters, whatever their number.
const FILL: &str = "***";

/// The longest top-level domain that is shown; a longer one is more likely something else.
const TOP_LEVEL_MAX: usize = 6;

/// How text without a key is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextMask {
    Partial { first: usize, last: usize, fill: String },
    Email,
    Phone { keep_last: usize },
    Card,
    Ip(Kept),
}

impl TextMask {
    /// Masks a value; `None`: not what the mask expects.
    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Partial { first, last, fill } => Some(partial(text, *first, *last, fill)),
            Self::Email => email(text),
            Self::Phone { keep_last } => phone(text, *keep_last),
            Self::Card => card(text),
            Self::Ip(kept) => network::mask_text(text, *kept),
        }
    }
}

fn partial(text: &str, first: usize, last: usize, fill: &str) -> String {
    let count = text.chars().count();
    if count <= first.saturating_add(last) {
        return fill.to_owned();
    }
    let start = text.chars().take(first);
    let end = text.chars().skip(count - last);
    start.chain(fill.chars()).chain(end).collect()
}

fn email(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let (name, top) = domain.rsplit_once('.')?;
    let stray = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    if local.is_empty() || name.is_empty() || top.is_empty() || text.contains(',') || domain.contains(stray) {
        return None;
    }
    let shown = top.len() <= TOP_LEVEL_MAX && top.bytes().all(|b| b.is_ascii_alphabetic());
    Some(format!("{}@{}.{}", initial(local), initial(name), if shown { top } else { FILL }))
}

/// The first character, where it does not give away too much of the rest.
fn initial(part: &str) -> String {
    let hidden = part.chars().count() < 3;
    let first = part.chars().next().filter(|c| !hidden && c.is_alphanumeric());
    first.into_iter().chain(FILL.chars()).collect()
}

fn phone(text: &str, keep_last: usize) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if !(7..=15).contains(&digits) || !text.chars().all(|c| c.is_ascii_digit() || "+-()./ ".contains(c)) {
        return None;
    }
    let mut left = digits;
    let hide = |c: char| {
        left -= usize::from(c.is_ascii_digit());
        if c.is_ascii_digit() && left >= keep_last { '*' } else { c }
    };
    Some(text.chars().map(hide).collect())
}

fn card(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !(12..=19).contains(&digits.len()) || !text.chars().all(|c| c.is_ascii_digit() || c == ' ' || c == '-')
    {
        return None;
    }
    let last = digits.split_at_checked(digits.len() - 4)?.1;
    Some(format!("************{last}"))
}

impl Shape {
    /// Returns the text that a value holds.
    pub(crate) fn read(self, value: &[u8], format: Format) -> Option<&str> {
        let bytes = match (self, format) {
            // jsonb_send (utils/adt/jsonb.c): a version, 1, and then text.
            (Self::Jsonb, Format::Binary) => value.strip_prefix(&[1])?,
            _ => value,
        };
        let text = std::str::from_utf8(bytes).ok()?;
        Some(match self {
            Self::Padded(_) => text.trim_end_matches(' '),
            Self::Varying(_) | Self::Name | Self::Json | Self::Jsonb | Self::Xml => text,
        })
    }

    /// Writes text as a value of the type; what is too long is cut.
    pub(crate) fn write(self, text: &str, format: Format, out: &mut Vec<u8>) {
        match self {
            Self::Varying(most) => out.extend(first_chars(text, most).bytes()),
            Self::Padded(length) => {
                let text = first_chars(text, length);
                let blanks = length.unwrap_or(0).saturating_sub(text.chars().count());
                out.extend(text.bytes());
                out.extend(std::iter::repeat_n(b' ', blanks));
            }
            Self::Name => {
                let end = text.floor_char_boundary(NAME_BYTES_MAX);
                out.extend(text.get(..end).unwrap_or_default().bytes());
            }
            Self::Json => json_string(text, out),
            Self::Jsonb => {
                if format == Format::Binary {
                    out.push(1);
                }
                json_string(text, out);
            }
            Self::Xml => xml_text(text, out),
        }
    }

    /// Whether text fits without being cut.
    pub(crate) fn holds(self, text: &str) -> bool {
        match self {
            Self::Varying(most) | Self::Padded(most) => most.is_none_or(|most| text.chars().count() <= most),
            Self::Name => text.len() <= NAME_BYTES_MAX,
            Self::Json | Self::Jsonb => true,
            // XML 1.0 has no other control characters, not even escaped.
            Self::Xml => text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r')),
        }
    }

    /// Whether a value is a plain string, parts of which may be shown.
    pub(crate) const fn is_plain(self) -> bool {
        match self {
            Self::Varying(_) | Self::Padded(_) | Self::Name => true,
            Self::Json | Self::Jsonb | Self::Xml => false,
        }
    }
}

fn first_chars(text: &str, most: Option<usize>) -> &str {
    let end = most.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', if c == '"' { b'"' } else { b'\\' }]),
            '\0'..='\x1f' => out.extend(format!("\\u{:04x}", u32::from(c)).bytes()),
            _ => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out.push(b'"');
}

fn xml_text(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '<' => out.extend(b"&lt;"),
            '>' => out.extend(b"&gt;"),
            '&' => out.extend(b"&amp;"),
            _ => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mask: &TextMask, cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            assert_eq!(mask.apply(text).as_deref(), *expected, "{mask:?} of {text:?}");
        }
    }

    #[test]
    fn email_keeps_first_letters_and_a_short_top_level_domain() {
        check(
            &TextMask::Email,
            &[
                ("jane.doe@example.com", Some("j***@e***.com")),
                ("jane@mail.example.co.uk", Some("j***@m***.uk")),
                ("jd@ex.com", Some("***@***.com")),
                ("élodie@exemple.fr", Some("é***@e***.fr")),
                ("\"a@b\"@example.com", Some("***@e***.com")),
                ("jane@example.somethingsecret", Some("j***@e***.***")),
                ("jane@192.168.1.77", Some("j***@1***.***")),
                ("jane", None),
                ("jane@localhost", None),
                ("@example.com", None),
                ("jane@.com", None),
                ("jane@example.", None),
                ("jane@example.com, joe@example.com", None),
                ("see jane@example.com now", None),
            ],
        );
    }

    #[test]
    fn phone_and_card_keep_the_last_digits() {
        check(
            &TextMask::Phone { keep_last: 2 },
            &[
                ("+49 (170) 123-4567", Some("+** (***) ***-**67")),
                ("5551234567", Some("********67")),
                ("123456", None),
                ("1234567890123456", None),
                ("call 5551234567", None),
                ("555-1234 ext. 5", None),
            ],
        );
        check(&TextMask::Phone { keep_last: 0 }, &[("+49 170 1234567", Some("+** *** *******"))]);
        check(&TextMask::Phone { keep_last: 4 }, &[("+49 170 1234567", Some("+** *** ***4567"))]);
        check(
            &TextMask::Card,
            &[
                ("4111 1111 1111 1234", Some("************1234")),
                ("378282246310005", Some("************0005")),
                ("4111-1111-1111-1234", Some("************1234")),
                ("1234", None),
                ("4111111111111111x", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn partial_hides_short_values_whole() {
        let mask = TextMask::Partial { first: 2, last: 1, fill: "…".into() };
        check(
            &mask,
            &[("", Some("…")), ("abc", Some("…")), ("abcd", Some("ab…d")), ("äöüß🐘", Some("äö…🐘"))],
        );
        let all = TextMask::Partial { first: usize::MAX, last: usize::MAX, fill: "x".into() };
        check(&all, &[("abc", Some("x"))]);
    }

    #[test]
    fn ip_keeps_the_network() {
        check(
            &TextMask::Ip(Kept { v4: 24, v6: 48 }),
            &[
                ("192.168.77.99", Some("192.168.77.0/24")),
                ("10.1.2.3/16", Some("10.1.0.0/16")),
                ("2001:db8:1:2:3::4", Some("2001:db8:1::/48")),
                ("0.0.0.0/0", Some("0.0.0.0/0")),
                ("1.2.3.4/33", None),
                ("1.2.3", None),
                ("host", None),
            ],
        );
        let less = TextMask::Ip(Kept { v4: 8, v6: 0 });
        check(&less, &[("192.168.77.99", Some("192.0.0.0/8")), ("2001:db8::4", Some("::/0"))]);
    }
}
