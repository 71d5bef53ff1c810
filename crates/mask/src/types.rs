//! PostgreSQL's types as far as masks know them. OIDs from catalog/pg_type.dat.

use model::Oid;

/// A result column's type, as RowDescription gives it: a domain comes as its base type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColumnType {
    /// `pg_type.oid`.
    pub oid: Oid,
    /// `pg_attribute.atttypmod`; -1 where there is none.
    pub typmod: i32,
}

/// How values are written, as Bind's format codes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Code 0.
    Text,
    /// Code 1.
    Binary,
}

/// What masks do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Text(Shape),
    Bool,
    Int(IntWidth),
    Float4,
    Float8,
    /// With the digits after the point that every value of the column has.
    Numeric {
        scale: u16,
    },
    Date,
    Timestamp,
    TimestampTz,
    Uuid,
    Bytea,
    Inet,
    Cidr,
    /// Arrays, ranges, composites, enums, extensions' and all other types.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntWidth {
    Two,
    Four,
    Eight,
}

/// How a string stands in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `text`, `varchar`: no longer than this many characters.
    Varying(Option<usize>),
    /// `char(n)`: filled up with blanks, which do not belong to the value.
    Padded(Option<usize>),
    /// `name`: no longer than 63 bytes (NAMEDATALEN - 1).
    Name,
    Json,
    Jsonb,
    Xml,
}

impl ColumnType {
    pub(crate) fn family(self) -> Family {
        match self.oid.0 {
            16 => Family::Bool,
            17 => Family::Bytea,
            19 => Family::Text(Shape::Name),
            20 => Family::Int(IntWidth::Eight),
            21 => Family::Int(IntWidth::Two),
            23 => Family::Int(IntWidth::Four),
            25 => Family::Text(Shape::Varying(None)),
            114 => Family::Text(Shape::Json),
            142 => Family::Text(Shape::Xml),
            650 => Family::Cidr,
            700 => Family::Float4,
            701 => Family::Float8,
            869 => Family::Inet,
            1042 => Family::Text(Shape::Padded(self.characters())),
            1043 => Family::Text(Shape::Varying(self.characters())),
            1082 => Family::Date,
            1114 => Family::Timestamp,
            1184 => Family::TimestampTz,
            1700 => Family::Numeric { scale: self.scale() },
            2950 => Family::Uuid,
            3802 => Family::Text(Shape::Jsonb),
            _ => Family::Opaque,
        }
    }

    /// The length of `char(n)` and `varchar(n)`: typmod less VARHDRSZ (utils/adt/varchar.c).
    fn characters(self) -> Option<usize> {
        usize::try_from(self.typmod.checked_sub(4)?).ok()
    }

    /// The scale of `numeric(p,s)` (`numeric_typmod_scale`, utils/adt/numeric.c), 11 bits with a sign; none is taken for 0.
    fn scale(self) -> u16 {
        let Some(typmod) = self.typmod.checked_sub(4).filter(|&t| t >= 0) else { return 0 };
        let scale = ((typmod & 0x7ff) ^ 1024) - 1024;
        u16::try_from(scale).unwrap_or(0)
    }
}
