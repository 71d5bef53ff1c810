//! What a statement calls: functions by themselves, and those that constraints of domains call.

use std::collections::BTreeSet;

use model::{Oid, QualifiedName};
use policy::{Action, FunctionClass, Resource};
use querytree::{Access, Origin, Rights};
use sql::Effect;

use super::build::Builder;
use super::facts::{self, Kind};
use super::{total, utility};

impl Builder<'_> {
    pub(super) fn is_settings_only(&self, access: &Access) -> bool {
        let mut invoked = access.relations.iter().filter(|touched| touched.rights == Rights::Invoker);
        let mut origins = access.functions.iter().chain(&access.operators);
        invoked.all(|touched| {
            let name = self.lookup.relation(touched.oid).map(|relation| &relation.name);
            name.is_some_and(|name| name.schema == "pg_catalog" && name.name == "pg_settings")
        }) && origins.all(|(oid, origin)| oid.is_builtin() || !origin.statement)
    }

    pub(super) fn function(&mut self, oid: Oid, origin: &Origin) {
        if origin.statement {
            self.called(oid);
        }
    }

    pub(super) fn called(&mut self, oid: Oid) {
        let Some(function) = self.lookup.function(oid).cloned() else {
            self.missing.0.insert((Kind::Function, oid));
            return;
        };
        let facts = facts::function_facts(oid, &function);
        if facts.builtin() && is_set_config(&function.name) {
            // SECURITY: one text of a shape may name another setting than the next, where it is compared with.
            self.analysis.depends_on_literals = true;
            if let Effect::SetByCalls(settings) = &self.analysis.effect
                && self.settings_only
                && settings.iter().all(|name| utility::is_ordinary_setting(name))
            {
                // The statement is nothing but this and SHOW, so it is SET.
                self.analysis.unsettles |=
                    !settings.iter().all(|name| crate::names::parameter_is_harmless(name));
                self.analysis.computes_in_the_open = true;
                self.touch(Action::Set, (Resource::Database, Vec::new()));
                return;
            }
            self.analysis.unsettles = true;
        }
        if !facts.builtin() {
            // Its body may set what names mean.
            self.analysis.unsettles = true;
        }
        self.analysis.computes_in_the_open |= !total::is_total(oid, &function.name);
        self.analysis.tells_elsewhere |= facts.class().acts();
        if facts.class() != FunctionClass::Harmless {
            self.touch(
                Action::Execute,
                (Resource::Function { name: function.name.clone(), facts }, Vec::new()),
            );
        }
    }

    /// What the constraints of a domain call is called by the statement that makes a value one of it.
    pub(super) fn domain(&mut self, oid: Oid, origin: &Origin) {
        if !origin.statement {
            return;
        }
        let mut next = vec![oid];
        let mut seen = BTreeSet::new();
        while let Some(oid) = next.pop() {
            // The server's own have constraints that only compare.
            if oid.is_builtin() || !seen.insert(oid) {
                continue;
            }
            let Some(checks) = self.lookup.checks(oid).cloned() else {
                self.missing.0.insert((Kind::Domain, oid));
                continue;
            };
            for function in &checks.functions {
                self.function(*function, origin);
            }
            next.extend(checks.domains.iter());
        }
    }
}

fn is_set_config(name: &QualifiedName) -> bool {
    name.schema == "pg_catalog" && name.name == "set_config"
}
