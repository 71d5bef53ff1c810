//! Rights and roles. Knows no objects' definitions.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDefaultPrivilegesStmt, AlterRoleSetStmt, AlterRoleStmt, CreateRoleStmt, DropOwnedStmt, DropRoleStmt,
    GrantRoleStmt, GrantStmt, GrantTargetType, Node, ObjectType, ReassignOwnedStmt, VariableSetKind,
    VariableSetStmt,
};

use super::Reader;
use super::names::{string, strings};
use super::object::{Form, kind};
use super::options::options;
use crate::{Ask, Columns, Command, ObjectKind, RoleName, Touch};

impl Reader<'_> {
    pub(super) fn grant(&mut self, stmt: &GrantStmt) -> Command {
        let GrantStmt {
            is_grant,
            targtype,
            objtype,
            objects,
            privileges,
            grantees,
            grant_option: _,
            grantor,
            behavior: _,
        } = stmt;
        let (command, touch) = given_or_taken(*is_grant);
        let columns = privileged_columns(privileges);
        match GrantTargetType::try_from(*targtype) {
            Ok(GrantTargetType::AclTargetObject) => {
                for object in objects {
                    self.granted(*objtype, object, &columns, touch);
                }
            }
            Ok(GrantTargetType::AclTargetAllInSchema) => self.schemas(objects, touch),
            _ => self.unsupported("rights on such a thing"),
        }
        self.roles(grantees, Touch::Grantee);
        self.role(grantor.as_ref(), Touch::Use);
        command
    }

    fn schemas(&mut self, names: &[Node], touch: Touch) {
        for name in names {
            match string(name) {
                Some(name) => self.schema(name, touch, false),
                None => self.unsupported("a schema"),
            }
        }
    }

    fn granted(&mut self, objtype: i32, object: &Node, columns: &Columns, touch: Touch) {
        match (&object.node, ObjectType::try_from(objtype)) {
            (Some(NodeEnum::RangeVar(relation)), _) => {
                self.relation(Some(relation), columns.clone(), touch, false);
            }
            (Some(NodeEnum::String(name)), Ok(ObjectType::ObjectParameterAcl)) => {
                let name = Some(name.sval.to_ascii_lowercase());
                self.asks.push(Ask::Setting { name, touch });
            }
            _ => match kind(objtype) {
                Some(kind) if kind.form != Form::Relation => self.object(kind.form, object, touch, false),
                _ => self.unsupported("rights on such a thing"),
            },
        }
    }

    pub(super) fn default_privileges(&mut self, stmt: &AlterDefaultPrivilegesStmt) -> Command {
        let AlterDefaultPrivilegesStmt { options: list, action } = stmt;
        let mut in_schema = false;
        for option in options(list) {
            let value = option.and_then(|option| Some((option.defname.as_str(), option.arg.as_deref()?)));
            match value {
                Some(("schemas", Node { node: Some(NodeEnum::List(names)) })) => {
                    in_schema = true;
                    self.schemas(&names.items, Touch::Grant);
                }
                Some(("roles", Node { node: Some(NodeEnum::List(roles)) })) => {
                    self.roles(&roles.items, Touch::Alter);
                }
                _ => self.unsupported("an option of ALTER DEFAULT PRIVILEGES"),
            }
        }
        if !in_schema {
            self.asks.push(Ask::Database { name: None, touch: Touch::Grant });
        }
        match action {
            Some(action) => {
                self.roles(&action.grantees, Touch::Grantee);
                self.role(action.grantor.as_ref(), Touch::Use);
            }
            None => self.unsupported("ALTER DEFAULT PRIVILEGES without rights"),
        }
        Command::AlterDefaultPrivileges
    }

    pub(super) fn grant_role(&mut self, stmt: &GrantRoleStmt) -> Command {
        let GrantRoleStmt { granted_roles, grantee_roles, is_grant, opt, grantor, behavior: _ } = stmt;
        self.read(opt.as_slice());
        let (command, touch) = match is_grant {
            true => (Command::GrantRole, Touch::Grant),
            false => (Command::RevokeRole, Touch::Revoke),
        };
        for node in granted_roles {
            match &node.node {
                Some(NodeEnum::AccessPriv(granted)) if granted.cols.is_empty() => {
                    let name = RoleName::Named(granted.priv_name.clone());
                    self.asks.push(Ask::Role { name, touch });
                }
                _ => self.unsupported("a role"),
            }
        }
        self.roles(grantee_roles, Touch::Grantee);
        self.role(grantor.as_ref(), Touch::Use);
        command
    }

    pub(super) fn create_role(&mut self, stmt: &CreateRoleStmt) -> Command {
        let CreateRoleStmt { stmt_type: _, role, options } = stmt;
        self.new_plain(ObjectKind::Role, role, false);
        self.role_options(options);
        Command::CreateRole
    }

    pub(super) fn alter_role(&mut self, stmt: &AlterRoleStmt) -> Command {
        let AlterRoleStmt { role, options, action: _ } = stmt;
        self.role(role.as_ref(), Touch::Alter);
        self.role_options(options);
        Command::AlterRole
    }

    /// Members and groups of a role; the other options are its attributes.
    fn role_options(&mut self, list: &[Node]) {
        for option in options(list) {
            let Some(option) = option else {
                self.unsupported("an option of a role");
                continue;
            };
            let touch = match option.defname.as_str() {
                "addroleto" => Touch::Grant,
                "rolemembers" | "adminmembers" => Touch::Grantee,
                _ => continue,
            };
            match option.arg.as_deref() {
                Some(Node { node: Some(NodeEnum::List(roles)) }) => self.roles(&roles.items, touch),
                _ => self.unsupported("an option of a role"),
            }
        }
    }

    pub(super) fn alter_role_set(&mut self, stmt: &AlterRoleSetStmt) -> Command {
        let AlterRoleSetStmt { role, database, setstmt } = stmt;
        match role {
            Some(role) => self.role(Some(role), Touch::Alter),
            None => self.asks.push(Ask::Role { name: RoleName::All, touch: Touch::Alter }),
        }
        if !database.is_empty() {
            self.database(database, Touch::Alter);
        }
        self.kept_setting(setstmt.as_ref());
        Command::AlterRole
    }

    /// A setting that is kept for others or for later.
    pub(super) fn kept_setting(&mut self, stmt: Option<&VariableSetStmt>) {
        let Some(stmt) = stmt else { return self.unsupported("a setting") };
        let VariableSetStmt { kind, name, args, jumble_args: _, is_local: _, location: _ } = stmt;
        let name = match VariableSetKind::try_from(*kind) {
            Ok(VariableSetKind::VarResetAll) => None,
            _ => Some(name.to_ascii_lowercase()),
        };
        self.asks.push(Ask::Setting { name, touch: Touch::Alter });
        if self.set_value(args).is_none() {
            self.unsupported("a setting's value");
        }
    }

    pub(super) fn drop_role(&mut self, stmt: &DropRoleStmt) -> Command {
        let DropRoleStmt { roles, missing_ok: _ } = stmt;
        self.roles(roles, Touch::Drop);
        Command::DropRole
    }

    pub(super) fn drop_owned(&mut self, stmt: &DropOwnedStmt) -> Command {
        let DropOwnedStmt { roles, behavior: _ } = stmt;
        self.roles(roles, Touch::Drop);
        Command::DropOwned
    }

    pub(super) fn reassign_owned(&mut self, stmt: &ReassignOwnedStmt) -> Command {
        let ReassignOwnedStmt { roles, newrole } = stmt;
        self.roles(roles, Touch::Alter);
        self.role(newrole.as_ref(), Touch::Own);
        Command::ReassignOwned
    }
}

fn given_or_taken(is_grant: bool) -> (Command, Touch) {
    match is_grant {
        true => (Command::Grant, Touch::Grant),
        false => (Command::Revoke, Touch::Revoke),
    }
}

/// Columns that the rights are limited to; all of them if any of the rights isn't limited.
fn privileged_columns(privileges: &[Node]) -> Columns {
    let mut all = Vec::new();
    for privilege in privileges {
        match &privilege.node {
            Some(NodeEnum::AccessPriv(privilege)) if !privilege.cols.is_empty() => {
                match strings(&privilege.cols) {
                    Some(names) => all.extend(names),
                    None => return Columns::All,
                }
            }
            _ => return Columns::All,
        }
    }
    if all.is_empty() { Columns::All } else { Columns::Named(all) }
}
