//! What a statement calls: functions by themselves, and those that constraints of domains call.

use std::collections::BTreeSet;

use model::Oid;
use policy::{Action, FunctionClass, Resource};
use querytree::{Access, Origin, Rights};
use sql::Effect;

use super::build::Builder;
use super::facts::{self, Kind};
use super::{total, utility};
use crate::forward::RESERVED_PREFIX;
use crate::refuse::Refusal;

/// `set_config(text, text, boolean)` (pg_proc.dat, the same in every version read).
const SET_CONFIG: Oid = Oid(2078);

impl Builder<'_> {
    pub(super) fn is_settings_only(&self, access: &Access) -> bool {
        let mut invoked = access.relations.iter().filter(|touched| touched.rights == Rights::Invoker);
        let mut origins = access.functions.iter().chain(&access.operators);
        invoked.all(|touched| {
            let name = self.lookup.relation(touched.oid).map(|relation| &relation.name);
            name.is_some_and(|name| name.schema == "pg_catalog" && name.name == "pg_settings")
        }) && origins.all(|(oid, origin)| oid.is_builtin() || !origin.statement)
    }

    /// SECURITY: a call of `set_config` could be told to set the session's role, how text is read, or who Gatepost says that the
    /// session is. So it passes only where the text says which settings it sets, whoever calls it: the statement itself, or a rule
    /// such as that of `pg_settings`.
    pub(super) fn settings(&mut self, access: &Access) -> Result<(), Refusal> {
        if !access.functions.contains_key(&SET_CONFIG) {
            return Ok(());
        }
        let refuse = |what: &str| Err(Refusal::Unsupported(what.to_owned()));
        match &self.analysis.effect {
            Effect::SetByCalls(settings) if self.settings_only => {
                match settings.iter().find(|name| !utility::is_ordinary_setting(name)) {
                    None => Ok(()),
                    Some(name) if name.starts_with(RESERVED_PREFIX) => Err(Refusal::Reserved(name.clone())),
                    Some(name) => refuse(&format!("setting {name} by a call of set_config")),
                }
            }
            _ => refuse("calling set_config for a setting that isn't written out, or beside anything else"),
        }
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
        self.met(oid);
        let facts = facts::function_facts(oid, &function);
        if oid == SET_CONFIG {
            // SECURITY: one text of a shape may name another setting than the next, where it is compared with.
            self.analysis.depends_on_literals = true;
            // The statement is nothing but this and SHOW, so it is SET.
            let harmless = |name: &String| crate::names::parameter_is_harmless(name);
            let known = matches!(&self.analysis.effect, Effect::SetByCalls(settings) if settings.iter().all(harmless));
            self.analysis.unsettles |= !known;
            self.analysis.computes_in_the_open = true;
            self.touch(Action::Set, (Resource::Database, Vec::new()));
            return;
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
