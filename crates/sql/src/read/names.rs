//! Turns the grammar's many ways of naming things into names. Knows no statement.

use pg_query::NodeEnum;
use pg_query::protobuf::{self, Node, ObjectWithArgs, RangeVar, RoleSpec, RoleSpecType, TypeName};

use super::Reader;
use crate::{Ask, Columns, Name, ObjectKind, RoleName, RoutineKind, Touch, grammar};

/// The strings of a list, or of a list of lists' only string each.
pub(super) fn strings(nodes: &[Node]) -> Option<Vec<String>> {
    nodes.iter().map(|node| string(node).map(str::to_owned)).collect()
}

/// A String node's text.
pub(super) fn string(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(&text.sval),
        _ => None,
    }
}

/// A list's items.
pub(super) fn items(node: &Node) -> Option<&[Node]> {
    match &node.node {
        Some(NodeEnum::List(list)) => Some(&list.items),
        _ => None,
    }
}

/// `name` or `schema.name`. A database's name before them must be that of the one at hand: PostgreSQL refuses any other
/// (`DeconstructQualifiedName`, src/backend/catalog/namespace.c).
pub(super) fn qualified(parts: &[String]) -> Option<Name> {
    match parts {
        [name] => Some(Name { schema: None, name: name.clone() }),
        [schema, name] | [_, schema, name] => Some(Name { schema: Some(schema.clone()), name: name.clone() }),
        _ => None,
    }
}

/// The name of a relation. A database's name before it must be that of the one at hand: PostgreSQL refuses any other
/// (`RangeVarGetRelidExtended`, src/backend/catalog/namespace.c).
pub(super) fn relation_name(relation: &RangeVar) -> Name {
    let RangeVar { catalogname: _, schemaname, relname, inh: _, relpersistence: _, alias: _, location: _ } =
        relation;
    let schema = (!schemaname.is_empty()).then(|| schemaname.clone());
    Name { schema, name: relname.clone() }
}

pub(super) fn role_name(role: &RoleSpec) -> Option<RoleName> {
    let RoleSpec { roletype, rolename, location: _ } = role;
    match RoleSpecType::try_from(*roletype) {
        Ok(RoleSpecType::RolespecCstring) => Some(RoleName::Named(rolename.clone())),
        Ok(RoleSpecType::RolespecCurrentRole) => Some(RoleName::CurrentRole),
        Ok(RoleSpecType::RolespecCurrentUser) => Some(RoleName::CurrentUser),
        Ok(RoleSpecType::RolespecSessionUser) => Some(RoleName::SessionUser),
        Ok(RoleSpecType::RolespecPublic) => Some(RoleName::Public),
        Ok(RoleSpecType::Undefined) | Err(_) => None,
    }
}

/// A type as SQL, without modifiers; `None` if it can't be written as one.
pub(super) fn type_sql(name: &TypeName) -> Option<String> {
    let bare = TypeName { setof: false, pct_type: false, typmods: Vec::new(), ..name.clone() };
    let null = protobuf::AConst { isnull: true, location: -1, val: None };
    let cast = protobuf::TypeCast {
        arg: Some(Box::new(Node { node: Some(NodeEnum::AConst(null)) })),
        type_name: Some(bare),
        location: -1,
    };
    let sql = grammar::deparse(super::query::select(vec![NodeEnum::TypeCast(Box::new(cast))], Vec::new()))?;
    sql.strip_prefix("SELECT NULL::").map(str::to_owned)
}

impl Reader<'_> {
    /// A relation that exists.
    pub(super) fn relation(
        &mut self,
        relation: Option<&RangeVar>,
        columns: Columns,
        touch: Touch,
        missing_ok: bool,
    ) {
        let Some(relation) = relation else { return };
        self.read(relation);
        let name = self.placed(relation_name(relation));
        self.asks.push(Ask::Relation { name, columns, touch, missing_ok });
    }

    /// A name as it is meant: one that CREATE SCHEMA makes is in the new schema.
    pub(super) fn placed(&self, name: Name) -> Name {
        match &self.making {
            Some(making) if name.schema.is_none() && making.names.contains(&name.name) => {
                Name { schema: Some(making.schema.clone()), name: name.name }
            }
            _ => name,
        }
    }

    /// A relation given by the parts of its name.
    pub(super) fn relation_of(&mut self, parts: &[String], columns: Columns, touch: Touch, missing_ok: bool) {
        match qualified(parts) {
            Some(name) => {
                let name = self.placed(name);
                self.asks.push(Ask::Relation { name, columns, touch, missing_ok });
            }
            None => self.unsupported("a relation's name of more than three parts"),
        }
    }

    /// A relation that the statement makes.
    pub(super) fn new_relation(&mut self, kind: ObjectKind, relation: Option<&RangeVar>, replace: bool) {
        let Some(relation) = relation else { return self.unsupported("a relation without a name") };
        self.read(relation);
        let name = self.placed(relation_name(relation));
        let temporary = relation.relpersistence == "t";
        self.asks.push(Ask::New { kind, name, temporary, replace });
    }

    /// An object that the statement makes, given by the parts of its name.
    pub(super) fn new_object(&mut self, kind: ObjectKind, parts: &[Node], replace: bool) {
        match strings(parts).as_deref().and_then(qualified) {
            Some(name) => self.asks.push(Ask::New { kind, name, temporary: false, replace }),
            None => self.unsupported(format!("the name of the {}", kind.name())),
        }
    }

    /// An object of a kind that lives in no schema, which the statement makes.
    pub(super) fn new_plain(&mut self, kind: ObjectKind, name: &str, replace: bool) {
        let name = Name { schema: None, name: name.to_owned() };
        self.asks.push(Ask::New { kind, name, temporary: false, replace });
    }

    /// An object of a kind that lives in no schema.
    pub(super) fn plain(&mut self, kind: ObjectKind, name: &str, touch: Touch, missing_ok: bool) {
        self.asks.push(Ask::Object { kind, name: vec![name.to_owned()], touch, missing_ok });
    }

    /// As [`plain`](Self::plain), if a name is given.
    pub(super) fn plain_if(&mut self, kind: ObjectKind, name: &str, touch: Touch) {
        if !name.is_empty() {
            self.plain(kind, name, touch, false);
        }
    }

    pub(super) fn schema(&mut self, name: &str, touch: Touch, missing_ok: bool) {
        self.asks.push(Ask::Schema { name: Some(name.to_owned()), touch, missing_ok });
    }

    pub(super) fn role(&mut self, role: Option<&RoleSpec>, touch: Touch) {
        let Some(role) = role else { return };
        self.read(role);
        match role_name(role) {
            Some(name) => self.asks.push(Ask::Role { name, touch }),
            None => self.unsupported("a role"),
        }
    }

    pub(super) fn roles(&mut self, roles: &[Node], touch: Touch) {
        for role in roles {
            match &role.node {
                Some(NodeEnum::RoleSpec(role)) => self.role(Some(role), touch),
                _ => self.unsupported("a role"),
            }
        }
    }

    /// A type that the statement names; asked about once, and not at all where the grammar itself names one of
    /// PostgreSQL's own.
    pub(super) fn type_name(&mut self, name: Option<&TypeName>, touch: Touch, missing_ok: bool) {
        let Some(name) = name else { return };
        self.read(name);
        let Some(parts) = strings(&name.names) else { return self.unsupported("a type") };
        if name.pct_type {
            return match parts.split_last() {
                Some((column, relation)) if !relation.is_empty() => {
                    self.relation_of(relation, Columns::Named(vec![column.clone()]), Touch::Like, false);
                }
                _ => self.unsupported("a type"),
            };
        }
        if touch == Touch::Use && parts.len() == 2 && parts.first().is_some_and(|part| part == "pg_catalog") {
            return;
        }
        match type_sql(name) {
            Some(sql) => {
                let ask = Ask::Type { sql, touch, missing_ok };
                if !self.asks.contains(&ask) {
                    self.asks.push(ask);
                }
            }
            None => self.unsupported("a type"),
        }
    }

    pub(super) fn types(&mut self, names: &[Node], touch: Touch) {
        for name in names {
            match &name.node {
                Some(NodeEnum::TypeName(name)) => self.type_name(Some(name), touch, false),
                _ => self.unsupported("a type"),
            }
        }
    }

    /// A type given by the parts of its name.
    pub(super) fn type_of(&mut self, parts: &[Node], touch: Touch, missing_ok: bool) {
        let name = TypeName { names: parts.to_vec(), typemod: -1, location: -1, ..TypeName::default() };
        match type_sql(&name) {
            Some(sql) => self.asks.push(Ask::Type { sql, touch, missing_ok }),
            None => self.unsupported("a type"),
        }
    }

    pub(super) fn routine(
        &mut self,
        object: &ObjectWithArgs,
        kind: RoutineKind,
        touch: Touch,
        missing_ok: bool,
    ) {
        self.read(object);
        let ObjectWithArgs { objname, objargs, objfuncargs: _, args_unspecified } = object;
        let args = match (args_unspecified, objargs.as_slice()) {
            (true, _) => Some(None),
            (false, types) => types
                .iter()
                .map(|node| match &node.node {
                    Some(NodeEnum::TypeName(name)) if !name.pct_type => type_sql(name),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
                .map(Some),
        };
        match (strings(objname).as_deref().and_then(qualified), args) {
            (Some(name), Some(args)) => {
                self.asks.push(Ask::Routine { name, kind, args, touch, missing_ok });
            }
            _ => self.unsupported("the name of a routine"),
        }
    }

    /// A function named without its arguments: a trigger's, a handler.
    pub(super) fn function_of(&mut self, parts: &[Node], touch: Touch) {
        match strings(parts).as_deref().and_then(qualified) {
            Some(name) => {
                let kind = RoutineKind::Function;
                self.asks.push(Ask::Routine { name, kind, args: None, touch, missing_ok: false });
            }
            None => self.unsupported("the name of a function"),
        }
    }
}

/// Columns that a list of Strings names; none: all.
pub(super) fn columns(names: &[Node]) -> Columns {
    match strings(names) {
        Some(names) if !names.is_empty() => Columns::Named(names),
        // Something that isn't a plain name: all of them is the safe reading.
        _ => Columns::All,
    }
}
