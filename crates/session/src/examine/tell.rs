//! From what a query touches, by OID, to what is told of it, by name.
//!
//! Knows trees' reading, the catalog and the lore; asks nobody and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use model::Oid;
use policy::{FunctionClass, FunctionSecurity, RelationKind, Volatility};
use querytree::{Access, Origin, Relation as Touched, Rights, Source as TreeSource, Ways};
use sql::{ExpressionRole, QueryRole};

use super::lore::{Lore, Wanted};
use super::told::{self, CheckedAs, Place, Told};
use crate::analysis::{self, Lookup};
use crate::catalog::{Function, Relation};

/// What a tree was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Query(QueryRole),
    Expression(ExpressionRole),
}

impl Use {
    /// Whether PostgreSQL checks privileges for it when the statement runs.
    fn is_checked(self) -> bool {
        match self {
            Self::Query(QueryRole::View | QueryRole::Prepare) => false,
            Self::Query(_) => true,
            Self::Expression(role) => matches!(
                role,
                ExpressionRole::Argument | ExpressionRole::CopyWhere | ExpressionRole::PartitionBound
            ),
        }
    }
}

impl Use {
    /// What becomes of a value that reaches the query's result, in the words that policy decides by.
    fn of_result(self, ways: Ways) -> Ways {
        let way = match self {
            Self::Query(QueryRole::CreateTableAs | QueryRole::View | QueryRole::MaterializedView) => {
                Ways::COPY
            }
            Self::Query(_) => Ways::OUTPUT,
            Self::Expression(ExpressionRole::CopyWhere) => Ways::FILTER,
            Self::Expression(_) => Ways::COPY,
        };
        if ways.contains(Ways::OUTPUT) { ways.without(Ways::OUTPUT) | way } else { ways }
    }
}

/// Adds everything that a tree names to what is wanted.
pub(super) fn want(access: &Access, wanted: &mut Wanted) {
    fn note(wanted: &mut Wanted, source: &TreeSource) {
        wanted.relations.insert(source.relation);
        if let Rights::AsUser(role) = source.rights {
            wanted.roles.insert(role);
        }
    }
    for relation in &access.relations {
        wanted.relations.insert(relation.oid);
        wanted.relations.extend(&relation.origin.views);
        if let Rights::AsUser(role) = relation.rights {
            wanted.roles.insert(role);
        }
    }
    let sources = access.output.iter().flat_map(|output| &output.sources);
    for source in sources.chain(access.view_columns.values().flatten()) {
        note(wanted, source);
    }
    wanted.relations.extend(&access.sequences);
    wanted.functions.extend(access.functions.keys());
    wanted.operators.extend(access.operators.keys());
    wanted.types.extend(access.output.iter().map(|output| output.type_oid));
    for types in [&access.casts_via_io, &access.domains, &access.compared_types] {
        wanted.types.extend(types.keys());
    }
    for origin in access.functions.values().chain(access.operators.values()) {
        wanted.relations.extend(&origin.views);
    }
}

/// Gives names to what is told.
pub(super) struct Teller<'a> {
    pub(super) lookup: &'a Lookup<'a>,
    pub(super) lore: &'a Lore,
}

impl Teller<'_> {
    /// Tells what a query or expression touches, but not where its result goes.
    pub(super) fn access(&self, access: &Access, asked: Use, told: &mut Told) {
        let is_query = matches!(asked, Use::Query(_));
        for touched in &access.relations {
            let relation = self.touched(touched, access, asked);
            told::add_relation(&mut told.relations, relation);
        }
        for (oid, origin) in &access.functions {
            let function = self.function(*oid, origin);
            told::add_function(&mut told.functions, function);
        }
        for (oid, origin) in access.operators.iter().filter(|(oid, _)| !oid.is_builtin()) {
            told.operators.push(self.operator(*oid, origin));
        }
        for (uses, word) in [
            (&access.casts_via_io, "input_output"),
            (&access.domains, "constraints"),
            (&access.compared_types, "comparison"),
        ] {
            for (oid, origin) in uses.iter().filter(|(oid, _)| !oid.is_builtin()) {
                told::add_type(&mut told.types, self.type_told(*oid, word, origin));
            }
        }
        for oid in &access.sequences {
            let (schema, name) = self.relation_name(*oid);
            let sequence = told::Sequence { schema, name, oid: oid.0 };
            if !told.sequences.contains(&sequence) {
                told.sequences.push(sequence);
            }
        }
        for tag in access.commands.iter().filter_map(|command| command.tag()) {
            if is_query && !told.commands.contains(&tag) {
                told.commands.push(tag);
            }
        }
        let flags = &mut told.flags;
        flags.has_where &= access.has_where;
        flags.row_locks |= access.row_locks;
        flags.modifies_in_cte |= access.modifies_in_cte;
        flags.has_limit |= access.has_limit;
        flags.further_results |= !access.side_outputs.is_empty();
        flags.parameters = flags.parameters.max(access.parameters);
    }

    pub(super) fn output(&self, access: &Access) -> Vec<told::Output> {
        let output = |output: &querytree::Output| told::Output {
            name: output.name.clone(),
            type_name: self.lore.type_of(output.type_oid).map(|known| known.name.clone()),
            sources: output.sources.iter().map(|source| self.source(source)).collect(),
            mask: None,
        };
        access.output.iter().map(output).collect()
    }

    pub(super) fn relation(&self, oid: Oid) -> Option<&Relation> {
        let known = self.lookup.relation(oid).or_else(|| self.lore.others.relation(oid));
        known.map(|relation| &**relation)
    }

    /// Returns a relation's facts with nothing said of what is done with it.
    pub(super) fn bare(&self, oid: Oid) -> told::Relation {
        let known = self.relation(oid);
        let (schema, name) = self.relation_name(oid);
        told::Relation {
            kind: known.and_then(|known| RelationKind::from_relkind(known.kind)).map(RelationKind::as_str),
            exists: known.is_some(),
            temporary: known.is_some_and(|known| known.temporary),
            oid: Some(oid.0),
            ..told::Relation::named(Some(schema), name, self.lore.role.clone())
        }
    }

    fn touched(&self, touched: &Touched, access: &Access, asked: Use) -> told::Relation {
        let (checked_as, role) = self.rights(touched.rights);
        let mut columns: BTreeMap<i16, Used> = BTreeMap::new();
        let known = self.relation(touched.oid);
        let all: Vec<i16> =
            known.map(|known| known.columns.iter().map(|c| c.number).collect()).unwrap_or_default();
        for (number, ways) in &touched.columns {
            let each: &[i16] = if *number == 0 { &all } else { std::slice::from_ref(number) };
            for column in each {
                let used = columns.entry(*column).or_default();
                used.ways |= asked.of_result(*ways);
                used.whole |= *number == 0;
            }
        }
        for number in &touched.selected {
            let each: &[i16] = if *number == 0 { &all } else { std::slice::from_ref(number) };
            for column in each {
                let used = columns.entry(*column).or_default();
                used.selected = true;
                used.whole |= *number == 0;
            }
        }
        let whole_row = touched.columns.contains_key(&0) || touched.selected.contains(&0);
        let columns = columns.into_iter().map(|(number, used)| {
            let name = known.and_then(|known| known.column_name(number));
            let sources = access.view_columns.get(&(touched.oid, number)).into_iter().flatten();
            told::Column {
                name: name.map_or_else(|| number.to_string(), str::to_owned),
                number,
                ways: used.ways.names().collect(),
                privileges: used.privileges(touched),
                whole_row: used.whole,
                sources: sources.map(|source| self.source(source)).collect(),
            }
        });
        let privileges = [
            (touched.select, "SELECT"),
            (touched.insert, "INSERT"),
            (touched.update, "UPDATE"),
            (touched.delete, "DELETE"),
        ];
        // The table that an expression is about is in FROM only so that its columns have names.
        let is_query = matches!(asked, Use::Query(_));
        let unnamed = [
            (touched.unnamed.select && is_query, "SELECT"),
            (touched.unnamed.insert, "INSERT"),
            (touched.unnamed.update, "UPDATE"),
        ];
        let children = if touched.inherited { self.lore.descendants(touched.oid) } else { Vec::new() };
        let (named_in, views) = self.origin(&touched.origin);
        let mut relation = told::Relation {
            checked_as,
            role,
            checked: asked.is_checked(),
            named_in,
            views,
            privileges: words(&privileges),
            any_column: words(&unnamed),
            whole_row,
            inherited: touched.inherited,
            children: children.into_iter().map(|oid| self.relation_text(oid)).collect(),
            row_locks: touched.locked,
            row_security: touched.security_quals,
            columns: columns.collect(),
            ..self.bare(touched.oid)
        };
        if !is_query && !relation.columns.iter().any(|column| column.privileges.contains(&"SELECT")) {
            relation.privileges.retain(|privilege| *privilege != "SELECT");
        }
        relation
    }

    fn rights(&self, rights: Rights) -> (CheckedAs, String) {
        match rights {
            Rights::Invoker => (CheckedAs::Invoker, self.lore.role.clone()),
            Rights::AsUser(role) => (CheckedAs::Role, self.lore.role_name(role)),
        }
    }

    fn source(&self, source: &TreeSource) -> told::Source {
        let name = match source.column {
            0 => "*".to_owned(),
            number => {
                let known = self.relation(source.relation).and_then(|known| known.column_name(number));
                known.map_or_else(|| number.to_string(), str::to_owned)
            }
        };
        told::Source {
            relation: self.relation_text(source.relation),
            column: name,
            role: self.rights(source.rights).1,
            bare: source.bare,
        }
    }

    fn origin(&self, origin: &Origin) -> (Vec<Place>, Vec<String>) {
        let places = [
            (origin.statement, Place::Statement),
            (!origin.views.is_empty(), Place::View),
            (origin.security, Place::Security),
        ];
        let places = places.into_iter().filter(|(is, _)| *is).map(|(_, place)| place).collect();
        (places, origin.views.iter().map(|view| self.relation_text(*view)).collect())
    }

    /// Schema and name; what has gone since is called by its OID.
    fn relation_name(&self, oid: Oid) -> (String, String) {
        match self.relation(oid) {
            Some(known) => (known.name.schema.clone(), known.name.name.clone()),
            None => (String::new(), oid.to_string()),
        }
    }

    fn relation_text(&self, oid: Oid) -> String {
        match self.relation(oid) {
            Some(known) => known.name.to_string(),
            None => oid.to_string(),
        }
    }

    pub(super) fn function(&self, oid: Oid, origin: &Origin) -> told::Function {
        let (named_in, views) = self.origin(origin);
        let known = self.lookup.function(oid).or_else(|| self.lore.others.function(oid));
        let mut function = match known {
            Some(known) => self.known_function(oid, known),
            None => told::Function {
                schema: String::new(),
                name: oid.to_string(),
                arguments: None,
                oid: oid.0,
                class: FunctionClass::Unknown.as_str(),
                reason: None,
                builtin: oid.is_builtin(),
                security_definer: false,
                dynamic: "unknown",
                language: None,
                volatility: Volatility::Volatile.as_str(),
                named_in: Vec::new(),
                views: Vec::new(),
            },
        };
        function.named_in = named_in;
        function.views = views;
        function
    }

    fn known_function(&self, oid: Oid, known: &Function) -> told::Function {
        let facts = analysis::function_facts(oid, known);
        let lore = self.lore.function(oid);
        let class = facts.class();
        let executes = lore.and_then(|lore| lore.executes);
        let dynamic = match (class, facts.builtin(), executes) {
            (FunctionClass::RunsText, ..) | (_, _, Some(true)) => "yes",
            // Read, and found to be of another class.
            (FunctionClass::Unknown, _, None) => "unknown",
            (_, true, _) | (_, false, Some(false)) => "no",
            (_, false, None) => "unknown",
        };
        told::Function {
            schema: known.name.schema.clone(),
            name: known.name.name.clone(),
            arguments: lore.map(|lore| lore.arguments.clone()),
            oid: oid.0,
            class: class.as_str(),
            reason: (class != FunctionClass::Harmless).then(|| facts.reason()),
            builtin: facts.builtin(),
            security_definer: facts.security() == FunctionSecurity::Definer,
            dynamic,
            language: lore.map(|lore| lore.language.clone()),
            volatility: facts.volatility().as_str(),
            named_in: Vec::new(),
            views: Vec::new(),
        }
    }

    fn operator(&self, oid: Oid, origin: &Origin) -> told::Operator {
        let (named_in, views) = self.origin(origin);
        let known = self.lore.operator(oid);
        told::Operator {
            schema: known.map(|known| known.schema.clone()).unwrap_or_default(),
            name: known.map_or_else(|| oid.to_string(), |known| known.name.clone()),
            operands: known.map(|known| known.operands.clone()).unwrap_or_default(),
            oid: oid.0,
            function: known.map(|known| known.function.clone()).unwrap_or_default(),
            named_in,
            views,
        }
    }

    fn type_told(&self, oid: Oid, word: &'static str, origin: &Origin) -> told::Type {
        let (named_in, views) = self.origin(origin);
        let known = self.lore.type_of(oid);
        told::Type {
            name: known.map_or_else(|| oid.to_string(), |known| known.name.clone()),
            oid: oid.0,
            kind: known.map_or("unknown", |known| type_kind(known.kind)),
            uses: vec![word],
            named_in,
            views,
        }
    }

    pub(super) fn type_name(&self, oid: Oid) -> Option<String> {
        self.lore.type_of(oid).map(|known| known.name.clone())
    }
}

/// `pg_type.typtype` in words.
fn type_kind(typtype: u8) -> &'static str {
    match typtype {
        b'b' => "base",
        b'c' => "composite",
        b'd' => "domain",
        b'e' => "enum",
        b'm' => "multirange",
        b'p' => "pseudo",
        b'r' => "range",
        _ => "unknown",
    }
}

#[derive(Clone, Copy, Default)]
struct Used {
    ways: Ways,
    selected: bool,
    whole: bool,
}

impl Used {
    fn privileges(self, touched: &Touched) -> Vec<&'static str> {
        words(&[
            (self.selected, "SELECT"),
            (touched.insert && self.ways.contains(Ways::INSERT), "INSERT"),
            (touched.update && self.ways.contains(Ways::UPDATE), "UPDATE"),
        ])
    }
}

fn words(all: &[(bool, &'static str)]) -> Vec<&'static str> {
    all.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect()
}

/// The types of what a statement returns, for those who need their names.
pub(super) fn types_of(columns: &[analysis::OutputColumn]) -> BTreeSet<Oid> {
    columns.iter().map(|column| column.type_oid).collect()
}
