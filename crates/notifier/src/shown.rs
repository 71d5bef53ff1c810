//! Text of strangers as it may be shown: by [`approval::shown`], in as many lines as there is room for. Knows no channel; what a channel reads as
//! markup is the channel's own concern.

use approval::shown;

/// A text, with everything marked that would not be seen or would be taken for something else. Whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) looks: Looks,
}

/// Whether a text is what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Nothing in it is marked.
    AsItIs,
    /// Something is.
    Otherwise,
}

/// Shows a statement.
pub(crate) fn statement(text: &str) -> Shown {
    let runs = shown::statement(text);
    Shown { text: shown::escaped(&runs), looks: looks(&runs) }
}

/// Shows what is no statement on one line, whole.
pub(crate) fn value(text: &str) -> Shown {
    let runs = shown::plain(text);
    // In the same brackets, which a text can't forge.
    let text = shown::escaped(&runs).replace('\n', "⟦U+000A⟧").replace('\t', "⟦U+0009⟧");
    Shown { text, looks: looks(&runs) }
}

/// Shows a text on one line of at most so many characters; `…` says that there was more.
pub(crate) fn line(text: &str, most: usize) -> String {
    // Nothing becomes shorter by being marked, but for blanks: of those there is no need here.
    let beginning: String = text.chars().take(most.saturating_mul(2)).collect();
    let shown = value(&beginning).text;
    if beginning.len() == text.len() && shown.chars().count() <= most {
        return shown;
    }
    let mut cut: String = shown.chars().take(most.saturating_sub(1)).collect();
    // A mark is there whole or not at all.
    if let Some((before, inside)) = cut.rsplit_once('⟦')
        && !inside.contains('⟧')
    {
        cut = before.to_owned();
    }
    cut + "…"
}

fn looks(runs: &[shown::Run]) -> Looks {
    if shown::is_marked(runs) { Looks::Otherwise } else { Looks::AsItIs }
}

#[cfg(test)]
mod tests {
    use super::{Looks, line, statement, value};

    #[test]
    fn what_is_hidden_is_shown_and_what_may_mislead_is_said() {
        let shown = statement("SELECT 1 --\u{202e} x\n\tFROM ä");
        assert!(shown.text.contains("⟦U+202E") && !shown.text.contains('\u{202e}'), "{}", shown.text);
        assert_eq!(shown.looks, Looks::Otherwise);
        for (text, looks) in [
            ("DELETE FROM t WHERE name = 'Müller'", Looks::AsItIs),
            ("SELECT * FROM аccounts", Looks::Otherwise),
            ("a\u{a0}b", Looks::Otherwise),
            ("a\u{200b}b", Looks::Otherwise),
            ("⟦U+202E⟧", Looks::Otherwise),
            ("a\u{7f}", Looks::Otherwise),
        ] {
            assert_eq!(statement(text).looks, looks, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_one_line() {
        for text in ["a\r\nSubject: b", "a\nb", "a\u{2028}b\u{85}c", "a\u{b}b\tc"] {
            let shown = line(text, 100);
            assert!(
                !shown.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')),
                "{shown:?}"
            );
            assert_eq!(value(text).text, shown);
        }
        assert_eq!(line("abcdef", 4), "abc…");
        assert_eq!(line("abc", 4), "abc");
        assert_eq!(line(&"\n".repeat(1000), 20).chars().count().cmp(&20), std::cmp::Ordering::Less);
    }
}
