//! The reader of a tree's text.

use super::{NodeId, Record, Span, Tree, Value};
use crate::nodes::{self, Class, Field, Form, Node, Tag};
use crate::token::{Token, Tokens};
use crate::{ServerVersion, Unknown};

/// No statement that a client would wait for has a larger tree; PostgreSQL's own limit is 1 GB.
const TREE_BYTES_MAX: usize = 16 << 20;
/// Nodes and list members together; a tree of the size above has fewer unless it is forged.
const ITEMS_MAX: usize = 4 << 20;
/// PostgreSQL's max_stack_depth of 2 MB stops its parser well before.
const DEPTH_MAX: usize = 20_000;
/// Bytes of the tree that an error quotes.
const QUOTED_CHARS_MAX: usize = 40;

/// Reads the list of queries that `text` is.
///
/// # Errors
/// [`Unknown`]: anything that this version is not known to write.
pub(crate) fn parse(text: &str, version: ServerVersion) -> Result<Tree<'_>, Unknown> {
    if text.len() > TREE_BYTES_MAX {
        return Err(Unknown { what: format!("more than {TREE_BYTES_MAX} bytes"), at: TREE_BYTES_MAX });
    }
    let tree = Tree { text, version: version.major(), nodes: Vec::new(), items: Vec::new(), top: Vec::new() };
    Parser { tokens: Tokens::new(text), tree, open: Vec::new() }.run()
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    tree: Tree<'a>,
    /// What is not closed yet, outermost first.
    open: Vec<Open>,
}

/// A node or list whose members are being read.
enum Open {
    Node { node: &'static Node, values: Vec<Value>, at: usize, kind: Option<u8> },
    List { of: Class, members: Vec<Value>, rows: bool },
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<Tree<'a>, Unknown> {
        let Some(top) = self.start_list(Class::Query, false, false)? else {
            return Err(self.unexpected("a list of queries"));
        };
        let mut done = top;
        loop {
            // A value is complete: hand it to what it is part of, and go on there.
            if let Some(value) = done.take() {
                match self.open.last_mut() {
                    None => return self.finish(value),
                    Some(Open::Node { values, .. }) => values.push(value),
                    Some(Open::List { members, .. }) => members.push(value),
                }
            }
            if self.open.len() > DEPTH_MAX || self.tree.items.len() + self.tree.nodes.len() > ITEMS_MAX {
                return Err(self.unknown("more nodes or deeper nesting than is read".to_owned()));
            }
            done = match self.open.last() {
                Some(Open::Node { .. }) => self.step_node()?,
                Some(Open::List { of, rows, .. }) => {
                    let (of, rows) = (*of, *rows);
                    self.step_list(of, rows)?
                }
                None => return Err(self.unexpected("a list of queries")),
            };
        }
    }

    fn finish(mut self, value: Value) -> Result<Tree<'a>, Unknown> {
        if self.tokens.next()?.is_some() {
            return Err(self.unknown("text after the list of queries".to_owned()));
        }
        if let Value::List(span) = value {
            for member in self.tree.span(span) {
                match member {
                    Value::Node(id) => self.tree.top.push(id),
                    _ => {
                        return Err(Unknown {
                            what: "an empty place in the list of queries".to_owned(),
                            at: 0,
                        });
                    }
                }
            }
        }
        Ok(self.tree)
    }

    /// Reads the next field of the innermost node, or its end. Returns a value if one is complete.
    fn step_node(&mut self) -> Result<Option<Value>, Unknown> {
        let version = self.tree.version;
        let Some(Open::Node { node, values, kind, .. }) = self.open.last() else { return Ok(None) };
        let Some(field) = node.fields.get(values.len()) else { return self.close_node().map(Some) };
        let node = *node;
        let of_kind = field.kinds == 0 || kind.is_some_and(|kind| field.kinds >> kind & 1 == 1);
        if !of_kind || !nodes::within(field.versions, version) {
            return Ok(Some(Value::Missing));
        }
        let name = self.atom("a field")?;
        if name.strip_prefix(':') != Some(field.name) {
            return Err(self.unknown(format!(
                "\"{}\" where field \"{}\" of {} belongs",
                quote(name),
                field.name,
                self.label(node)
            )));
        }
        let value = self.field_value(field)?;
        if node.tag == Tag::RangeTblEntry
            && field.name == "rtekind"
            && let Some(Value::Number(number)) = value
        {
            self.know_kind(number)?;
        }
        Ok(value)
    }

    /// Notes which kind of range-table entry the innermost node is.
    fn know_kind(&mut self, number: i64) -> Result<(), Unknown> {
        match (self.open.last_mut(), u8::try_from(number)) {
            // Neither transition tables nor the planner's RTE_RESULT come in a client's rewritten statement.
            (Some(Open::Node { kind, .. }), Ok(known @ (0..=6 | 9))) => *kind = Some(known),
            _ => return Err(self.unknown(format!("a range-table entry of kind {number}"))),
        }
        Ok(())
    }

    fn close_node(&mut self) -> Result<Value, Unknown> {
        match self.tokens.next()? {
            Some((Token::CloseNode, _)) => {}
            _ => return Err(self.unexpected("the end of a node")),
        }
        let Some(Open::Node { node, values, at, .. }) = self.open.pop() else {
            return Err(self.unexpected("a node"));
        };
        let fields = self.keep(&values)?;
        let id = NodeId(narrow(self.tree.nodes.len())?);
        self.tree.nodes.push(Record { node, fields, at: narrow(at)? });
        Ok(Value::Node(id))
    }

    /// Reads the next member of the innermost list, or its end.
    fn step_list(&mut self, of: Class, rows: bool) -> Result<Option<Value>, Unknown> {
        let mut ahead = self.tokens.clone();
        match ahead.next()? {
            Some((Token::CloseList, _)) => {
                self.tokens = ahead;
                let Some(Open::List { members, .. }) = self.open.pop() else {
                    return Err(self.unexpected("a list"));
                };
                self.keep(&members).map(|span| Some(Value::List(span)))
            }
            Some(_) if rows => self.start_list(of, false, false).and_then(|list| match list {
                Some(done) => Ok(done),
                None => Err(self.unexpected("a list")),
            }),
            Some(_) => self.start_node(of),
            None => Err(self.unexpected("the end of a list")),
        }
    }

    /// Reads `{LABEL` or `<>`. Returns a value only for the latter.
    fn start_node(&mut self, class: Class) -> Result<Option<Value>, Unknown> {
        match self.tokens.next()? {
            Some((Token::Atom("<>"), _)) => return Ok(Some(Value::Null)),
            Some((Token::OpenNode, _)) => {}
            _ => return Err(self.unexpected("a node")),
        }
        let at = self.tokens.at();
        let label = self.atom("a label")?;
        let Some(node) = nodes::find(label, self.tree.version) else {
            return Err(Unknown { what: format!("an unknown node \"{}\"", quote(label)), at });
        };
        if !node.class.fits(class, node.tag) {
            return Err(Unknown { what: format!("a node \"{label}\" where a {class:?} belongs"), at });
        }
        self.open.push(Open::Node { node, values: Vec::with_capacity(node.fields.len()), at, kind: None });
        Ok(None)
    }

    /// Reads `(` or `<>`. The outer result says whether there was either, the inner has the value for the latter.
    fn start_list(&mut self, of: Class, rows: bool, numbers: bool) -> Result<Option<Option<Value>>, Unknown> {
        match self.tokens.next()? {
            Some((Token::Atom("<>"), _)) => return Ok(Some(Some(Value::Null))),
            Some((Token::OpenList, _)) => {}
            _ => return Ok(None),
        }
        if numbers {
            let mut ahead = self.tokens.clone();
            if let Some((Token::Atom("i"), _)) = ahead.next()? {
                self.tokens = ahead;
                return self.numbers().map(|value| Some(Some(value)));
            }
        }
        self.open.push(Open::List { of, members: Vec::new(), rows });
        Ok(Some(None))
    }

    /// Reads a field's value, or opens the node or list that it is.
    fn field_value(&mut self, field: &Field) -> Result<Option<Value>, Unknown> {
        let wrong = |parser: &Self, atom: &str| {
            parser.unknown(format!("\"{}\" as value of field \"{}\"", quote(atom), field.name))
        };
        let value = match field.form {
            Form::One(class) => return self.start_node(class),
            Form::Many(class) | Form::Rows(class) | Form::ManyOrNumbers(class) => {
                let rows = matches!(field.form, Form::Rows(_));
                let numbers = matches!(field.form, Form::ManyOrNumbers(_));
                return match self.start_list(class, rows, numbers)? {
                    Some(done) => Ok(done),
                    None => Err(self.unexpected("a list")),
                };
            }
            Form::Numbers => match self.tokens.next()? {
                Some((Token::Atom("<>"), _)) => Value::Null,
                Some((Token::OpenList, _)) => match self.atom("a list's kind")? {
                    "i" | "o" => self.numbers()?,
                    other => return Err(wrong(self, other)),
                },
                _ => return Err(self.unexpected("a list of numbers")),
            },
            Form::Bits => match self.tokens.next()? {
                Some((Token::OpenList, _)) if self.atom("a bit set")? == "b" => self.numbers()?,
                _ => return Err(self.unexpected("a bit set")),
            },
            Form::Names => self.names()?,
            Form::Datum => self.datum()?,
            Form::Any => self.skip()?,
            Form::Bool => match self.atom("true or false")? {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                other => return Err(wrong(self, other)),
            },
            Form::BoolOperator => match self.atom("and, or or not")? {
                "and" | "or" | "not" => Value::Skipped,
                other => return Err(wrong(self, other)),
            },
            Form::Int => {
                let atom = self.atom("a number")?;
                Value::Number(atom.parse().map_err(|_| wrong(self, atom))?)
            }
            Form::Upto(most) => {
                let atom = self.atom("a number")?;
                match atom.parse::<u8>() {
                    Ok(number) if number <= most => Value::Number(number.into()),
                    _ => return Err(wrong(self, atom)),
                }
            }
            Form::Char => match self.atom("a character")? {
                "<>" => Value::Null,
                atom => match atom.as_bytes() {
                    [character] => Value::Character(*character),
                    _ => return Err(wrong(self, atom)),
                },
            },
            Form::Name => {
                let atom = self.atom("a name")?;
                self.name(atom)?
            }
        };
        Ok(Some(value))
    }

    /// Reads numbers up to the end of a list.
    fn numbers(&mut self) -> Result<Value, Unknown> {
        let mut members = Vec::new();
        loop {
            match self.tokens.next()? {
                Some((Token::CloseList, _)) => return self.keep(&members).map(Value::List),
                Some((Token::Atom(atom), _)) => match atom.parse() {
                    Ok(number) => members.push(Value::Number(number)),
                    Err(_) => return Err(self.unknown(format!("\"{}\" in a list of numbers", quote(atom)))),
                },
                _ => return Err(self.unexpected("a number")),
            }
        }
    }

    fn names(&mut self) -> Result<Value, Unknown> {
        match self.tokens.next()? {
            Some((Token::Atom("<>"), _)) => return Ok(Value::Null),
            Some((Token::OpenList, _)) => {}
            _ => return Err(self.unexpected("a list of names")),
        }
        let mut members = Vec::new();
        loop {
            match self.tokens.next()? {
                Some((Token::CloseList, _)) => return self.keep(&members).map(Value::List),
                Some((Token::Atom(atom), at))
                    if atom.len() >= 2 && atom.starts_with('"') && atom.ends_with('"') =>
                {
                    members.push(Value::Name { start: narrow(at + 1)?, end: narrow(at + atom.len() - 1)? });
                }
                // The DEFAULT of XMLNAMESPACES has no name (`ns_names` of TableFunc, nodes/primnodes.h).
                Some((Token::Atom("<>"), _)) => members.push(Value::Null),
                _ => return Err(self.unexpected("a name in quotes")),
            }
        }
    }

    /// Keeps a name that has no quotes around it; only the empty one has.
    fn name(&self, atom: &str) -> Result<Value, Unknown> {
        let end = self.tokens.at();
        match atom {
            "<>" => Ok(Value::Null),
            "\"\"" => Ok(Value::Name { start: narrow(end)?, end: narrow(end)? }),
            _ => Ok(Value::Name { start: narrow(end - atom.len())?, end: narrow(end)? }),
        }
    }

    /// Reads `<>`, or a length and the bytes (`outDatum`, nodes/outfuncs.c).
    fn datum(&mut self) -> Result<Value, Unknown> {
        let length = self.atom("a constant")?;
        if length == "<>" {
            return Ok(Value::Null);
        }
        if length.parse::<u64>().is_err() || self.atom("[")? != "[" {
            return Err(self.unknown("a constant without its bytes".to_owned()));
        }
        let mut first = [0; 8];
        let mut slots = first.iter_mut();
        loop {
            let atom = self.atom("a byte")?;
            if atom == "]" {
                return Ok(Value::Datum(first));
            }
            // Written as signed or unsigned by the platform's `char`.
            let byte = atom.parse::<i16>().ok().filter(|byte| (-128..=255).contains(byte));
            let Some(byte) = byte else {
                return Err(self.unknown(format!("\"{}\" as a byte of a constant", quote(atom))));
            };
            if let Some(slot) = slots.next() {
                *slot = byte.to_le_bytes()[0];
            }
        }
    }

    /// Steps over one value, whatever it is.
    fn skip(&mut self) -> Result<Value, Unknown> {
        let mut closers = Vec::new();
        loop {
            match self.tokens.next()? {
                Some((Token::OpenNode, _)) => closers.push(Token::CloseNode),
                Some((Token::OpenList, _)) => closers.push(Token::CloseList),
                Some((Token::Atom("<>"), _)) if closers.is_empty() => return Ok(Value::Null),
                Some((Token::Atom(_), _)) => {}
                Some((closer, _)) if closers.pop() == Some(closer) => {}
                _ => return Err(self.unexpected("a value")),
            }
            if closers.is_empty() {
                return Ok(Value::Skipped);
            }
            if closers.len() > DEPTH_MAX {
                return Err(self.unknown("deeper nesting than is read".to_owned()));
            }
        }
    }

    fn atom(&mut self, wanted: &str) -> Result<&'a str, Unknown> {
        match self.tokens.next()? {
            Some((Token::Atom(atom), _)) => Ok(atom),
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn keep(&mut self, values: &[Value]) -> Result<Span, Unknown> {
        let start = narrow(self.tree.items.len())?;
        self.tree.items.extend_from_slice(values);
        Ok(Span { start, count: narrow(values.len())? })
    }

    fn label(&self, node: &Node) -> &'static str {
        let has = |(_, versions): &&(&str, _)| nodes::within(*versions, self.tree.version);
        node.labels.iter().find(has).map_or("a node", |(label, _)| *label)
    }

    fn unexpected(&self, wanted: &str) -> Unknown {
        self.unknown(format!("something else where {wanted} belongs"))
    }

    fn unknown(&self, what: String) -> Unknown {
        Unknown { what, at: self.tokens.at() }
    }
}

fn narrow(number: usize) -> Result<u32, Unknown> {
    u32::try_from(number).map_err(|_| Unknown { what: "more than 4 GB".to_owned(), at: 0 })
}

/// Makes a piece of the tree fit to be shown: short and without control characters.
fn quote(atom: &str) -> String {
    atom.chars().take(QUOTED_CHARS_MAX).flat_map(char::escape_default).collect()
}
