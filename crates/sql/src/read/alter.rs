//! ALTER TABLE and its kin, domains, sequences. Knows no data.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDomainStmt, AlterSeqStmt, AlterTableCmd, AlterTableStmt, AlterTableType, CreateDomainStmt,
    CreateSeqStmt, Node, ObjectType, PartitionCmd, RangeVar, TypeName,
};

use super::Reader;
use super::object::kind;
use super::query::future_relation;
use super::table::{Parts, node};
use crate::{Columns, Command, ObjectKind, Touch};

impl<'s> Reader<'_> {
    pub(super) fn alter_table(&mut self, stmt: &'s AlterTableStmt) -> Command {
        let AlterTableStmt { relation, cmds, objtype, missing_ok } = stmt;
        let Some(relation) = relation else {
            self.unsupported("ALTER TABLE without a name");
            return Command::AlterTable;
        };
        if ObjectType::try_from(*objtype) == Ok(ObjectType::ObjectType) {
            self.read(relation);
            let schema = Some(&relation.schemaname).filter(|schema| !schema.is_empty());
            let parts: Vec<Node> =
                schema.into_iter().chain([&relation.relname]).map(|part| string_node(part)).collect();
            self.type_of(&parts, Touch::Alter, *missing_ok);
        } else {
            self.relation(Some(relation), Columns::All, Touch::Alter, *missing_ok);
        }
        let mut parts = Parts::default();
        for cmd in cmds {
            match &cmd.node {
                Some(NodeEnum::AlterTableCmd(cmd)) => self.alter_table_cmd(cmd, &mut parts),
                _ => self.unsupported("a part of ALTER TABLE"),
            }
        }
        self.gathered(parts, |columns| match columns.is_empty() {
            true => NodeEnum::RangeVar(relation.clone()),
            false => future_relation(relation, &[relation], columns),
        });
        kind(*objtype).map_or(Command::AlterTable, |kind| kind.alter)
    }

    fn alter_table_cmd(&mut self, cmd: &'s AlterTableCmd, parts: &mut Parts<'s>) {
        use AlterTableType as T;
        let AlterTableCmd { subtype, name, num: _, newowner, def, behavior: _, missing_ok: _, recurse: _ } =
            cmd;
        self.role(newowner.as_ref(), Touch::Own);
        match (AlterTableType::try_from(*subtype), node(def)) {
            (Ok(T::AtAddColumn), Some(NodeEnum::ColumnDef(column))) => self.column(column, parts),
            // The new type's USING sees the columns as they are.
            (Ok(T::AtAlterColumnType), Some(NodeEnum::ColumnDef(column))) => {
                let mut changed = Parts::default();
                self.column(column, &mut changed);
                parts.bound.extend(changed.free);
                parts.bound.extend(changed.bound);
            }
            (Ok(T::AtColumnDefault), value) => parts.free.extend(value),
            (Ok(T::AtSetExpression), Some(value)) => parts.bound.push(value),
            (Ok(T::AtAddConstraint | T::AtAddIndexConstraint), Some(NodeEnum::Constraint(constraint))) => {
                self.constraint(constraint, parts);
            }
            (Ok(T::AtAddIdentity), Some(NodeEnum::Constraint(constraint))) => {
                self.constraint(constraint, parts)
            }
            (Ok(T::AtSetIdentity), Some(NodeEnum::List(list))) => self.sequence_options(&list.items),
            (Ok(T::AtSetTableSpace), None) => self.plain(ObjectKind::Tablespace, name, Touch::Use, false),
            (Ok(T::AtSetAccessMethod), None) => self.plain_if(ObjectKind::AccessMethod, name, Touch::Use),
            (Ok(T::AtAddInherit | T::AtDropInherit), Some(NodeEnum::RangeVar(parent))) => {
                self.relation(Some(parent), Columns::All, Touch::Attach, false);
            }
            (Ok(T::AtAddOf), Some(NodeEnum::TypeName(name))) => {
                self.type_name(Some(name), Touch::Like, false)
            }
            (
                Ok(T::AtAttachPartition | T::AtDetachPartition | T::AtDetachPartitionFinalize),
                Some(NodeEnum::PartitionCmd(partition)),
            ) => {
                let PartitionCmd { name, bound, concurrent: _ } = partition;
                self.relation(name.as_ref(), Columns::All, Touch::Attach, false);
                self.partition_bound(bound.as_ref());
            }
            (Ok(subtype), def) if names_nothing(subtype) => {
                if let Some(def) = def {
                    self.read_plain(def);
                }
            }
            _ => self.unsupported("a part of ALTER TABLE"),
        }
    }

    /// Settings of a relation or column: they hold words and numbers only, which the count proves.
    fn read_plain(&mut self, def: &NodeEnum) {
        match def {
            NodeEnum::List(_)
            | NodeEnum::Integer(_)
            | NodeEnum::String(_)
            | NodeEnum::ReplicaIdentityStmt(_)
            | NodeEnum::AtalterConstraint(_) => self.read(def),
            _ => self.unsupported("a part of ALTER TABLE"),
        }
    }

    pub(super) fn create_sequence(&mut self, stmt: &CreateSeqStmt) -> Command {
        let CreateSeqStmt { sequence, options, owner_id: _, for_identity: _, if_not_exists: _ } = stmt;
        self.new_relation(ObjectKind::Sequence, sequence.as_ref(), false);
        self.sequence_options(options);
        Command::CreateSequence
    }

    pub(super) fn alter_sequence(&mut self, stmt: &AlterSeqStmt) -> Command {
        let AlterSeqStmt { sequence, options, for_identity: _, missing_ok } = stmt;
        self.relation(sequence.as_ref(), Columns::All, Touch::Alter, *missing_ok);
        self.sequence_options(options);
        Command::AlterSequence
    }

    pub(super) fn create_domain(&mut self, stmt: &'s CreateDomainStmt) -> Command {
        let CreateDomainStmt { domainname, type_name, coll_clause, constraints } = stmt;
        self.new_object(ObjectKind::Domain, domainname, false);
        self.type_name(type_name.as_ref(), Touch::Use, false);
        if let Some(collation) = coll_clause {
            self.read(collation.as_ref());
        }
        let mut parts = Parts::default();
        for constraint in constraints {
            match &constraint.node {
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint, &mut parts),
                Some(NodeEnum::CollateClause(collation)) => self.read(collation.as_ref()),
                _ => self.unsupported("a constraint"),
            }
        }
        match type_name {
            Some(type_name) => self.gathered(parts, |_| value_of(type_name)),
            None => self.unsupported("a domain without a type"),
        }
        Command::CreateDomain
    }

    pub(super) fn alter_domain(&mut self, stmt: &'s AlterDomainStmt) -> Command {
        let AlterDomainStmt { subtype: _, type_name, name: _, def, behavior: _, missing_ok } = stmt;
        self.type_of(type_name, Touch::Alter, *missing_ok);
        let mut parts = Parts::default();
        match node(def) {
            Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint, &mut parts),
            Some(default) => parts.free.push(default),
            None => {}
        }
        let domain = TypeName { names: type_name.clone(), typemod: -1, location: -1, ..TypeName::default() };
        self.gathered(parts, |_| value_of(&domain));
        Command::AlterDomain
    }
}

/// What a domain's constraints see: VALUE.
fn value_of(type_name: &TypeName) -> NodeEnum {
    let relation = RangeVar { relname: "domain".to_owned(), ..RangeVar::default() };
    future_relation(&relation, &[], vec![("value".to_owned(), type_name.clone())])
}

pub(super) fn string_node(text: &str) -> Node {
    Node { node: Some(NodeEnum::String(pg_query::protobuf::String { sval: text.to_owned() })) }
}

/// Changes that name nothing but the relation and parts of it.
fn names_nothing(subtype: AlterTableType) -> bool {
    use AlterTableType as T;
    match subtype {
        T::AtDropNotNull
        | T::AtSetNotNull
        | T::AtDropExpression
        | T::AtSetStatistics
        | T::AtSetOptions
        | T::AtResetOptions
        | T::AtSetStorage
        | T::AtSetCompression
        | T::AtDropColumn
        | T::AtAlterConstraint
        | T::AtValidateConstraint
        | T::AtDropConstraint
        | T::AtAlterColumnGenericOptions
        | T::AtChangeOwner
        | T::AtClusterOn
        | T::AtDropCluster
        | T::AtSetLogged
        | T::AtSetUnLogged
        | T::AtDropOids
        | T::AtSetRelOptions
        | T::AtResetRelOptions
        | T::AtEnableTrig
        | T::AtEnableAlwaysTrig
        | T::AtEnableReplicaTrig
        | T::AtDisableTrig
        | T::AtEnableTrigAll
        | T::AtDisableTrigAll
        | T::AtEnableTrigUser
        | T::AtDisableTrigUser
        | T::AtEnableRule
        | T::AtEnableAlwaysRule
        | T::AtEnableReplicaRule
        | T::AtDisableRule
        | T::AtDropOf
        | T::AtReplicaIdentity
        | T::AtEnableRowSecurity
        | T::AtDisableRowSecurity
        | T::AtForceRowSecurity
        | T::AtNoForceRowSecurity
        | T::AtGenericOptions
        | T::AtDropIdentity => true,
        T::Undefined
        | T::AtAddColumn
        | T::AtAddColumnToView
        | T::AtColumnDefault
        | T::AtCookedColumnDefault
        | T::AtSetExpression
        | T::AtAddIndex
        | T::AtReAddIndex
        | T::AtAddConstraint
        | T::AtReAddConstraint
        | T::AtReAddDomainConstraint
        | T::AtAddIndexConstraint
        | T::AtReAddComment
        | T::AtAlterColumnType
        | T::AtSetAccessMethod
        | T::AtSetTableSpace
        | T::AtReplaceRelOptions
        | T::AtAddInherit
        | T::AtDropInherit
        | T::AtAddOf
        | T::AtAttachPartition
        | T::AtDetachPartition
        | T::AtDetachPartitionFinalize
        | T::AtAddIdentity
        | T::AtSetIdentity
        | T::AtReAddStatistics => false,
    }
}
