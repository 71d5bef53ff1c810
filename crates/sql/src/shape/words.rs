//! The words that matter to a text's shape. Knows no syntax.

use crate::tokens::{Kind, Token};

/// What a word may mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u32);

impl Word {
    pub(super) const NONE: Self = Self(0);
    /// Begins a query.
    pub(super) const BEGINS_QUERY: Self = Self(1 << 0);
    /// Before `(`: a keyword, or a well-known function of values; literals inside are values.
    pub(super) const OPENS: Self = Self(1 << 1);
    /// Before a string: not the name of a type, or that of a well-known one.
    pub(super) const BEFORE_LITERAL: Self = Self(1 << 2);
    /// A well-known type whose literals are values, or a part of such a type's name.
    pub(super) const PLAIN_TYPE: Self = Self(1 << 3);
    /// A type whose literals name objects.
    pub(super) const REG_TYPE: Self = Self(1 << 4);
    /// May follow a position in ORDER BY or GROUP BY.
    pub(super) const AFTER_POSITION: Self = Self(1 << 5);
    /// BY, WINDOW: positions or compared expressions follow.
    pub(super) const BEGINS_LIST: Self = Self(1 << 6);
    /// Ends such a list. All are reserved words (src/include/parser/kwlist.h).
    pub(super) const ENDS_LIST: Self = Self(1 << 7);
    /// OVER
    pub(super) const OVER: Self = Self(1 << 8);
    /// INTO
    pub(super) const INTO: Self = Self(1 << 9);
    /// INSERT, MERGE
    pub(super) const TAKES_INTO: Self = Self(1 << 10);
    /// DISTINCT
    pub(super) const DISTINCT: Self = Self(1 << 11);
    /// ON
    pub(super) const ON: Self = Self(1 << 12);
    /// AS
    pub(super) const AS: Self = Self(1 << 13);
    /// CAST
    pub(super) const CAST: Self = Self(1 << 14);
    /// IN
    pub(super) const IN: Self = Self(1 << 15);
    /// POSITION
    pub(super) const POSITION: Self = Self(1 << 16);
    /// Any that matters to what comes after it, whatever that is.
    pub(super) const MOVES_LISTS: Self = Self::BEGINS_LIST.or(Self::ENDS_LIST).or(Self::INTO);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Longest word that means something here.
const WORD_BYTES_MAX: usize = 16;

/// Words and what they may mean, in lower case.
const WORDS: &[(Word, &str)] = &[
    (Word::BEGINS_QUERY, "delete table update"),
    (Word::BEGINS_QUERY.or(Word::OPENS), "values"),
    (Word::BEGINS_QUERY.or(Word::OPENS).or(Word::BEFORE_LITERAL), "select"),
    (Word::BEGINS_QUERY.or(Word::PLAIN_TYPE), "with"),
    (Word::BEGINS_QUERY.or(Word::TAKES_INTO), "insert merge"),
    (Word::OPENS.or(Word::IN), "in"),
    (Word::OPENS.or(Word::POSITION), "position"),
    (
        Word::OPENS,
        "abs age any array array_agg array_length avg bool_and bool_or btrim cardinality ceil \
         ceiling char_length character_length coalesce concat concat_ws conflict count cube \
         date_part date_trunc dense_rank exists extract filter first_value floor generate_series \
         greatest group is join json_agg jsonb_agg lag last_value lateral lead least left length \
         lower lpad ltrim make_date materialized max min mod now ntile nullif octet_length \
         overlay power rank replace right rollup round row row_number rpad rtrim set sets some \
         split_part sqrt starts_with string_agg strpos substr substring sum to_char to_date \
         to_number to_timestamp trim trunc unnest upper",
    ),
    (
        Word::OPENS.or(Word::BEFORE_LITERAL),
        "all and between case else from ilike like not or then when where",
    ),
    (Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::AFTER_POSITION), "using"),
    (Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::AFTER_POSITION).or(Word::ENDS_LIST), "having returning"),
    (Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::AFTER_POSITION).or(Word::ENDS_LIST).or(Word::ON), "on"),
    (Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::DISTINCT), "distinct"),
    (Word::OPENS.or(Word::AFTER_POSITION).or(Word::ENDS_LIST), "except intersect limit offset union"),
    (Word::OPENS.or(Word::BEGINS_LIST), "by"),
    (Word::OPENS.or(Word::OVER), "over"),
    (Word::OPENS.or(Word::AS), "as"),
    (Word::OPENS.or(Word::CAST), "cast"),
    (Word::BEFORE_LITERAL, "escape placing symmetric to"),
    (
        Word::BEFORE_LITERAL.or(Word::PLAIN_TYPE),
        "bigint bit bool boolean bpchar bytea char character cidr date decimal double float \
         float4 float8 inet int int2 int4 int8 integer interval json jsonb macaddr money numeric \
         precision real smallint text time timestamp timestamptz timetz uuid varchar varying zone",
    ),
    (Word::BEFORE_LITERAL.or(Word::AFTER_POSITION), "for"),
    (Word::PLAIN_TYPE, "without"),
    (
        Word::REG_TYPE,
        "regclass regcollation regconfig regdatabase regdictionary regnamespace regoper \
         regoperator regproc regprocedure regrole regtype",
    ),
    (Word::AFTER_POSITION, "asc desc nulls order"),
    (Word::AFTER_POSITION.or(Word::BEGINS_LIST), "window"),
    (Word::AFTER_POSITION.or(Word::ENDS_LIST), "fetch"),
    (Word::INTO, "into"),
];

/// Places of the index below: some times as many as there are words, so that few share one.
const PLACES: usize = 1024;

struct Table {
    /// Number of the word at each place, 0 for none. Words that share a place are in the next free ones.
    index: [u8; PLACES],
    /// As their bytes, the first one lowest.
    words: [(u128, Word); 256],
}

static TABLE: Table = table();

#[expect(clippy::indexing_slicing, reason = "done while compiling")]
const fn table() -> Table {
    let mut table = Table { index: [0; PLACES], words: [(0, Word::NONE); 256] };
    let mut number = 1;
    let mut group = 0;
    while group < WORDS.len() {
        let (meaning, words) = WORDS[group];
        let words = words.as_bytes();
        let (mut at, mut shift, mut word) = (0, 0, 0_u128);
        while at <= words.len() {
            if at == words.len() || words[at] == b' ' {
                let mut place = place(word);
                while table.index[place] != 0 {
                    place = (place + 1) % PLACES;
                }
                table.index[place] = number;
                table.words[number as usize] = (word, meaning);
                (number, shift, word) = (number + 1, 0, 0);
            } else {
                word |= (words[at] as u128) << shift;
                shift += 8;
            }
            at += 1;
        }
        group += 1;
    }
    table
}

/// Where to look for a word first.
const fn place(word: u128) -> usize {
    let folded = (word as u64) ^ ((word >> 64) as u64);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

/// What the token may mean, if it is a word.
pub(super) fn word(token: Token, text: &[u8]) -> Word {
    match token.kind {
        Kind::Word => meaning(token.text(text)),
        // Only a type can hide in quotes.
        Kind::Quoted => {
            let inner =
                token.text(text).get(1..).and_then(<[u8]>::split_last).map_or(&[][..], |(_, inner)| inner);
            if meaning(inner).has(Word::REG_TYPE) { Word::REG_TYPE } else { Word::NONE }
        }
        _ => Word::NONE,
    }
}

fn meaning(bytes: &[u8]) -> Word {
    let mut lower = [0_u8; WORD_BYTES_MAX];
    let Some(begin) = lower.get_mut(..bytes.len()) else { return Word::NONE };
    begin.copy_from_slice(bytes);
    lower.make_ascii_lowercase();
    // to_regclass and its kin
    if lower.starts_with(b"to_reg") {
        return Word::REG_TYPE;
    }
    let word = u128::from_le_bytes(lower);
    let mut at = place(word);
    // There is a free place: the index is never full.
    while let Some(number) = TABLE.index.get(at)
        && *number != 0
    {
        match TABLE.words.get(usize::from(*number)) {
            Some((known, meaning)) if *known == word => return *meaning,
            _ => at = (at + 1) % PLACES,
        }
    }
    Word::NONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_what_its_line_says_and_stands_there_once() {
        let mut seen = std::collections::HashSet::new();
        for (meaning_listed, words) in WORDS {
            for word in words.split(' ') {
                assert!(word.len() <= WORD_BYTES_MAX && seen.insert(word), "{word}");
                assert!(meaning(word.as_bytes()) == *meaning_listed, "{word}");
                assert!(meaning(word.to_ascii_uppercase().as_bytes()) == *meaning_listed, "{word}");
                for other in [format!("{word}x"), format!("x{word}")] {
                    let known = seen.contains(other.as_str())
                        || WORDS.iter().any(|(_, all)| all.split(' ').any(|w| w == other));
                    assert!(known || meaning(other.as_bytes()) == Word::NONE, "{other}");
                }
            }
        }
        assert!(meaning(b"to_regclass") == Word::REG_TYPE && meaning(b"") == Word::NONE);
    }
}
