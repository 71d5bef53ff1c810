//! TRUNCATE, VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH, CHECKPOINT. Knows no definitions.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    ClusterStmt, Node, RefreshMatViewStmt, ReindexObjectType, ReindexStmt, TruncateStmt, VacuumRelation,
    VacuumStmt,
};

use super::names::columns;
use super::{Read, Reader};
use crate::{Ask, Columns, Command, Effect, Touch};

impl Reader<'_> {
    pub(super) fn maintain(&mut self, node: &NodeEnum) -> Read {
        let command = match node {
            NodeEnum::TruncateStmt(stmt) => self.truncate(stmt),
            NodeEnum::VacuumStmt(stmt) => self.vacuum(stmt),
            NodeEnum::ClusterStmt(stmt) => self.cluster(stmt),
            NodeEnum::ReindexStmt(stmt) => self.reindex(stmt),
            NodeEnum::RefreshMatViewStmt(stmt) => self.refresh(stmt),
            NodeEnum::CheckPointStmt(_) => Command::Checkpoint,
            _ => return self.unknown(),
        };
        (command, Effect::None)
    }

    fn truncate(&mut self, stmt: &TruncateStmt) -> Command {
        let TruncateStmt { relations, restart_seqs: _, behavior: _ } = stmt;
        self.relations(relations, Touch::Truncate);
        Command::TruncateTable
    }

    /// Relations given as a list of names.
    pub(super) fn relations(&mut self, nodes: &[Node], touch: Touch) {
        for node in nodes {
            match &node.node {
                Some(NodeEnum::RangeVar(relation)) => {
                    self.relation(Some(relation), Columns::All, touch, false);
                }
                _ => self.unsupported("a relation"),
            }
        }
    }

    fn vacuum(&mut self, stmt: &VacuumStmt) -> Command {
        let VacuumStmt { options, rels, is_vacuumcmd } = stmt;
        self.read(options.as_slice());
        let (command, touch) = match is_vacuumcmd {
            true => (Command::Vacuum, Touch::Vacuum),
            false => (Command::Analyze, Touch::Analyze),
        };
        if rels.is_empty() {
            self.asks.push(Ask::Database { name: None, touch });
        }
        for node in rels {
            let Some(NodeEnum::VacuumRelation(target)) = &node.node else {
                self.unsupported("a relation");
                continue;
            };
            let VacuumRelation { relation, oid: _, va_cols } = target;
            match relation {
                Some(relation) => self.relation(Some(relation), columns(va_cols), touch, false),
                None => self.unsupported("a relation without a name"),
            }
        }
        command
    }

    fn cluster(&mut self, stmt: &ClusterStmt) -> Command {
        let ClusterStmt { relation, indexname: _, params } = stmt;
        self.read(params.as_slice());
        match relation {
            Some(relation) => self.relation(Some(relation), Columns::All, Touch::Cluster, false),
            None => self.asks.push(Ask::Database { name: None, touch: Touch::Cluster }),
        }
        Command::Cluster
    }

    fn reindex(&mut self, stmt: &ReindexStmt) -> Command {
        use ReindexObjectType as K;
        let ReindexStmt { kind, relation, name, params } = stmt;
        self.read(params.as_slice());
        let touch = Touch::Reindex;
        match (ReindexObjectType::try_from(*kind), relation) {
            (Ok(K::ReindexObjectIndex | K::ReindexObjectTable), Some(relation)) => {
                self.relation(Some(relation), Columns::All, touch, false);
            }
            (Ok(K::ReindexObjectSchema), None) => self.schema(name, touch, false),
            (Ok(K::ReindexObjectSystem | K::ReindexObjectDatabase), None) => {
                let name = (!name.is_empty()).then(|| name.clone());
                self.asks.push(Ask::Database { name, touch });
            }
            _ => self.unsupported("REINDEX of such a thing"),
        }
        Command::Reindex
    }

    fn refresh(&mut self, stmt: &RefreshMatViewStmt) -> Command {
        let RefreshMatViewStmt { concurrent: _, skip_data: _, relation } = stmt;
        match relation {
            Some(relation) => self.relation(Some(relation), Columns::All, Touch::Refresh, false),
            None => self.unsupported("REFRESH without a relation"),
        }
        Command::RefreshMaterializedView
    }
}
