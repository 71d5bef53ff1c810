//! Settings, cursors, prepared statements, notifications, and code that runs unseen. Knows no sessions' state.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CallStmt, ClosePortalStmt, DeallocateStmt, DiscardMode, DiscardStmt, DoStmt, FetchStmt, FuncCall,
    ListenStmt, LoadStmt, Node, NotifyStmt, UnlistenStmt, VariableSetKind, VariableSetStmt, VariableShowStmt,
};

use super::names::{qualified, strings};
use super::options::{options, text, value};
use super::{Read, Reader};
use crate::{Ask, Command, Effect, ExpressionRole, ObjectKind, RoutineKind, SetTo, Touch};

impl Reader<'_> {
    pub(super) fn variable_set(&mut self, stmt: &VariableSetStmt) -> Read {
        use VariableSetKind as K;
        let VariableSetStmt { kind, name, args, jumble_args: _, is_local, location: _ } = stmt;
        let local = *is_local;
        // Settings' names are compared without regard to case (`guc_name_compare`, src/backend/utils/misc/guc.c).
        let lower = name.to_ascii_lowercase();
        match VariableSetKind::try_from(*kind) {
            Ok(K::VarSetMulti) => (Command::Set, self.set_multi(name, args)),
            Ok(K::VarSetValue) => {
                let value = match self.set_value(args) {
                    Some(value) => SetTo::Value(value),
                    None => {
                        self.unsupported(format!("the value of setting \"{lower}\""));
                        SetTo::Default
                    }
                };
                (Command::Set, set(lower, local, value))
            }
            Ok(K::VarSetDefault) => (Command::Set, set(lower, local, SetTo::Default)),
            Ok(K::VarSetCurrent) => (Command::Set, set(lower, local, SetTo::Current)),
            Ok(K::VarReset) => (Command::Reset, reset(lower)),
            Ok(K::VarResetAll) => (Command::Reset, Effect::ResetAll),
            Ok(K::Undefined) | Err(_) => self.unknown(),
        }
    }

    /// SET's value, as `flatten_set_variable_args` (src/backend/utils/misc/guc_funcs.c) makes it of the parts; a cast
    /// one (SET TIME ZONE INTERVAL) by its literal.
    pub(super) fn set_value(&mut self, args: &[Node]) -> Option<String> {
        let mut values = Vec::with_capacity(args.len());
        for node in args {
            self.read(node);
            values.push(match &node.node {
                Some(NodeEnum::TypeCast(cast)) => value(cast.arg.as_deref()?)?,
                _ => value(node)?,
            });
        }
        match values.as_slice() {
            [only] => Some(only.clone()),
            list => Some(list.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")),
        }
    }

    fn set_multi(&mut self, name: &str, args: &[Node]) -> Effect {
        match name {
            "TRANSACTION" => Effect::SetTransaction { session: false, modes: self.modes(args) },
            "SESSION CHARACTERISTICS" => Effect::SetTransaction { session: true, modes: self.modes(args) },
            "TRANSACTION SNAPSHOT" => Effect::SetSnapshot,
            _ => {
                self.unsupported(format!("SET {name}"));
                Effect::Anything
            }
        }
    }

    pub(super) fn variable_show(&mut self, stmt: &VariableShowStmt) -> Read {
        let VariableShowStmt { name } = stmt;
        (Command::Show, Effect::Show(name.to_ascii_lowercase()))
    }

    pub(super) fn discard(&mut self, stmt: &DiscardStmt) -> Read {
        let DiscardStmt { target } = stmt;
        match DiscardMode::try_from(*target) {
            Ok(DiscardMode::DiscardAll) => (Command::DiscardAll, Effect::DiscardAll),
            Ok(DiscardMode::DiscardPlans) => (Command::DiscardPlans, Effect::DiscardPlans),
            Ok(DiscardMode::DiscardSequences) => (Command::DiscardSequences, Effect::DiscardSequences),
            Ok(DiscardMode::DiscardTemp) => (Command::DiscardTemp, Effect::DiscardTemp),
            Ok(DiscardMode::Undefined) | Err(_) => self.unknown(),
        }
    }

    pub(super) fn listen(&mut self, stmt: &ListenStmt) -> Read {
        let ListenStmt { conditionname } = stmt;
        (Command::Listen, Effect::Listen(conditionname.clone()))
    }

    pub(super) fn unlisten(&mut self, stmt: &UnlistenStmt) -> Read {
        let UnlistenStmt { conditionname } = stmt;
        let channel = (!conditionname.is_empty()).then(|| conditionname.clone());
        (Command::Unlisten, Effect::Unlisten(channel))
    }

    pub(super) fn notify(&mut self, stmt: &NotifyStmt) -> Read {
        let NotifyStmt { conditionname, payload: _, payload_location: _ } = stmt;
        (Command::Notify, Effect::Notify { channel: conditionname.clone() })
    }

    pub(super) fn deallocate(&mut self, stmt: &DeallocateStmt) -> Read {
        let DeallocateStmt { name, isall, location: _ } = stmt;
        match (isall, name.is_empty()) {
            (true, _) => (Command::DeallocateAll, Effect::Deallocate(None)),
            (false, false) => (Command::Deallocate, Effect::Deallocate(Some(name.clone()))),
            (false, true) => self.unknown(),
        }
    }

    pub(super) fn fetch(&mut self, stmt: &FetchStmt) -> Read {
        let FetchStmt { direction: _, how_many: _, portalname, ismove } = stmt;
        let command = if *ismove { Command::Move } else { Command::Fetch };
        (command, Effect::Fetch { name: portalname.clone(), moves: *ismove })
    }

    pub(super) fn close_portal(&mut self, stmt: &ClosePortalStmt) -> Read {
        let ClosePortalStmt { portalname } = stmt;
        match portalname.is_empty() {
            true => (Command::CloseCursorAll, Effect::CloseCursor(None)),
            false => (Command::CloseCursor, Effect::CloseCursor(Some(portalname.clone()))),
        }
    }

    /// CALL: the procedure by its name, its arguments as expressions.
    pub(super) fn call(&mut self, stmt: &CallStmt) -> Read {
        let CallStmt { funccall, funcexpr, outargs } = stmt;
        let read = (Command::Call, Effect::Anything);
        let (Some(call), None, true) = (funccall, funcexpr, outargs.is_empty()) else {
            self.unsupported("CALL of such an expression");
            return read;
        };
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group,
            agg_star,
            agg_distinct,
            func_variadic: _,
            funcformat: _,
            location: _,
        } = call.as_ref();
        let plain = agg_order.is_empty() && agg_filter.is_none() && over.is_none();
        if !plain || *agg_within_group || *agg_star || *agg_distinct {
            self.unsupported("CALL of an aggregate");
        }
        // The call itself; its arguments are counted below.
        self.read(&FuncCall { funcname: funcname.clone(), ..FuncCall::default() });
        match strings(funcname).as_deref().and_then(qualified) {
            Some(name) => {
                let (kind, touch) = (RoutineKind::Procedure, Touch::Execute);
                self.asks.push(Ask::Routine { name, kind, args: None, touch, missing_ok: false });
            }
            None => self.unsupported("the name of a procedure"),
        }
        let mut values = Vec::with_capacity(args.len());
        for node in args {
            match &node.node {
                Some(NodeEnum::NamedArgExpr(named)) => {
                    values.extend(named.arg.as_deref().and_then(|arg| arg.node.as_ref()));
                }
                Some(node) => values.push(node),
                None => self.unsupported("an argument of CALL"),
            }
        }
        self.expressions(&values, Vec::new(), ExpressionRole::Argument);
        read
    }

    /// DO: code that only its language can read.
    pub(super) fn do_block(&mut self, stmt: &DoStmt) -> Read {
        let DoStmt { args } = stmt;
        let mut language = "plpgsql".to_owned();
        for option in options(args) {
            match option {
                Some(option) if option.defname == "language" => match text(option) {
                    Some(name) => language = name,
                    None => self.unsupported("the language of DO"),
                },
                Some(option) if option.defname == "as" => {}
                _ => self.unsupported("an option of DO"),
            }
        }
        self.plain(ObjectKind::Language, &language, Touch::Execute, false);
        (Command::Do, Effect::Anything)
    }

    pub(super) fn load(&mut self, stmt: &LoadStmt) -> Read {
        let LoadStmt { filename: _ } = stmt;
        (Command::Load, Effect::Anything)
    }
}

/// An item of a list: quoted where it isn't a plain name.
fn quoted(item: &str) -> String {
    match crate::names::identifier(item) {
        Some(name) if name == item => item.to_owned(),
        _ => model::quote_identifier(item),
    }
}

/// SET ROLE and SET SESSION AUTHORIZATION are settings to the grammar, and more than that to a session.
fn set(name: String, local: bool, value: SetTo) -> Effect {
    let role = || match &value {
        SetTo::Value(value) => Some(value.clone()),
        SetTo::Default | SetTo::Current => None,
    };
    match name.as_str() {
        "role" => Effect::SetRole { role: role().filter(|role| role != "none"), local },
        "session_authorization" => Effect::SetSessionAuthorization { role: role(), local },
        _ => Effect::Set { name, local, value },
    }
}

fn reset(name: String) -> Effect {
    match name.as_str() {
        "role" => Effect::SetRole { role: None, local: false },
        "session_authorization" => Effect::SetSessionAuthorization { role: None, local: false },
        _ => Effect::Reset(name),
    }
}
