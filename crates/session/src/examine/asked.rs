//! What approvers would be asked about a statement that no session runs yet, in the words and with the bindings that a session uses; and
//! whether a statement still is what approvers were asked about. Allows nothing.

use std::collections::BTreeSet;

use approval::{Ask, Wait};
use model::Oid;
use policy::Bundle;

use super::Examined;
use crate::asking::{self, About, From, Needs};
use crate::authorize;
use crate::refuse::Refusal;
use crate::scope::Asker;

/// What the policy says of a statement that is asked for before it is run.
pub enum Asked {
    /// It needs no approval.
    Allowed,
    /// No approval would help.
    Refused(Box<Refusal>),
    /// This is to be put before approvers.
    Approval(Box<Ask>),
}

impl Examined {
    /// Makes what approvers are asked, as a session of the asker's would that runs the text now.
    pub fn ask(&self, text: &str, bundle: &Bundle, asker: Asker<'_>) -> Asked {
        let weighed = authorize::weigh(&self.analysis, bundle, asker);
        match &weighed.refusal {
            None => return Asked::Allowed,
            Some(Refusal::ApprovalRequired { .. }) => {}
            Some(refusal) => return Asked::Refused(Box::new(refusal.clone())),
        }
        let about = self.about(text, &[], asker);
        let ask = Needs::of(&weighed, bundle)
            .and_then(|needs| asking::ask(&about, &weighed, &needs, bundle, From::default(), Wait::Before));
        match ask {
            Some(ask) => Asked::Approval(Box::new(ask)),
            None => {
                let why = "nobody can approve it: the policy names no group for it".to_owned();
                Asked::Refused(Box::new(Refusal::NotUnderstood(why)))
            }
        }
    }

    /// Returns whether it touches what approvers were asked about, so that its plan and its rows are those of that statement. Names may
    /// mean something else on another connection.
    pub fn is_what_was_asked(&self, ask: &Ask, types: &[Oid], bundle: &Bundle, asker: Asker<'_>) -> bool {
        let about = self.about(&ask.statement.text, types, asker);
        let bindings = about.bindings(bundle);
        if let (Some(asked), Some(now)) = (ask.pattern, bindings.pattern) {
            return asked == now;
        }
        let weighed = authorize::weigh(&self.analysis, bundle, asker);
        let touches = weighed.touches.iter().chain(weighed.told.iter().map(|(touch, _)| touch));
        let now: BTreeSet<(String, String)> = touches
            .map(|touch| (touch.action.as_str().to_owned(), asking::resource(&touch.resource)))
            .collect();
        let asked: BTreeSet<(String, String)> =
            ask.touches.iter().map(|touch| (touch.action.clone(), touch.resource.clone())).collect();
        now == asked
    }

    fn about<'a>(&'a self, text: &'a str, types: &'a [Oid], asker: Asker<'a>) -> About<'a> {
        About {
            identity: asker.identity,
            database: asker.database,
            names: &[],
            text,
            runs: None,
            param_types: types,
            parameters: None,
            analysis: &self.analysis,
        }
    }

    /// The number of the highest `$n` in it.
    pub fn parameters(&self) -> u32 {
        self.accesses.iter().map(|(_, access)| access.parameters).max().unwrap_or(0)
    }
}
