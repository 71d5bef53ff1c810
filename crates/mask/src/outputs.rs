//! What a mask writes, recognised where it comes back. Knows values, not who was shown them.

use model::Mask;

/// The least hidden digits that make a telephone number look masked.
const HIDDEN_MIN: usize = 4;

/// Whether a value has a form that the mask, or the mask of an expression, gives to values and that hardly any value has of itself.
///
/// Pseudonyms, networks, dates and rounded numbers look like values of their own: of those nobody can tell by the form.
pub fn is_output(mask: &Mask, value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    if matches!(text, "[redacted]" | "\"[redacted]\"") {
        return true;
    }
    match mask {
        Mask::Constant { value } => !value.is_empty() && text == value,
        Mask::Partial { keep_first, keep_last, fill } => {
            is_partial(text, usize::from(*keep_first), usize::from(*keep_last), fill)
        }
        Mask::Email => is_email(text),
        Mask::Phone { keep_last } => is_phone(text, usize::from(*keep_last)),
        Mask::Card => text
            .strip_prefix("************")
            .is_some_and(|last| last.len() == 4 && last.bytes().all(|byte| byte.is_ascii_digit())),
        Mask::Null
        | Mask::Redact
        | Mask::Uuid { .. }
        | Mask::Hash { .. }
        | Mask::Ip { .. }
        | Mask::Year
        | Mask::Month
        | Mask::Round { .. } => false,
    }
}

fn is_partial(text: &str, first: usize, last: usize, fill: &str) -> bool {
    if fill.chars().count() < 2 {
        return false;
    }
    let whole = first + fill.chars().count() + last;
    let middle = text.char_indices().nth(first).and_then(|(at, _)| text.get(at..));
    text == fill || text.chars().count() == whole && middle.is_some_and(|middle| middle.starts_with(fill))
}

fn is_email(text: &str) -> bool {
    let hidden = |part: &str| part.ends_with("***") && part.chars().count() <= 4;
    let parts = text.rsplit_once('@').and_then(|(local, domain)| Some((local, domain.rsplit_once('.')?.0)));
    parts.is_some_and(|(local, name)| hidden(local) && hidden(name))
}

fn is_phone(text: &str, keep_last: usize) -> bool {
    let hidden = text.bytes().filter(|byte| *byte == b'*').count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    hidden >= HIDDEN_MIN
        && digits <= keep_last
        && text.chars().all(|c| c == '*' || c.is_ascii_digit() || "+-()./ ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnType, Format, Masker, Outcome};

    fn check(mask: &Mask, value: &str) {
        let ty = ColumnType { oid: model::Oid(25), typmod: -1 };
        let masker = Masker::for_column(mask, ty, Format::Text, None).unwrap();
        let mut out = Vec::new();
        assert_eq!(masker.apply(Some(value.as_bytes()), &mut out), Outcome::Value, "{mask:?}");
        assert!(is_output(mask, &out), "{mask:?}: {}", String::from_utf8_lossy(&out));
        assert!(!is_output(mask, value.as_bytes()), "{mask:?}: {value}");
    }

    #[test]
    fn what_a_mask_writes_is_known_again_and_what_it_hides_is_not() {
        let partial = |keep_first, keep_last| Mask::Partial { keep_first, keep_last, fill: "***".to_owned() };
        check(&Mask::Redact, "a secret");
        check(&Mask::Constant { value: "n/a".to_owned() }, "a secret");
        check(&partial(0, 4), "078-05-1120");
        check(&partial(2, 2), "Ada Lovelace");
        check(&partial(9, 9), "short");
        check(&Mask::Email, "ada.lovelace@example.co.uk");
        check(&Mask::Email, "al@x.museum-of-art");
        check(&Mask::Phone { keep_last: 2 }, "+44 20 7946 0958");
        check(&Mask::Card, "4111 1111 1111 1111");
        assert!(is_output(&Mask::Email, b"[redacted]"), "an expression over it");
    }
}
