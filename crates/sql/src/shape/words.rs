//! The words that matter to a text's shape. Knows no syntax.

use crate::tokens::{Kind, Token};

/// What a word may mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u16);

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

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Longest word that means something here.
const WORD_BYTES_MAX: usize = 16;

/// What the token may mean, if it is a word.
pub(super) fn word(token: Token, text: &[u8]) -> Word {
    let bytes = match token.kind {
        Kind::Word => token.text(text),
        // Only a type can hide in quotes.
        Kind::Quoted => {
            let inner =
                token.text(text).get(1..).and_then(<[u8]>::split_last).map_or(&[][..], |(_, inner)| inner);
            return if meaning(inner).has(Word::REG_TYPE) { Word::REG_TYPE } else { Word::NONE };
        }
        _ => return Word::NONE,
    };
    let mut lower = [0_u8; WORD_BYTES_MAX];
    let Some(lower) = lower.get_mut(..bytes.len()) else { return Word::NONE };
    lower.copy_from_slice(bytes);
    lower.make_ascii_lowercase();
    meaning(lower)
}

fn meaning(word: &[u8]) -> Word {
    match word {
        b"delete" | b"table" | b"update" => Word::BEGINS_QUERY,
        b"values" => Word::BEGINS_QUERY.or(Word::OPENS),
        b"select" => Word::BEGINS_QUERY.or(Word::OPENS).or(Word::BEFORE_LITERAL),
        b"with" => Word::BEGINS_QUERY.or(Word::PLAIN_TYPE),
        b"insert" | b"merge" => Word::BEGINS_QUERY.or(Word::TAKES_INTO),
        b"abs" | b"age" | b"any" | b"array" | b"array_agg" | b"array_length" | b"avg" | b"bool_and"
        | b"bool_or" | b"btrim" | b"cardinality" | b"ceil" | b"ceiling" | b"char_length"
        | b"character_length" | b"coalesce" | b"concat" | b"concat_ws" | b"conflict" | b"count" | b"cube"
        | b"date_part" | b"date_trunc" | b"dense_rank" | b"exists" | b"extract" | b"filter"
        | b"first_value" | b"floor" | b"generate_series" | b"greatest" | b"group" | b"in" | b"is"
        | b"join" | b"json_agg" | b"jsonb_agg" | b"lag" | b"last_value" | b"lateral" | b"lead" | b"least"
        | b"left" | b"length" | b"lower" | b"lpad" | b"ltrim" | b"make_date" | b"materialized" | b"max"
        | b"min" | b"mod" | b"now" | b"ntile" | b"nullif" | b"octet_length" | b"overlay" | b"position"
        | b"power" | b"rank" | b"replace" | b"right" | b"rollup" | b"round" | b"row" | b"row_number"
        | b"rpad" | b"rtrim" | b"set" | b"sets" | b"some" | b"split_part" | b"sqrt" | b"starts_with"
        | b"string_agg" | b"strpos" | b"substr" | b"substring" | b"sum" | b"to_char" | b"to_date"
        | b"to_number" | b"to_timestamp" | b"trim" | b"trunc" | b"unnest" | b"upper" => Word::OPENS,
        b"all" | b"and" | b"between" | b"case" | b"else" | b"from" | b"ilike" | b"like" | b"not" | b"or"
        | b"then" | b"when" | b"where" => Word::OPENS.or(Word::BEFORE_LITERAL),
        b"using" => Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::AFTER_POSITION),
        b"having" | b"returning" => {
            Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::AFTER_POSITION).or(Word::ENDS_LIST)
        }
        b"on" => {
            Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::AFTER_POSITION).or(Word::ENDS_LIST).or(Word::ON)
        }
        b"distinct" => Word::OPENS.or(Word::BEFORE_LITERAL).or(Word::DISTINCT),
        b"except" | b"intersect" | b"limit" | b"offset" | b"union" => {
            Word::OPENS.or(Word::AFTER_POSITION).or(Word::ENDS_LIST)
        }
        b"by" => Word::OPENS.or(Word::BEGINS_LIST),
        b"over" => Word::OPENS.or(Word::OVER),
        b"as" => Word::OPENS.or(Word::AS),
        b"cast" => Word::OPENS.or(Word::CAST),
        b"escape" | b"placing" | b"symmetric" | b"to" => Word::BEFORE_LITERAL,
        b"bigint" | b"bit" | b"bool" | b"boolean" | b"bpchar" | b"bytea" | b"char" | b"character"
        | b"cidr" | b"date" | b"decimal" | b"double" | b"float" | b"float4" | b"float8" | b"inet"
        | b"int" | b"int2" | b"int4" | b"int8" | b"integer" | b"interval" | b"json" | b"jsonb"
        | b"macaddr" | b"money" | b"numeric" | b"precision" | b"real" | b"smallint" | b"text" | b"time"
        | b"timestamp" | b"timestamptz" | b"timetz" | b"uuid" | b"varchar" | b"varying" | b"zone" => {
            Word::BEFORE_LITERAL.or(Word::PLAIN_TYPE)
        }
        b"for" => Word::BEFORE_LITERAL.or(Word::AFTER_POSITION),
        b"without" => Word::PLAIN_TYPE,
        b"regclass" | b"regcollation" | b"regconfig" | b"regdatabase" | b"regdictionary"
        | b"regnamespace" | b"regoper" | b"regoperator" | b"regproc" | b"regprocedure" | b"regrole"
        | b"regtype" => Word::REG_TYPE,
        b"asc" | b"desc" | b"nulls" | b"order" => Word::AFTER_POSITION,
        b"window" => Word::AFTER_POSITION.or(Word::BEGINS_LIST),
        b"fetch" => Word::AFTER_POSITION.or(Word::ENDS_LIST),
        b"into" => Word::INTO,
        // to_regclass and its kin
        word if word.starts_with(b"to_reg") => Word::REG_TYPE,
        _ => Word::NONE,
    }
}
