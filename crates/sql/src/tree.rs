//! Walks any of libpg_query's trees by its field names alone: what is in it, and whether two are the same.
//!
//! The generated node types all derive `serde::Serialize`; a serializer sees every node and field without code
//! per node, and goes on doing so when the grammar grows. Knows no statement.

use serde::ser::{self, Serialize};

use crate::named::{Collector, Named};

/// Nodes that name something or run something: none may go unnoticed in a statement.
const WATCHED: [&str; 22] = [
    "RangeVar",
    "SelectStmt",
    "InsertStmt",
    "UpdateStmt",
    "DeleteStmt",
    "MergeStmt",
    "ColumnRef",
    "FuncCall",
    "SubLink",
    "TypeName",
    "ObjectWithArgs",
    "RoleSpec",
    "AExpr",
    "TypeCast",
    "CollateClause",
    "ParamRef",
    "SqlValueFunction",
    "XmlExpr",
    "JsonFuncExpr",
    "CreateStmt",
    "ColumnDef",
    "Constraint",
];

/// How many nodes of each watched kind a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey([u32; WATCHED.len()]);

impl Survey {
    pub(crate) fn of<T: Serialize + ?Sized>(tree: &T) -> Self {
        let mut walk = Walk::default();
        // The walk has no errors of its own, and the derived code makes none.
        let _ = tree.serialize(&mut walk);
        walk.survey
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// A kind of node of which `self` holds more or fewer than `other`.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let counts = self.0.iter().zip(other.0.iter());
        counts.zip(WATCHED).find(|((mine, theirs), _)| mine != theirs).map(|(_, name)| name)
    }
}

/// Bytes that are equal for two trees if and only if the trees are, but for the positions of their nodes.
pub(crate) fn shape<T: Serialize + ?Sized>(tree: &T) -> Vec<u8> {
    let mut walk = Walk { bytes: Some(Vec::with_capacity(1024)), ..Walk::default() };
    let _ = tree.serialize(&mut walk);
    walk.bytes.unwrap_or_default()
}

/// Everything that a tree names.
pub(crate) fn named<T: Serialize + ?Sized>(tree: &T) -> Named {
    let mut walk = Walk { names: Some(Collector::default()), ..Walk::default() };
    let _ = tree.serialize(&mut walk);
    walk.names.map(|collector| collector.named).unwrap_or_default()
}

#[derive(Default)]
struct Walk {
    survey: Survey,
    bytes: Option<Vec<u8>>,
    names: Option<Collector>,
    /// The next integer is a position in the text.
    position: bool,
}

impl Walk {
    fn put(&mut self, kind: u8, bytes: &[u8]) {
        if let Some(out) = &mut self.bytes {
            out.push(kind);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// Fields that hold a position (or, of a raw statement, a length) in the text.
fn is_position(field: &str) -> bool {
    field == "location"
        || field == "stmt_len"
        || field.ends_with("_location")
        || field.ends_with("list_start")
        || field.ends_with("list_end")
}

/// Never made: the walk can't fail.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Never(String);

impl ser::Error for Never {
    fn custom<T: std::fmt::Display>(msg: T) -> Self {
        Self(msg.to_string())
    }
}

macro_rules! numbers {
    ($($name:ident: $type:ty,)*) => {
        $(fn $name(self, v: $type) -> Result<(), Never> {
            if !std::mem::take(&mut self.position) {
                self.put(b'n', &v.to_le_bytes());
            }
            Ok(())
        })*
    };
}

impl ser::Serializer for &mut Walk {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64,
    }

    fn serialize_bool(self, v: bool) -> Result<(), Never> {
        if let Some(names) = &mut self.names {
            names.bool(v);
        }
        self.put(b'b', &[u8::from(v)]);
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Never> {
        self.put(b'c', &u32::from(v).to_le_bytes());
        Ok(())
    }

    fn serialize_str(self, v: &str) -> Result<(), Never> {
        self.position = false;
        if let Some(names) = &mut self.names {
            names.text(v);
        }
        self.put(b's', v.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Never> {
        self.put(b's', v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.put(b'0', &[]);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        self.put(b'0', &[]);
        Ok(())
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Never> {
        self.put(b'u', name.as_bytes());
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Never> {
        self.put(b'v', &index.to_le_bytes());
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.put(b'v', &index.to_le_bytes());
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Never> {
        self.put(b'[', &(len.unwrap_or(usize::MAX) as u64).to_le_bytes());
        Ok(self)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self, Never> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self, Never> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Self, Never> {
        self.put(b'v', &index.to_le_bytes());
        self.serialize_seq(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Never> {
        self.serialize_seq(len)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self, Never> {
        self.position = false;
        if let Some(names) = &mut self.names {
            names.enter(name);
        } else if self.bytes.is_some() {
            self.put(b'{', name.as_bytes());
        } else if let Some(at) = WATCHED.iter().position(|watched| *watched == name)
            && let Some(count) = self.survey.0.get_mut(at)
        {
            *count += 1;
        }
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Self, Never> {
        self.put(b'v', &index.to_le_bytes());
        self.serialize_seq(Some(len))
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident,)*) => {
        $(impl ser::$trait for &mut Walk {
            type Ok = ();
            type Error = Never;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Never> {
                Ok(())
            }
        })*
    };
}

elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! fields {
    ($($trait:ident: $left:expr,)*) => {
        $(impl ser::$trait for &mut Walk {
            type Ok = ();
            type Error = Never;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Never> {
                self.position = is_position(key);
                if let Some(names) = &mut self.names {
                    names.field(key);
                }
                value.serialize(&mut **self)?;
                self.position = false;
                Ok(())
            }

            fn end(self) -> Result<(), Never> {
                $left(&mut self.names);
                Ok(())
            }
        })*
    };
}

fn left(names: &mut Option<Collector>) {
    if let Some(names) = names {
        names.leave();
    }
}

// A variant with fields of its own, which the generated types don't have, is not entered.
fields! { SerializeStruct: left, SerializeStructVariant: |_: &mut Option<Collector>| (), }

impl ser::SerializeMap for &mut Walk {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar;

    fn tree(text: &str) -> pg_query::NodeEnum {
        grammar::one(text).unwrap()
    }

    #[test]
    fn positions_do_not_tell_trees_apart_and_all_else_does() {
        let one = tree("SELECT a, ARRAY[1], b IN (1, 2) FROM t");
        assert_eq!(shape(&one), shape(&tree("SELECT  a,\n ARRAY [ 1 ], b IN( 1,2) FROM t")));
        for other in ["SELECT a, ARRAY[2], b IN (1, 2) FROM t", "SELECT a, ARRAY[1], b IN (1, 2) FROM u"] {
            assert_ne!(shape(&one), shape(&tree(other)), "{other}");
        }
    }

    /// Where pg_query's own `tables()` does not look.
    #[test]
    fn relations_are_counted_wherever_they_hide() {
        for hidden in [
            "SELECT 1 LIMIT (SELECT ssn FROM s)",
            "VALUES ((SELECT ssn FROM s))",
            "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = (SELECT ssn FROM s)",
            "SELECT sum(a) FILTER (WHERE (SELECT ssn FROM s) > 1) OVER (ORDER BY (SELECT ssn FROM s))",
            "SELECT * FROM t TABLESAMPLE system ((SELECT ssn FROM s))",
            "PREPARE p AS SELECT ssn FROM s",
            "CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM s",
            "CREATE POLICY p ON t USING (EXISTS (SELECT ssn FROM s))",
        ] {
            let count = Survey::of(&tree(hidden)).0;
            let visible = format!("{:?}", tree(hidden)).matches("RangeVar {").count();
            assert_eq!(count.first().map(|count| *count as usize), Some(visible), "{hidden}");
            assert!(visible > 0, "{hidden}");
        }
    }

    #[test]
    fn a_difference_names_what_was_passed_over() {
        let all = Survey::of(&tree("SELECT f(a) FROM t"));
        let mut seen = Survey::of(&tree("SELECT a FROM t"));
        assert_eq!(all.difference(&seen), Some("FuncCall"));
        seen.add(Survey::of(&tree("SELECT f(a) FROM t")));
        assert_ne!(all.difference(&seen), None);
        assert_eq!(all.difference(&all), None);
    }
}
