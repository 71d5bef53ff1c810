//! Transaction control and locks. Knows no sessions' state.

use pg_query::NodeEnum;
use pg_query::protobuf::{ConstraintsSetStmt, LockStmt, Node, TransactionStmt, TransactionStmtKind};

use super::options::{options, text};
use super::{Read, Reader};
use crate::{Ask, Columns, Command, Effect, LockMode, ObjectKind, Touch};

impl Reader<'_> {
    pub(super) fn transaction(&mut self, stmt: &TransactionStmt) -> Read {
        use TransactionStmtKind as K;
        let TransactionStmt { kind, options, savepoint_name, gid, chain, location: _ } = stmt;
        let name = savepoint_name.clone();
        let gid = gid.clone();
        let chain = *chain;
        match TransactionStmtKind::try_from(*kind) {
            Ok(K::TransStmtBegin) => (Command::Begin, Effect::Begin { modes: self.modes(options) }),
            Ok(K::TransStmtStart) => {
                (Command::StartTransaction, Effect::Begin { modes: self.modes(options) })
            }
            Ok(K::TransStmtCommit) => (Command::Commit, Effect::Commit { chain }),
            Ok(K::TransStmtRollback) => (Command::Rollback, Effect::Rollback { chain }),
            Ok(K::TransStmtSavepoint) => (Command::Savepoint, Effect::Savepoint(name)),
            Ok(K::TransStmtRelease) => (Command::Release, Effect::Release(name)),
            Ok(K::TransStmtRollbackTo) => (Command::Rollback, Effect::RollbackTo(name)),
            Ok(K::TransStmtPrepare) => (Command::PrepareTransaction, Effect::PrepareTransaction { gid }),
            Ok(K::TransStmtCommitPrepared) => (Command::CommitPrepared, Effect::CommitPrepared { gid }),
            Ok(K::TransStmtRollbackPrepared) => (Command::RollbackPrepared, Effect::RollbackPrepared { gid }),
            Ok(K::Undefined) | Err(_) => self.unknown(),
        }
    }

    /// Transaction modes as settings.
    pub(super) fn modes(&mut self, list: &[Node]) -> Vec<(String, String)> {
        let mut modes = Vec::new();
        for option in options(list) {
            match option.and_then(|option| Some((option.defname.clone(), text(option)?))) {
                Some((name, value)) => {
                    // The grammar gives on and off as 1 and 0.
                    let value = match (name.as_str(), value.as_str()) {
                        ("transaction_isolation", _) => value,
                        (_, "1") => "on".to_owned(),
                        (_, "0") => "off".to_owned(),
                        _ => value,
                    };
                    modes.push((name, value));
                }
                None => self.unsupported("a transaction mode"),
            }
        }
        modes
    }

    pub(super) fn set_constraints(&mut self, stmt: &ConstraintsSetStmt) -> Read {
        let ConstraintsSetStmt { constraints, deferred: _ } = stmt;
        for node in constraints {
            let Some(NodeEnum::RangeVar(name)) = &node.node else {
                self.unsupported("a constraint's name");
                continue;
            };
            self.read(name);
            let schema = Some(&name.schemaname).filter(|schema| !schema.is_empty());
            let parts = schema.into_iter().chain([&name.relname]).cloned().collect();
            self.asks.push(Ask::Object {
                kind: ObjectKind::Constraint,
                name: parts,
                touch: Touch::Defer,
                missing_ok: false,
            });
        }
        (Command::SetConstraints, Effect::SetConstraints)
    }

    pub(super) fn lock(&mut self, stmt: &LockStmt) -> Read {
        let LockStmt { relations, mode, nowait: _ } = stmt;
        // src/include/storage/lockdefs.h
        let mode = match mode {
            1 => LockMode::AccessShare,
            2 => LockMode::RowShare,
            3 => LockMode::RowExclusive,
            4 => LockMode::ShareUpdateExclusive,
            5 => LockMode::Share,
            6 => LockMode::ShareRowExclusive,
            7 => LockMode::Exclusive,
            _ => LockMode::AccessExclusive,
        };
        for node in relations {
            match &node.node {
                Some(NodeEnum::RangeVar(relation)) => {
                    self.relation(Some(relation), Columns::All, Touch::Lock(mode), false);
                }
                _ => self.unsupported("a relation"),
            }
        }
        (Command::LockTable, Effect::None)
    }
}
