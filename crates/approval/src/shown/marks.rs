//! Which characters of a text an approver would not see, or would take for others. Knows Unicode; no SQL.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_script::{Script, UnicodeScript as _};
use unicode_security::MixedScript as _;

use super::Mark;
use super::lex::Part;

/// What is to be said of a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) mark: Mark,
    /// What it is, in words.
    pub(super) name: Option<String>,
    /// What it looks like, in ASCII.
    pub(super) like: Option<String>,
}

impl Said {
    fn of(mark: Mark, name: impl Into<String>) -> Self {
        Self { mark, name: Some(name.into()), like: None }
    }
}

/// Brackets that stand around what is said of a character in plain text: where a text has them itself, they are look-alikes.
pub(super) const BRACKETS: [char; 2] = ['\u{27e6}', '\u{27e7}'];

/// Characters that steer the direction of text (Unicode, PropList.txt: Bidi_Control).
fn bidi_control(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{61c}' => "Arabic letter mark",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "pop directional formatting",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "first strong isolate",
        '\u{2069}' => "pop directional isolate",
        _ => return None,
    })
}

/// Characters that show nothing where they aren't supported (Unicode, DerivedCoreProperties.txt: Default_Ignorable_Code_Point).
fn default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Names of those that are met most.
fn invisible_name(c: char) -> &'static str {
    match c {
        '\u{ad}' => "soft hyphen",
        '\u{34f}' => "combining grapheme joiner",
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => "Hangul filler",
        '\u{200b}' => "zero-width space",
        '\u{200c}' => "zero-width non-joiner",
        '\u{200d}' => "zero-width joiner",
        '\u{2060}' => "word joiner",
        '\u{2061}'..='\u{2064}' => "invisible operator",
        '\u{feff}' => "zero-width no-break space (byte order mark)",
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => "variation selector",
        '\u{e0000}'..='\u{e007f}' => "tag character",
        _ => "invisible character",
    }
}

fn control_name(c: char) -> String {
    match c {
        '\0' => "zero byte".to_owned(),
        '\u{7}' => "bell".to_owned(),
        '\u{8}' => "backspace".to_owned(),
        '\u{b}' => "vertical tab".to_owned(),
        '\u{c}' => "form feed".to_owned(),
        '\r' => "carriage return alone: it ends a comment, and may show as nothing".to_owned(),
        '\u{1b}' => "escape: it steers terminals".to_owned(),
        '\u{7f}' => "delete".to_owned(),
        '\u{85}' => "next line".to_owned(),
        _ => "control character".to_owned(),
    }
}

fn space_name(c: char) -> &'static str {
    match c {
        '\u{a0}' => "no-break space",
        '\u{1680}' => "Ogham space",
        '\u{2028}' => "line separator",
        '\u{2029}' => "paragraph separator",
        '\u{202f}' => "narrow no-break space",
        '\u{205f}' => "mathematical space",
        '\u{2800}' => "Braille pattern without dots",
        '\u{3000}' => "ideographic space",
        _ => "a space that is none to PostgreSQL",
    }
}

/// Letters and signs of scripts that run from right to left, assigned or to be (Unicode, DerivedBidiClass.txt: where unassigned
/// characters are R or AL by default).
pub(super) const fn right_to_left(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// What a character looks like that is not ASCII, if it looks like ASCII: by UTS 39's confusables, by compatibility, or by being a
/// dash or quotation mark.
fn ascii_like(c: char) -> Option<String> {
    if let Some(bracket) = BRACKETS.iter().position(|bracket| *bracket == c) {
        return Some(if bracket == 0 { "[" } else { "]" }.to_owned());
    }
    let mut buffer = [0; 4];
    let alone: &str = c.encode_utf8(&mut buffer);
    let graphic = |text: String| {
        let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        good.then_some(text)
    };
    graphic(unicode_security::skeleton(alone).collect()).or_else(|| graphic(alone.nfkc().collect())).or_else(
        || match c.general_category() {
            GeneralCategory::DashPunctuation => Some("-".to_owned()),
            GeneralCategory::InitialPunctuation | GeneralCategory::FinalPunctuation => Some("'".to_owned()),
            _ => None,
        },
    )
}

/// Scripts in whose texts letters with marks are one character as a rule, so that a mark of its own is odd.
fn composes(script: Script) -> bool {
    matches!(
        script,
        Script::Latin
            | Script::Greek
            | Script::Cyrillic
            | Script::Common
            | Script::Inherited
            | Script::Unknown
    )
}

/// Whether a character is a part of a word.
pub(super) fn in_word(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '_' | '$')
        || default_ignorable(c)
        || matches!(
            c.general_category(),
            GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark
        )
}

/// How the letters of a word are to be judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Letters that look like ASCII are to be told.
    Doubtful,
    /// They belong to a word of their own script that looks like no other.
    OfAScript,
}

/// Looks at a word as a whole. In code each letter that looks like another is told; a word of text only where scripts are mixed, or
/// where all of it could be ASCII.
pub(super) fn word(word: &str, part: Part) -> Word {
    if part == Part::Code || !word.is_single_script() {
        return Word::Doubtful;
    }
    let mut letters = word.chars().filter(|c| c.is_alphabetic());
    if letters.all(|c| c.is_ascii() || ascii_like(c).is_some()) { Word::Doubtful } else { Word::OfAScript }
}

/// Remembers what characters look like: a text of one script asks the same ones again and again.
#[derive(Default)]
pub(super) struct Likes(BTreeMap<char, Option<String>>);

impl Likes {
    fn of(&mut self, c: char) -> Option<String> {
        self.0.entry(c).or_insert_with(|| ascii_like(c)).clone()
    }
}

/// What comes before and behind a character.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) before: Option<char>,
    /// The last character before it that is no combining mark, and how many of those came since.
    pub(super) base: Option<char>,
    pub(super) marks: usize,
    pub(super) after: Option<char>,
    pub(super) word: Word,
    pub(super) part: Part,
}

/// Signs that begin or end something in SQL: what looks like one of them is told in strings and comments too.
const SIGNS: [char; 10] = ['\'', '"', '-', '/', '*', ';', '$', '\\', '[', ']'];

/// Letters of Danish, Norwegian and French that UTS 39 takes for two others.
const LIGATURES: [char; 4] = ['\u{e6}', '\u{c6}', '\u{153}', '\u{152}'];

/// Returns what is to be said of a character, if anything is.
pub(super) fn said(c: char, around: Around, likes: &mut Likes) -> Option<Said> {
    if matches!(c, '\n' | '\t') || c == '\r' && around.after == Some('\n') {
        return None;
    }
    if c.is_control() {
        return Some(Said::of(Mark::Control, control_name(c)));
    }
    if c.is_ascii() {
        return None;
    }
    if let Some(name) = bidi_control(c) {
        return Some(Said::of(Mark::Bidi, name));
    }
    if default_ignorable(c) {
        return Some(Said::of(Mark::Invisible, invisible_name(c)));
    }
    use GeneralCategory as C;
    match c.general_category() {
        C::Format => return Some(Said::of(Mark::Invisible, "format character")),
        C::SpaceSeparator | C::LineSeparator | C::ParagraphSeparator => {
            return Some(Said::of(Mark::Space, space_name(c)));
        }
        C::PrivateUse => return Some(Said::of(Mark::Unassigned, "private use: it looks as a font likes")),
        C::Unassigned | C::Surrogate => {
            return Some(Said::of(Mark::Unassigned, "not a character of Unicode"));
        }
        C::NonspacingMark | C::EnclosingMark => return combining(c, around),
        _ => {}
    }
    if c == '\u{2800}' {
        return Some(Said::of(Mark::Space, space_name(c)));
    }
    if right_to_left(c) {
        return Some(Said::of(Mark::RightToLeft, "runs from right to left"));
    }
    let like = likes.of(c)?;
    let script = c.script();
    let innocent = if c.is_alphabetic() {
        around.word == Word::OfAScript && !matches!(script, Script::Latin | Script::Common)
            || around.part != Part::Code && LIGATURES.contains(&c)
    } else {
        around.part != Part::Code && !like.contains(SIGNS)
    };
    (!innocent).then(|| {
        let name = match script {
            Script::Common | Script::Inherited | Script::Unknown => None,
            script => Some(script.full_name().replace('_', " ")),
        };
        Said { mark: Mark::LookAlike, name, like: Some(like) }
    })
}

/// A mark that belongs to the character before: told where it is out of place, or lies over what is there.
fn combining(c: char, around: Around) -> Option<Said> {
    // Overlays: a stroke through a sign makes it look like another one.
    let overlay = matches!(c, '\u{334}'..='\u{338}' | '\u{20d2}'..='\u{20d3}' | '\u{20d8}'..='\u{20da}' | '\u{20e5}'..='\u{20eb}');
    let enclosing = c.general_category() == GeneralCategory::EnclosingMark;
    let stray = around.base.is_none_or(|base| !base.is_alphabetic() || composes(base.script()));
    let in_rtl = around.before.is_some_and(right_to_left) && right_to_left(c) && around.marks < 2;
    (!in_rtl && (overlay || enclosing || stray || around.marks >= 2))
        .then(|| Said::of(Mark::Combining, "a mark on the character before it"))
}

/// Whether a character is a combining mark, for counting them.
pub(super) fn is_mark(c: char) -> bool {
    !c.is_ascii()
        && matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}
