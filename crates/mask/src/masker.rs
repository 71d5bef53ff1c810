//! A mask fitted to a column: decided once, applied to every row.

use crate::calendar::{self, Moment, Unit};
use crate::key::{Domain, Key};
use crate::mask::Mask;
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
        is_cidr: bool,
    },
}

impl Mask {
    /// Fits the mask to a column that is returned as it is.
    ///
    /// # Errors
    /// [`CannotMask`]: the policy's author or the operator; nothing must be returned.
    pub fn for_column(
        &self,
        ty: ColumnType,
        format: Format,
        key: Option<&Key>,
    ) -> Result<Masker, CannotMask> {
        let keyed = || key.cloned().ok_or(CannotMask::NoKey(self.name()));
        let family = ty.family();
        let op = match (self, family) {
            (Self::Null, _) => Op::Null,
            (Self::Redact, Family::Text(shape)) => {
                let mut bytes = Vec::new();
                shape.write(REDACTED, format, &mut bytes);
                Op::Fixed(bytes)
            }
            (Self::Constant { .. }, Family::Opaque) => Op::Null,
            (Self::Constant { value }, _) => {
                let mut bytes = Vec::new();
                let bad = || CannotMask::BadConstant { value: value.clone(), oid: ty.oid };
                constant::write(value, family, format, &mut bytes).ok_or_else(bad)?;
                Op::Fixed(bytes)
            }
            (Self::Hash { digits }, Family::Text(shape)) => {
                Op::HashText(keyed()?, shape, usize::from(*digits))
            }
            (Self::Hash { .. }, Family::Int(width @ (IntWidth::Four | IntWidth::Eight))) => {
                Op::HashInt(keyed()?, width)
            }
            (Self::Hash { .. }, Family::Bytea) => Op::HashBytes(keyed()?),
            (Self::Uuid | Self::Hash { .. }, Family::Uuid) => Op::Uuid(keyed()?),
            (Self::Uuid, Family::Text(shape)) if shape.is_plain() => Op::UuidText(keyed()?, shape),
            (Self::Year | Self::Month, family) => {
                let unit = if *self == Self::Year { Unit::Year } else { Unit::Month };
                match family {
                    Family::Date => Op::Truncate(unit, Moment::Date),
                    Family::Timestamp => Op::Truncate(unit, Moment::Timestamp),
                    Family::TimestampTz => Op::Truncate(unit, Moment::TimestampTz),
                    _ => Op::Null,
                }
            }
            (Self::Round { to }, family) => match family {
                Family::Int(width) => Op::RoundInt(to.0.get(), width),
                Family::Float4 => Op::RoundFloat4(to.0.get()),
                Family::Float8 => Op::RoundFloat8(to.0.get()),
                Family::Numeric { scale } => Op::RoundNumeric(to.0.get(), scale),
                _ => Op::Null,
            },
            (Self::Ip, Family::Inet) => Op::Network { is_cidr: false },
            (Self::Ip, Family::Cidr) => Op::Network { is_cidr: true },
            (_, Family::Text(shape)) if shape.is_plain() => match self.for_text() {
                Some(mask) => Op::Text(mask, shape),
                None => Op::Null,
            },
            _ => Op::Null,
        };
        Ok(Masker { op, format })
    }

    /// Fits the mask to an expression over masked columns: each row gets the same, NULL or not.
    ///
    /// The mask of the column is no help here: `substr(ssn, n)` under a mask that keeps a character would show them all, one by one; a
    /// pseudonym of `ssn < x`, or whether a CASE over it is NULL, would answer any question. So the expression becomes what
    /// `constant` and `redact` write where they fit the type, and NULL otherwise.
    pub fn for_expression(&self, ty: ColumnType, format: Format) -> Masker {
        let whole = match self {
            Self::Null | Self::Constant { .. } => self,
            _ => &Self::Redact,
        };
        let op = match whole.for_column(ty, format, None) {
            Ok(Masker { op: Op::Fixed(bytes), .. }) => Op::Always(bytes),
            _ => Op::Null,
        };
        Masker { op, format }
    }

    /// Returns whether values of the type are masked into something other than NULL: what `gatepost check` warns of.
    pub fn fits(&self, ty: ColumnType) -> bool {
        let key = Key::new(&[0; Key::BYTES_MIN]).ok();
        let masker = self.for_column(ty, Format::Text, key.as_ref());
        *self == Self::Null || !matches!(masker, Ok(Masker { op: Op::Null, .. }) | Err(_))
    }

    fn for_text(&self) -> Option<TextMask> {
        match self {
            Self::Partial { keep_first, keep_last, fill } => Some(TextMask::Partial {
                first: usize::from(*keep_first),
                last: usize::from(*keep_last),
                fill: fill.clone(),
            }),
            Self::Email => Some(TextMask::Email),
            Self::Phone => Some(TextMask::Phone),
            Self::Card => Some(TextMask::Card),
            Self::Ip => Some(TextMask::Ip),
            Self::Null
            | Self::Redact
            | Self::Constant { .. }
            | Self::Uuid
            | Self::Hash { .. }
            | Self::Year
            | Self::Month
            | Self::Round { .. } => None,
        }
    }
}

impl Masker {
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
            Self::Network { is_cidr } => network::mask(value, *is_cidr, format, out),
        }
    }
}
