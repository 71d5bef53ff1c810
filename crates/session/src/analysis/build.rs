//! From the server's answers to touches: query trees here, named objects in `utility`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use model::{Oid, QualifiedName};
use policy::{Action, Resource, Touch};
use querytree::{Access, Command as TreeCommand, Output, Relation as Touched, Rights, ServerVersion, Ways};
use sql::{Ask, Effect, ExpressionRole, QueryRole, Statement};

use super::answers::Answers;
use super::facts::{self, Kind, Lookup, Missing};
use super::{Analysis, Quotable, Results, total, utility};
use crate::catalog::Relation;
use crate::refuse::Refusal;

/// What building came to.
pub(crate) enum Built {
    Done(Box<Analysis>),
    /// The server must be asked what these OIDs are.
    Missing(Missing),
    Refused(Refusal),
}

/// Why building stopped.
pub(super) enum Stop {
    Missing,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Makes an analysis of a statement's answers. `base` is that of the statement or cursor that it runs, if it does.
pub(crate) fn build(
    statement: &Statement,
    answers: &Answers,
    lookup: &Lookup<'_>,
    version: ServerVersion,
    base: Option<&Analysis>,
    now: Instant,
) -> Built {
    let analysis = match base {
        Some(base) => Analysis { session_bound: true, ..base.clone() },
        None => Analysis::bare(Some(statement.command), now),
    };
    let mut builder = Builder::new(lookup, version, &answers.routines_asked, analysis);
    builder.analysis.command = Some(statement.command);
    builder.analysis.effect = statement.effect.clone();
    builder.analysis.secrets.clone_from(&statement.secrets);
    // Values that are refused are not remembered as values that aren't.
    builder.analysis.depends_on_literals |=
        matches!(&statement.effect, Effect::Set { name, .. } if name == crate::mode::PARAMETER);
    match builder.statement(statement, answers) {
        Ok(()) if builder.missing.is_empty() => Built::Done(Box::new(builder.finish(statement))),
        Ok(()) | Err(Stop::Missing) => Built::Missing(builder.missing),
        Err(Stop::Refused(refusal)) => Built::Refused(refusal),
    }
}

pub(super) struct Builder<'a> {
    pub(super) lookup: &'a Lookup<'a>,
    pub(super) missing: Missing,
    pub(super) version: ServerVersion,
    pub(super) routines_asked: &'a BTreeSet<String>,
    /// Something is evaluated only if something else is true.
    conditional: bool,
    /// The query calls nothing but built-in functions and reads nothing but `pg_settings`.
    pub(super) settings_only: bool,
    /// Where a column's `select` stands among the touches.
    pub(super) index: BTreeMap<(Oid, i16), usize>,
    /// Columns whose value is another than that of the columns whose tags they carry.
    pub(super) computed: BTreeSet<(Oid, i16)>,
    /// What the columns of stored queries are made of, once read.
    pub(super) outputs: BTreeMap<Oid, Arc<[Output]>>,
    pub(super) analysis: Analysis,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        lookup: &'a Lookup<'a>,
        version: ServerVersion,
        routines_asked: &'a BTreeSet<String>,
        analysis: Analysis,
    ) -> Self {
        Self {
            lookup,
            missing: Missing::default(),
            conditional: false,
            settings_only: false,
            version,
            routines_asked,
            index: BTreeMap::new(),
            computed: BTreeSet::new(),
            outputs: BTreeMap::new(),
            analysis,
        }
    }
}

impl Builder<'_> {
    fn statement(&mut self, statement: &Statement, answers: &Answers) -> Result<(), Stop> {
        let names = utility::Names::read(&answers.names)?;
        let mut relation = 0;
        for (i, ask) in statement.asks.iter().enumerate() {
            match ask {
                Ask::Query { role, .. } => {
                    let access = self.tree(i, answers)?;
                    self.query(&access, *role)?;
                }
                Ask::Expression { role, .. } => {
                    let access = self.tree(i, answers)?;
                    self.expression(&access, *role)?;
                }
                Ask::Relation { .. } => {
                    self.named(ask, &names, relation)?;
                    relation += 1;
                }
                other => self.named(other, &names, relation)?,
            }
        }
        self.reached(&answers.reached)?;
        self.command(statement)
    }

    fn tree(&mut self, ask: usize, answers: &Answers) -> Result<Access, Stop> {
        let tree = answers.tree(ask)?;
        let nodes = total::nodes(tree);
        self.analysis.computes_in_the_open |= !nodes.plain;
        self.conditional |= nodes.conditional;
        querytree::read(tree, self.version)
            .map_err(|unknown| Refusal::NotUnderstood(unknown.to_string()).into())
    }

    fn query(&mut self, access: &Access, role: QueryRole) -> Result<(), Stop> {
        if role == QueryRole::Unread {
            if matches!(access.command, TreeCommand::Utility | TreeCommand::Nothing) {
                let why = "the server accepts it, but Gatepost's grammar does not".to_owned();
                return Err(Refusal::NotUnderstood(why).into());
            }
            self.analysis.command = Some(access_command(access));
        }
        // SECURITY: what is kept elsewhere is read there without a mask, so it must be readable in the clear.
        let returned = match role {
            QueryRole::Statement
            | QueryRole::Unread
            | QueryRole::Explained { .. }
            | QueryRole::CopyOut
            | QueryRole::Declare
            | QueryRole::Prepare => Action::Select,
            QueryRole::CreateTableAs | QueryRole::View | QueryRole::MaterializedView => Action::Copy,
        };
        self.access(access, returned)?;
        let results = self.results(access)?;
        if let Results::Columns(columns) = &results {
            let computed =
                columns.iter().filter(|column| !matches!(column.sources.as_slice(), [] | [(_, true)]));
            let told = computed.flat_map(|column| column.sources.iter().map(|(at, _)| *at));
            self.analysis.computed.extend(told.collect::<BTreeSet<_>>());
        }
        let writes = !matches!(access.command, TreeCommand::Select | TreeCommand::Nothing)
            || access.modifies_in_cte
            || access.row_locks;
        let analysis = &mut self.analysis;
        analysis.parameter_types =
            access.parameter_types.iter().map(|(number, oid)| (*number, *oid)).collect();
        match role {
            QueryRole::Statement | QueryRole::Unread | QueryRole::CopyOut => {
                analysis.results = results;
                analysis.reads_only &= !writes;
            }
            QueryRole::Explained { analyze } => {
                analysis.reads_only &= !(writes && analyze);
                analysis.plans = true;
                if analyze {
                    let measured = Analysis { results, ..analysis.clone() }.as_measured();
                    *analysis = Analysis { results: Results::None, ..measured };
                }
            }
            QueryRole::Declare | QueryRole::Prepare => {
                let inner = Analysis { results, effect: Effect::None, inner: None, ..analysis.clone() };
                let reads_only = inner.reads_only && !writes;
                let command = if writes { access_command(access) } else { sql::Command::Select };
                analysis.inner =
                    Some(std::sync::Arc::new(Analysis { reads_only, command: Some(command), ..inner }));
            }
            QueryRole::CreateTableAs | QueryRole::View | QueryRole::MaterializedView => {
                analysis.reads_only = false
            }
        }
        Ok(())
    }

    fn expression(&mut self, access: &Access, role: ExpressionRole) -> Result<(), Stop> {
        match role {
            ExpressionRole::CopyWhere => self.access(access, Action::Filter),
            ExpressionRole::Argument
            | ExpressionRole::Constraint
            | ExpressionRole::Index
            | ExpressionRole::PartitionBound
            | ExpressionRole::Policy
            | ExpressionRole::Trigger
            | ExpressionRole::Publication
            | ExpressionRole::FunctionDefault => self.access(access, Action::Copy),
        }
    }

    /// Adds everything that a query touches with the session's own rights.
    fn access(&mut self, access: &Access, returned: Action) -> Result<(), Stop> {
        use sql::Command as C;
        let reads = matches!(
            self.analysis.command,
            Some(C::Select | C::DeclareCursor | C::CreateView | C::SelectInto)
        );
        if access.command == TreeCommand::Utility && reads {
            // SECURITY: a rule of a view holds no utility statement; then the server reads the text otherwise than we do.
            return Err(Refusal::NotUnderstood("a query that is a utility statement".to_owned()).into());
        }
        if access.notifies {
            self.touch(Action::Notify, (Resource::Database, Vec::new()));
            self.analysis.reads_only = false;
        }
        if !access.current_of.is_empty() {
            // The cursor's query was decided when it was declared; the relation is touched in the tree.
            self.analysis.session_bound = true;
        }
        self.quotables(access)?;
        for touched in &access.relations {
            if touched.rights != Rights::Invoker {
                continue;
            }
            let Some(relation) = self.relation(touched.oid) else { continue };
            self.columns(touched, &relation, access, returned)?;
        }
        self.settings_only = self.is_settings_only(access);
        for (oid, origin) in &access.functions {
            self.function(*oid, origin);
        }
        for (oid, origin) in &access.operators {
            if origin.statement && !oid.is_builtin() {
                match self.lookup.operator(*oid) {
                    Some(function) => self.function(function, origin),
                    None => {
                        self.missing.0.insert((Kind::Operator, *oid));
                    }
                }
            }
        }
        for (oid, origin) in access.domains.iter().chain(&access.casts_via_io) {
            self.domain(*oid, origin);
        }
        let untold = access.has_sublinks
            || (self.conditional && total::GROWING.iter().any(|oid| access.functions.contains_key(oid)))
            || !access.domains.is_empty()
            || !access.compared_types.is_empty()
            || access.casts_via_io.keys().any(|ty| !total::is_text(*ty));
        self.analysis.computes_in_the_open |= untold;
        let analysis = &mut self.analysis;
        analysis.has_where &= access.has_where;
        analysis.row_locks |= access.row_locks;
        analysis.depends_on_literals |= !access.reg_constants.is_empty();
        if !self.missing.is_empty() {
            return Err(Stop::Missing);
        }
        self.settings(access).map_err(Stop::from)
    }

    /// Notes an object that the statement leads to.
    pub(super) fn met(&mut self, oid: Oid) {
        // What came with the server stays what it is.
        if !oid.is_builtin() {
            self.analysis.objects.insert(oid);
        }
    }

    pub(super) fn relation(&mut self, oid: Oid) -> Option<std::sync::Arc<Relation>> {
        let known = self.lookup.relation(oid).cloned();
        if known.is_none() {
            self.missing.0.insert((Kind::Relation, oid));
        }
        self.met(oid);
        known
    }

    /// Notes what errors and notices may quote though the statement doesn't name it, with whomsoever's rights it is read.
    fn quotables(&mut self, access: &Access) -> Result<(), Stop> {
        let writes = |touched: &Touched| touched.insert || touched.update || touched.delete;
        // Of a view that is written the trigger has what the view shows.
        let all = access.relations.iter().any(|touched| touched.relkind == b'v' && writes(touched));
        for touched in &access.relations {
            let used = touched.columns.iter().filter(|(_, ways)| {
                let named = touched.rights == Rights::Invoker && !ways.intersects(Ways::SECURITY);
                !named && **ways != Ways::IDLE
            });
            let used: Vec<i16> = used.map(|(column, _)| *column).collect();
            let columns = if all || writes(touched) || used.contains(&0) { None } else { Some(used) };
            if columns.as_ref().is_none_or(|columns| !columns.is_empty())
                && let Some(relation) = self.relation(touched.oid)
            {
                self.quotable(&relation, columns)?;
            }
        }
        Ok(())
    }

    pub(super) fn quotable(
        &mut self,
        relation: &std::sync::Arc<Relation>,
        columns: Option<Vec<i16>>,
    ) -> Result<(), Stop> {
        let mut others = Vec::new();
        for column in &relation.columns {
            if columns.as_ref().is_none_or(|columns| columns.contains(&column.number)) {
                let lineage = self.lineage(relation.oid, column.number, &[])?;
                others.extend(lineage.names.into_iter().map(|name| (column.number, name)));
            }
        }
        self.analysis.quotable.push(Quotable { relation: relation.clone(), others, columns });
        Ok(())
    }

    fn columns(
        &mut self,
        touched: &Touched,
        relation: &Relation,
        access: &Access,
        returned: Action,
    ) -> Result<(), Stop> {
        let mut columns: BTreeMap<i16, Ways> = touched.columns.clone();
        if let Some(whole) = columns.remove(&0) {
            for column in &relation.columns {
                *columns.entry(column.number).or_default() |= whole;
            }
        }
        let (mut read, mut inserted, mut updated) = (false, false, false);
        for (number, ways) in columns {
            let resource = self.column(touched.oid, number, relation, access)?;
            let add = |builder: &mut Self, action| builder.touch(action, resource.clone());
            // Read for nothing; it may be written besides.
            let idle = ways.contains(Ways::IDLE) && !ways.intersects(Ways::UNTOLD);
            if ways.contains(Ways::OUTPUT) || (idle && returned == Action::Select) {
                let at = add(self, returned);
                self.index.insert((touched.oid, number), at);
            } else if !ways.intersects(Ways::SECURITY) {
                let seen = Touch { action: Action::Select, resource: resource.0.clone() };
                if !self.analysis.seen.iter().any(|(known, _)| *known == seen) {
                    self.analysis.seen.push((seen, resource.1.clone()));
                }
            }
            if idle && returned != Action::Select {
                add(self, Action::Filter);
            }
            for (way, action) in [
                (Ways::FILTER, Action::Filter),
                (Ways::COPY, Action::Copy),
                (Ways::INSERT, Action::Insert),
                (Ways::UPDATE, Action::Update),
            ] {
                if ways.contains(way) {
                    add(self, action);
                }
            }
            read |= ways.intersects(Ways::OUTPUT | Ways::FILTER | Ways::COPY | Ways::IDLE);
            inserted |= ways.contains(Ways::INSERT);
            updated |= ways.contains(Ways::UPDATE);
        }
        let whole = self.relation_resource(relation)?;
        for (wanted, action) in [
            (touched.select && !read, returned),
            (touched.insert && !inserted, Action::Insert),
            (touched.update && !updated && !touched.locked, Action::Update),
            (touched.locked, Action::Lock),
            (touched.delete, Action::Delete),
        ] {
            if wanted {
                self.touch(action, (whole.clone(), Vec::new()));
            }
        }
        Ok(())
    }

    /// A column, and the columns whose tags it inherits because it is a view's.
    fn column(
        &mut self,
        oid: Oid,
        number: i16,
        relation: &Relation,
        access: &Access,
    ) -> Result<Inheriting, Stop> {
        let Some(name) = relation.column_name(number) else {
            // Younger than the snapshot.
            self.missing.0.insert((Kind::Relation, oid));
            return Err(Stop::Missing);
        };
        let sources = access.view_columns.get(&(oid, number)).map(Vec::as_slice).unwrap_or_default();
        let resource = self.column_resource(relation, name)?;
        let lineage = self.lineage(oid, number, sources)?;
        if lineage.computed {
            self.computed.insert((oid, number));
        }
        Ok((resource, lineage.names))
    }

    pub(super) fn relation_resource(&self, relation: &Relation) -> Result<Resource, Stop> {
        match facts::relation_facts(relation) {
            Some(facts) => Ok(Resource::Relation { name: relation.name.clone(), facts }),
            None => Ok(Resource::Schema { name: relation.name.schema.clone() }),
        }
    }

    pub(super) fn column_resource(&self, relation: &Relation, column: &str) -> Result<Resource, Stop> {
        let facts = facts::relation_facts(relation).ok_or_else(|| {
            Refusal::NotUnderstood(format!(
                "{} is of relkind \"{}\"",
                relation.name,
                relation.kind.escape_ascii()
            ))
        })?;
        Ok(Resource::Column {
            relation: relation.name.clone(),
            column: column.to_owned(),
            tags: Vec::new(),
            facts,
        })
    }

    /// Adds a touch once; returns where it stands.
    pub(super) fn touch(&mut self, action: Action, (resource, inherits): Inheriting) -> usize {
        let answers_only = matches!(&resource, Resource::Function { facts, .. } if !facts.class().acts());
        let touch = Touch { action, resource };
        if let Some(at) = self.analysis.touches.iter().position(|known| *known == touch) {
            return at;
        }
        if !matches!(action, Action::Select | Action::Filter) && !answers_only {
            self.note_action(action);
        }
        self.analysis.touches.push(touch);
        self.analysis.inherits.push(inherits);
        self.analysis.touches.len() - 1
    }

    fn note_action(&mut self, action: Action) {
        // Copy is a reading; what makes it a write is the write.
        if action != Action::Copy && action.group() != policy::ActionGroup::Session {
            self.analysis.reads_only = false;
        }
    }

    fn finish(self, statement: &Statement) -> Analysis {
        let mut analysis = self.analysis;
        let secret = !statement.secrets.is_empty();
        // Literals of utility statements are their arguments.
        analysis.depends_on_literals |= statement.command.class() != sql::Class::Query;
        analysis.session_bound |= secret || crate::effects::is_session_bound(&analysis.effect);
        analysis
    }
}

/// A resource, and the columns whose tags it inherits.
pub(super) type Inheriting = (Resource, Vec<(QualifiedName, String)>);

fn access_command(access: &Access) -> sql::Command {
    match access.command {
        TreeCommand::Insert => sql::Command::Insert,
        TreeCommand::Update => sql::Command::Update,
        TreeCommand::Delete => sql::Command::Delete,
        TreeCommand::Merge => sql::Command::Merge,
        TreeCommand::Nothing | TreeCommand::Select | TreeCommand::Utility => sql::Command::Select,
    }
}
