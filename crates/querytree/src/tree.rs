//! A tree's text into nodes with typed fields, strictly: every label, field, order and form must be the version's own.
//! Knows no meaning.
//!
//! Neither recursion nor a guess: brackets nest on the heap, and what does not fit is [`Unknown`].

mod parse;
mod view;

pub(crate) use parse::parse;
pub(crate) use view::NodeRef;

use crate::nodes::Node;

/// A node's place in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

/// A stretch of [`Tree::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    count: u32,
}

/// A field's value, or a list's member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// The version, or the kind of range-table entry, has no such field.
    Missing,
    /// `<>`
    Null,
    Bool(bool),
    Number(i64),
    Character(u8),
    /// A stretch of the text, with its escapes.
    Name {
        start: u32,
        end: u32,
    },
    Node(NodeId),
    /// A list, or the members of a bit set.
    List(Span),
    /// A constant's first eight bytes.
    Datum([u8; 8]),
    /// Something that was only stepped over.
    Skipped,
}

/// A list of nodes, with everything below them.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    text: &'a str,
    version: u32,
    nodes: Vec<Record>,
    /// Fields of nodes and members of lists, each node's or list's side by side.
    items: Vec<Value>,
    /// The nodes of the outermost list.
    top: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    node: &'static Node,
    fields: Span,
    /// Where in the text its label is.
    at: u32,
}
