//! Each act, and each reason why somebody may not.

use std::time::Duration;

use approval::{
    Act, BadDelegation, Binding, Claimer, Delegation, Ended, NotClaimable, Refused, Relation, Request,
    Review, Said, Stamp, State, Wait, Who,
};

use crate::people::{HOLD, USE_WITHIN, agent, all, any, ask, delegation, group, open, who};

const NOW: Stamp = Stamp(1_000_000);
const LATER: Stamp = Stamp(1_010_000);
const SAID: Said<'_> = Said { reason: None, via: "console" };

fn one_dba() -> Request {
    open(ask(vec![group("dbas", any(&["dba"]), 1)], Wait::Held { in_transaction: false }), NOW)
}

fn with_glass(quorum: u32) -> Request {
    let mut dbas = group("dbas", any(&["dba"]), quorum);
    dbas.break_glass = Some("oncall".to_owned());
    open(ask(vec![dbas], Wait::Held { in_transaction: false }), NOW)
}

fn approve(request: &mut Request, by: &Who) -> Result<(), Refused> {
    request.act(Act::Approve, by, SAID, &[], LATER)
}

fn claim(request: &mut Request, now: Stamp) -> Result<(), NotClaimable> {
    let agent = agent();
    let bindings = (Binding::of(&[b"exact"]), Some(Binding::of(&[b"pattern"])));
    let claimer = Claimer { requester: &agent, session: Some("5e"), bindings };
    request.claim(&claimer, now).map(|claim| drop(claim.written()))
}

fn check_related(by: &Who, relation: Relation) {
    let mut request = one_dba();
    let before = request.clone();
    for act in [Act::Approve, Act::Deny] {
        assert_eq!(request.act(act, by, SAID, &[], LATER), Err(Refused::Related(relation)), "{by} {act:?}");
    }
    assert_eq!(request, before);
}

#[test]
fn neither_who_asks_nor_whoever_stands_behind_it_decides() {
    check_related(&agent(), Relation::Itself);
    check_related(&who("erin", &["dba"]), Relation::ActedFor);
    check_related(&Who { email: Some("Dana@Example.com".to_owned()), ..who("d", &["dba"]) }, Relation::Owner);
    check_related(&Who { name: Some("dana@example.com".to_owned()), ..who("d", &["dba"]) }, Relation::Owner);
    check_related(&who("dana@example.com", &["dba"]), Relation::Owner);
    check_related(
        &Who { on_behalf_of: Some("corp:x".to_owned()), ..who("bot", &["dba"]) },
        Relation::ForAnother,
    );
    check_related(&Who { owner: Some("agent".to_owned()), ..who("bot", &["dba"]) }, Relation::Owned);
    check_related(
        &Who { owner: Some("dana@example.com".to_owned()), ..who("bot", &["dba"]) },
        Relation::Owned,
    );
    check_related(&Who { owner: Some("erin".to_owned()), ..who("bot", &["dba"]) }, Relation::Owned);
    // The same person by another issuer, as far as an address says so.
    let mut request = one_dba();
    request.ask.requester.email = Some("a@example.com".to_owned());
    let elsewhere =
        Who { issuer: "other".to_owned(), email: Some("A@example.com".to_owned()), ..who("x", &["dba"]) };
    assert_eq!(approve(&mut request, &elsewhere), Err(Refused::Related(Relation::Itself)));
    // A vote can't be lent either to, or by, any of them.
    for (from, to) in [(who("erin", &["dba"]), "corp:bob"), (who("alice", &["dba"]), "corp:erin")] {
        let delegations = [delegation(&from, to, NOW)];
        let by = who(to.split_once(':').unwrap().1, &[]);
        let refused = one_dba().act(Act::Approve, &by, SAID, &delegations, LATER);
        assert_eq!(refused, Err(Refused::Related(Relation::ActedFor)), "{from} to {to}");
    }
}

#[test]
fn members_decide_and_others_do_not() {
    let mut request = one_dba();
    let nobody = Err(Refused::NotInGroup(vec!["dbas".to_owned()]));
    assert_eq!(approve(&mut request, &who("carol", &["sales"])), nobody);
    assert_eq!(request.act(Act::Deny, &who("carol", &["dbas"]), SAID, &[], LATER), nobody);
    assert_eq!(claim(&mut request, LATER), Err(NotClaimable::NotApproved));
    approve(&mut request, &who("alice", &["dba"])).unwrap();
    assert_eq!(request.state, State::Approved);
    claim(&mut request, LATER).unwrap();
    assert_eq!((request.state.clone(), request.used), (State::Used, 1));
    assert_eq!(claim(&mut request, LATER), Err(NotClaimable::NotApproved));
    assert_eq!(approve(&mut request, &who("bob", &["dba"])), Err(Refused::Over("used")));
}

#[test]
fn a_person_counts_once_for_themselves_or_for_another_under_any_group() {
    let needs = vec![group("dbas", all(&["dba", "privacy"]), 1), group("leads", any(&["lead", "dba"]), 1)];
    let mut request = open(ask(needs, Wait::Async), NOW);
    let alice = who("alice", &["dba", "privacy", "lead"]);
    approve(&mut request, &alice).unwrap();
    assert_eq!(approve(&mut request, &alice), Err(Refused::Counted));
    // Whom alice lends her vote has none of hers left, and she none of theirs.
    let lent = [delegation(&alice, "corp:bob", NOW)];
    assert_eq!(request.act(Act::Approve, &who("bob", &[]), SAID, &lent, LATER), Err(Refused::Counted));
    // The same person as another issuer knows them.
    let mut twice = request.clone();
    twice.votes[0].by.email = Some("alice@example.com".to_owned());
    let other = Who {
        issuer: "other".to_owned(),
        email: Some("alice@example.com".to_owned()),
        ..who("a", &["dba", "privacy"])
    };
    assert_eq!(approve(&mut twice, &other), Err(Refused::Counted));
    approve(&mut request, &who("carol", &["dba"])).unwrap();
    assert_eq!(request.state, State::Open);
    assert_eq!(approve(&mut request, &who("carl", &["dba"])), Ok(()));
    assert_eq!(request.state, State::Approved);
    assert!(request.progress().iter().all(|it| it.have == it.needed));
}

#[test]
fn more_of_a_group_that_has_approved_do_not_stand_for_another() {
    let needs = vec![group("dbas", any(&["dba"]), 1), group("privacy", any(&["privacy"]), 1)];
    let mut request = open(ask(needs, Wait::Async), NOW);
    approve(&mut request, &who("alice", &["dba"])).unwrap();
    assert_eq!(approve(&mut request, &who("bob", &["dba"])), Err(Refused::Surplus));
    approve(&mut request, &who("carol", &["privacy"])).unwrap();
    assert_eq!(request.state, State::Approved);
    // Nobody needed is nobody who can.
    let mut nobody = open(ask(Vec::new(), Wait::Async), NOW);
    assert!(approve(&mut nobody, &who("alice", &["dba"])).is_err());
    nobody.state = State::Approved;
    assert_eq!(claim(&mut nobody, LATER), Err(NotClaimable::NoQuorum));
}

#[test]
fn one_denial_ends_it_with_its_message() {
    let mut request = open(ask(vec![group("dbas", any(&["dba"]), 2)], Wait::Async), NOW);
    approve(&mut request, &who("alice", &["dba"])).unwrap();
    let said = Said { reason: Some("  not on a Friday "), via: "slack" };
    request.act(Act::Deny, &who("alice", &["dba"]), said, &[], LATER).unwrap();
    assert_eq!(request.state, State::Denied);
    assert_eq!(request.denial().unwrap().reason.as_deref(), Some("not on a Friday"));
    assert_eq!(approve(&mut request, &who("bob", &["dba"])), Err(Refused::Over("denied")));
    // What is approved and not used yet can still be taken back, but for what has been let go.
    for (wait, expected) in
        [(Wait::Async, Ok(())), (Wait::Held { in_transaction: false }, Err(Refused::Over("approved")))]
    {
        let mut request = open(ask(vec![group("dbas", any(&["dba"]), 1)], wait), NOW);
        approve(&mut request, &who("alice", &["dba"])).unwrap();
        assert_eq!(request.act(Act::Deny, &who("bob", &["dba"]), SAID, &[], LATER), expected, "{wait:?}");
    }
}

#[test]
fn time_ends_what_is_open_and_what_is_not_used() {
    let end = NOW.after(HOLD);
    let mut request = one_dba();
    assert!(!request.clone().expire(Stamp(end.0 - 1)));
    assert_eq!(request.act(Act::Approve, &who("alice", &["dba"]), SAID, &[], end), Err(Refused::Late));
    assert_eq!(request.act(Act::Deny, &who("alice", &["dba"]), SAID, &[], end), Err(Refused::Late));
    assert!(request.expire(end));
    assert_eq!(request.state, State::Ended(Ended::Expired));
    let mut request = open(ask(vec![group("dbas", any(&["dba"]), 1)], Wait::Before), NOW);
    approve(&mut request, &who("alice", &["dba"])).unwrap();
    let end = LATER.after(USE_WITHIN);
    assert_eq!(claim(&mut request.clone(), end), Err(NotClaimable::Late));
    claim(&mut request.clone(), Stamp(end.0 - 1)).unwrap();
    assert!(request.expire(end) && !request.expire(end));
}

#[test]
fn reasons_are_asked_for_where_they_must_be() {
    let mut dbas = group("dbas", any(&["dba"]), 1);
    dbas.reason_required = true;
    let mut request = open(ask(vec![dbas], Wait::Async), NOW);
    let alice = who("alice", &["dba"]);
    assert!(request.needs_reason(Act::Approve, &alice, &[], LATER));
    for reason in [None, Some(""), Some(" \n ")] {
        let said = Said { reason, via: "cli" };
        assert_eq!(request.act(Act::Approve, &alice, said, &[], LATER), Err(Refused::ReasonRequired));
    }
    let long = "x".repeat(2001);
    let said = Said { reason: Some(&long), via: "cli" };
    assert_eq!(request.act(Act::Approve, &alice, said, &[], LATER), Err(Refused::ReasonTooLong));
    let said = Said { reason: Some("ticket 7"), via: "cli" };
    request.act(Act::Approve, &alice, said, &[], LATER).unwrap();
    assert_eq!(request.votes[0].reason.as_deref(), Some("ticket 7"));
}

#[test]
fn a_broken_glass_runs_at_once_and_is_reviewed_by_somebody_else() {
    let said = Said { reason: Some("the shop is down"), via: "console" };
    let erin = who("erin", &["oncall", "dba"]);
    let mut request = with_glass(2);
    assert_eq!(request.act(Act::BreakGlass, &erin, SAID, &[], LATER), Err(Refused::ReasonRequired));
    let alice = who("alice", &["dba"]);
    assert_eq!(request.act(Act::BreakGlass, &alice, said, &[], LATER), Err(Refused::NoBreakGlass));
    assert_eq!(request.act(Act::Review, &alice, said, &[], LATER), Err(Refused::NothingToReview));
    // The agent's own human may, and no agent in a human's name.
    let bot = Who { groups: erin.groups.clone(), ..agent() };
    let refused = request.act(Act::BreakGlass, &bot, said, &[], LATER);
    assert_eq!(refused, Err(Refused::Related(Relation::ForAnother)));
    let owned = Who { owner: Some("dana".to_owned()), ..who("bot", &["oncall"]) };
    let refused = request.act(Act::BreakGlass, &owned, said, &[], LATER);
    assert_eq!(refused, Err(Refused::Related(Relation::ForAnother)));
    // It isn't lent.
    let lent = [delegation(&erin, "corp:bob", NOW)];
    let refused = request.act(Act::BreakGlass, &who("bob", &[]), said, &lent, LATER);
    assert_eq!(refused, Err(Refused::NoBreakGlass));
    request.act(Act::BreakGlass, &erin, said, &[], LATER).unwrap();
    assert_eq!((request.state.clone(), request.review), (State::Approved, Review::Due));
    claim(&mut request, LATER).unwrap();
    // Neither by who did it nor by whoever asked, nor for either.
    assert_eq!(request.act(Act::Review, &erin, SAID, &[], LATER), Err(Refused::OwnBreakGlass));
    let mut elsewhere = request.clone();
    elsewhere.ask.requester = who("other", &[]);
    let refused = elsewhere.act(Act::Review, &who("bob", &[]), SAID, &lent, LATER);
    assert_eq!(refused, Err(Refused::OwnBreakGlass));
    assert!(request.act(Act::Review, &who("carol", &[]), SAID, &[], LATER).is_err());
    request.act(Act::Review, &alice, SAID, &[], LATER).unwrap();
    assert_eq!((request.state.clone(), request.review), (State::Used, Review::Done));
    assert_eq!(request.act(Act::Review, &alice, SAID, &[], LATER), Err(Refused::NothingToReview));
    // One group that does not foresee it is enough.
    let mut dbas = group("dbas", any(&["dba"]), 1);
    dbas.break_glass = Some("oncall".to_owned());
    let needs = vec![dbas, group("privacy", any(&["privacy"]), 1)];
    let mut request = open(ask(needs, Wait::Async), NOW);
    assert_eq!(request.act(Act::BreakGlass, &erin, said, &[], LATER), Err(Refused::NoBreakGlass));
    approve(&mut request, &who("pia", &["privacy"])).unwrap();
    request.act(Act::BreakGlass, &erin, said, &[], LATER).unwrap();
    assert_eq!(request.state, State::Approved);
}

#[test]
fn an_approval_is_of_one_statement_of_one_identity() {
    let mut request = one_dba();
    approve(&mut request, &who("alice", &["dba"])).unwrap();
    let exact = Binding::of(&[b"exact"]);
    let other = Binding::of(&[b"other"]);
    let (agent, eve) = (agent(), who("eve", &[]));
    let for_another = Who { on_behalf_of: Some("corp:finn".to_owned()), ..agent.clone() };
    for (requester, session, bindings, expected) in [
        (&eve, Some("5e"), (exact, None), NotClaimable::NotTheirs),
        (&for_another, Some("5e"), (exact, None), NotClaimable::NotTheirs),
        (&agent, Some("other"), (exact, None), NotClaimable::NotTheirs),
        (&agent, None, (exact, None), NotClaimable::NotTheirs),
        (&agent, Some("5e"), (other, Some(exact)), NotClaimable::OtherBinding),
    ] {
        let refused = request.claim(&Claimer { requester, session, bindings }, LATER).map(drop);
        assert_eq!(refused, Err(expected));
    }
    // Of a pattern, the pattern's; and what was approved for one statement is for no pattern.
    let mut pattern = open(ask(vec![group("dbas", any(&["dba"]), 1)], Wait::Before), NOW);
    (pattern.ask.statement.pattern, pattern.ask.uses) = (true, 2);
    pattern.ask.binding = Binding::of(&[b"pattern"]);
    approve(&mut pattern, &who("alice", &["dba"])).unwrap();
    claim(&mut pattern, LATER).unwrap();
    assert_eq!((pattern.state.clone(), pattern.used), (State::Approved, 1));
    claim(&mut pattern, LATER).unwrap();
    assert_eq!((pattern.state.clone(), pattern.used), (State::Used, 2));
    assert_eq!(claim(&mut pattern, LATER), Err(NotClaimable::NotApproved));
    // What the state says is not believed without the votes.
    let mut forged = one_dba();
    forged.state = State::Approved;
    assert_eq!(claim(&mut forged, LATER), Err(NotClaimable::NoQuorum));
}

#[test]
fn only_who_asked_takes_it_back() {
    for by in [agent(), who("erin", &[])] {
        let mut request = one_dba();
        request.act(Act::Withdraw, &by, SAID, &[], LATER).unwrap();
        assert_eq!(request.state, State::Ended(Ended::Withdrawn));
        assert_eq!(request.act(Act::Withdraw, &by, SAID, &[], LATER), Err(Refused::Over("withdrawn")));
    }
    let refused = one_dba().act(Act::Withdraw, &who("alice", &["dba"]), SAID, &[], LATER);
    assert_eq!(refused, Err(Refused::NotTheirs));
    let mut request = one_dba();
    assert!(request.end(Ended::Lost, LATER) && !request.end(Ended::Cancelled, LATER));
    assert_eq!(request.state, State::Ended(Ended::Lost));
}

#[test]
fn a_delegation_lends_own_groups_for_a_while_and_no_further() {
    let alice = who("alice", &["dba", "lead"]);
    let make = |from: &Who, to: &str, groups: Option<&[&str]>, days: u64, reason: &str| {
        let groups = groups.map(|groups| groups.iter().map(ToString::to_string).collect());
        let until = NOW.after(Duration::from_secs(days * 86400));
        Delegation::new("d".to_owned(), (from.clone(), to), groups, until, reason, NOW)
    };
    let refused = |made: Result<Delegation, BadDelegation>| made.unwrap_err();
    assert_eq!(refused(make(&alice, "corp:alice", None, 1, "x")), BadDelegation::Oneself);
    assert_eq!(refused(make(&alice, "bob", None, 1, "x")), BadDelegation::Nobody("bob".to_owned()));
    assert_eq!(refused(make(&agent(), "corp:bob", None, 1, "x")), BadDelegation::ForAnother);
    assert_eq!(refused(make(&who("x", &[]), "corp:bob", None, 1, "x")), BadDelegation::NoGroups);
    let theirs = make(&alice, "corp:bob", Some(&["dba", "root"]), 1, "x");
    assert_eq!(refused(theirs), BadDelegation::NotTheirs("root".to_owned()));
    assert_eq!(refused(make(&alice, "corp:bob", None, 0, "x")), BadDelegation::Over);
    assert_eq!(refused(make(&alice, "corp:bob", None, 91, "x")), BadDelegation::TooLong);
    assert_eq!(refused(make(&alice, "corp:bob", None, 1, " ")), BadDelegation::NoReason);

    let lent = make(&alice, "corp:bob", Some(&["dba"]), 1, "away").unwrap();
    let bob = who("bob", &[]);
    let mut request = one_dba();
    request.act(Act::Approve, &bob, SAID, std::slice::from_ref(&lent), LATER).unwrap();
    assert!(request.votes[0].delegated_by.as_ref().unwrap().is(&alice));
    assert_eq!(request.state, State::Approved);
    // Over, ended, another's, or of another group.
    let ended = Delegation { ended: Some(LATER), ..lent.clone() };
    let over = Delegation { until: LATER, ..lent.clone() };
    let lead = make(&alice, "corp:bob", Some(&["lead"]), 1, "away").unwrap();
    let forged = Delegation { from: who("alice", &[]), ..lent.clone() };
    for delegation in [ended, over, lead, forged] {
        let refused = one_dba().act(Act::Approve, &bob, SAID, std::slice::from_ref(&delegation), LATER);
        assert_eq!(refused, Err(Refused::NotInGroup(vec!["dbas".to_owned()])), "{delegation:?}");
    }
    // bob lends alice's vote to nobody: he has nothing of his own.
    let chained = delegation(&Who { groups: lent.groups.clone(), ..bob.clone() }, "corp:carol", NOW);
    let honest = Delegation { from: bob, ..chained };
    let refused = one_dba().act(Act::Approve, &who("carol", &[]), SAID, &[lent, honest], LATER);
    assert_eq!(refused, Err(Refused::NotInGroup(vec!["dbas".to_owned()])));
}
