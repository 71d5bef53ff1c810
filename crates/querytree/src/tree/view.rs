//! Fields of a tree's nodes, by name.

use super::{NodeId, Record, Span, Tree, Value};
use crate::Unknown;
use crate::nodes::{Field, Tag};
use crate::token::unescape;

/// A node, with the tree it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeRef<'t> {
    tree: &'t Tree<'t>,
    record: Record,
}

impl<'a> Tree<'a> {
    /// Returns the queries, in order.
    pub(crate) fn top(&self) -> &[NodeId] {
        &self.top
    }

    /// Returns the major version that wrote the tree.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    /// Returns the members of a list.
    pub(crate) fn span(&self, span: Span) -> Vec<Value> {
        self.slice(span).to_vec()
    }

    fn slice(&self, span: Span) -> &[Value] {
        let start = span.start as usize;
        self.items.get(start..start + span.count as usize).unwrap_or_default()
    }

    /// Returns a node by its id, which must be of this tree.
    pub(crate) fn node(&'a self, id: NodeId) -> Result<NodeRef<'a>, Unknown> {
        match self.nodes.get(id.0 as usize) {
            Some(record) => Ok(NodeRef { tree: self, record: *record }),
            None => Err(Unknown { what: "a node that is not there".to_owned(), at: 0 }),
        }
    }
}

impl<'t> NodeRef<'t> {
    pub(crate) const fn tag(self) -> Tag {
        self.record.node.tag
    }

    /// Returns every field that is there, with its value.
    pub(crate) fn fields(self) -> impl Iterator<Item = (&'static Field, Value)> + 't {
        let values = self.tree.slice(self.record.fields);
        let fields = self.record.node.fields.iter().zip(values.iter().copied());
        fields.filter(|(_, value)| *value != Value::Missing)
    }

    /// Returns a field's value, [`Value::Missing`] if this version has none.
    pub(crate) fn get(self, name: &str) -> Value {
        self.fields().find(|(field, _)| field.name == name).map_or(Value::Missing, |(_, value)| value)
    }

    pub(crate) fn number(self, name: &str) -> Result<i64, Unknown> {
        match self.get(name) {
            Value::Number(number) => Ok(number),
            _ => Err(self.without(name)),
        }
    }

    /// Returns a number that must fit the type asked for.
    pub(crate) fn small<T: TryFrom<i64>>(self, name: &str) -> Result<T, Unknown> {
        let number = self.number(name)?;
        T::try_from(number).map_err(|_| self.unknown(format!("{number} as \"{name}\"")))
    }

    pub(crate) fn is(self, name: &str) -> Result<bool, Unknown> {
        match self.get(name) {
            Value::Bool(value) => Ok(value),
            _ => Err(self.without(name)),
        }
    }

    /// Returns a name without its escapes; `None` for `<>`.
    pub(crate) fn name(self, name: &str) -> Result<Option<String>, Unknown> {
        match self.get(name) {
            Value::Null => Ok(None),
            value => self.text(value).map(Some).ok_or_else(|| self.without(name)),
        }
    }

    /// Returns a list of names without their escapes.
    pub(crate) fn names(self, name: &str) -> Result<Vec<String>, Unknown> {
        let names: Option<_> = self.items(name)?.iter().map(|value| self.text(*value)).collect();
        names.ok_or_else(|| self.without(name))
    }

    /// Returns the node that a field holds; `None` for `<>`.
    pub(crate) fn child(self, name: &str) -> Result<Option<NodeRef<'t>>, Unknown> {
        match self.get(name) {
            Value::Node(id) => self.tree.node(id).map(Some),
            Value::Null => Ok(None),
            _ => Err(self.without(name)),
        }
    }

    /// Returns the node that a field holds.
    pub(crate) fn the(self, name: &str) -> Result<NodeRef<'t>, Unknown> {
        self.child(name)?.ok_or_else(|| self.without(name))
    }

    /// Returns the nodes of a list; a list that the version does not have is empty.
    pub(crate) fn children(self, name: &str) -> Result<Vec<NodeRef<'t>>, Unknown> {
        let nodes: Result<Option<Vec<_>>, _> =
            self.items(name)?.iter().map(|value| self.node(*value)).collect();
        nodes?.ok_or_else(|| self.without(name))
    }

    /// Returns a list's members, or a bit set's; nothing for `<>` and for a field that the version does not have.
    pub(crate) fn items(self, name: &str) -> Result<&'t [Value], Unknown> {
        match self.get(name) {
            Value::List(span) => Ok(self.tree.slice(span)),
            Value::Null | Value::Missing => Ok(&[]),
            _ => Err(self.without(name)),
        }
    }

    /// Returns the members of a list that is itself a value.
    pub(crate) fn members(self, value: Value) -> &'t [Value] {
        match value {
            Value::List(span) => self.tree.slice(span),
            _ => &[],
        }
    }

    /// Returns the numbers of a list or bit set.
    pub(crate) fn numbers(self, name: &str) -> Result<Vec<i64>, Unknown> {
        let number = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        };
        let numbers: Option<_> = self.items(name)?.iter().map(number).collect();
        numbers.ok_or_else(|| self.without(name))
    }

    /// Returns the node that a value is, if it is one.
    pub(crate) fn node(self, value: Value) -> Result<Option<NodeRef<'t>>, Unknown> {
        match value {
            Value::Node(id) => self.tree.node(id).map(Some),
            _ => Ok(None),
        }
    }

    fn text(self, value: Value) -> Option<String> {
        match value {
            Value::Name { start, end } => self.tree.text.get(start as usize..end as usize).map(unescape),
            _ => None,
        }
    }

    /// Says that something of this node is not understood.
    pub(crate) fn unknown(self, what: String) -> Unknown {
        Unknown { what: format!("{what} in a {:?}", self.tag()), at: self.record.at as usize }
    }

    fn without(self, name: &str) -> Unknown {
        self.unknown(format!("no usable \"{name}\""))
    }
}
