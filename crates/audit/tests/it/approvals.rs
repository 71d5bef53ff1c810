//! Records of approvals: what they hold, in this order, for as long as the format lives.

use std::collections::{BTreeMap, BTreeSet};

use audit::{
    ApprovalEnded, ApprovalNeed, ApprovalRefused, ApprovalRequested, ApprovalUsed, ApprovalVoted,
    DelegationChanged, Event, Fragment, IdentityForm, NotificationFailed, Notified, NotifyCallRefused,
    Parameter, RowsCounted, Time,
};
use model::{Identity, Party};

fn identity() -> Fragment {
    IdentityForm(&Identity {
        issuer: "corp".into(),
        subject: "agent".into(),
        name: None,
        groups: BTreeSet::from(["dev".into()]),
        attributes: BTreeMap::new(),
        token_id: None,
        on_behalf_of: Some(Party { issuer: "corp".into(), subject: "erin".into() }),
    })
    .render()
}

fn check(event: Event<'_>, code: u16, expected: &str) {
    let encoded = event.encode();
    assert_eq!(encoded.code().0, code);
    assert_eq!(std::str::from_utf8(encoded.payload()).unwrap(), expected);
    serde_json::from_slice::<serde_json::Value>(encoded.payload()).unwrap();
}

#[test]
fn a_request_says_what_is_asked_whole_and_of_whom() {
    let of = ["dba".to_owned()];
    let long = "x".repeat(100_000);
    for (text, written) in [("DELETE\n\u{202e}", "DELETE\\n\\u202e"), (long.as_str(), long.as_str())] {
        check(
            Event::ApprovalRequested(ApprovalRequested {
                approval: 7,
                session: Some("5e"),
                identity: &identity(),
                owner: Some("dana"),
                client: None,
                database: "shop",
                text,
                runs: None,
                parameters: &[Parameter::Null, Parameter::Text(b"a")],
                pattern: false,
                binding: "b1",
                why: "delete",
                rules: &["guard"],
                needs: &[ApprovalNeed { name: "dbas", of: &of, needed: 2 }],
                bundle_version: "1",
                bundle_hash: "beef",
                wait: "held",
                until: Time(0),
                uses: 1,
                purpose: None,
            }),
            80,
            &format!(
                r#"{{"event":"approval_requested","approval":7,"session":"5e","identity":{{"issuer":"corp","subject":"agent","groups":["dev"],"token_id":null,"on_behalf_of":{{"issuer":"corp","subject":"erin"}}}},"owner":"dana","client":null,"database":"shop","text":"{written}","parameters":[null,{{"text":"a"}}],"of":"statement","binding":"b1","why":"delete","rules":["guard"],"needs":[{{"name":"dbas","of":["dba"],"needed":2}}],"bundle_version":"1","bundle_hash":"beef","wait":"held","until":"1970-01-01T00:00:00.000000Z","uses":1,"purpose":null}}"#
            ),
        );
    }
}

#[test]
fn who_decided_what_becomes_of_it_and_who_was_refused_is_said() {
    let (identity, dbas) = (identity(), ["dbas".to_owned()]);
    let vote = ApprovalVoted {
        approval: 7,
        by: &identity,
        delegated_by: Some("corp:ann"),
        verdict: "approve",
        reason: Some("ok"),
        via: "console",
        counts_for: &dbas,
        binding: "b1",
        requester: "corp:agent",
        database: "shop",
    };
    let rest = r#""approval":7,"by":{"issuer":"corp","subject":"agent","groups":["dev"],"token_id":null,"on_behalf_of":{"issuer":"corp","subject":"erin"}},"delegated_by":"corp:ann","verdict":"approve","reason":"ok","via":"console","counts_for":["dbas"],"binding":"b1","requester":"corp:agent","database":"shop"}"#;
    check(Event::ApprovalVoted(vote), 81, &format!(r#"{{"event":"approval_voted",{rest}"#));
    check(Event::BreakGlass(vote), 86, &format!(r#"{{"event":"break_glass",{rest}"#));
    check(
        Event::ApprovalEnded(ApprovalEnded {
            approval: 7,
            requester: "corp:agent",
            database: "shop",
            state: "denied",
            by: Some("corp:bob"),
            detail: Some("no"),
        }),
        82,
        r#"{"event":"approval_ended","approval":7,"requester":"corp:agent","database":"shop","state":"denied","by":"corp:bob","detail":"no"}"#,
    );
    check(
        Event::ApprovalUsed(ApprovalUsed {
            approval: 7,
            session: None,
            requester: "corp:agent",
            database: "shop",
            binding: "b1",
            approved_by: &dbas,
            persons: &["corp:bob".to_owned()],
            used: 1,
            uses: 2,
        }),
        83,
        r#"{"event":"approval_used","approval":7,"session":null,"requester":"corp:agent","database":"shop","binding":"b1","approved_by":["dbas"],"persons":["corp:bob"],"used":1,"uses":2}"#,
    );
    check(
        Event::ApprovalRefused(ApprovalRefused {
            approval: None,
            act: "approve",
            by: None,
            via: "webhook",
            reason: "unknown",
            detail: "x",
        }),
        84,
        r#"{"event":"approval_refused","approval":null,"act":"approve","by":null,"via":"webhook","reason":"unknown","detail":"x"}"#,
    );
    check(
        Event::Delegation(DelegationChanged {
            delegation: "3",
            what: "made",
            by: "corp:ann",
            from: "corp:ann",
            to: "corp:bob",
            groups: &["dba".to_owned()],
            until: Time(0),
            reason: "away",
        }),
        85,
        r#"{"event":"delegation","delegation":"3","what":"made","by":"corp:ann","from":"corp:ann","to":"corp:bob","groups":["dba"],"until":"1970-01-01T00:00:00.000000Z","reason":"away"}"#,
    );
    let counted = RowsCounted {
        approval: 7,
        session: Some("5e"),
        requester: "corp:agent",
        database: "shop",
        by: &identity,
        outcome: "counted",
        counts: &[("public.people", 3)],
        reason: None,
    };
    check(
        Event::RowsCounted(counted),
        88,
        r#"{"event":"rows_counted","approval":7,"session":"5e","requester":"corp:agent","database":"shop","by":{"issuer":"corp","subject":"agent","groups":["dev"],"token_id":null,"on_behalf_of":{"issuer":"corp","subject":"erin"}},"outcome":"counted","counts":[{"relation":"public.people","rows":3}],"reason":null}"#,
    );
}

#[test]
fn what_approvers_were_told_and_what_came_back_forged_is_on_record() {
    check(
        Event::Notified(Notified {
            approval: 7,
            channel: "oncall",
            what: "opened",
            id: "msg_7_opened_ab",
            attempts: 2,
            digest: false,
        }),
        95,
        r#"{"event":"notified","approval":7,"channel":"oncall","what":"opened","id":"msg_7_opened_ab","attempts":2,"as":"message"}"#,
    );
    check(
        Event::NotificationFailed(NotificationFailed {
            approval: 7,
            channel: "oncall",
            what: "opened",
            attempts: 3,
            outcome: "retried",
            detail: "it answered with status 500",
        }),
        96,
        r#"{"event":"notification_failed","approval":7,"channel":"oncall","what":"opened","attempts":3,"outcome":"retried","detail":"it answered with status 500"}"#,
    );
    check(
        Event::NotifyCallRefused(NotifyCallRefused {
            channel: "oncall",
            client: Some("127.0.0.1:5"),
            act: "call",
            approval: None,
            by: None,
            reason: "forged",
            detail: "its signature",
        }),
        97,
        r#"{"event":"notify_call_refused","channel":"oncall","client":"127.0.0.1:5","act":"call","approval":null,"by":null,"reason":"forged","detail":"its signature"}"#,
    );
}
