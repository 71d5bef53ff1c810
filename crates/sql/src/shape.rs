//! Shapes, under which what is known of a text is remembered: the text itself, or what all texts have in common that
//! differ from it in literals alone. No tree; knows no grammar beyond what it takes to be sound.
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
//! A list of two or more literals of one class after IN counts as one, however long: PostgreSQL takes the operator from
//! the left side's type and the list's common type (`transformAExprIn`, src/backend/parser/parse_expr.c), so that more
//! of the same change nothing but the length of an array of constants. One literal alone is another tree.
//!
//! Texts that aren't one plain query (utility statements, several statements, SELECT INTO) and texts in which anything
//! is odd stand for themselves.
//!
//! SECURITY: a shape is bytes, and is compared as bytes. A hash of it finds a place to look and never decides: whoever
//! can make two texts of one hash must not get one's permit for the other.

mod words;

use crate::Strings;
use crate::tokens::{Kind, Odd, Token, Tokens};
use words::Word;

/// Between tokens; never inside one, but in quotes that end themselves.
const GAP: u8 = b' ';
/// Before the class of a blanked literal; never a token's first byte.
const BLANK: u8 = 0x02;
/// In the place of a class: one literal or more of the class before.
const MORE: u8 = b'*';

/// Working memory that is kept from one text to the next. Beyond it, memory is given back.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// What a text has in common with others of which the same is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape<'a> {
    /// Whether texts that differ in literals alone have this shape too. Blanked bytes and exact ones are never the same.
    pub form: Form,
    /// How a backslash is read.
    pub strings: Strings,
    /// The text, blanked or exact.
    pub bytes: &'a [u8],
}

/// What a shape's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The text itself.
    Exact,
    /// Its tokens, literals left out where that is sound.
    Blanked,
}

/// The shape of a text's exact bytes.
pub fn exact(text: &[u8], strings: Strings) -> Shape<'_> {
    Shape { form: Form::Exact, strings, bytes: text }
}

/// Makes shapes, one after another in the same memory.
#[derive(Default)]
pub struct Shaper {
    pieces: Vec<Piece>,
    outer: Vec<Frame>,
    out: Vec<u8>,
}

impl Shaper {
    /// The shape of a text: blanked where that is sound, else its exact bytes.
    pub fn shape<'a>(&'a mut self, text: &'a [u8], strings: Strings) -> Shape<'a> {
        self.clear();
        match self.blank(text, strings) {
            Ok(()) => Shape { form: Form::Blanked, strings, bytes: &self.out },
            Err(Odd) => exact(text, strings),
        }
    }

    fn clear(&mut self) {
        let kept = self.pieces.capacity() * size_of::<Piece>()
            + self.outer.capacity() * size_of::<Frame>()
            + self.out.capacity();
        if kept > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        self.pieces.clear();
        self.outer.clear();
        self.out.clear();
    }

    fn blank(&mut self, text: &[u8], strings: Strings) -> Result<(), Odd> {
        let mut reader = Tokens::new(text, strings);
        while let Some(token) = reader.next()? {
            self.pieces.push(Piece::new(token, text)?);
        }
        while self.pieces.last().is_some_and(|piece| piece.mark == Mark::Semicolon) {
            self.pieces.pop();
        }
        let first = self.pieces.first().ok_or(Odd)?;
        if !first.word.has(Word::BEGINS_QUERY) && first.mark != Mark::Opens {
            return Err(Odd);
        }
        self.out.reserve(text.len());
        let Self { pieces, outer, out } = self;
        let mut writer = Writer { text, all: pieces, out, frame: Frame::default(), outer };
        let mut at = 0;
        while at < writer.all.len() {
            at = writer.token(at)?;
        }
        if writer.outer.is_empty() { Ok(()) } else { Err(Odd) }
    }
}

/// A token, with what matters of it here.
#[derive(Clone, Copy)]
struct Piece {
    start: u32,
    end: u32,
    word: Word,
    kind: Kind,
    mark: Mark,
}

impl Piece {
    const NONE: Self = Self { start: 0, end: 0, word: Word::NONE, kind: Kind::Operator, mark: Mark::None };

    fn new(token: Token, text: &[u8]) -> Result<Self, Odd> {
        let place = |at: usize| u32::try_from(at).map_err(|_| Odd);
        let mark = if token.kind == Kind::Mark { Mark::of(token.text(text)) } else { Mark::None };
        Ok(Self {
            start: place(token.start)?,
            end: place(token.end)?,
            word: words::word(token, text),
            kind: token.kind,
            mark,
        })
    }

    fn text<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Punctuation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// No punctuation at all.
    None,
    Comma,
    /// `(`
    Opens,
    /// `)`
    Closes,
    /// `[`
    Subscript,
    /// `]`
    SubscriptEnd,
    Semicolon,
    Dot,
    /// `::`
    Cast,
    Other,
}

impl Mark {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [b','] => Self::Comma,
            [b'('] => Self::Opens,
            [b')'] => Self::Closes,
            [b'['] => Self::Subscript,
            [b']'] => Self::SubscriptEnd,
            [b';'] => Self::Semicolon,
            [b'.'] => Self::Dot,
            [b':', b':'] => Self::Cast,
            _ => Self::Other,
        }
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
    /// Arguments of POSITION, whose IN is another one.
    position: bool,
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
    all: &'a [Piece],
    out: &'a mut Vec<u8>,
    frame: Frame,
    outer: &'a mut Vec<Frame>,
}

impl Writer<'_> {
    /// Writes the token at `at`, and what it takes along; returns where to go on.
    fn token(&mut self, at: usize) -> Result<usize, Odd> {
        let piece = self.piece(at);
        if piece.word.has(Word::REG_TYPE) {
            return Err(Odd);
        }
        match piece.kind {
            Kind::Word => {
                self.word(at, piece.word)?;
                self.keep(piece);
            }
            Kind::Mark => {
                let all_alike = if piece.mark == Mark::Opens { self.alike(at) } else { None };
                self.mark(at, piece.mark)?;
                self.keep(piece);
                if let Some((class, closes)) = all_alike {
                    self.out.extend_from_slice(&[BLANK, class, GAP, BLANK, MORE, GAP]);
                    return Ok(closes);
                }
            }
            Kind::Quoted | Kind::Param | Kind::Operator => self.keep(piece),
            Kind::Text | Kind::National | Kind::Bits | Kind::Hex | Kind::Digits | Kind::Number => {
                match self.class(at, piece)? {
                    Some(class) => self.out.extend_from_slice(&[BLANK, class, GAP]),
                    None => self.keep(piece),
                }
            }
            // U&"..." names something, and UESCAPE may follow it; U&'...' is too rare to be worth a proof.
            Kind::Unicode => return Err(Odd),
        }
        Ok(at + 1)
    }

    fn keep(&mut self, piece: Piece) {
        self.out.extend_from_slice(piece.text(self.text));
        self.out.push(GAP);
    }

    fn piece(&self, at: usize) -> Piece {
        self.all.get(at).copied().unwrap_or(Piece::NONE)
    }

    fn back(&self, at: usize, back: usize) -> Piece {
        at.checked_sub(back).map_or(Piece::NONE, |at| self.piece(at))
    }

    /// The word `back` tokens before, if it is a whole name or keyword.
    fn before(&self, at: usize, back: usize) -> Word {
        let word = self.back(at, back).word;
        if word == Word::NONE || self.back(at, back + 1).mark == Mark::Dot { Word::NONE } else { word }
    }

    fn word(&mut self, at: usize, word: Word) -> Result<(), Odd> {
        if !word.has(Word::MOVES_LISTS) {
            return Ok(());
        }
        // A part of a longer name, or a label.
        if self.back(at, 1).mark == Mark::Dot || self.before(at, 1).has(Word::AS) {
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
            let begins = at == 1 || self.back(at, 2).mark == Mark::Opens;
            if !begins || !self.before(at, 1).has(Word::TAKES_INTO) {
                return Err(Odd);
            }
        }
        Ok(())
    }

    fn mark(&mut self, at: usize, mark: Mark) -> Result<(), Odd> {
        match mark {
            Mark::Opens => {
                let named = at > 0 && matches!(self.back(at, 1).kind, Kind::Word | Kind::Quoted);
                let before = self.before(at, 1);
                let distinct_on = before.has(Word::ON) && self.before(at, 2).has(Word::DISTINCT);
                let list = match self.frame.list {
                    List::Itself | List::Inside => List::Inside,
                    List::No if before.has(Word::OVER) || distinct_on => List::Itself,
                    List::No => List::No,
                };
                let keep = self.frame.keep || (named && !before.has(Word::OPENS));
                self.outer.push(self.frame);
                self.frame =
                    Frame { keep, list, cast: before.has(Word::CAST), position: before.has(Word::POSITION) };
                Ok(())
            }
            Mark::Closes => {
                self.frame = self.outer.pop().ok_or(Odd)?;
                Ok(())
            }
            // A second statement.
            Mark::Semicolon => Err(Odd),
            _ => Ok(()),
        }
    }

    /// If the parenthesis at `at` opens an IN list of two or more literals of one class and nothing else: the class, and
    /// where it closes.
    fn alike(&self, at: usize) -> Option<(u8, usize)> {
        let Frame { keep, list, cast: _, position } = self.frame;
        let plain = !keep && !position && list == List::No;
        if !plain || !self.before(at, 1).has(Word::IN) || self.before(at, 2).has(Word::AS) {
            return None;
        }
        let mut alike = None;
        let mut literal = at + 1;
        loop {
            let piece = self.piece(literal);
            // N'...' is a cast in disguise.
            let class = self.plain_class(piece).filter(|_| piece.kind != Kind::National)?;
            if alike.is_some_and(|known| known != class) {
                return None;
            }
            let separator = self.piece(literal + 1);
            match separator.mark {
                Mark::Comma => alike = Some(class),
                // One alone isn't a list.
                Mark::Closes if alike.is_some() => return Some((class, literal + 1)),
                _ => return None,
            }
            literal += 2;
        }
    }

    /// The class of a literal between commas and parentheses.
    fn plain_class(&self, piece: Piece) -> Option<u8> {
        match piece.kind {
            Kind::Digits => integer_class(piece.text(self.text)),
            Kind::Number => {
                let bytes = piece.text(self.text);
                let decimal =
                    bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
                decimal.then_some(b'n')
            }
            Kind::Text => Some(b's'),
            Kind::National => Some(b'c'),
            Kind::Bits => Some(b'b'),
            Kind::Hex => Some(b'x'),
            Kind::Word | Kind::Quoted | Kind::Unicode | Kind::Param | Kind::Operator | Kind::Mark => None,
        }
    }

    /// The class that stands for a literal; `None` if the literal must stand for itself.
    fn class(&self, at: usize, piece: Piece) -> Result<Option<u8>, Odd> {
        match self.frame.list {
            List::Inside => return Err(Odd),
            List::Itself if piece.kind == Kind::Digits && self.is_position(at) => return Ok(None),
            List::Itself => return Err(Odd),
            List::No => {}
        }
        if self.frame.keep || !self.cast_is_plain(at) {
            return Ok(None);
        }
        Ok(match piece.kind {
            // An array's bound in a type's name, perhaps.
            Kind::Digits if self.back(at, 1).mark == Mark::Subscript => None,
            Kind::Text if !self.is_plain_string(at) => None,
            _ => self.plain_class(piece),
        })
    }

    /// Whether an integer in a list is a position: nothing but commas and the list's ends around it.
    fn is_position(&self, at: usize) -> bool {
        let opens = matches!(self.back(at, 1).mark, Mark::Comma | Mark::Opens)
            || self.before(at, 1).has(Word::BEGINS_LIST);
        let next = self.piece(at + 1);
        let closes = at + 1 >= self.all.len()
            || matches!(next.mark, Mark::Comma | Mark::Closes)
            || next.word.has(Word::AFTER_POSITION);
        opens && closes
    }

    /// Whether a string can only be a literal of unknown or of a well-known type: not `type 'literal'` of another.
    fn is_plain_string(&self, at: usize) -> bool {
        if at == 0 {
            return true;
        }
        let before = self.back(at, 1);
        match before.kind {
            Kind::Operator => true,
            Kind::Mark => !matches!(before.mark, Mark::Closes | Mark::SubscriptEnd),
            Kind::Word => self.before(at, 1).has(Word::BEFORE_LITERAL),
            _ => false,
        }
    }

    /// Whether all casts of the literal at `at` are to well-known types.
    fn cast_is_plain(&self, at: usize) -> bool {
        let plain =
            |at: usize| self.piece(at).word.has(Word::PLAIN_TYPE) && self.piece(at + 1).mark != Mark::Dot;
        let mut next = at + 1;
        if self.frame.cast && self.piece(next).word.has(Word::AS) {
            return plain(next + 1);
        }
        while self.piece(next).mark == Mark::Cast {
            if !plain(next + 1) {
                return false;
            }
            next = self.after_type(next + 2);
        }
        true
    }

    /// Passes modifiers, bounds and the rest of a type's name of several words. Only what is closed is passed, so that no
    /// token is looked at for more than one literal.
    fn after_type(&self, mut at: usize) -> usize {
        loop {
            let close = match self.piece(at) {
                piece if piece.word.has(Word::PLAIN_TYPE) => {
                    at += 1;
                    continue;
                }
                Piece { mark: Mark::Opens, .. } => Mark::Closes,
                Piece { mark: Mark::Subscript, .. } => Mark::SubscriptEnd,
                _ => return at,
            };
            let mut inside = at + 1;
            while self.piece(inside).kind == Kind::Digits || self.piece(inside).mark == Mark::Comma {
                inside += 1;
            }
            if self.piece(inside).mark != close {
                return at;
            }
            at = inside + 1;
        }
    }
}

/// The type that an integer of this size gets, before a sign or after (`make_const`); none at the two edges, where the
/// sign decides.
fn integer_class(digits: &[u8]) -> Option<u8> {
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // What doesn't fit is larger than the last edge, and so is the largest value.
        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    }
    match value {
        0..=0x7fff_ffff => Some(b'4'),
        0x8000_0000 | 0x8000_0000_0000_0000 => None,
        0x8000_0001..=0x7fff_ffff_ffff_ffff => Some(b'8'),
        _ => Some(b'n'),
    }
}
