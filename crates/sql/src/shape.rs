//! Keys under which what is known of a text is remembered: the text's own, or that of all texts that differ from it
//! in literals alone. One pass, no tree; knows no grammar beyond what it takes to be sound.
//!
//! **Soundness**: two texts with one key have one raw tree but for the values of constants, and PostgreSQL's analysis
//! makes the same query of it but for the values of constants of the same types. So a literal is blanked only where its
//! value can't matter to analysis. It does matter:
//! - as a position (`ORDER BY 1`, `GROUP BY 1`, `DISTINCT ON (1)`), and in any expression of such a list or of a
//!   window, which is compared with the select list's (src/backend/parser/parse_clause.c,
//!   `findTargetlistEntrySQL92`, `transformWindowFuncCall`): a text with such an expression isn't blanked at all;
//! - for its type: a number's is that of its size (`make_const`, src/backend/parser/parse_node.c; a minus sign before
//!   it is folded into it, so the two sizes at whose edges that matters are kept);
//! - as a type's modifier (`numeric(10,2)`), an object's name (`'t'::regclass`, `nextval('s')`), SQL text, the name
//!   of a setting: arguments of all functions but some well-known ones are kept, and so are literals cast to a type that
//!   isn't well known; a text that names one of PostgreSQL's `reg...` types isn't blanked at all.
//!
//! Texts that aren't one plain query (utility statements, several statements, SELECT INTO) and texts in which anything
//! is odd get the key of their exact bytes.

mod words;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::Strings;
use crate::tokens::{Kind, Odd, Token, Tokens};
use words::Word;

/// Seeds that keep the kinds of keys apart.
const EXACT: [u64; 2] = [0x6578_6163_7400_0001, 0x6578_6163_7400_0002];
const BLANKED: [u64; 2] = [0x626c_616e_6b00_0001, 0x626c_616e_6b00_0002];

/// Between tokens; never inside one, but in quotes that end themselves.
const GAP: u8 = b' ';
/// Before the class of a blanked literal; never a token's first byte.
const BLANK: u8 = 0x02;

/// The key of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// xxh3 of the text, blanked or exact; the two never meet.
    pub key: u128,
    /// Texts that differ in literals alone have this key too.
    pub blanked: bool,
    /// At least one literal was blanked: other texts with this key are to be expected.
    pub has_literals: bool,
}

/// The key of a text's exact bytes.
pub fn exact(text: &[u8], strings: Strings) -> Shape {
    Shape { key: xxh3_128_with_seed(text, seed(EXACT, strings)), blanked: false, has_literals: false }
}

/// The key of a text: of its shape where that is sound, else of its exact bytes.
pub fn key(text: &[u8], strings: Strings) -> Shape {
    match blank(text, strings) {
        Ok(blanked) => Shape {
            key: xxh3_128_with_seed(&blanked.text, seed(BLANKED, strings)),
            blanked: true,
            has_literals: blanked.literals,
        },
        Err(Odd) => exact(text, strings),
    }
}

fn seed(seeds: [u64; 2], strings: Strings) -> u64 {
    let [standard, escaping] = seeds;
    match strings {
        Strings::Standard => standard,
        Strings::Escaping => escaping,
    }
}

/// A text with its literals blanked.
struct Blanked {
    text: Vec<u8>,
    literals: bool,
}

fn blank(text: &[u8], strings: Strings) -> Result<Blanked, Odd> {
    // Statements have about one token for each five bytes.
    let mut all = Vec::with_capacity(text.len() / 4 + 8);
    let mut reader = Tokens::new(text, strings);
    while let Some(token) = reader.next()? {
        all.push((token, words::word(token, text)));
    }
    while all.last().is_some_and(|(token, _)| token.is_mark(text, b";")) {
        all.pop();
    }
    let (first, word) = all.first().ok_or(Odd)?;
    if !word.has(Word::BEGINS_QUERY) && !first.is_mark(text, b"(") {
        return Err(Odd);
    }
    let out = Vec::with_capacity(text.len() + all.len());
    let mut writer =
        Writer { text, all: &all, out, literals: false, frame: Frame::default(), outer: Vec::new() };
    for at in 0..all.len() {
        writer.token(at)?;
    }
    match writer.outer.is_empty() {
        true => Ok(Blanked { text: writer.out, literals: writer.literals }),
        false => Err(Odd),
    }
}

/// What is known of a parenthesis level.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Arguments of a function that isn't well known, or a type's modifiers: literals are kept.
    keep: bool,
    /// Where positions or compared expressions stand.
    list: List,
    /// Arguments of CAST.
    cast: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    #[default]
    No,
    /// After BY, or in a window or DISTINCT ON.
    Itself,
    /// In parentheses in such a list.
    Inside,
}

struct Writer<'a> {
    text: &'a [u8],
    all: &'a [(Token, Word)],
    out: Vec<u8>,
    literals: bool,
    frame: Frame,
    outer: Vec<Frame>,
}

impl Writer<'_> {
    fn token(&mut self, at: usize) -> Result<(), Odd> {
        let Some((token, word)) = self.all.get(at).copied() else { return Err(Odd) };
        if word.has(Word::REG_TYPE) {
            return Err(Odd);
        }
        let bytes = token.text(self.text);
        match token.kind {
            Kind::Word => {
                self.word(at, word)?;
                self.keep(bytes);
            }
            Kind::Mark => {
                self.mark(at, bytes)?;
                self.keep(bytes);
            }
            Kind::Quoted | Kind::Param | Kind::Operator => self.keep(bytes),
            Kind::Text | Kind::National | Kind::Bits | Kind::Hex | Kind::Digits | Kind::Number => {
                match self.class(at, token, bytes)? {
                    Some(class) => {
                        self.out.extend_from_slice(&[BLANK, class, GAP]);
                        self.literals = true;
                    }
                    None => self.keep(bytes),
                }
            }
            // U&"..." names something, and UESCAPE may follow it; U&'...' is too rare to be worth a proof.
            Kind::Unicode => return Err(Odd),
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.push(GAP);
    }

    /// The word `back` tokens before, if it is a whole name or keyword.
    fn before(&self, at: usize, back: usize) -> Word {
        let word = at.checked_sub(back).and_then(|at| self.all.get(at)).map_or(Word::NONE, |(_, word)| *word);
        if self.is_mark(at, back + 1, b".") { Word::NONE } else { word }
    }

    fn is_mark(&self, at: usize, back: usize, mark: &[u8]) -> bool {
        let token = at.checked_sub(back).and_then(|at| self.all.get(at));
        token.is_some_and(|(token, _)| token.is_mark(self.text, mark))
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.all.get(at).map(|(token, _)| token.kind)
    }

    fn word(&mut self, at: usize, word: Word) -> Result<(), Odd> {
        // A part of a longer name, or a label.
        if self.is_mark(at, 1, b".") || self.before(at, 1).has(Word::AS) {
            return Ok(());
        }
        if word.has(Word::BEGINS_LIST) {
            self.frame.list = self.frame.list.max(List::Itself);
        }
        // All of these are reserved: they can't be anything else here.
        if word.has(Word::ENDS_LIST) && self.frame.list == List::Itself {
            self.frame.list = List::No;
        }
        // SELECT INTO defines a table. INSERT and MERGE may be names too, but not where a statement begins.
        if word.has(Word::INTO) {
            let begins = at == 1 || self.is_mark(at, 2, b"(");
            if !begins || !self.before(at, 1).has(Word::TAKES_INTO) {
                return Err(Odd);
            }
        }
        Ok(())
    }

    fn mark(&mut self, at: usize, bytes: &[u8]) -> Result<(), Odd> {
        match bytes {
            b"(" => {
                let named =
                    matches!(at.checked_sub(1).and_then(|at| self.kind(at)), Some(Kind::Word | Kind::Quoted));
                let before = self.before(at, 1);
                let distinct_on = before.has(Word::ON) && self.before(at, 2).has(Word::DISTINCT);
                let list = match self.frame.list {
                    List::Itself | List::Inside => List::Inside,
                    List::No if before.has(Word::OVER) || distinct_on => List::Itself,
                    List::No => List::No,
                };
                let keep = self.frame.keep || (named && !before.has(Word::OPENS));
                self.outer.push(self.frame);
                self.frame = Frame { keep, list, cast: before.has(Word::CAST) };
                Ok(())
            }
            b")" => {
                self.frame = self.outer.pop().ok_or(Odd)?;
                Ok(())
            }
            // A second statement.
            b";" => Err(Odd),
            _ => Ok(()),
        }
    }

    /// The class that stands for a literal; `None` if the literal must stand for itself.
    fn class(&self, at: usize, token: Token, bytes: &[u8]) -> Result<Option<u8>, Odd> {
        match self.frame.list {
            List::Inside => return Err(Odd),
            List::Itself if token.kind == Kind::Digits && self.is_position(at) => return Ok(None),
            List::Itself => return Err(Odd),
            List::No => {}
        }
        if self.frame.keep || !self.cast_is_plain(at) {
            return Ok(None);
        }
        Ok(match token.kind {
            // An array's bound in a type's name, perhaps.
            Kind::Digits if self.is_mark(at, 1, b"[") => None,
            Kind::Digits => integer_class(bytes),
            Kind::Number => {
                let decimal =
                    bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
                decimal.then_some(b'n')
            }
            Kind::Text if self.is_plain_string(at) => Some(b's'),
            Kind::National => Some(b'c'),
            Kind::Bits => Some(b'b'),
            Kind::Hex => Some(b'x'),
            _ => None,
        })
    }

    /// Whether an integer in a list is a position: nothing but commas and the list's ends around it.
    fn is_position(&self, at: usize) -> bool {
        let opens = self.is_mark(at, 1, b",")
            || self.is_mark(at, 1, b"(")
            || self.before(at, 1).has(Word::BEGINS_LIST);
        let closes = match self.all.get(at + 1) {
            None => true,
            Some((token, word)) => {
                token.is_mark(self.text, b",")
                    || token.is_mark(self.text, b")")
                    || word.has(Word::AFTER_POSITION)
            }
        };
        opens && closes
    }

    /// Whether a string can only be a literal of unknown or of a well-known type: not `type 'literal'` of another.
    fn is_plain_string(&self, at: usize) -> bool {
        match at.checked_sub(1).and_then(|at| self.kind(at)) {
            None | Some(Kind::Operator) => true,
            Some(Kind::Mark) => !self.is_mark(at, 1, b")") && !self.is_mark(at, 1, b"]"),
            Some(Kind::Word) => self.before(at, 1).has(Word::BEFORE_LITERAL),
            _ => false,
        }
    }

    /// Whether all casts of the literal at `at` are to well-known types.
    fn cast_is_plain(&self, at: usize) -> bool {
        let word = |at: usize| self.all.get(at).map_or(Word::NONE, |(_, word)| *word);
        let mark = |at: usize, mark: &[u8]| {
            self.all.get(at).is_some_and(|(token, _)| token.is_mark(self.text, mark))
        };
        let plain = |at: usize| word(at).has(Word::PLAIN_TYPE) && !mark(at + 1, b".");
        let mut next = at + 1;
        if self.frame.cast && word(next).has(Word::AS) {
            return plain(next + 1);
        }
        while mark(next, b"::") {
            if !plain(next + 1) {
                return false;
            }
            next += 2;
            // Modifiers and the rest of a name of several words.
            while word(next).has(Word::PLAIN_TYPE)
                || self.kind(next) == Some(Kind::Digits)
                || [b"(", b")", b",", b"[", b"]"].iter().any(|m| mark(next, *m))
            {
                next += 1;
            }
        }
        true
    }
}

/// The type that an integer of this size gets, before a sign or after (`make_const`); none at the two edges, where the
/// sign decides.
fn integer_class(digits: &[u8]) -> Option<u8> {
    let mut value = 0_u128;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(u128::from(digit - b'0'));
    }
    match value {
        0..=0x7fff_ffff => Some(b'4'),
        0x8000_0000 | 0x8000_0000_0000_0000 => None,
        0x8000_0001..=0x7fff_ffff_ffff_ffff => Some(b'8'),
        _ => Some(b'n'),
    }
}
