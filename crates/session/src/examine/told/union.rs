//! Puts what is told together: parts of a statement, and statements of a text. Knows only what is told.

use policy::Verdict;
use policy::explain::report_part;
use wire::error::field;

use super::{
    CheckedAs, Decision, Flags, Function, Place, Refused, Relation, Status, Told, Type, Unknown, UnknownCode,
};
use crate::authorize::Weighed;
use crate::refuse::Refusal;

impl Relation {
    /// A relation of which nothing is known but its name.
    pub(in crate::examine) fn named(schema: Option<String>, name: String, role: String) -> Self {
        Self {
            schema,
            name,
            kind: None,
            oid: None,
            exists: false,
            temporary: false,
            checked_as: CheckedAs::Invoker,
            role,
            checked: true,
            named_in: vec![Place::Statement],
            views: Vec::new(),
            named_for: Vec::new(),
            privileges: Vec::new(),
            any_column: Vec::new(),
            whole_row: false,
            inherited: false,
            children: Vec::new(),
            row_locks: false,
            row_security: false,
            columns: Vec::new(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.oid == other.oid
            && self.schema == other.schema
            && self.name == other.name
            && self.checked_as == other.checked_as
            && self.role == other.role
            && self.checked == other.checked
    }
}

fn join<T: PartialEq>(into: &mut Vec<T>, from: Vec<T>) {
    for item in from {
        if !into.contains(&item) {
            into.push(item);
        }
    }
}

/// Adds a relation, to what is known of it if it is there.
pub(in crate::examine) fn add_relation(all: &mut Vec<Relation>, new: Relation) {
    let Some(known) = all.iter_mut().find(|known| known.is_like(&new)) else {
        all.push(new);
        return;
    };
    join(&mut known.named_in, new.named_in);
    join(&mut known.views, new.views);
    join(&mut known.named_for, new.named_for);
    join(&mut known.privileges, new.privileges);
    join(&mut known.any_column, new.any_column);
    join(&mut known.children, new.children);
    known.whole_row |= new.whole_row;
    known.inherited |= new.inherited;
    known.row_locks |= new.row_locks;
    known.row_security |= new.row_security;
    for column in new.columns {
        match known.columns.iter_mut().find(|one| one.number == column.number) {
            Some(one) => {
                join(&mut one.ways, column.ways);
                join(&mut one.privileges, column.privileges);
                join(&mut one.sources, column.sources);
                one.whole_row |= column.whole_row;
            }
            None => known.columns.push(column),
        }
    }
    known.columns.sort_by_key(|column| column.number);
}

/// Adds a function, to what is known of it if it is there.
pub(in crate::examine) fn add_function(all: &mut Vec<Function>, new: Function) {
    match all.iter_mut().find(|known| known.oid == new.oid) {
        Some(known) => {
            join(&mut known.named_in, new.named_in);
            join(&mut known.views, new.views);
        }
        None => all.push(new),
    }
}

/// Adds a type, to what is known of it if it is there.
pub(in crate::examine) fn add_type(all: &mut Vec<Type>, new: Type) {
    match all.iter_mut().find(|known| known.oid == new.oid) {
        Some(known) => {
            join(&mut known.uses, new.uses);
            join(&mut known.named_in, new.named_in);
            join(&mut known.views, new.views);
        }
        None => all.push(new),
    }
}

impl Told {
    /// A text that is not understood.
    pub fn unknown(code: UnknownCode, reason: impl Into<String>) -> Self {
        let unknown = Unknown { code, reason: reason.into() };
        Self { status: Status::Unknown, unknown: Some(unknown), ..Self::default() }
    }

    /// Puts together what is told about each statement of a text.
    pub fn union(mut statements: Vec<Self>) -> Self {
        match (statements.pop(), statements.is_empty()) {
            (None, _) => return Self::default(),
            (Some(only), true) => return only,
            (Some(last), false) => statements.push(last),
        }
        let mut all = Self::default();
        for one in &statements {
            // The first that stops the text says why.
            if one.status > all.status {
                all.status = one.status;
                all.unknown.clone_from(&one.unknown);
                all.error.clone_from(&one.error);
            }
            all.kinds.extend(&one.kinds);
            join(&mut all.commands, one.commands.clone());
            one.relations.iter().for_each(|new| add_relation(&mut all.relations, new.clone()));
            one.functions.iter().for_each(|new| add_function(&mut all.functions, new.clone()));
            one.types.iter().for_each(|new| add_type(&mut all.types, new.clone()));
            join(&mut all.operators, one.operators.clone());
            join(&mut all.sequences, one.sequences.clone());
            join(&mut all.objects, one.objects.clone());
            all.flags.add(one.flags);
            match (&mut all.decision, &one.decision) {
                (Some(known), Some(new)) => known.add(new),
                (known @ None, new) => known.clone_from(new),
                (Some(_), None) => {}
            }
        }
        if all.status == Status::Error {
            all.decision = None;
        }
        Self { statements, ..all }
    }
}

impl Refused {
    fn of(refusal: &Refusal) -> Self {
        let error = refusal.error();
        let text = |code| error.get(code).map(|text| String::from_utf8_lossy(text).into_owned());
        Self {
            sqlstate: error.sqlstate().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            message: text(field::MESSAGE).unwrap_or_default(),
            detail: text(field::DETAIL),
            hint: text(field::HINT),
        }
    }
}

impl Flags {
    fn add(&mut self, other: Self) {
        self.has_where &= other.has_where;
        self.row_locks |= other.row_locks;
        self.modifies_in_cte |= other.modifies_in_cte;
        self.has_limit |= other.has_limit;
        self.reads_only &= other.reads_only;
        self.changes_names |= other.changes_names;
        self.further_results |= other.further_results;
        self.parameters = self.parameters.max(other.parameters);
    }
}

impl Decision {
    /// What the policy says, as it was weighed.
    pub(in crate::examine) fn of(weighed: &Weighed, database: &str) -> Self {
        let verdict = match &weighed.refusal {
            None => "allow",
            Some(Refusal::ApprovalRequired { .. }) => "hold",
            Some(_) => "deny",
        };
        let approvers = match &weighed.decision.verdict {
            Verdict::Hold { approvers } => approvers.clone(),
            Verdict::Allow | Verdict::Deny => Vec::new(),
        };
        let parts = weighed.touches.iter().zip(&weighed.decision.parts);
        let parts = parts.chain(weighed.told.iter().map(|(touch, part)| (touch, part)));
        let mut decision = Self {
            verdict,
            approvers,
            refusal: weighed.refusal.as_ref().map(Refused::of),
            parts: Vec::new(),
        };
        for (touch, part) in parts {
            let part = report_part(database, touch, part);
            if !decision.parts.contains(&part) {
                decision.parts.push(part);
            }
        }
        decision
    }

    /// What is refused without the policy being asked.
    pub(in crate::examine) fn refused(refusal: &Refusal) -> Self {
        let refusal = Some(Refused::of(refusal));
        Self { verdict: "deny", approvers: Vec::new(), refusal, parts: Vec::new() }
    }

    fn add(&mut self, other: &Self) {
        let rank = |verdict: &str| ["allow", "hold", "deny"].iter().position(|word| *word == verdict);
        if rank(other.verdict) > rank(self.verdict) {
            self.verdict = other.verdict;
            self.refusal.clone_from(&other.refusal);
        }
        join(&mut self.approvers, other.approvers.clone());
        join(&mut self.parts, other.parts.clone());
    }
}
