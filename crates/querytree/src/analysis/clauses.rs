//! What each clause of a query does with the values in it.

use std::collections::HashMap;

use model::Oid;

use super::expressions::Walk;
use super::{Analysis, note};
use crate::Unknown;
use crate::access::Command;
use crate::flow::{Cell, CellId, EntryId, Moment, Passage, QueryId};
use crate::nodes::Tag;
use crate::scope::{Kind, Place};
use crate::tree::{NodeRef, Value};

impl<'t> Analysis<'t> {
    /// Reads a query's clauses; its range table and its parents' are known.
    pub(super) fn read_clauses(&mut self, id: QueryId) -> Result<(), Unknown> {
        let (node, command, place) = {
            let query = self.query(id)?;
            (query.node, query.command, query.place)
        };
        let condition = self.settled(Cell::Condition { query: id });
        let when = Walk { query: id, place, returning: false, into: condition, passage: Passage::Computed };
        self.read_ctes(id, when)?;
        for entry in self.query(id)?.entries.clone() {
            self.read_entry(entry, when)?;
        }
        let conditions = self.read_jointree(id, when)?;
        match command {
            Command::Select => self.read_results(id, place, false)?,
            _ => {
                self.read_writes(id, when)?;
                self.read_results(id, place, true)?;
            }
        }
        self.read_set_operations(id, condition)?;
        self.read_order(id, when)?;
        for name in ["limitOffset", "limitCount"] {
            if let Some(limit) = node.child(name)? {
                self.facts.has_limit = true;
                self.walk(limit, when)?;
            }
        }
        self.read_checks(id, when)?;
        if matches!(command, Command::Update | Command::Delete | Command::Merge)
            && !self.is_conditional(id, &conditions)?
        {
            self.facts.writes_unconditionally = true;
        }
        Ok(())
    }

    fn read_ctes(&mut self, id: QueryId, when: Walk) -> Result<(), Unknown> {
        for cte in self.query(id)?.node.children("cteList")? {
            let name = cte.name("ctename")?.unwrap_or_default();
            if self.query(id)?.ctes.iter().any(|(other, _)| *other == name) {
                return Err(cte.unknown("the name of another".to_owned()));
            }
            let inner = self.enter(cte.the("ctequery")?, Some(id), false, when.place)?;
            self.facts.modifies_in_cte |= self.query(inner)?.command != Command::Select;
            if let Some(query) = self.queries.get_mut(id.0) {
                query.ctes.push((name, inner));
            }
            self.condition_of(inner, when);
            // By now the CTE's own query has what they ask for.
            if let Some(cycle) = cte.child("cycle_clause")? {
                note(&mut self.facts.operators, Oid(cycle.small("cycle_mark_neop")?), when.place);
                for name in ["cycle_mark_value", "cycle_mark_default"] {
                    if let Some(value) = cycle.child(name)? {
                        self.walk(value, when)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets whatever decides over the rows of an inner query decide here too.
    fn condition_of(&mut self, inner: QueryId, when: Walk) {
        let inner = self.flow.cell(Cell::Condition { query: inner });
        self.flow.add(when.into, inner, Passage::Computed);
    }

    fn read_entry(&mut self, id: EntryId, when: Walk) -> Result<(), Unknown> {
        let entry = self.entry(id)?;
        let (node, kind) = (entry.node, entry.kind);
        match kind {
            Kind::Subquery(inner) => self.condition_of(inner, when),
            Kind::Relation => {
                if let Some(sample) = node.child("tablesample")? {
                    self.walk(sample, when)?;
                }
            }
            Kind::Expressions => self.read_expressions(id, node, when)?,
            Kind::Cte | Kind::Join | Kind::Placeholder | Kind::Excluded => {}
        }
        let quals = node.children("securityQuals")?;
        if quals.is_empty() {
            return Ok(());
        }
        let target = self.query(when.query)?.result == Some(id);
        let security = if target && self.writes_through_view(when.query)? {
            // SECURITY: the conditions of a security_barrier view are here too, and whoever wrote it chose them.
            when
        } else {
            let into = self.settled(Cell::Security { query: when.query });
            Walk { into, place: Place { security: true, ..when.place }, ..when }
        };
        for qual in quals {
            self.walk(qual, security)?;
        }
        Ok(())
    }

    /// Says whether the query's target was found by way of a view.
    pub(super) fn writes_through_view(&self, query: QueryId) -> Result<bool, Unknown> {
        for entry in &self.query(query)?.entries {
            let entry = self.entry(*entry)?;
            if entry.kind == Kind::Relation && matches!(entry.relation, Some((_, b'v'))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads an entry whose columns are expressions: a function, VALUES, the grouping step.
    fn read_expressions(&mut self, id: EntryId, node: NodeRef<'t>, when: Walk) -> Result<(), Unknown> {
        match node.number("rtekind")? {
            3 => self.read_functions(id, node, when),
            4 => {
                let source = self.settled(Cell::Source { entry: id, part: 0 });
                self.walk(node.the("tablefunc")?, Walk { into: source, ..when })?;
                self.flow.add(when.into, source, Passage::Computed);
                self.columns_from(id, 1..=self.entry(id)?.columns.len(), source);
                Ok(())
            }
            5 => {
                for row in node.items("values_lists")? {
                    self.read_columns(id, node.members(*row), node, when)?;
                }
                Ok(())
            }
            9 => self.read_columns(id, node.items("groupexprs")?, node, when),
            kind => Err(node.unknown(format!("kind {kind}"))),
        }
    }

    /// Lets each of some expressions, in order, flow into a column of the entry.
    fn read_columns(
        &mut self,
        id: EntryId,
        values: &[Value],
        node: NodeRef<'t>,
        when: Walk,
    ) -> Result<(), Unknown> {
        for (column, value) in (1..).zip(values) {
            let into = self.settled(Cell::Column { entry: id, column, moment: Moment::Before });
            match node.node(*value)? {
                Some(expression) => self.walk(expression, Walk { into, passage: Passage::Bare, ..when })?,
                None => return Err(node.unknown("a column without an expression".to_owned())),
            }
        }
        Ok(())
    }

    fn read_functions(&mut self, id: EntryId, node: NodeRef<'t>, when: Walk) -> Result<(), Unknown> {
        let mut next = 1;
        for (part, function) in node.children("functions")?.into_iter().enumerate() {
            let source = self.settled(Cell::Source { entry: id, part });
            self.walk(function, Walk { into: source, ..when })?;
            // How many rows come depends on what the function is given.
            self.flow.add(when.into, source, Passage::Computed);
            let count: usize = function.small("funccolcount")?;
            self.columns_from(id, next..=(next + count).saturating_sub(1), source);
            next += count;
        }
        if node.is("funcordinality")? {
            self.columns_from(id, next..=next, when.into);
        }
        Ok(())
    }

    fn columns_from(&mut self, id: EntryId, columns: std::ops::RangeInclusive<usize>, source: CellId) {
        for column in columns.map_while(|column| i16::try_from(column).ok()) {
            let into = self.settled(Cell::Column { entry: id, column, moment: Moment::Before });
            self.flow.add(into, source, Passage::Computed);
        }
    }

    /// Reads FROM and WHERE. Returns every condition in them.
    fn read_jointree(&mut self, id: QueryId, when: Walk) -> Result<Vec<NodeRef<'t>>, Unknown> {
        let node = self.query(id)?.node;
        let mut conditions: Vec<_> = node.child("havingQual")?.into_iter().collect();
        if self.tree.version() >= 17 {
            conditions.extend(node.child("mergeJoinCondition")?);
        }
        let mut items: Vec<_> = node.child("jointree")?.into_iter().collect();
        while let Some(item) = items.pop() {
            match item.tag() {
                Tag::RangeTblRef => {
                    let joined = self.entry_at(id, item.number("rtindex")?)?;
                    if let Some(entry) = self.entries.get_mut(joined.0) {
                        entry.joined = true;
                    }
                }
                Tag::JoinExpr => {
                    let sides = [item.the("larg")?, item.the("rarg")?];
                    conditions.extend(item.child("quals")?);
                    items.extend(sides);
                    // A join that no Var can name has no entry.
                    if item.number("rtindex")? != 0 {
                        let join = self.entry_at(id, item.number("rtindex")?)?;
                        let sides = [sides[0].number("rtindex")?, sides[1].number("rtindex")?];
                        if let Some(entry) = self.entries.get_mut(join.0) {
                            entry.sides = sides.to_vec();
                        }
                    }
                }
                Tag::FromExpr => {
                    items.extend(item.children("fromlist")?);
                    conditions.extend(item.child("quals")?);
                }
                _ => return Err(item.unknown("no place in a join tree".to_owned())),
            }
        }
        for condition in &conditions {
            self.walk(*condition, when)?;
        }
        Ok(conditions)
    }

    /// Reads the target entries whose values leave the query.
    fn read_results(&mut self, id: QueryId, place: Place, returning: bool) -> Result<(), Unknown> {
        for target in self.results_of(id)? {
            let into = self.settled(Cell::Target { query: id, column: target.small("resno")? });
            self.walk(
                target.the("expr")?,
                Walk { query: id, place, returning, into, passage: Passage::Bare },
            )?;
        }
        Ok(())
    }

    /// Reads what INSERT, UPDATE and MERGE write.
    fn read_writes(&mut self, id: QueryId, when: Walk) -> Result<(), Unknown> {
        let (node, command) = (self.query(id)?.node, self.query(id)?.command);
        self.settled(Cell::Written { query: id });
        match command {
            Command::Insert => {
                self.read_assignments(id, &node.children("targetList")?, Command::Insert, when)?
            }
            Command::Update => {
                self.read_assignments(id, &node.children("targetList")?, Command::Update, when)?
            }
            _ => {}
        }
        for action in node.children("mergeActionList")? {
            if let Some(qual) = action.child("qual")? {
                self.walk(qual, when)?;
            }
            // CMD_UPDATE, CMD_INSERT, CMD_DELETE, CMD_NOTHING (nodes/nodes.h)
            let command = match action.number("commandType")? {
                2 => Command::Update,
                3 => Command::Insert,
                4 | 7 => continue,
                other => return Err(action.unknown(format!("command type {other}"))),
            };
            self.read_assignments(id, &action.children("targetList")?, command, when)?;
        }
        if let Some(conflict) = node.child("onConflict")? {
            for element in conflict.children("arbiterElems")? {
                self.walk(element, when)?;
            }
            for name in ["arbiterWhere", "onConflictWhere"] {
                if let Some(condition) = conflict.child(name)? {
                    self.walk(condition, when)?;
                }
            }
            self.read_assignments(id, &conflict.children("onConflictSet")?, Command::Update, when)?;
        }
        Ok(())
    }

    fn read_assignments(
        &mut self,
        id: QueryId,
        targets: &[NodeRef<'t>],
        command: Command,
        when: Walk,
    ) -> Result<(), Unknown> {
        let written = self.flow.cell(Cell::Written { query: id });
        for target in targets {
            let expression = target.the("expr")?;
            let column: i16 = target.small("resno")?;
            let into = if target.is("resjunk")? {
                // The old row, for an INSTEAD OF trigger: it goes nowhere that the statement says.
                if expression.tag() == Tag::Var && expression.number("varattno")? == 0 {
                    continue;
                }
                // The sub-select of `SET (a, b) = (SELECT ...)`.
                written
            } else if command == Command::Insert {
                self.settled(Cell::Inserted { query: id, column })
            } else {
                self.settled(Cell::Updated { query: id, column })
            };
            if into != written {
                self.flow.add(written, into, Passage::Bare);
            }
            if command == Command::Update && !target.is("resjunk")? {
                self.keep_rest(id, expression, i64::from(column))?;
            }
            self.walk(expression, Walk { into, passage: Passage::Bare, ..when })?;
        }
        Ok(())
    }

    /// Notes the Var that `SET column.field = ...` or `SET column[1] = ...` starts from: what else is in the column stays
    /// in it, and PostgreSQL does not take it for read (`transformAssignmentIndirection`, parser/parse_target.c).
    fn keep_rest(&mut self, id: QueryId, expression: NodeRef<'t>, column: i64) -> Result<(), Unknown> {
        let (mut node, mut in_part) = (expression, false);
        loop {
            let start = match node.tag() {
                Tag::FieldStore => "arg",
                Tag::SubscriptingRef if node.child("refassgnexpr")?.is_some() => "refexpr",
                Tag::CoerceToDomain => "arg",
                _ => return Ok(()),
            };
            in_part |= node.tag() != Tag::CoerceToDomain;
            let (Value::Node(number), Some(inner)) = (node.get(start), node.child(start)?) else {
                return Ok(());
            };
            if inner.tag() == Tag::Var {
                let is_own = inner.number("varlevelsup")? == 0 && inner.number("varattno")? == column;
                let result = self.query(id)?.result;
                if in_part && is_own && result == Some(self.entry_at(id, inner.number("varno")?)?) {
                    self.kept.insert(number);
                }
                return Ok(());
            }
            node = inner;
        }
    }

    /// Joins the results of UNION, INTERSECT and EXCEPT into the query's own.
    fn read_set_operations(&mut self, id: QueryId, condition: CellId) -> Result<(), Unknown> {
        let (node, place) = (self.query(id)?.node, self.query(id)?.place);
        let columns = self.query(id)?.columns.clone();
        let Some(root) = node.child("setOperations")? else { return Ok(()) };
        // Each operand, with whether its values are returned and whether they choose rows.
        let mut operands = vec![(root, true, false)];
        while let Some((operand, returned, chooses)) = operands.pop() {
            if operand.tag() == Tag::RangeTblRef {
                let entry = self.entry_at(id, operand.number("rtindex")?)?;
                for column in &columns {
                    let from =
                        self.flow.cell(Cell::Column { entry, column: *column, moment: Moment::Before });
                    if returned {
                        let into = self.flow.cell(Cell::Target { query: id, column: *column });
                        self.flow.add(into, from, Passage::Bare);
                    }
                    if chooses {
                        self.flow.add(condition, from, Passage::Computed);
                    }
                }
                continue;
            }
            self.note_sort_groups(operand, "groupClauses", place)?;
            // SetOperation: UNION, INTERSECT, EXCEPT (nodes/parsenodes.h)
            let (op, all) = (operand.number("op")?, operand.is("all")?);
            if op == 0 {
                return Err(operand.unknown("no operation".to_owned()));
            }
            let chooses = chooses || op != 1 || !all;
            operands.push((operand.the("larg")?, returned, chooses));
            operands.push((operand.the("rarg")?, returned && op != 3, chooses));
        }
        Ok(())
    }

    /// Reads GROUP BY, DISTINCT, ORDER BY and the windows.
    fn read_order(&mut self, id: QueryId, when: Walk) -> Result<(), Unknown> {
        let node = self.query(id)?.node;
        let mut by_reference = HashMap::new();
        for target in node.children("targetList")? {
            by_reference.insert(target.number("ressortgroupref")?, target.small("resno")?);
        }
        for name in ["groupClause", "distinctClause", "sortClause"] {
            self.read_references(id, node, name, &by_reference, when)?;
        }
        for window in node.children("windowClause")? {
            let into = self.settled(Cell::Window { query: id, window: window.small("winref")? });
            self.flow.add(when.into, into, Passage::Computed);
            let within = Walk { into, ..when };
            // Offsets and the functions that compare them.
            self.walk(window, within)?;
            for name in ["partitionClause", "orderClause"] {
                self.read_references(id, window, name, &by_reference, within)?;
            }
        }
        Ok(())
    }

    fn read_references(
        &mut self,
        id: QueryId,
        node: NodeRef<'t>,
        name: &str,
        by_reference: &HashMap<i64, i16>,
        when: Walk,
    ) -> Result<(), Unknown> {
        self.note_sort_groups(node, name, when.place)?;
        for clause in node.children(name)? {
            let reference = clause.number("tleSortGroupRef")?;
            let Some(column) = by_reference.get(&reference).filter(|_| reference != 0) else {
                return Err(clause.unknown(format!("a reference {reference} to no column")));
            };
            let from = self.flow.cell(Cell::Target { query: id, column: *column });
            self.flow.add(when.into, from, Passage::Computed);
        }
        Ok(())
    }

    /// Reads what a written row is checked for.
    fn read_checks(&mut self, id: QueryId, when: Walk) -> Result<(), Unknown> {
        for check in self.query(id)?.node.children("withCheckOptions")? {
            // WCO_VIEW_CHECK is chosen by whoever wrote the view, the rest by whoever wrote the policy.
            let of_view = check.number("kind")? == 0;
            let into = if of_view { when.into } else { self.settled(Cell::Security { query: id }) };
            let place = Place { security: when.place.security || !of_view, ..when.place };
            if let Some(qual) = check.child("qual")? {
                self.walk(qual, Walk { into, place, ..when })?;
            }
        }
        Ok(())
    }

    /// Says whether any of the conditions reads the relation that is written.
    fn is_conditional(&self, id: QueryId, conditions: &[NodeRef<'t>]) -> Result<bool, Unknown> {
        let query = self.query(id)?;
        let mut targets = vec![query.node.number("resultRelation")?];
        if self.tree.version() >= 17 {
            targets.push(query.node.number("mergeTargetRelation")?);
        }
        if let Some(result) = query.result
            && let Some((relation, b'v')) = self.entry(result)?.relation
        {
            // A view with an INSTEAD OF trigger is read by another entry than it is written by.
            for (index, entry) in (1..).zip(&query.entries) {
                if matches!(self.entry(*entry)?.relation, Some((other, _)) if other == relation) {
                    targets.push(index);
                }
            }
        }
        let mut pending: Vec<_> = conditions.iter().map(|condition| (*condition, 0)).collect();
        while let Some((node, level)) = pending.pop() {
            match node.tag() {
                Tag::Var
                    if node.number("varlevelsup")? == level && targets.contains(&node.number("varno")?) =>
                {
                    return Ok(true);
                }
                Tag::CurrentOfExpr => return Ok(true),
                _ => {}
            }
            let level = level + i64::from(node.tag() == Tag::Query);
            for (_, value) in node.fields() {
                let mut values = vec![value];
                while let Some(value) = values.pop() {
                    values.extend(node.members(value));
                    pending.extend(node.node(value)?.map(|child| (child, level)));
                }
            }
        }
        Ok(false)
    }
}
