//! Text of strangers as it may be shown: nothing in it is hidden, and nothing in it ends the place where it stands. Knows no channel; what a channel
//! reads as markup is the channel's own concern.

/// A text, made harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// Characters of the original that are not in it, at its end.
    pub(crate) left_out: usize,
    pub(crate) looks: Looks,
}

/// Whether a text is what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Nothing in it is invisible or can be taken for something else.
    AsItIs,
    /// Characters that can't be seen, or that turn others round, are shown by their codes; others may look like ones that they are not.
    Otherwise,
}

/// Shows a text on several lines, at most `most` characters of the result.
pub(crate) fn lines(text: &str, most: usize) -> Shown {
    show(text, most, |c| matches!(c, '\n' | '\t'))
}

/// Shows a text on one line, at most `most` characters of the result; `…` says that there was more.
pub(crate) fn line(text: &str, most: usize) -> String {
    let shown = show(text, most.saturating_sub(1), |_| false);
    if shown.left_out > 0 { shown.text + "…" } else { shown.text }
}

fn show(text: &str, most: usize, keeps: impl Fn(char) -> bool) -> Shown {
    let mut shown = String::new();
    let (mut length, mut looks, mut left_out) = (0_usize, Looks::AsItIs, 0_usize);
    for c in text.chars() {
        let marked = !keeps(c) && is_hidden(c);
        if marked || !keeps(c) && !is_itself(c) {
            looks = Looks::Otherwise;
        }
        let added = if marked { code(c) } else { c.to_string() };
        let size = added.chars().count();
        // What is left out is still looked at: it must not pass for harmless.
        if left_out > 0 || length + size > most {
            left_out += 1;
            continue;
        }
        shown.push_str(&added);
        length += size;
    }
    Shown { text: shown, left_out, looks }
}

fn code(c: char) -> String {
    format!("⟨U+{:04X}⟩", u32::from(c))
}

/// Returns whether a character can't be seen, or changes how others are shown: Unicode's Cc and Cf, `Default_Ignorable_Code_Point`, its spaces other than
/// U+0020 and its line ends; and the brackets that codes are written with.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0x00AD | 0x034F | 0x0600..=0x0605 | 0x061C | 0x06DD | 0x070F | 0x0890..=0x0891 | 0x08E2 | 0x115F..=0x1160
            | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164
            | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x110BD | 0x110CD | 0x13430..=0x1343F
            | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
        || matches!(c, '⟨' | '⟩')
}

/// Returns whether a character is surely what it looks like: ASCII, and letters and marks of Western European languages.
///
/// SECURITY: everything else may look like something that it isn't; whoever is to approve it reads it where that is pointed out.
const fn is_itself(c: char) -> bool {
    matches!(c, ' '..='~')
        || matches!(c, '\u{a1}'..='\u{17e}' if !matches!(c, '\u{ad}' | 'ı' | '·' | '´' | '¨' | '¸' | '¯'))
}

#[cfg(test)]
mod tests {
    use super::{Looks, line, lines};

    #[test]
    fn what_is_hidden_is_shown_and_what_may_mislead_is_said() {
        let shown = lines("SELECT 1 --\u{202e} x\n\tFROM ä", 100);
        assert_eq!(shown.text, "SELECT 1 --⟨U+202E⟩ x\n\tFROM ä");
        assert_eq!((shown.left_out, shown.looks), (0, Looks::Otherwise));
        for (text, looks) in [
            ("DELETE FROM t WHERE name = 'Müller' -- ok\r", Looks::Otherwise),
            ("DELETE FROM t WHERE name = 'Müller'", Looks::AsItIs),
            ("SELECT * FROM аccounts", Looks::Otherwise),
            ("a\u{a0}b", Looks::Otherwise),
            ("a\u{200b}b", Looks::Otherwise),
            ("⟨U+202E⟩", Looks::Otherwise),
            ("a\u{e0041}", Looks::Otherwise),
            ("a\u{7f}", Looks::Otherwise),
        ] {
            assert_eq!(lines(text, 1000).looks, looks, "{text:?}");
        }
    }

    #[test]
    fn what_is_cut_is_counted_and_still_looked_at() {
        let shown = lines("abcdef\u{202e}", 3);
        assert_eq!((shown.text.as_str(), shown.left_out, shown.looks), ("abc", 4, Looks::Otherwise));
        // A code is shown whole or not at all.
        assert_eq!(lines("ab\u{202e}c", 5).text, "ab");
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line("a\r\nSubject: b", 100), "a⟨U+000D⟩⟨U+000A⟩Subject: b");
        assert_eq!(line("a\u{2028}b\u{85}", 100), "a⟨U+2028⟩b⟨U+0085⟩");
        assert_eq!(line("abcdef", 4), "abc…");
        assert_eq!(line("abc", 4), "abc");
    }
}
