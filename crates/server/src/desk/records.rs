//! What the journal is told. Decides nothing.

use std::collections::BTreeMap;
use std::time::SystemTime;

use approval::{Act, Delegation, Members, Number, Request, Stamp, State, Value, Verdict, Wait, Who};
use audit::{
    ApprovalEnded, ApprovalNeed, ApprovalRefused, ApprovalRequested, ApprovalUsed, ApprovalVoted,
    DelegationChanged, Event, Fragment, IdentityForm, Parameter,
};
use journal::JournalError;
use model::{Identity, Party};

use super::Desk;

impl Desk {
    fn record(&self, event: &Event<'_>) -> Result<(), JournalError> {
        self.journal.append(event, SystemTime::now())?;
        self.journal.write().map(drop)
    }

    /// Records what changes nothing: it is as it is, whether or not there is a record.
    fn note(&self, event: &Event<'_>) {
        if let Err(error) = self.record(event) {
            tracing::error!(%error, event = event.name(), "can't be recorded");
        }
    }

    pub(super) fn record_opened(&self, request: &Request) -> Result<(), JournalError> {
        let ask = &request.ask;
        let rules: Vec<_> = ask.rules.iter().map(|rule| rule.id.as_str()).collect();
        let mut needs = Vec::new();
        for need in &ask.needs {
            let lots: Vec<&[String]> = match &need.members {
                Members::Any(of) => vec![of],
                Members::All(of) => of.iter().map(std::slice::from_ref).collect(),
            };
            needs.extend(lots.into_iter().map(|of| ApprovalNeed {
                name: &need.name,
                of,
                needed: need.quorum,
            }));
        }
        let bytes: Vec<_> =
            ask.statement.parameters.iter().map(|parameter| bytes_of(&parameter.value)).collect();
        let parameters: Vec<_> = bytes
            .iter()
            .map(|value| match value {
                None => Parameter::Null,
                Some((false, bytes)) => Parameter::Text(bytes),
                Some((true, bytes)) => Parameter::Binary(bytes),
            })
            .collect();
        self.record(&Event::ApprovalRequested(ApprovalRequested {
            approval: request.number.0,
            session: ask.session.as_deref(),
            identity: &form(&ask.requester),
            owner: ask.requester.owner.as_deref(),
            client: ask.client.as_deref(),
            database: &ask.database,
            text: &ask.statement.text,
            runs: ask.statement.runs.as_deref(),
            parameters: &parameters,
            pattern: ask.statement.pattern,
            binding: &ask.binding.to_string(),
            why: &ask.why,
            rules: &rules,
            needs: &needs,
            bundle_version: &ask.bundle.version,
            bundle_hash: &ask.bundle.hash,
            wait: match ask.wait {
                Wait::Held { in_transaction: false } => "held",
                Wait::Held { in_transaction: true } => "held_in_transaction",
                Wait::Async => "async",
                Wait::Before => "before",
            },
            until: time(request.until),
            uses: ask.uses,
            purpose: ask.purpose.as_deref(),
        }))
    }

    /// Records a vote, and what comes of it.
    pub(super) fn record_act(&self, request: &Request, act: Act, by: &Who) -> Result<(), JournalError> {
        let vote = if act == Act::Withdraw { None } else { request.votes.last() };
        if let Some(vote) = vote {
            let (form, binding) = (form(&vote.by), request.ask.binding.to_string());
            let requester = request.ask.requester.to_string();
            let from = vote.delegated_by.as_ref().map(ToString::to_string);
            let voted = ApprovalVoted {
                approval: request.number.0,
                by: &form,
                delegated_by: from.as_deref(),
                verdict: vote.verdict.as_str(),
                reason: vote.reason.as_deref(),
                via: &vote.via,
                counts_for: &vote.counts_for,
                binding: &binding,
                requester: &requester,
                database: &request.ask.database,
            };
            self.record(&match vote.verdict {
                Verdict::BreakGlass => Event::BreakGlass(voted),
                Verdict::Approve | Verdict::Deny | Verdict::Review => Event::ApprovalVoted(voted),
            })?;
        }
        let decided = match act {
            Act::Approve => request.state == State::Approved,
            Act::Deny | Act::BreakGlass | Act::Withdraw => true,
            Act::Review => false,
        };
        if !decided {
            return Ok(());
        }
        let detail = vote.and_then(|vote| vote.reason.as_deref());
        self.record_ended(request, Some(by), detail)
    }

    /// Records that a request has come to what its state says.
    pub(super) fn record_ended(
        &self,
        request: &Request,
        by: Option<&Who>,
        detail: Option<&str>,
    ) -> Result<(), JournalError> {
        self.record(&Event::ApprovalEnded(ApprovalEnded {
            approval: request.number.0,
            requester: &request.ask.requester.to_string(),
            database: &request.ask.database,
            state: request.state.as_str(),
            by: by.map(ToString::to_string).as_deref(),
            detail,
        }))
    }

    /// Records that a use was taken which nobody will make.
    pub(super) fn note_undelivered(&self, number: Number, requester: &str, database: &str, detail: &str) {
        tracing::warn!(%number, detail, "an approval was taken and is not used");
        self.note(&Event::ApprovalEnded(ApprovalEnded {
            approval: number.0,
            requester,
            database,
            state: "undelivered",
            by: None,
            detail: Some(detail),
        }));
    }

    pub(super) fn record_used(&self, request: &Request, session: Option<&str>) -> Result<(), JournalError> {
        let groups = request.asked();
        let yes = request.votes.iter().filter(|vote| match vote.verdict {
            Verdict::Approve | Verdict::BreakGlass => true,
            Verdict::Deny | Verdict::Review => false,
        });
        let persons: Vec<_> = yes.map(|vote| vote.by.to_string()).collect();
        self.record(&Event::ApprovalUsed(ApprovalUsed {
            approval: request.number.0,
            session,
            requester: &request.ask.requester.to_string(),
            database: &request.ask.database,
            binding: &request.ask.binding.to_string(),
            approved_by: &groups,
            persons: &persons,
            used: request.used,
            uses: request.ask.uses,
        }))
    }

    /// Records that somebody was refused: nothing has changed, so a journal that fails doesn't let them.
    pub(crate) fn note_refused(
        &self,
        number: Option<Number>,
        (act, by, via): (&str, Option<&str>, &str),
        (reason, detail): (&str, &str),
    ) {
        tracing::info!(
            number = number.map(|it| it.0),
            act,
            by,
            via,
            reason,
            "an act upon an approval is refused"
        );
        let approval = number.map(|number| number.0);
        self.note(&Event::ApprovalRefused(ApprovalRefused { approval, act, by, via, reason, detail }));
    }

    /// What was recorded just before did not come about: somebody else was faster.
    pub(super) fn note_overtaken(&self, number: Number, act: &str, by: Option<&str>, via: &str) {
        let told = ("overtaken", "somebody else was faster; what was recorded just before did not count");
        self.note_refused(Some(number), (act, by, via), told);
    }

    pub(super) fn record_delegation(
        &self,
        what: &'static str,
        by: &Who,
        delegation: &Delegation,
    ) -> Result<(), JournalError> {
        let groups: Vec<_> = delegation.groups.iter().cloned().collect();
        self.record(&Event::Delegation(DelegationChanged {
            delegation: &delegation.id,
            what,
            by: &by.to_string(),
            from: &delegation.from.to_string(),
            to: &delegation.to,
            groups: &groups,
            until: time(delegation.until),
            reason: &delegation.reason,
        }))
    }
}

/// Returns a value's bytes, and whether they are binary.
fn bytes_of(value: &Value) -> Option<(bool, Vec<u8>)> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some((false, text.clone().into_bytes())),
        Value::Binary(digits) => Some(match hex::decode(digits) {
            Ok(bytes) => (true, bytes),
            Err(_) => (false, digits.clone().into_bytes()),
        }),
    }
}

fn time(stamp: Stamp) -> audit::Time {
    SystemTime::from(stamp).into()
}

/// Writes somebody as other records write identities.
fn form(who: &Who) -> Fragment {
    let party = |name: &String| {
        let (issuer, subject) = name.split_once(':')?;
        Some(Party { issuer: issuer.to_owned(), subject: subject.to_owned() })
    };
    IdentityForm(&Identity {
        issuer: who.issuer.clone(),
        subject: who.subject.clone(),
        name: None,
        groups: who.groups.clone(),
        attributes: BTreeMap::new(),
        token_id: None,
        on_behalf_of: who.on_behalf_of.as_ref().and_then(party),
    })
    .render()
}
