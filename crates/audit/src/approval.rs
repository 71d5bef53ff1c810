//! What happens to requests for approval, as the audit says it.

#[cfg(doc)]
use crate::event;
use crate::event::Parameter;
use crate::json::{Fragment, Object, object};
use crate::time::Time;

/// See [`Event::ApprovalRequested`](event::Event::ApprovalRequested).
#[derive(Clone, Debug)]
pub struct ApprovalRequested<'a> {
    /// The request's number.
    pub approval: u64,
    /// The session that waits, if one does: 32 hexadecimal digits.
    pub session: Option<&'a str>,
    /// Who asks, from [`crate::IdentityForm`].
    pub identity: &'a Fragment,
    /// Who answers for it.
    pub owner: Option<&'a str>,
    /// Where from.
    pub client: Option<&'a str>,
    /// The database as clients name it.
    pub database: &'a str,
    /// The statement: whole, as approvers see it.
    pub text: &'a str,
    /// What that runs which was prepared or declared before.
    pub runs: Option<&'a str>,
    /// The values bound to `$1`, `$2`, ...
    pub parameters: &'a [Parameter<'a>],
    /// Whether it is asked for a pattern.
    pub pattern: bool,
    /// What the approval is bound to, hex.
    pub binding: &'a str,
    /// Why it is asked.
    pub why: &'a str,
    /// The rules that ask.
    pub rules: &'a [&'a str],
    /// All of these must approve.
    pub needs: &'a [ApprovalNeed<'a>],
    /// The bundle's own version.
    pub bundle_version: &'a str,
    /// SHA-256 of the bundle, hex.
    pub bundle_hash: &'a str,
    /// How the requester waits: `held`, `held_in_transaction`, `async`, `before`.
    pub wait: &'a str,
    /// Until when approvers may decide.
    pub until: Time,
    /// How often it may be used.
    pub uses: u32,
    /// Why it is wanted, as the requester says.
    pub purpose: Option<&'a str>,
}

/// Who must approve.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalNeed<'a> {
    /// The name in `[approvers]`.
    pub name: &'a str,
    /// Groups of which any will do.
    pub of: &'a [String],
    /// How many.
    pub needed: u32,
}

/// See [`Event::ApprovalVoted`](event::Event::ApprovalVoted) and [`Event::BreakGlass`](event::Event::BreakGlass).
#[derive(Clone, Copy, Debug)]
pub struct ApprovalVoted<'a> {
    /// The request's number.
    pub approval: u64,
    /// Who decides, from [`crate::IdentityForm`].
    pub by: &'a Fragment,
    /// In whose place: `issuer:subject`.
    pub delegated_by: Option<&'a str>,
    /// `approve`, `deny`, `break_glass`, `review`.
    pub verdict: &'a str,
    /// Why, as they say.
    pub reason: Option<&'a str>,
    /// Where: `console`, `cli`, `slack`, ...
    pub via: &'a str,
    /// Names in `[approvers]` that it may count for.
    pub counts_for: &'a [String],
    /// What the approval is bound to, hex.
    pub binding: &'a str,
    /// Whose statement it is: `issuer:subject`.
    pub requester: &'a str,
    /// The database as clients name it.
    pub database: &'a str,
}

/// See [`Event::ApprovalEnded`](event::Event::ApprovalEnded).
#[derive(Clone, Copy, Debug)]
pub struct ApprovalEnded<'a> {
    /// The request's number.
    pub approval: u64,
    /// Whose statement it is: `issuer:subject`.
    pub requester: &'a str,
    /// The database as clients name it.
    pub database: &'a str,
    /// `approved`, `denied`, `expired`, `cancelled`, `session_ended`, `policy_changed`, `withdrawn`, `lost`, or `undelivered`: it was
    /// taken, and its session had gone.
    pub state: &'a str,
    /// Whose vote or act it was: `issuer:subject`; `None` where it was nobody's.
    pub by: Option<&'a str>,
    /// What the requester is told, or what else is to be said.
    pub detail: Option<&'a str>,
}

/// See [`Event::ApprovalUsed`](event::Event::ApprovalUsed).
#[derive(Clone, Copy, Debug)]
pub struct ApprovalUsed<'a> {
    /// The request's number.
    pub approval: u64,
    /// The session that goes on: 32 hexadecimal digits.
    pub session: Option<&'a str>,
    /// Whose statement it is: `issuer:subject`.
    pub requester: &'a str,
    /// The database as clients name it.
    pub database: &'a str,
    /// What was approved, hex.
    pub binding: &'a str,
    /// Names in `[approvers]`.
    pub approved_by: &'a [String],
    /// Who, as `issuer:subject`.
    pub persons: &'a [String],
    /// Which use it is, from 1.
    pub used: u32,
    /// Of how many.
    pub uses: u32,
}

/// See [`Event::ApprovalRefused`](event::Event::ApprovalRefused).
#[derive(Clone, Copy, Debug)]
pub struct ApprovalRefused<'a> {
    /// The request's number; `None` where none is named.
    pub approval: Option<u64>,
    /// What was tried: `approve`, `deny`, `claim`, ...
    pub act: &'a str,
    /// Who, as `issuer:subject`, or as they say where nothing is proven.
    pub by: Option<&'a str>,
    /// Where.
    pub via: &'a str,
    /// A stable word.
    pub reason: &'a str,
    /// The same in words.
    pub detail: &'a str,
}

/// See [`Event::Delegation`](event::Event::Delegation).
#[derive(Clone, Copy, Debug)]
pub struct DelegationChanged<'a> {
    /// Its name.
    pub delegation: &'a str,
    /// `made` or `ended`.
    pub what: &'a str,
    /// Who did it: `issuer:subject`.
    pub by: &'a str,
    /// In whose place: `issuer:subject`.
    pub from: &'a str,
    /// Who votes: `issuer:subject`.
    pub to: &'a str,
    /// With which groups.
    pub groups: &'a [String],
    /// Until when.
    pub until: Time,
    /// Why.
    pub reason: &'a str,
}

/// See [`Event::RowsCounted`](event::Event::RowsCounted).
#[derive(Clone, Debug)]
pub struct RowsCounted<'a> {
    /// The request's number.
    pub approval: u64,
    /// The session on whose behalf it is run, if one waits: 32 hexadecimal digits.
    pub session: Option<&'a str>,
    /// Whose statement it is: `issuer:subject`.
    pub requester: &'a str,
    /// The database as clients name it.
    pub database: &'a str,
    /// Who asked for the count, from [`crate::IdentityForm`].
    pub by: &'a Fragment,
    /// `begun`, before it is run; then `counted`, or `failed`.
    pub outcome: &'a str,
    /// By relation: rows inserted, updated and deleted, together.
    pub counts: &'a [(&'a str, u64)],
    /// What went wrong.
    pub reason: Option<&'a str>,
}

impl RowsCounted<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, session, requester, database, by, outcome, counts, reason } = self;
        o.number("approval", *approval)
            .text_or_null("session", *session)
            .text("requester", requester)
            .text("database", database)
            .fragment("by", by)
            .text("outcome", outcome)
            .list("counts", *counts, |out, (relation, rows)| {
                object(out, |o| {
                    o.text("relation", relation).number("rows", *rows);
                });
            })
            .text_or_null("reason", *reason)
    }
}

impl ApprovalRequested<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, session, identity, owner, client, database, text, runs, parameters, .. } = self;
        let Self { pattern, binding, why, rules, needs, bundle_version, bundle_hash, wait, .. } = self;
        let Self { until, uses, purpose, .. } = self;
        o.number("approval", *approval)
            .text_or_null("session", *session)
            .fragment("identity", identity)
            .text_or_null("owner", *owner)
            .text_or_null("client", *client)
            .text("database", database)
            .text("text", text);
        if let Some(runs) = runs {
            o.text("runs", runs);
        }
        o.list("parameters", *parameters, |out, parameter| parameter.write(out))
            .word("of", if *pattern { "pattern" } else { "statement" })
            .text("binding", binding)
            .text("why", why)
            .texts("rules", *rules)
            .list("needs", *needs, |out, need| {
                object(out, |o| {
                    o.text("name", need.name).texts("of", need.of).number("needed", need.needed.into());
                });
            })
            .text("bundle_version", bundle_version)
            .text("bundle_hash", bundle_hash)
            .text("wait", wait)
            .plain("until", until)
            .number("uses", (*uses).into())
            .text_or_null("purpose", *purpose)
    }
}

impl ApprovalVoted<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, by, delegated_by, verdict, reason, via, counts_for, .. } = self;
        let Self { binding, requester, database, .. } = self;
        o.number("approval", *approval)
            .fragment("by", by)
            .text_or_null("delegated_by", *delegated_by)
            .text("verdict", verdict)
            .text_or_null("reason", *reason)
            .text("via", via)
            .texts("counts_for", *counts_for)
            .text("binding", binding)
            .text("requester", requester)
            .text("database", database)
    }
}

impl ApprovalEnded<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, requester, database, state, by, detail } = self;
        o.number("approval", *approval)
            .text("requester", requester)
            .text("database", database)
            .text("state", state)
            .text_or_null("by", *by)
            .text_or_null("detail", *detail)
    }
}

impl ApprovalUsed<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, session, requester, database, binding, approved_by, persons, used, uses } = self;
        o.number("approval", *approval)
            .text_or_null("session", *session)
            .text("requester", requester)
            .text("database", database)
            .text("binding", binding)
            .texts("approved_by", *approved_by)
            .texts("persons", *persons)
            .number("used", (*used).into())
            .number("uses", (*uses).into())
    }
}

impl ApprovalRefused<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, act, by, via, reason, detail } = self;
        o.number_or_null("approval", *approval)
            .text("act", act)
            .text_or_null("by", *by)
            .text("via", via)
            .text("reason", reason)
            .text("detail", detail)
    }
}

impl DelegationChanged<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { delegation, what, by, from, to, groups, until, reason } = self;
        o.text("delegation", delegation)
            .text("what", what)
            .text("by", by)
            .text("from", from)
            .text("to", to)
            .texts("groups", *groups)
            .plain("until", until)
            .text("reason", reason)
    }
}
