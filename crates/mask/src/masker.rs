//! A mask fitted to a column: decided once, applied to every row.

use model::Mask;

use crate::calendar::{self, Moment, Unit};
use crate::key::{Domain, Key};
use crate::network::Kept;
use crate::text::TextMask;
use crate::types::{ColumnType, Family, Format, IntWidth, Shape};
use crate::{constant, network, number};

/// What [`Mask::Redact`] writes.
const REDACTED: &str = "[redacted]";

/// A mask for the values of one column in one format. Infallible: what it can't mask becomes NULL.
#[derive(Clone)]
pub struct Masker {
    op: Op,
    format: Format,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is NULL, and nothing was written.
    Null,
    /// It was written to the end of the buffer.
    Value,
}

/// Why a column can't be masked as the policy wants. The statement must be refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotMask {
    /// A pseudonym without a key could be found by trying.
    #[error("mask \"{0}\" needs a mask key, and none is configured")]
    NoKey(&'static str),
    /// The constant is not a value of the column's type.
    #[error("constant \"{value}\" is not a value of the column's type (oid {oid})")]
    BadConstant {
        /// The policy's value.
        value: String,
        /// The column's type.
        oid: model::Oid,
    },
}

#[derive(Clone)]
enum Op {
    Null,
    /// The same for all, NULL included.
    Always(Vec<u8>),
    /// The same for all but NULL.
    Fixed(Vec<u8>),
    Text(TextMask, Shape),
    HashText(Key, Shape, usize),
    UuidText(Key, Shape),
    HashInt(Key, IntWidth),
    HashBytes(Key),
    Uuid(Key),
    Truncate(Unit, Moment),
    RoundInt(u32, IntWidth),
    RoundFloat4(u32),
    RoundFloat8(u32),
    RoundNumeric(u32, u16),
    Network {
        kept: Kept,
        is_cidr: bool,
    },
}

impl Masker {
    /// Fits a mask to a column that is returned as it is.
    ///
    /// # Errors
    /// [`CannotMask`]: the policy's author or the operator; nothing must be returned.
    pub fn for_column(
        mask: &Mask,
        ty: ColumnType,
        format: Format,
        key: Option<&Key>,
    ) -> Result<Self, CannotMask> {
        let keyed = || key.cloned().ok_or(CannotMask::NoKey(mask.kind()));
        let family = ty.family();
        let op = match (mask, family) {
            (Mask::Null, _) => Op::Null,
            (Mask::Redact, Family::Text(shape)) => {
                let mut bytes = Vec::new();
                shape.write(REDACTED, format, &mut bytes);
                Op::Fixed(bytes)
            }
            (Mask::Constant { .. }, Family::Opaque) => Op::Null,
            (Mask::Constant { value }, _) => {
                let mut bytes = Vec::new();
                let bad = || CannotMask::BadConstant { value: value.clone(), oid: ty.oid };
                constant::write(value, family, format, &mut bytes).ok_or_else(bad)?;
                Op::Fixed(bytes)
            }
            (Mask::Hash { digits, .. }, Family::Text(shape)) => {
                Op::HashText(keyed()?, shape, usize::from(*digits))
            }
            (Mask::Hash { .. }, Family::Int(width @ (IntWidth::Four | IntWidth::Eight))) => {
                Op::HashInt(keyed()?, width)
            }
            (Mask::Hash { .. }, Family::Bytea) => Op::HashBytes(keyed()?),
            (Mask::Uuid { .. } | Mask::Hash { .. }, Family::Uuid) => Op::Uuid(keyed()?),
            (Mask::Uuid { .. }, Family::Text(shape)) if shape.is_plain() => Op::UuidText(keyed()?, shape),
            (Mask::Year | Mask::Month, family) => {
                let unit = if *mask == Mask::Year { Unit::Year } else { Unit::Month };
                match family {
                    Family::Date => Op::Truncate(unit, Moment::Date),
                    Family::Timestamp => Op::Truncate(unit, Moment::Timestamp),
                    Family::TimestampTz => Op::Truncate(unit, Moment::TimestampTz),
                    _ => Op::Null,
                }
            }
            (Mask::Round { to }, family) => match family {
                Family::Int(width) => Op::RoundInt(to.get(), width),
                Family::Float4 => Op::RoundFloat4(to.get()),
                Family::Float8 => Op::RoundFloat8(to.get()),
                Family::Numeric { scale } => Op::RoundNumeric(to.get(), scale),
                _ => Op::Null,
            },
            (Mask::Ip { v4, v6 }, Family::Inet) => {
                Op::Network { kept: Kept { v4: *v4, v6: *v6 }, is_cidr: false }
            }
            (Mask::Ip { v4, v6 }, Family::Cidr) => {
                Op::Network { kept: Kept { v4: *v4, v6: *v6 }, is_cidr: true }
            }
            (_, Family::Text(shape)) if shape.is_plain() => match text_mask(mask) {
                Some(mask) => Op::Text(mask, shape),
                None => Op::Null,
            },
            _ => Op::Null,
        };
        Ok(Self { op, format })
    }

    /// Fits a mask to an expression over masked columns: each row gets the same, NULL or not.
    ///
    /// The mask of the column is no help here: `substr(ssn, n)` under a mask that keeps a character would show them all, one by one; a
    /// pseudonym of `ssn < x`, or whether a CASE over it is NULL, would answer any question. So the expression becomes what
    /// `constant` and `redact` write where they fit the type, and NULL otherwise.
    pub fn for_expression(mask: &Mask, ty: ColumnType, format: Format) -> Self {
        let whole = match mask {
            Mask::Null | Mask::Constant { .. } => mask,
            _ => &Mask::Redact,
        };
        let op = match Self::for_column(whole, ty, format, None) {
            Ok(Self { op: Op::Fixed(bytes), .. }) => Op::Always(bytes),
            _ => Op::Null,
        };
        Self { op, format }
    }

    /// Masks a value: appends to `out` what the client gets. `None` is NULL.
    pub fn apply(&self, value: Option<&[u8]>, out: &mut Vec<u8>) -> Outcome {
        let start = out.len();
        let masked = match (&self.op, value) {
            (Op::Always(bytes), _) | (Op::Fixed(bytes), Some(_)) => {
                out.extend_from_slice(bytes);
                Some(())
            }
            (Op::Null, _) | (_, None) => None,
            (op, Some(value)) => op.mask(value, self.format, out),
        };
        match masked {
            Some(()) => Outcome::Value,
            None => {
                // SECURITY: nothing that a function wrote before it gave up may stay.
                out.truncate(start);
                Outcome::Null
            }
        }
    }

    /// Returns the format of the values.
    pub const fn format(&self) -> Format {
        self.format
    }
}

/// Returns whether values of the type are masked into something other than NULL: what `gatepost check` warns of.
pub fn fits(mask: &Mask, ty: ColumnType) -> bool {
    let key = Key::new(&[0; Key::BYTES_MIN]).ok();
    let masker = Masker::for_column(mask, ty, Format::Text, key.as_ref());
    *mask == Mask::Null || !matches!(masker, Ok(Masker { op: Op::Null, .. }) | Err(_))
}

fn text_mask(mask: &Mask) -> Option<TextMask> {
    match mask {
        Mask::Partial { keep_first, keep_last, fill } => Some(TextMask::Partial {
            first: usize::from(*keep_first),
            last: usize::from(*keep_last),
            fill: fill.clone(),
        }),
        Mask::Email => Some(TextMask::Email),
        Mask::Phone { keep_last } => Some(TextMask::Phone { keep_last: usize::from(*keep_last) }),
        Mask::Card => Some(TextMask::Card),
        Mask::Ip { v4, v6 } => Some(TextMask::Ip(Kept { v4: *v4, v6: *v6 })),
        Mask::Null
        | Mask::Redact
        | Mask::Constant { .. }
        | Mask::Uuid { .. }
        | Mask::Hash { .. }
        | Mask::Year
        | Mask::Month
        | Mask::Round { .. } => None,
    }
}

impl Op {
    fn mask(&self, value: &[u8], format: Format, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Null | Self::Always(_) | Self::Fixed(_) => None,
            Self::Text(mask, shape) => {
                shape.write(&mask.apply(shape.read(value, format)?)?, format, out);
                Some(())
            }
            Self::HashText(key, shape, digits) => {
                let text = shape.read(value, format)?;
                let mut hex = hex::encode(key.pseudonym(Domain::Text, text.as_bytes()));
                hex.truncate(*digits);
                shape.write(&hex, format, out);
                Some(())
            }
            Self::UuidText(key, shape) => {
                let uuid = constant::read_uuid(shape.read(value, format)?.as_bytes(), Format::Text)?;
                shape.write(&constant::uuid_text(key.uuid(uuid)), format, out);
                Some(())
            }
            Self::HashInt(key, width) => {
                let number = key.number(number::read_int(value, *width, format)?);
                let number = if *width == IntWidth::Four { (number >> 32).max(1) } else { number };
                number::write_int(number, *width, format, out)
            }
            Self::HashBytes(key) => {
                let bytes = constant::read_bytea(value, format)?;
                constant::write_bytea(&key.pseudonym(Domain::Bytes, &bytes), format, out);
                Some(())
            }
            Self::Uuid(key) => {
                constant::write_uuid(key.uuid(constant::read_uuid(value, format)?), format, out);
                Some(())
            }
            Self::Truncate(unit, moment) => calendar::truncate(value, *unit, *moment, format, out),
            Self::RoundInt(to, width) => number::round_int(value, *to, *width, format, out),
            Self::RoundFloat4(to) => number::round_float4(value, *to, format, out),
            Self::RoundFloat8(to) => number::round_float8(value, *to, format, out),
            Self::RoundNumeric(to, scale) => number::round_numeric(value, *to, *scale, format, out),
            Self::Network { kept, is_cidr } => network::mask(value, *kept, *is_cidr, format, out),
        }
    }
}
