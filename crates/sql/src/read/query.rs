//! Queries and expressions inside statements, as texts that the server can parse on their own.
//!
//! The raw tree doesn't say where a query begins. A slice is guessed from the tokens and *proven*: parsed again, it
//! must give the same tree. Where no slice does, the tree is written out as text, under the same proof.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AConst, Alias, ColumnRef, IntoClause, LimitOption, Node, RangeSubselect, RangeVar, ResTarget, SelectStmt,
    SetOperation, TypeCast, TypeName,
};

use super::{Inner, Read, Reader};
use crate::tokens::Kind;
use crate::tree::shape;
use crate::{Ask, Command, Effect, ExpressionRole, ObjectKind, QueryRole, Sql, grammar};

/// Slices tried for one query before it is written out.
const TRIES_MAX: usize = 8;

/// SELECT INTO's target: of the leftmost SELECT (`transformOptionalSelectInto`, src/backend/parser/analyze.c).
pub(super) fn into(stmt: &SelectStmt) -> Option<&IntoClause> {
    let mut leftmost = stmt;
    while let Some(left) = leftmost.larg.as_deref() {
        leftmost = left;
    }
    leftmost.into_clause.as_deref()
}

pub(super) fn without_into(stmt: &SelectStmt) -> SelectStmt {
    let mut copy = stmt.clone();
    let mut next = Some(&mut copy);
    while let Some(stmt) = next {
        stmt.into_clause = None;
        next = stmt.larg.as_deref_mut();
    }
    copy
}

/// `SELECT expression, ... [FROM from, ...]` as a tree.
pub(super) fn select(expressions: Vec<NodeEnum>, from: Vec<NodeEnum>) -> NodeEnum {
    let targets = expressions.into_iter().map(|value| (String::new(), value));
    select_named(targets.collect(), from)
}

fn select_named(targets: Vec<(String, NodeEnum)>, from: Vec<NodeEnum>) -> NodeEnum {
    let target = |(name, value): (String, NodeEnum)| {
        let val = Some(Box::new(Node { node: Some(value) }));
        let target = ResTarget { name, val, location: -1, indirection: Vec::new() };
        Node { node: Some(NodeEnum::ResTarget(Box::new(target))) }
    };
    NodeEnum::SelectStmt(Box::new(SelectStmt {
        target_list: targets.into_iter().map(target).collect(),
        from_clause: from.into_iter().map(|node| Node { node: Some(node) }).collect(),
        limit_option: LimitOption::Default.into(),
        op: SetOperation::SetopNone.into(),
        ..Default::default()
    }))
}

/// `(SELECT *, NULL::type AS column, ... FROM other, ...) AS relation`: a relation as it will be, with the columns
/// that a statement makes and those it has from others.
pub(super) fn future_relation(
    relation: &RangeVar,
    others: &[&RangeVar],
    columns: Vec<(String, TypeName)>,
) -> NodeEnum {
    let mut targets = Vec::with_capacity(columns.len() + 1);
    if !others.is_empty() {
        let fields = vec![Node { node: Some(NodeEnum::AStar(Default::default())) }];
        targets.push((String::new(), NodeEnum::ColumnRef(ColumnRef { fields, location: -1 })));
    }
    for (name, type_name) in columns {
        let null = AConst { isnull: true, location: -1, val: None };
        let arg = Some(Box::new(Node { node: Some(NodeEnum::AConst(null)) }));
        let cast = TypeCast { arg, type_name: Some(type_name), location: -1 };
        targets.push((name, NodeEnum::TypeCast(Box::new(cast))));
    }
    let from = others.iter().map(|other| NodeEnum::RangeVar((*other).clone())).collect();
    NodeEnum::RangeSubselect(Box::new(RangeSubselect {
        lateral: false,
        subquery: Some(Box::new(Node { node: Some(select_named(targets, from)) })),
        alias: Some(Alias { aliasname: relation.relname.clone(), colnames: Vec::new() }),
    }))
}

impl Reader<'_> {
    /// A query inside the statement.
    pub(super) fn query(&mut self, query: &NodeEnum, role: QueryRole, parameters: Vec<String>) {
        self.read(query);
        let kept = matches!(role, QueryRole::CreateTableAs | QueryRole::View | QueryRole::MaterializedView);
        if self.inner == Inner::Named && kept {
            return self.by_name(&[query], None);
        }
        match self.slice(query).or_else(|| self.made(query.clone())) {
            Some(sql) => self.asks.push(Ask::Query { sql, role, parameters }),
            None => self.unsupported("a query whose text can't be told apart from the statement around it"),
        }
    }

    /// Expressions inside the statement that see a relation's columns (`from`) or none.
    pub(super) fn expressions(
        &mut self,
        expressions: &[&NodeEnum],
        from: Vec<NodeEnum>,
        role: ExpressionRole,
    ) {
        if expressions.is_empty() {
            return;
        }
        for expression in expressions {
            self.read(*expression);
        }
        if self.inner == Inner::Named {
            return self.by_name(expressions, Some(&from));
        }
        let select = select(expressions.iter().map(|node| (*node).clone()).collect(), from);
        match self.made(select) {
            Some(sql) => self.asks.push(Ask::Expression { sql, role }),
            None => self.unsupported("an expression that can't be asked about on its own"),
        }
    }

    /// The query written out, if that reads as the same query.
    fn made(&self, query: NodeEnum) -> Option<Sql> {
        let expected = shape(&query);
        let text = grammar::deparse(query)?;
        self.reads_as(&text, &expected).then_some(Sql::Made(text))
    }

    fn reads_as(&self, text: &str, expected: &[u8]) -> bool {
        grammar::one(text).is_some_and(|node| shape(&node) == expected)
    }

    /// The query's slice of the message.
    fn slice(&self, query: &NodeEnum) -> Option<Sql> {
        let expected = shape(query);
        let ends = self.ends();
        let starts = self.starts().into_iter();
        let tries = starts.flat_map(|start| ends.iter().map(move |end| start..*end));
        for range in tries.filter(|range| range.start < range.end).take(TRIES_MAX) {
            if self.reads_as(self.source.text.get(range.clone())?, &expected) {
                return Some(Sql::Slice { range, blank: None });
            }
        }
        None
    }

    /// Where a query may begin: at a keyword that begins one, or at a parenthesis before it.
    fn starts(&self) -> Vec<usize> {
        const BEGIN: [&[u8]; 8] =
            [b"select", b"with", b"values", b"table", b"insert", b"update", b"delete", b"merge"];
        let text = self.source.text.as_bytes();
        let tokens = self.source.tokens.iter().skip(1);
        let mut open = Vec::new();
        let mut starts = Vec::new();
        for token in tokens {
            if token.is_mark(text, b"(") {
                open.push(token.start);
            } else {
                if BEGIN.iter().any(|word| token.is_word(text, word)) {
                    starts.append(&mut open);
                    starts.push(token.start);
                    if starts.len() > TRIES_MAX {
                        break;
                    }
                }
                open.clear();
            }
        }
        starts
    }

    /// Where a query may end: with the statement, before what may follow it (CREATE VIEW's and CREATE TABLE AS'
    /// WITH), and, for COPY, before its closing parenthesis.
    fn ends(&self) -> Vec<usize> {
        let text = self.source.text.as_bytes();
        let tokens = self.source.tokens;
        let mut ends = vec![self.source.range.end];
        if tokens.first().is_some_and(|first| first.is_word(text, b"copy")) {
            ends.clear();
            let mut depth = 0_usize;
            for (token, before) in tokens.iter().skip(1).zip(tokens) {
                if token.is_mark(text, b"(") {
                    depth += 1;
                } else if token.is_mark(text, b")") {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return vec![before.end];
                    }
                }
            }
        }
        let tail = tokens.len().saturating_sub(4);
        for (token, before) in tokens.iter().zip(tokens.iter().skip(1)).skip(tail.saturating_sub(1)) {
            if before.is_word(text, b"with") {
                ends.push(token.end);
            }
        }
        ends
    }

    /// SELECT INTO: the query is what is left without `INTO name`.
    pub(super) fn select_into(&mut self, stmt: &SelectStmt) -> Read {
        let Some(into) = into(stmt) else { return self.unknown() };
        self.stored_into(into, ObjectKind::Table);
        let query = NodeEnum::SelectStmt(Box::new(without_into(stmt)));
        self.read(&query);
        if self.inner == Inner::Named {
            self.by_name(&[&query], None);
            return (Command::SelectInto, Effect::Define);
        }
        let blank = into.rel.as_ref().and_then(|rel| self.range_of_into(rel));
        let sql = blank.map(|blank| Sql::Slice { range: self.source.range.clone(), blank: Some(blank) });
        let sql = sql.filter(|sql| self.reads_as(&sql.bare(self.source.text), &shape(&query)));
        match sql.or_else(|| self.made(query)) {
            Some(sql) => {
                let role = QueryRole::CreateTableAs;
                self.asks.push(Ask::Query { sql, role, parameters: Vec::new() });
            }
            None => self.unsupported("a SELECT INTO whose query can't be told apart"),
        }
        (Command::SelectInto, Effect::Define)
    }

    /// From the keyword INTO to the end of the name that stands at `rel`.
    fn range_of_into(&self, rel: &RangeVar) -> Option<Range<usize>> {
        let text = self.source.text.as_bytes();
        let location = usize::try_from(rel.location).ok()?;
        let name = self.source.tokens.iter().position(|token| token.start == location)?;
        let (before, after) = self.source.tokens.split_at_checked(name)?;
        let into = before.iter().rev().take(4).find(|token| token.is_word(text, b"into"))?;
        let mut end = after.first()?.end;
        for pair in after.get(1..)?.chunks_exact(2) {
            let [dot, part] = pair else { break };
            if !dot.is_mark(text, b".") || !matches!(part.kind, Kind::Word | Kind::Quoted | Kind::Unicode) {
                break;
            }
            end = part.end;
        }
        Some(into.start..end)
    }
}
