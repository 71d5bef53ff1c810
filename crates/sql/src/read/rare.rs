//! Definitions that few statements make: databases, extensions, foreign data, replication. Knows no types.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterExtensionContentsStmt, CreatedbStmt, ImportForeignSchemaStmt, Node, PublicationObjSpec,
    PublicationObjSpecType, PublicationTable,
};

use super::Reader;
use super::names::columns;
use super::object::kind;
use super::options::{options, text};
use super::table::node;
use crate::{Ask, Command, ExpressionRole, ObjectKind as K, Touch};

impl<'s> Reader<'_> {
    pub(super) fn rare(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreatedbStmt(_)
            | N::AlterDatabaseStmt(_)
            | N::AlterDatabaseRefreshCollStmt(_)
            | N::AlterDatabaseSetStmt(_)
            | N::DropdbStmt(_)
            | N::AlterSystemStmt(_)
            | N::CreateTableSpaceStmt(_)
            | N::DropTableSpaceStmt(_)
            | N::AlterTableSpaceOptionsStmt(_)
            | N::AlterTableMoveAllStmt(_) => self.cluster_wide(stmt),
            N::CreateExtensionStmt(_)
            | N::AlterExtensionStmt(_)
            | N::AlterExtensionContentsStmt(_)
            | N::CreateAmStmt(_)
            | N::CreateEventTrigStmt(_)
            | N::AlterEventTrigStmt(_)
            | N::CreatePlangStmt(_) => self.extending(stmt),
            N::CreateFdwStmt(_)
            | N::AlterFdwStmt(_)
            | N::CreateForeignServerStmt(_)
            | N::AlterForeignServerStmt(_)
            | N::CreateUserMappingStmt(_)
            | N::AlterUserMappingStmt(_)
            | N::DropUserMappingStmt(_)
            | N::ImportForeignSchemaStmt(_) => self.foreign(stmt),
            N::CreatePublicationStmt(_)
            | N::AlterPublicationStmt(_)
            | N::CreateSubscriptionStmt(_)
            | N::AlterSubscriptionStmt(_)
            | N::DropSubscriptionStmt(_) => self.replication(stmt),
            other => self.typing(other),
        }
    }

    /// Databases, tablespaces, the server's settings.
    fn cluster_wide(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreatedbStmt(stmt) => {
                let CreatedbStmt { dbname, options: list } = stmt;
                self.new_plain(K::Database, dbname, false);
                for option in options(list).flatten() {
                    match (option.defname.as_str(), text(option)) {
                        ("template", Some(name)) => self.database(&name, Touch::Use),
                        ("owner", Some(name)) => {
                            let name = crate::RoleName::Named(name);
                            self.asks.push(Ask::Role { name, touch: Touch::Own });
                        }
                        ("tablespace", Some(name)) => self.plain(K::Tablespace, &name, Touch::Use, false),
                        _ => self.read(option),
                    }
                }
                Command::CreateDatabase
            }
            N::AlterDatabaseStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Alter);
                self.read(stmt.options.as_slice());
                Command::AlterDatabase
            }
            N::AlterDatabaseRefreshCollStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Alter);
                Command::AlterDatabase
            }
            N::AlterDatabaseSetStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Alter);
                self.kept_setting(stmt.setstmt.as_ref());
                Command::AlterDatabase
            }
            N::DropdbStmt(stmt) => {
                self.database(&stmt.dbname, Touch::Drop);
                Command::DropDatabase
            }
            N::AlterSystemStmt(stmt) => {
                self.kept_setting(stmt.setstmt.as_ref());
                Command::AlterSystem
            }
            N::CreateTableSpaceStmt(stmt) => {
                self.new_plain(K::Tablespace, &stmt.tablespacename, false);
                self.role(stmt.owner.as_ref(), Touch::Own);
                Command::CreateTablespace
            }
            N::DropTableSpaceStmt(stmt) => {
                self.plain(K::Tablespace, &stmt.tablespacename, Touch::Drop, stmt.missing_ok);
                Command::DropTablespace
            }
            N::AlterTableSpaceOptionsStmt(stmt) => {
                self.plain(K::Tablespace, &stmt.tablespacename, Touch::Alter, false);
                Command::AlterTablespace
            }
            N::AlterTableMoveAllStmt(stmt) => {
                self.plain(K::Tablespace, &stmt.orig_tablespacename, Touch::Alter, false);
                self.plain(K::Tablespace, &stmt.new_tablespacename, Touch::Use, false);
                self.roles(&stmt.roles, Touch::Use);
                kind(stmt.objtype).map_or(Command::AlterTable, |kind| kind.alter)
            }
            _ => self.strange(),
        }
    }

    /// Extensions, languages, access methods, event triggers.
    fn extending(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreateExtensionStmt(stmt) => {
                self.new_plain(K::Extension, &stmt.extname, false);
                for option in options(&stmt.options).flatten() {
                    if let ("schema", Some(name)) = (option.defname.as_str(), text(option)) {
                        self.schema(&name, Touch::Create, false);
                    }
                }
                Command::CreateExtension
            }
            N::AlterExtensionStmt(stmt) => {
                self.plain(K::Extension, &stmt.extname, Touch::Alter, false);
                Command::AlterExtension
            }
            N::AlterExtensionContentsStmt(stmt) => {
                let AlterExtensionContentsStmt { extname, action: _, objtype, object } = stmt.as_ref();
                self.plain(K::Extension, extname, Touch::Alter, false);
                match (kind(*objtype), object) {
                    (Some(kind), Some(object)) => self.object(kind.form, object, Touch::Alter, false),
                    _ => self.unsupported("an object of an extension"),
                }
                Command::AlterExtension
            }
            N::CreateAmStmt(stmt) => {
                self.new_plain(K::AccessMethod, &stmt.amname, false);
                self.function_of(&stmt.handler_name, Touch::Execute);
                Command::CreateAccessMethod
            }
            N::CreateEventTrigStmt(stmt) => {
                self.new_plain(K::EventTrigger, &stmt.trigname, false);
                self.function_of(&stmt.funcname, Touch::Execute);
                Command::CreateEventTrigger
            }
            N::AlterEventTrigStmt(stmt) => {
                self.plain(K::EventTrigger, &stmt.trigname, Touch::Alter, false);
                Command::AlterEventTrigger
            }
            N::CreatePlangStmt(stmt) => {
                self.new_plain(K::Language, &stmt.plname, stmt.replace);
                for name in [&stmt.plhandler, &stmt.plinline, &stmt.plvalidator] {
                    if !name.is_empty() {
                        self.function_of(name, Touch::Execute);
                    }
                }
                Command::CreateLanguage
            }
            _ => self.strange(),
        }
    }

    /// Foreign data.
    fn foreign(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreateFdwStmt(stmt) => {
                self.new_plain(K::ForeignDataWrapper, &stmt.fdwname, false);
                self.wrapper_functions(&stmt.func_options);
                Command::CreateForeignDataWrapper
            }
            N::AlterFdwStmt(stmt) => {
                self.plain(K::ForeignDataWrapper, &stmt.fdwname, Touch::Alter, false);
                self.wrapper_functions(&stmt.func_options);
                Command::AlterForeignDataWrapper
            }
            N::CreateForeignServerStmt(stmt) => {
                self.new_plain(K::Server, &stmt.servername, false);
                self.plain(K::ForeignDataWrapper, &stmt.fdwname, Touch::Use, false);
                Command::CreateServer
            }
            N::AlterForeignServerStmt(stmt) => {
                self.plain(K::Server, &stmt.servername, Touch::Alter, false);
                Command::AlterServer
            }
            N::CreateUserMappingStmt(stmt) => {
                self.role(stmt.user.as_ref(), Touch::Grantee);
                self.new_plain(K::UserMapping, &stmt.servername, false);
                self.plain(K::Server, &stmt.servername, Touch::Use, false);
                Command::CreateUserMapping
            }
            N::AlterUserMappingStmt(stmt) => {
                self.role(stmt.user.as_ref(), Touch::Grantee);
                self.plain(K::UserMapping, &stmt.servername, Touch::Alter, false);
                self.plain(K::Server, &stmt.servername, Touch::Use, false);
                Command::AlterUserMapping
            }
            N::DropUserMappingStmt(stmt) => {
                self.role(stmt.user.as_ref(), Touch::Grantee);
                self.plain(K::UserMapping, &stmt.servername, Touch::Drop, stmt.missing_ok);
                self.plain(K::Server, &stmt.servername, Touch::Use, stmt.missing_ok);
                Command::DropUserMapping
            }
            N::ImportForeignSchemaStmt(stmt) => {
                let ImportForeignSchemaStmt {
                    server_name,
                    remote_schema: _,
                    local_schema,
                    list_type: _,
                    table_list,
                    options: _,
                } = stmt;
                self.plain(K::Server, server_name, Touch::Use, false);
                self.schema(local_schema, Touch::Create, false);
                // Relations of the other server.
                self.read(table_list.as_slice());
                Command::ImportForeignSchema
            }
            _ => self.strange(),
        }
    }

    fn wrapper_functions(&mut self, list: &[Node]) {
        for option in options(list).flatten() {
            if option.arg.is_some() {
                self.named_function(node(&option.arg));
            }
        }
    }

    /// Publications and subscriptions.
    fn replication(&mut self, stmt: &'s NodeEnum) -> Command {
        use NodeEnum as N;
        match stmt {
            N::CreatePublicationStmt(stmt) => {
                self.new_plain(K::Publication, &stmt.pubname, false);
                self.read(stmt.options.as_slice());
                self.published(&stmt.pubobjects);
                if stmt.for_all_tables {
                    self.asks.push(Ask::Database { name: None, touch: Touch::Publish });
                }
                Command::CreatePublication
            }
            N::AlterPublicationStmt(stmt) => {
                self.plain(K::Publication, &stmt.pubname, Touch::Alter, false);
                self.read(stmt.options.as_slice());
                self.published(&stmt.pubobjects);
                if stmt.for_all_tables {
                    self.asks.push(Ask::Database { name: None, touch: Touch::Publish });
                }
                Command::AlterPublication
            }
            N::CreateSubscriptionStmt(stmt) => {
                self.new_plain(K::Subscription, &stmt.subname, false);
                self.read(stmt.options.as_slice());
                Command::CreateSubscription
            }
            N::AlterSubscriptionStmt(stmt) => {
                self.plain(K::Subscription, &stmt.subname, Touch::Alter, false);
                self.read(stmt.options.as_slice());
                Command::AlterSubscription
            }
            N::DropSubscriptionStmt(stmt) => {
                self.plain(K::Subscription, &stmt.subname, Touch::Drop, stmt.missing_ok);
                Command::DropSubscription
            }
            _ => self.strange(),
        }
    }

    fn published(&mut self, objects: &'s [Node]) {
        for object in objects {
            let Some(NodeEnum::PublicationObjSpec(object)) = &object.node else {
                self.unsupported("an object of a publication");
                continue;
            };
            let PublicationObjSpec { pubobjtype, name, pubtable, location: _ } = object.as_ref();
            match (PublicationObjSpecType::try_from(*pubobjtype), pubtable.as_deref()) {
                (Ok(PublicationObjSpecType::PublicationobjTablesInSchema), None) => {
                    self.schema(name, Touch::Publish, false);
                }
                (Ok(PublicationObjSpecType::PublicationobjTablesInCurSchema), None) => {
                    self.asks.push(Ask::Schema { name: None, touch: Touch::Publish, missing_ok: false });
                }
                (_, Some(table)) => self.published_table(table),
                _ => self.unsupported("an object of a publication"),
            }
        }
    }

    fn published_table(&mut self, table: &'s PublicationTable) {
        let PublicationTable { relation, where_clause, columns: names } = table;
        self.relation(relation.as_ref(), columns(names), Touch::Publish, false);
        if let (Some(condition), Some(relation)) = (node(where_clause), relation) {
            let from = vec![NodeEnum::RangeVar(relation.clone())];
            self.expressions(&[condition], from, ExpressionRole::Publication);
        }
    }

    pub(super) fn strange(&mut self) -> Command {
        self.unknown().0
    }
}
