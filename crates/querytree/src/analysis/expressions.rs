//! What an expression's value depends on, and what runs to compute it.

use model::Oid;

use super::{Analysis, note};
use crate::Unknown;
use crate::flow::{Cell, CellId, Moment, Passage, QueryId};
use crate::nodes::{Class, Form, Meaning, Tag};
use crate::scope::{Kind, Place};
use crate::tree::{NodeRef, Value};

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// The query that Vars of level 0 belong to.
    pub(super) query: QueryId,
    pub(super) place: Place,
    /// In the RETURNING list.
    pub(super) returning: bool,
    /// What the expression is the value of.
    pub(super) into: CellId,
    /// How its value gets there.
    pub(super) passage: Passage,
}

/// Types whose values have the same bytes, in text and in binary: text, bpchar, varchar (catalog/pg_type.dat).
const TEXTS: [u32; 3] = [25, 1042, 1043];

/// Types whose values name objects: regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig,
/// regdictionary, regnamespace, regrole, regcollation; then arrays of them in the same order (catalog/pg_type.dat).
const REG_TYPES: [u32; 22] = [
    24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, //
    1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192,
];
const REG_SCALARS: usize = 11;

const BOOL: Oid = Oid(16);
const INT4: Oid = Oid(23);

impl<'t> Analysis<'t> {
    /// Lets all that an expression depends on flow into `walk.into`, and notes what it runs.
    pub(super) fn walk(&mut self, root: NodeRef<'t>, walk: Walk) -> Result<(), Unknown> {
        let mut pending = vec![(root, walk.into, walk.passage)];
        while let Some((node, into, passage)) = pending.pop() {
            let mut walk = Walk { into, passage, ..walk };
            let mut inner = Passage::Computed;
            match node.tag() {
                Tag::Var => self.walk_var(node, walk)?,
                Tag::Param => self.walk_param(node, walk)?,
                Tag::Const => self.walk_const(node, walk)?,
                Tag::SubLink => self.walk_sublink(node, walk)?,
                Tag::WindowFunc => {
                    let window = Cell::Window { query: walk.query, window: node.small("winref")? };
                    let window = self.flow.cell(window);
                    self.flow.add(walk.into, window, Passage::Computed);
                }
                Tag::TargetEntry if node.number("ressortgroupref")? != 0 => walk.into = self.sorted(walk),
                Tag::CurrentOfExpr => {
                    self.facts.current_of.insert(node.name("cursor_name")?);
                }
                Tag::CoerceViaIo => {
                    let from = self.type_of(node.the("arg")?)?;
                    note(&mut self.facts.casts_via_io, from, walk.place);
                }
                Tag::JsonExpr => {
                    let to = self.type_of(node)?;
                    note(&mut self.facts.casts_via_io, to, walk.place);
                }
                Tag::RelabelType if self.keeps_bytes(node)? => inner = passage,
                Tag::CollateExpr | Tag::CoerceToDomain => inner = passage,
                _ => {}
            }
            self.note_fields(node, walk)?;
            for (field, value) in node.fields() {
                if field.meaning == Meaning::Input {
                    let children = match value {
                        Value::List(_) => node.members(value),
                        _ => std::slice::from_ref(&value),
                    };
                    for child in children {
                        if matches!(child, Value::Node(number) if self.kept.contains(number)) {
                            continue;
                        }
                        pending.extend(node.node(*child)?.map(|child| (child, walk.into, inner)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a cell for what an aggregate sorts its input by, or takes equal values of only once.
    ///
    /// From 16 on that order may be the input's of all aggregates beside it, so it decides over more than this value.
    fn sorted(&mut self, walk: Walk) -> CellId {
        let number = self.flow.count();
        let sorted = self.settled(Cell::Sorted { query: walk.query, number });
        self.flow.add(walk.into, sorted, Passage::Computed);
        let condition = self.flow.cell(Cell::Condition { query: walk.query });
        self.flow.add(condition, sorted, Passage::Computed);
        sorted
    }

    /// Notes what a node's fields say by themselves.
    fn note_fields(&mut self, node: NodeRef<'t>, walk: Walk) -> Result<(), Unknown> {
        let place = walk.place;
        for (field, value) in node.fields() {
            if field.form == Form::Many(Class::SortGroup) {
                self.note_sort_groups(node, field.name, place)?;
            }
            let uses = match field.meaning {
                Meaning::Plain | Meaning::Input | Meaning::Type | Meaning::Typmod => continue,
                Meaning::ReturnsSet => {
                    if value == Value::Bool(true) {
                        // How many rows come depends on what it is given.
                        let condition = self.flow.cell(Cell::Condition { query: walk.query });
                        self.flow.add(condition, walk.into, Passage::Computed);
                    }
                    continue;
                }
                Meaning::Sequence => {
                    self.facts.sequences.insert(Oid(node.small(field.name)?));
                    continue;
                }
                Meaning::OperatorOfFunction if node.number("opfuncid")? != 0 => continue,
                Meaning::Operator | Meaning::OperatorOfFunction => &mut self.facts.operators,
                Meaning::Function => &mut self.facts.functions,
                Meaning::TypeViaIo => &mut self.facts.casts_via_io,
                Meaning::TypeDomain => &mut self.facts.domains,
                Meaning::TypeCompared => &mut self.facts.compared_types,
            };
            let numbers = match field.form {
                Form::Numbers => node.numbers(field.name)?,
                _ => vec![node.number(field.name)?],
            };
            for number in numbers {
                let oid = u32::try_from(number).map_err(|_| node.unknown(format!("{number} as an OID")))?;
                note(uses, Oid(oid), place);
            }
        }
        Ok(())
    }

    /// Notes the operators of a list of SORTGROUPCLAUSE.
    pub(super) fn note_sort_groups(
        &mut self,
        node: NodeRef<'t>,
        name: &str,
        place: Place,
    ) -> Result<(), Unknown> {
        for clause in node.children(name)? {
            for operator in ["eqop", "sortop"] {
                note(&mut self.facts.operators, Oid(clause.small(operator)?), place);
            }
        }
        Ok(())
    }

    /// Finds the entry that a Var is of, through the queries around it.
    fn walk_var(&mut self, node: NodeRef<'t>, walk: Walk) -> Result<(), Unknown> {
        let (mut query, mut returning) = (walk.query, walk.returning);
        for _ in 0..node.number("varlevelsup")? {
            let inner = self.query(query)?;
            returning = inner.in_returning;
            query = inner.parent.ok_or_else(|| node.unknown("a level above the statement".to_owned()))?;
        }
        let entry = self.entry_at(query, node.number("varno")?)?;
        if self.entry(entry)?.kind == Kind::Placeholder {
            return Err(node.unknown("a column of a view's OLD or NEW".to_owned()));
        }
        // VarReturningType, from 18 on: 0 is the row after the write, but for DELETE; 1 is OLD, 2 is NEW.
        let asked = match node.get("varreturningtype") {
            Value::Number(number) => number,
            _ => 0,
        };
        if asked != 0 && !returning {
            return Err(node.unknown("OLD or NEW outside RETURNING".to_owned()));
        }
        let inner = self.query(query)?;
        let after = match asked {
            1 => false,
            2 => true,
            _ => returning && inner.command != crate::Command::Delete,
        };
        let moment = if after && inner.result == Some(entry) { Moment::After } else { Moment::Before };
        let from = self.flow.cell(Cell::Column { entry, column: node.small("varattno")?, moment });
        self.flow.add(walk.into, from, walk.passage);
        Ok(())
    }

    fn walk_param(&mut self, node: NodeRef<'t>, walk: Walk) -> Result<(), Unknown> {
        let number = node.number("paramid")?;
        // ParamKind (nodes/primnodes.h)
        match node.number("paramkind")? {
            0 => {
                let number = node.small("paramid")?;
                self.facts.parameters = self.facts.parameters.max(number);
                self.facts.parameter_types.insert(number, Oid(node.small("paramtype")?));
            }
            // What its sublink is compared with: the sublink brings all of it.
            2 => {}
            3 => {
                let column = i16::try_from(number & 0xffff)
                    .map_err(|_| node.unknown(format!("column {}", number & 0xffff)))?;
                let from = Cell::Multiple { query: walk.query, sublink: number >> 16, column };
                let from = self.flow.cell(from);
                self.flow.add(walk.into, from, walk.passage);
            }
            kind => return Err(node.unknown(format!("kind {kind}"))),
        }
        Ok(())
    }

    fn walk_const(&mut self, node: NodeRef<'t>, walk: Walk) -> Result<(), Unknown> {
        let (of, value) = (Oid(node.small("consttype")?), node.get("constvalue"));
        let Some(index) = REG_TYPES.iter().position(|known| *known == of.0) else { return Ok(()) };
        if walk.place.view.is_some() || walk.place.security || value == Value::Null {
            return Ok(());
        }
        let oid = match value {
            // A Datum as the server has it in memory: an OID fills half of it, by its byte order the first or the last.
            Value::Datum([a, b, c, d, 0, 0, 0, 0]) => Some(u32::from_le_bytes([a, b, c, d])),
            Value::Datum([0, 0, 0, 0, a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        };
        self.facts.reg_constants.insert((of, oid.filter(|_| index < REG_SCALARS).map(Oid)));
        Ok(())
    }

    fn walk_sublink(&mut self, node: NodeRef<'t>, walk: Walk) -> Result<(), Unknown> {
        self.facts.has_sublinks = true;
        let inner = self.enter(node.the("subselect")?, Some(walk.query), walk.returning, walk.place)?;
        // Whether there are rows is part of the value, so what decides over them is too.
        let condition = self.flow.cell(Cell::Condition { query: inner });
        self.flow.add(walk.into, condition, Passage::Computed);
        let (columns, returns_sets) = {
            let inner = self.query(inner)?;
            (inner.columns.clone(), inner.node.is("hasTargetSRFs")?)
        };
        // SubLinkType (nodes/primnodes.h)
        let passage = match node.number("subLinkType")? {
            // EXISTS doesn't compute what its sub-select names, unless that makes rows.
            0 if !returns_sets => return Ok(()),
            0..=3 | 6 => Passage::Computed,
            4 => walk.passage,
            5 => {
                let number = node.number("subLinkId")?;
                self.multiple.entry((walk.query, number)).or_default().push(inner);
                walk.passage
            }
            kind => return Err(node.unknown(format!("kind {kind}"))),
        };
        for column in columns {
            let from = self.flow.cell(Cell::Target { query: inner, column });
            self.flow.add(walk.into, from, passage);
        }
        Ok(())
    }

    /// Says whether a RelabelType leaves every byte as it was.
    fn keeps_bytes(&self, node: NodeRef<'t>) -> Result<bool, Unknown> {
        let (from, to) = (self.type_of(node.the("arg")?)?, self.type_of(node)?);
        Ok(from == to && from.0 != 0 || TEXTS.contains(&from.0) && TEXTS.contains(&to.0))
    }

    /// Returns an expression's type, 0 if the tree doesn't say (`exprType`, nodes/nodeFuncs.c).
    pub(super) fn type_of(&self, node: NodeRef<'t>) -> Result<Oid, Unknown> {
        let mut node = node;
        loop {
            node = match node.tag() {
                Tag::BoolExpr
                | Tag::NullTest
                | Tag::BooleanTest
                | Tag::RowCompareExpr
                | Tag::ScalarArrayOpExpr
                | Tag::JsonIsPredicate
                | Tag::CurrentOfExpr => return Ok(BOOL),
                Tag::GroupingFunc => return Ok(INT4),
                Tag::CollateExpr | Tag::NamedArgExpr => node.the("arg")?,
                Tag::InferenceElem => node.the("expr")?,
                Tag::ReturningExpr => node.the("retexpr")?,
                Tag::JsonValueExpr => match node.child("formatted_expr")? {
                    Some(formatted) => formatted,
                    None => node.the("raw_expr")?,
                },
                Tag::JsonConstructorExpr | Tag::JsonExpr => match node.child("returning")? {
                    Some(returning) => returning,
                    None => return Ok(Oid(0)),
                },
                Tag::SubLink => match node.number("subLinkType")? {
                    0..=3 => return Ok(BOOL),
                    4 => match node.the("subselect")?.children("targetList")?.first() {
                        Some(target) => target.the("expr")?,
                        None => return Ok(Oid(0)),
                    },
                    _ => return Ok(Oid(0)),
                },
                _ => {
                    let is_type = |meaning| {
                        matches!(
                            meaning,
                            Meaning::Type | Meaning::TypeViaIo | Meaning::TypeDomain | Meaning::TypeCompared
                        )
                    };
                    let field = node.fields().find(|(field, _)| is_type(field.meaning));
                    return field.map_or(Ok(Oid(0)), |(field, _)| node.small(field.name).map(Oid));
                }
            };
        }
    }

    /// Returns an expression's type modifier, -1 if the node doesn't say.
    pub(super) fn typmod_of(&self, node: NodeRef<'t>) -> Result<i32, Unknown> {
        let field = node.fields().find(|(field, _)| field.meaning == Meaning::Typmod);
        field.map_or(Ok(-1), |(field, _)| node.small(field.name))
    }
}
