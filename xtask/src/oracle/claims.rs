//! What Gatepost says that a query touches, as privileges that PostgreSQL would have to check for it; and these as sets of grants.

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;
use policy::{Action, Resource, Touch};
use serde_json::{Value, json};

/// A privilege on a relation or, if it names one, a column. The letters are those of `aclitem`: r(ead), a(ppend), w(rite), d(elete).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) relation: QualifiedName,
    pub(crate) column: Option<String>,
    pub(crate) privilege: char,
}

/// All that is claimed of one query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    pub(crate) privileges: BTreeSet<Claim>,
    pub(crate) functions: BTreeSet<QualifiedName>,
    /// For each column, the actions that policy is asked about.
    pub(crate) ways: BTreeMap<(QualifiedName, String), BTreeSet<&'static str>>,
}

/// Which column stands for a relation whose columns are not named.
#[derive(Clone, Copy)]
pub(crate) enum Pick {
    First,
    Last,
}

impl Claims {
    pub(crate) fn of(touches: &[Touch]) -> Self {
        let mut claims = Self::default();
        for touch in touches {
            let privilege = match touch.action {
                Action::Select | Action::Filter | Action::Copy => 'r',
                Action::Insert => 'a',
                Action::Update | Action::Lock => 'w',
                Action::Delete => 'd',
                _ => ' ',
            };
            match &touch.resource {
                Resource::Function { name, .. } if touch.action == Action::Execute => {
                    claims.functions.insert(name.clone());
                }
                Resource::Column { relation, column, .. } if privilege != ' ' => {
                    let (relation, column) = (relation.clone(), column.clone());
                    let ways = claims.ways.entry((relation.clone(), column.clone())).or_default();
                    ways.insert(touch.action.as_str());
                    claims.privileges.insert(Claim { relation, column: Some(column), privilege });
                }
                Resource::Relation { name, .. } if privilege != ' ' => {
                    let claim = Claim { relation: name.clone(), column: None, privilege };
                    claims.privileges.insert(claim);
                }
                _ => {}
            }
        }
        claims
    }

    /// Adds a column, or some column, that a row-level-security policy reads.
    pub(crate) fn add_security(&mut self, relation: QualifiedName, column: Option<String>) {
        if let Some(column) = &column {
            self.ways.entry((relation.clone(), column.clone())).or_default().insert("security");
        }
        self.privileges.insert(Claim { relation, column, privilege: 'r' });
    }

    /// Returns the grants that are just enough, if the claims are all.
    pub(crate) fn just_enough(&self, pick: Pick) -> Value {
        self.grants(|relation| self.enough(relation, pick))
    }

    /// Returns the grants of everything on what is claimed but this one, and of nothing on what isn't.
    pub(crate) fn all_but(&self, claim: &Claim) -> Value {
        self.grants(|relation| {
            if *relation != claim.relation {
                return self.enough(relation, Pick::First);
            }
            let whole: String = "rawd".chars().filter(|letter| *letter != claim.privilege).collect();
            let mut item = json!({ "schema": relation.schema, "name": relation.name, "table": whole });
            if let (Some(column), Some(object)) = (&claim.column, item.as_object_mut()) {
                object.insert("all".to_owned(), claim.privilege.to_string().into());
                object.insert("but".to_owned(), json!([column]));
            }
            item
        })
    }

    fn grants(&self, each: impl Fn(&QualifiedName) -> Value) -> Value {
        let relations: BTreeSet<&QualifiedName> =
            self.privileges.iter().map(|claim| &claim.relation).collect();
        let functions =
            self.functions.iter().map(|name| json!({ "function": name.name, "schema": name.schema }));
        relations.into_iter().map(each).chain(functions).collect()
    }

    fn enough(&self, relation: &QualifiedName, pick: Pick) -> Value {
        let claims = || self.privileges.iter().filter(|claim| claim.relation == *relation);
        let mut columns: BTreeMap<&str, String> = BTreeMap::new();
        for claim in claims() {
            if let Some(column) = &claim.column {
                columns.entry(column).or_default().push(claim.privilege);
            }
        }
        // Of the whole: only DELETE is; the others are given by any column, if none is named.
        let (mut whole, mut any) = (String::new(), String::new());
        for claim in claims().filter(|claim| claim.column.is_none()) {
            let named = columns.values().any(|letters| letters.contains(claim.privilege));
            match claim.privilege {
                'd' => whole.push('d'),
                letter if !named => any.push(letter),
                _ => {}
            }
        }
        let pick = match pick {
            Pick::First => "first",
            Pick::Last => "last",
        };
        json!({
            "schema": relation.schema, "name": relation.name,
            "table": whole, "columns": columns, "any": any, "pick": pick,
        })
    }
}
