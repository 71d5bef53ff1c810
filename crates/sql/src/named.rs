//! Everything that a query or an expression names, gathered from libpg_query's tree by its field names: for what the
//! server can't be asked about by itself. Knows no statement, and not what a name means; where in doubt, it names more.

use std::collections::BTreeSet;

use crate::Name;

/// How a relation is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Read,
    Insert,
    Update,
    Delete,
    Merge,
    /// SELECT INTO's target.
    Made,
}

/// What a tree names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) relations: BTreeSet<(Name, Way)>,
    pub(crate) functions: BTreeSet<Vec<String>>,
    /// Words after a dot: columns, or functions of the whole row before it.
    pub(crate) attributes: BTreeSet<String>,
    pub(crate) operators: BTreeSet<String>,
    /// RETURNING or ON CONFLICT: what rows are put into is read as well.
    pub(crate) reads_target: bool,
    /// Names of WITH queries: a relation so named may be one of these.
    pub(crate) with: BTreeSet<String>,
    /// Words that columns are named by.
    columns: BTreeSet<String>,
    alone: BTreeSet<String>,
    aliases: BTreeSet<String>,
    /// Columns are used that no word names: `*`, NATURAL, USING, renamed columns.
    open: bool,
}

impl Named {
    /// Adds the relations that the tree sees without naming them. Which of their columns it uses, its own words say.
    pub(crate) fn see(&mut self, seen: Self) {
        self.relations.extend(seen.relations);
        self.aliases.extend(seen.aliases);
    }

    /// The words of which each used column is one; `None`: any column may be used.
    pub(crate) fn columns(&self) -> Option<Vec<String>> {
        let relations = self.relations.iter().map(|(name, _)| name.name.as_str());
        let rows = relations.chain(self.aliases.iter().map(String::as_str)).chain(["old", "new", "excluded"]);
        let whole = rows.into_iter().any(|row| self.alone.contains(row));
        (!self.open && !whole).then(|| self.columns.iter().cloned().collect())
    }
}

/// Gathers while a tree is walked.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    frames: Vec<Frame>,
    pub(crate) named: Named,
}

#[derive(Debug)]
struct Frame {
    node: &'static str,
    field: &'static str,
    parts: Vec<String>,
    relation: Name,
}

impl Collector {
    pub(crate) fn enter(&mut self, node: &'static str) {
        self.named.open |= node == "AStar";
        self.named.reads_target |= matches!(node, "ReturningClause" | "OnConflictClause");
        self.frames.push(Frame {
            node,
            field: "",
            parts: Vec::new(),
            relation: Name { schema: None, name: String::new() },
        });
    }

    pub(crate) fn field(&mut self, field: &'static str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.field = field;
        }
    }

    pub(crate) fn bool(&mut self, value: bool) {
        let natural =
            self.frames.last().is_some_and(|frame| (frame.node, frame.field) == ("JoinExpr", "is_natural"));
        self.named.open |= natural && value;
    }

    pub(crate) fn text(&mut self, text: &str) {
        let Some((frame, below)) = self.frames.split_last_mut() else { return };
        match (frame.node, frame.field) {
            ("RangeVar", "schemaname") if !text.is_empty() => frame.relation.schema = Some(text.to_owned()),
            ("RangeVar", "relname") => frame.relation.name = text.to_owned(),
            ("CommonTableExpr", "ctename") => drop(self.named.with.insert(text.to_owned())),
            ("Alias", "aliasname") => drop(self.named.aliases.insert(text.to_owned())),
            ("String", "sval") => {
                let parent = below.iter_mut().rev().find(|frame| frame.node != "Node");
                let wanted = parent.filter(|frame| {
                    matches!(
                        (frame.node, frame.field),
                        ("FuncCall", "funcname")
                            | ("AExpr", "name")
                            | ("SubLink", "oper_name")
                            | ("SortBy", "use_op")
                            | ("ColumnRef", "fields")
                            | ("AIndirection", "indirection")
                            | ("JoinExpr", "using_clause")
                            | ("Alias", "colnames")
                    )
                });
                if let Some(frame) = wanted {
                    frame.parts.push(text.to_owned());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn leave(&mut self) {
        let Some(Frame { node, field: _, parts, relation }) = self.frames.pop() else { return };
        let named = &mut self.named;
        match node {
            "RangeVar" => {
                let way = match self.frames.last().map(|frame| (frame.node, frame.field)) {
                    Some(("InsertStmt", "relation")) => Way::Insert,
                    Some(("UpdateStmt", "relation")) => Way::Update,
                    Some(("DeleteStmt", "relation")) => Way::Delete,
                    Some(("MergeStmt", "relation")) => Way::Merge,
                    Some(("IntoClause", "rel")) => Way::Made,
                    _ => Way::Read,
                };
                named.relations.insert((relation, way));
            }
            "FuncCall" => drop(named.functions.insert(parts)),
            "AExpr" | "SubLink" | "SortBy" => {
                let operator = parts.last().map_or("", String::as_str);
                if operator.ends_with("BETWEEN") || operator.ends_with("BETWEEN SYMMETRIC") {
                    // `transformAExprBetween` (src/backend/parser/parse_expr.c).
                    named.operators.extend([">=", "<=", "<", ">"].map(str::to_owned));
                }
                named.operators.extend(parts.last().cloned());
            }
            "ColumnRef" => {
                if let [only] = parts.as_slice() {
                    named.alone.insert(only.clone());
                }
                named.attributes.extend(parts.iter().skip(1).cloned());
                named.columns.extend(parts);
            }
            "AIndirection" => {
                named.attributes.extend(parts.iter().cloned());
                named.columns.extend(parts);
            }
            "JoinExpr" | "Alias" => named.open |= !parts.is_empty(),
            _ => {}
        }
    }
}
