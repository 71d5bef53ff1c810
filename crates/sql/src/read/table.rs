//! CREATE TABLE and what tables are made of: columns, constraints, partitions. Knows no data.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    ColumnDef, ConstrType, Constraint, CreateForeignTableStmt, CreateStmt, IndexElem, Node,
    PartitionBoundSpec, PartitionElem, PartitionSpec, RangeVar, TableLikeClause, TypeName,
};

use super::names::{columns, string, strings};
use super::options::options;
use super::query::future_relation;
use super::{Inner, Reader};
use crate::{Columns, Command, ExpressionRole, ObjectKind, Touch};

/// Expressions and columns gathered from a statement's parts.
#[derive(Default)]
pub(super) struct Parts<'s> {
    /// The columns it makes.
    pub(super) columns: Vec<(String, TypeName)>,
    /// Expressions that see no columns.
    pub(super) free: Vec<&'s NodeEnum>,
    /// Expressions that see the relation's columns.
    pub(super) bound: Vec<&'s NodeEnum>,
    /// Expressions of indexes and partition keys; they see them too.
    pub(super) index: Vec<&'s NodeEnum>,
}

pub(super) fn node(node: &Option<Box<Node>>) -> Option<&NodeEnum> {
    node.as_deref()?.node.as_ref()
}

impl<'s> Reader<'_> {
    pub(super) fn create_table(&mut self, stmt: &'s CreateStmt) -> Command {
        self.table(ObjectKind::Table, stmt);
        Command::CreateTable
    }

    pub(super) fn create_foreign_table(&mut self, stmt: &'s CreateForeignTableStmt) -> Command {
        let CreateForeignTableStmt { base_stmt, servername, options } = stmt;
        match base_stmt {
            Some(base) => self.table(ObjectKind::ForeignTable, base),
            None => self.unsupported("a foreign table without columns"),
        }
        self.plain(ObjectKind::Server, servername, Touch::Use, false);
        self.read(options.as_slice());
        Command::CreateForeignTable
    }

    fn table(&mut self, kind: ObjectKind, stmt: &'s CreateStmt) {
        let CreateStmt {
            relation,
            table_elts,
            inh_relations,
            partbound,
            partspec,
            of_typename,
            constraints,
            nnconstraints,
            options,
            oncommit: _,
            tablespacename,
            access_method,
            if_not_exists: _,
        } = stmt;
        self.read(&CreateStmt::default());
        self.new_relation(kind, relation.as_ref(), false);
        let mut parts = Parts::default();
        // Relations whose columns the new one has too.
        let mut others = Vec::new();
        for element in table_elts.iter().chain(constraints).chain(nnconstraints) {
            match &element.node {
                Some(NodeEnum::ColumnDef(column)) => self.column(column, &mut parts),
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint, &mut parts),
                Some(NodeEnum::TableLikeClause(like)) => others.extend(self.like(like)),
                _ => self.unsupported("a part of CREATE TABLE"),
            }
        }
        for parent in inh_relations {
            match &parent.node {
                Some(NodeEnum::RangeVar(parent)) => {
                    self.relation(Some(parent), Columns::All, Touch::Attach, false);
                    others.push(parent);
                }
                _ => self.unsupported("a parent of CREATE TABLE"),
            }
        }
        self.type_name(of_typename.as_ref(), Touch::Like, false);
        self.partition_bound(partbound.as_ref());
        self.partition_key(partspec.as_ref(), &mut parts);
        self.read(options.as_slice());
        self.plain_if(ObjectKind::Tablespace, tablespacename, Touch::Use);
        self.plain_if(ObjectKind::AccessMethod, access_method, Touch::Use);
        // No statement of ours can stand for the columns of a typed table.
        let inner = self.inner;
        if of_typename.is_some() {
            self.inner = Inner::Named;
        }
        match relation {
            Some(relation) => self.gathered(parts, |columns| future_relation(relation, &others, columns)),
            None => self.unsupported("a table without a name"),
        }
        self.inner = inner;
    }

    fn like(&mut self, like: &'s TableLikeClause) -> Option<&'s RangeVar> {
        let TableLikeClause { relation, options: _, relation_oid: _ } = like;
        self.relation(relation.as_ref(), Columns::All, Touch::Like, false);
        relation.as_ref()
    }

    /// Asks about what was gathered; `from` makes the relation that expressions see from the columns made.
    pub(super) fn gathered(&mut self, parts: Parts<'s>, from: impl Fn(Vec<(String, TypeName)>) -> NodeEnum) {
        let Parts { columns, free, bound, index } = parts;
        self.expressions(&free, Vec::new(), ExpressionRole::Constraint);
        if !bound.is_empty() {
            self.expressions(&bound, vec![from(columns.clone())], ExpressionRole::Constraint);
        }
        if !index.is_empty() {
            self.expressions(&index, vec![from(columns)], ExpressionRole::Index);
        }
    }

    /// A column to be made, or changed.
    pub(super) fn column(&mut self, column: &'s ColumnDef, parts: &mut Parts<'s>) {
        let ColumnDef {
            colname,
            type_name,
            compression: _,
            inhcount: _,
            is_local: _,
            is_not_null: _,
            is_from_type: _,
            storage: _,
            storage_name: _,
            raw_default,
            cooked_default,
            identity: _,
            identity_sequence,
            generated: _,
            coll_clause,
            coll_oid: _,
            constraints,
            fdwoptions,
            location: _,
        } = column;
        self.read(&ColumnDef::default());
        if cooked_default.is_some() || identity_sequence.is_some() {
            self.unsupported("a column already analysed");
        }
        if let Some(type_name) = type_name {
            match serial(type_name) {
                Some(integer) => {
                    self.read(type_name);
                    parts.columns.push((colname.clone(), integer));
                }
                None => {
                    self.type_name(Some(type_name), Touch::Use, false);
                    parts.columns.push((colname.clone(), type_name.clone()));
                }
            }
        }
        if let Some(collation) = coll_clause {
            self.read(collation.as_ref());
        }
        parts.free.extend(node(raw_default));
        self.read(fdwoptions.as_slice());
        for constraint in constraints {
            match &constraint.node {
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint, parts),
                // COLLATE among the constraints.
                Some(NodeEnum::CollateClause(collation)) => self.read(collation.as_ref()),
                _ => self.unsupported("a constraint"),
            }
        }
    }

    pub(super) fn constraint(&mut self, constraint: &'s Constraint, parts: &mut Parts<'s>) {
        let Constraint {
            contype,
            conname: _,
            deferrable: _,
            initdeferred: _,
            is_enforced: _,
            skip_validation: _,
            initially_valid: _,
            is_no_inherit: _,
            raw_expr,
            cooked_expr: _,
            generated_when: _,
            generated_kind: _,
            nulls_not_distinct: _,
            keys: _,
            without_overlaps: _,
            including: _,
            exclusions,
            options,
            indexname: _,
            indexspace,
            reset_default_tblspc: _,
            access_method: _,
            where_clause,
            pktable,
            fk_attrs: _,
            pk_attrs,
            fk_with_period: _,
            pk_with_period: _,
            fk_matchtype: _,
            fk_upd_action: _,
            fk_del_action: _,
            fk_del_set_cols: _,
            old_conpfeqop: _,
            old_pktable_oid: _,
            location: _,
        } = constraint;
        self.read(&Constraint::default());
        self.relation(pktable.as_ref(), columns(pk_attrs), Touch::Reference, false);
        self.plain_if(ObjectKind::Tablespace, indexspace, Touch::Use);
        self.sequence_options(options);
        match ConstrType::try_from(*contype) {
            Ok(ConstrType::ConstrDefault) => parts.free.extend(node(raw_expr)),
            Ok(ConstrType::ConstrCheck | ConstrType::ConstrGenerated) => parts.bound.extend(node(raw_expr)),
            Ok(ConstrType::ConstrExclusion) => {
                parts.index.extend(node(where_clause));
                for exclusion in exclusions {
                    self.exclusion(exclusion, parts);
                }
            }
            // A part that these don't have is found by the count.
            Ok(_) => {}
            Err(_) => self.unsupported("a constraint"),
        }
    }

    /// EXCLUDE's element WITH operator.
    fn exclusion(&mut self, exclusion: &'s Node, parts: &mut Parts<'s>) {
        let Some([element, operator]) = super::names::items(exclusion) else {
            return self.unsupported("an exclusion constraint");
        };
        match (&element.node, super::names::items(operator).and_then(strings)) {
            (Some(NodeEnum::IndexElem(element)), Some(name)) => {
                self.index_element(element, parts);
                let (kind, touch) = (ObjectKind::Operator, Touch::Use);
                self.asks.push(crate::Ask::Object { kind, name, touch, missing_ok: false });
            }
            _ => self.unsupported("an exclusion constraint"),
        }
    }

    /// An index's column or expression; the column, if it is one.
    pub(super) fn index_element(&mut self, element: &'s IndexElem, parts: &mut Parts<'s>) -> Option<&'s str> {
        let IndexElem {
            name,
            expr,
            indexcolname: _,
            collation: _,
            opclass: _,
            opclassopts,
            ordering: _,
            nulls_ordering: _,
        } = element;
        self.read(opclassopts.as_slice());
        parts.index.extend(node(expr));
        (!name.is_empty()).then_some(name.as_str())
    }

    fn partition_key(&mut self, spec: Option<&'s PartitionSpec>, parts: &mut Parts<'s>) {
        let Some(PartitionSpec { strategy: _, part_params, location: _ }) = spec else { return };
        for element in part_params {
            match &element.node {
                Some(NodeEnum::PartitionElem(element)) => {
                    let PartitionElem { name: _, expr, collation: _, opclass: _, location: _ } =
                        element.as_ref();
                    parts.index.extend(node(expr));
                }
                _ => self.unsupported("a partition key"),
            }
        }
    }

    pub(super) fn partition_bound(&mut self, bound: Option<&PartitionBoundSpec>) {
        let Some(bound) = bound else { return };
        let PartitionBoundSpec {
            strategy: _,
            is_default: _,
            modulus: _,
            remainder: _,
            listdatums,
            lowerdatums,
            upperdatums,
            location: _,
        } = bound;
        let mut values = Vec::new();
        for datum in listdatums.iter().chain(lowerdatums).chain(upperdatums) {
            match &datum.node {
                // MINVALUE and MAXVALUE look like columns to the grammar.
                Some(NodeEnum::ColumnRef(column)) if is_infinite(&column.fields) => self.read(column),
                Some(value) => values.push(value),
                None => self.unsupported("a partition's bound"),
            }
        }
        self.expressions(&values, Vec::new(), ExpressionRole::PartitionBound);
    }

    /// Options of CREATE SEQUENCE and of identity columns; storage parameters, which name nothing, pass.
    pub(super) fn sequence_options(&mut self, list: &[Node]) {
        for option in options(list) {
            let Some(option) = option else {
                self.unsupported("an option of a sequence");
                continue;
            };
            match (option.defname.as_str(), option.arg.as_deref().and_then(|arg| arg.node.as_ref())) {
                ("as", Some(NodeEnum::TypeName(name))) => self.type_name(Some(name), Touch::Use, false),
                ("owned_by", Some(NodeEnum::List(parts))) => match strings(&parts.items).as_deref() {
                    // OWNED BY NONE; PostgreSQL refuses any other single word.
                    Some([_]) => {}
                    Some([relation @ .., column]) if !relation.is_empty() => {
                        let columns = Columns::Named(vec![column.clone()]);
                        self.relation_of(relation, columns, Touch::Attach, false);
                    }
                    _ => self.unsupported("a sequence's owner"),
                },
                _ => self.read(option),
            }
        }
    }
}

fn is_infinite(fields: &[Node]) -> bool {
    matches!(fields, [only] if matches!(string(only), Some("minvalue" | "maxvalue")))
}

/// The integer type behind a `serial` (`transformColumnDefinition`, src/backend/parser/parse_utilcmd.c).
fn serial(name: &TypeName) -> Option<TypeName> {
    let [only] = name.names.as_slice() else { return None };
    let integer = match string(only)? {
        "smallserial" | "serial2" => "int2",
        "serial" | "serial4" => "int4",
        "bigserial" | "serial8" => "int8",
        _ => return None,
    };
    let part = |text: &str| {
        let sval = text.to_owned();
        Node { node: Some(NodeEnum::String(pg_query::protobuf::String { sval })) }
    };
    (!name.pct_type).then(|| TypeName { names: vec![part("pg_catalog"), part(integer)], ..name.clone() })
}
