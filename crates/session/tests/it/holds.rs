//! Statements that are held, one conversation for each way of sending one and each way in which it can end.

use std::time::Duration;

use approval::{Ended, Value, Wait};
use session::{Input, State};
use wire::backend::tag;

use crate::harness::Harness;
use crate::on_large_stack;
use crate::rng::Rng;
use crate::statements::{COPY_IN, COUNT, INSERT, INSERT_PARAMS, READ_NAME, READ_SSN, SECRET, UPDATE};

fn conversation(check: impl FnOnce(&mut Harness) + Send + 'static) {
    with(Harness::held, check);
}

fn with(make: fn(Rng) -> Harness, check: impl FnOnce(&mut Harness) + Send + 'static) {
    on_large_stack(move || {
        let mut harness = make(Rng::new(1));
        check(&mut harness);
        if !harness.session.is_closed() {
            harness.settle();
        }
    });
}

/// SQLSTATEs of the messages of that type which the client got.
fn states(harness: &Harness, wanted: u8) -> Vec<&str> {
    harness.client.heard.iter().filter(|(tag, _)| *tag == wanted).map(|(_, s)| s.as_str()).collect()
}

fn errors(harness: &Harness) -> Vec<&str> {
    states(harness, tag::ERROR_RESPONSE)
}

fn is_held(harness: &Harness) -> bool {
    matches!(harness.session.activity().state, State::Held { .. })
}

#[test]
fn a_query_is_held_until_it_is_approved() {
    conversation(|harness| {
        harness.query(UPDATE);
        harness.run();
        assert!(is_held(harness));
        assert_eq!(harness.ran, 0);
        harness.tell_waiting();
        assert_eq!(states(harness, tag::NOTICE_RESPONSE), ["01X01"], "the client is told at once");
        assert!(matches!(harness.session.activity().state, State::Held { approval: Some(1), .. }));
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        assert_eq!((&*ask.statement.text, &*ask.statement.command), (UPDATE, "UPDATE"));
        assert_eq!(ask.wait, Wait::Held { in_transaction: false });
        assert_eq!(ask.hold, Duration::from_secs(600));
        assert_eq!(ask.needs[0].name, "dba");
        assert_eq!(ask.rules.iter().map(|rule| &*rule.id).collect::<Vec<_>>(), ["changes"]);
        assert!(ask.touches.iter().any(|touched| touched.action == "update" && touched.verdict == "hold"));
        assert_eq!(ask.client.as_deref(), Some("127.0.0.1:40000"));
        harness.grant();
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (1, 0));
        assert!(!is_held(harness));
        harness.query(UPDATE);
        harness.run();
        assert_eq!((harness.ran, harness.approvals.asked), (1, 2), "an approval is for one execution");
    });
}

#[test]
fn every_other_end_refuses_it_in_its_place() {
    conversation(|harness| {
        for (i, expected) in ["42501", "57X02", "57X03", "57014"].into_iter().enumerate() {
            harness.query(UPDATE);
            harness.run();
            let answer = match i {
                0 => harness.approvals.deny(),
                1 => harness.approvals.end(Ended::Expired),
                2 => harness.approvals.fail(),
                _ => {
                    harness.handle(Input::CancelRequested);
                    assert_eq!(harness.approvals.withdrawn, [Ended::Cancelled]);
                    None
                }
            };
            harness.answer(answer);
            harness.run();
            assert_eq!(errors(harness).last(), Some(&expected));
        }
        assert_eq!(harness.ran, 0);
        harness.query(COUNT);
        harness.run();
        assert_eq!(harness.ran, 1, "the connection goes on");
    });
}

#[test]
fn a_cancel_without_a_held_statement_does_nothing() {
    conversation(|harness| {
        harness.handle(Input::CancelRequested);
        harness.query(COUNT);
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (1, 0));
    });
}

#[test]
fn nobody_s_answer_in_time_is_an_end_too() {
    conversation(|harness| {
        harness.query(UPDATE);
        harness.run();
        harness.wait(Duration::from_secs(599));
        assert!(is_held(harness));
        harness.wait(Duration::from_secs(10));
        harness.run();
        assert_eq!((errors(harness), &*harness.approvals.withdrawn), (vec!["57X02"], &[Ended::Expired][..]));
    });
}

#[test]
fn the_session_s_end_withdraws_what_is_held() {
    for (end, why) in [
        (Input::Revoked("ended by an operator".to_owned()), Ended::SessionEnded),
        (Input::ClientClosed, Ended::SessionEnded),
        (Input::UpstreamClosed, Ended::SessionEnded),
        (Input::Drain, Ended::Lost),
    ] {
        // The input isn't `Send`.
        let end = match end {
            Input::Revoked(_) => 0,
            Input::ClientClosed => 1,
            Input::UpstreamClosed => 2,
            _ => 3,
        };
        conversation(move |harness| {
            harness.query(UPDATE);
            harness.run();
            harness.handle(match end {
                0 => Input::Revoked("ended by an operator".to_owned()),
                1 => Input::ClientClosed,
                2 => Input::UpstreamClosed,
                _ => Input::Drain,
            });
            assert!(harness.session.is_closed());
            assert_eq!((harness.ran, &*harness.approvals.withdrawn), (0, &[why][..]));
            let late = harness.approvals.late(0);
            harness.answer(late);
            assert_eq!(harness.ran, 0);
        });
    }
}

#[test]
fn a_token_s_end_ends_what_is_held() {
    conversation(|harness| {
        harness.query(READ_NAME);
        harness.run();
        harness.elapsed += Duration::from_secs(900);
        harness.handle(Input::Deadline);
        assert!(harness.session.is_closed());
        assert_eq!(harness.approvals.withdrawn, [Ended::SessionEnded]);
    });
}

#[test]
fn another_policy_decides_anew_what_is_held() {
    conversation(|harness| {
        harness.query(UPDATE);
        harness.run();
        // Allowed there without approval.
        harness.change_policy(1);
        harness.run();
        assert_eq!((harness.ran, &*harness.approvals.withdrawn), (1, &[Ended::PolicyChanged][..]));
        harness.change_policy(0);
        harness.query(INSERT);
        harness.run();
        // Forbidden there.
        harness.change_policy(1);
        harness.run();
        assert_eq!((harness.ran, errors(harness)), (1, vec!["42501"]));
        let late = harness.approvals.late(1);
        harness.answer(late);
        harness.run();
        assert_eq!(harness.ran, 1, "a late answer is none");
    });
}

#[test]
fn what_was_approved_and_waits_for_the_disk_is_not_run_under_another_policy() {
    conversation(|harness| {
        harness.query(INSERT);
        harness.run();
        harness.grant();
        harness.run_without_journal();
        assert_eq!(harness.ran, 0);
        harness.change_policy(1);
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (0, 1));
    });
}

#[test]
fn what_runs_is_not_ended_by_a_policy_that_allows_it_too() {
    conversation(|harness| {
        harness.query(COPY_IN);
        harness.run_approved();
        assert!(harness.client.copying);
        harness.change_policy(0);
        assert!(!harness.session.is_closed(), "the same rules");
        harness.copy_data();
        harness.copy_end(true);
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (1, 0));
        harness.query(COPY_IN);
        harness.run_approved();
        harness.change_policy(1);
        assert!(harness.session.is_closed(), "forbidden by the new ones");
    });
}

#[test]
fn a_statement_of_a_script_is_held_in_its_turn() {
    conversation(|harness| {
        // The first: nothing is open meanwhile.
        harness.query(&format!("{UPDATE}; {COUNT}"));
        harness.run();
        assert!(is_held(harness));
        assert_eq!(harness.server.status.as_byte(), b'I', "no transaction is left open");
        harness.grant();
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (2, 0));
        // A later one is inside the script's transaction; for this group that's no hindrance, for a shorter time.
        harness.query(&format!("{COUNT}; {UPDATE}"));
        harness.run();
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        assert_eq!((ask.wait, ask.hold), (Wait::Held { in_transaction: true }, Duration::from_secs(60)));
        harness.grant();
        harness.run();
        assert_eq!(harness.ran, 4);
        // Denied, all of it is undone.
        harness.query(&format!("{UPDATE}; {COUNT}"));
        harness.run();
        let denied = harness.approvals.deny();
        harness.answer(denied);
        harness.run();
        assert_eq!((harness.ran, errors(harness)), (4, vec!["42501"]));
    });
}

#[test]
fn in_a_transaction_it_is_refused_unless_the_group_says_otherwise() {
    conversation(|harness| {
        harness.query("begin");
        harness.query(UPDATE);
        harness.run();
        assert!(is_held(harness));
        harness.grant();
        harness.run();
        assert_eq!(harness.ran, 2);
        // This group does not: but what is approved already would do.
        harness.query(READ_NAME);
        harness.run();
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        assert!(ask.hold.is_zero());
        let failed = harness.approvals.fail();
        harness.answer(failed);
        harness.run();
        assert_eq!(errors(harness), ["42501"]);
        harness.query(READ_NAME);
        harness.run();
        assert_eq!(errors(harness), ["42501", "25P02"], "nobody is asked for what can't run");
        harness.query("rollback");
        harness.query("begin");
        harness.query(READ_NAME);
        harness.run();
        harness.tell_waiting();
        harness.run();
        assert_eq!(errors(harness).last(), Some(&"42501"));
        assert_eq!(harness.approvals.withdrawn, [Ended::Withdrawn]);
    });
}

#[test]
fn parsing_needs_no_approval_and_binding_does() {
    conversation(|harness| {
        harness.parse("s1", INSERT_PARAMS);
        harness.describe(wire::frontend::Target::Statement, "s1");
        harness.sync();
        harness.run();
        assert_eq!((errors(harness).len(), harness.approvals.asked), (0, 0));
        harness.bind_values("", "s1", &["1", "2", "3"]);
        harness.execute("", 0);
        harness.sync();
        harness.run();
        assert!(is_held(harness));
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        let values: Vec<_> = ask.statement.parameters.iter().map(|parameter| &parameter.value).collect();
        assert_eq!(
            values,
            [&Value::Text("1".to_owned()), &Value::Text("2".to_owned()), &Value::Text("3".to_owned())]
        );
        let types: Vec<_> = ask.statement.parameters.iter().map(approval::Parameter::type_shown).collect();
        assert_eq!(types, ["integer"; 3], "as the server has said, since Parse left them open");
        harness.grant();
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (1, 0));
        harness.bind_values("", "s1", &["1", "2", "4"]);
        harness.execute("", 0);
        harness.sync();
        harness.run();
        let (_, other) = harness.approvals.pending.clone().unwrap();
        assert_ne!(ask.binding, other.binding, "other parameters are another thing to approve");
        assert_eq!(ask.pattern, other.pattern, "of one pattern");
    });
}

#[test]
fn a_pipeline_in_which_nothing_has_run_keeps_no_lock() {
    conversation(|harness| {
        // Once, so that its shape is known: then Parse is not a question but goes as it comes.
        harness.unnamed(UPDATE);
        harness.sync();
        harness.run_approved();
        harness.unnamed(UPDATE);
        harness.flush();
        harness.run();
        assert!(is_held(harness));
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        assert_eq!(ask.wait, Wait::Held { in_transaction: false });
        harness.grant();
        harness.run();
        assert_eq!(harness.ran, 2);
        // Something has run: that is an open transaction.
        harness.unnamed(UPDATE);
        harness.run();
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        assert_eq!(ask.wait, Wait::Held { in_transaction: true });
        let denied = harness.approvals.deny();
        harness.answer(denied);
        harness.run();
        harness.query(COUNT);
        harness.sync();
        harness.run();
        assert_eq!((harness.ran, errors(harness)), (2, vec!["42501"]), "all is skipped until Sync");
    });
}

#[test]
fn a_parse_that_fails_before_a_held_statement_is_answered_as_it_is() {
    conversation(|harness| {
        harness.unnamed(UPDATE);
        harness.sync();
        harness.parse("s1", UPDATE);
        harness.sync();
        harness.run_approved();
        // The name is taken: the server fails, and skips with the client what follows.
        harness.parse("s1", UPDATE);
        harness.unnamed(UPDATE);
        harness.sync();
        harness.unnamed(COUNT);
        harness.sync();
        harness.run();
        assert_eq!((errors(harness), harness.approvals.asked), (vec!["42P05"], 1));
        assert_eq!(harness.ran, 2);
    });
}

#[test]
fn rows_come_masked_from_what_was_approved() {
    conversation(|harness| {
        harness.query(READ_SSN);
        harness.run_approved();
        harness.unnamed("SELECT name, ssn FROM customers WHERE id = $1");
        harness.sync();
        harness.run_approved();
        // The harness looks for the canary in every byte.
        assert_eq!((harness.ran, harness.client.rows, errors(harness).len()), (2, 6, 0));
        harness.query(SECRET);
        harness.run();
        assert_eq!(
            (errors(harness), harness.approvals.asked),
            (vec!["42501"], 2),
            "what is forbidden is not asked for"
        );
    });
}

#[test]
fn prepare_passes_and_execute_is_held_with_what_it_stands_for() {
    conversation(|harness| {
        harness.query("PREPARE p2 AS INSERT INTO orders VALUES (1, 2, 3)");
        harness.run();
        assert_eq!((harness.ran, harness.approvals.asked), (1, 0));
        harness.query("EXECUTE p2");
        harness.run();
        let (_, ask) = harness.approvals.pending.clone().unwrap();
        assert_eq!(ask.statement.text, "EXECUTE p2");
        assert!(ask.statement.runs.as_deref().unwrap().contains(INSERT));
        assert_eq!(ask.pattern, None, "what a name stands for can change");
        harness.grant();
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (2, 0));
        harness.unnamed("EXECUTE p2");
        harness.sync();
        harness.run_approved();
        assert_eq!((harness.ran, harness.approvals.asked), (3, 2));
    });
}

#[test]
fn a_cursor_is_approved_once_for_all_that_is_fetched_from_it() {
    with(Harness::held_async, |harness| {
        let declare = "DECLARE c CURSOR FOR SELECT id, ssn FROM customers";
        harness.query("begin");
        harness.query(declare);
        harness.run();
        assert!(harness.approvals.pending.is_some());
        harness.grant();
        harness.run();
        harness.query("FETCH ALL FROM c");
        harness.unnamed("FETCH ALL FROM c");
        harness.sync();
        harness.run();
        assert_eq!((harness.ran, harness.approvals.asked, errors(harness).len()), (4, 1, 0));
        harness.query("CLOSE c");
        harness.query("commit");
        harness.run();
    });
}

#[test]
fn copies_are_held_on_both_protocols() {
    conversation(|harness| {
        harness.query("COPY customers (id, ssn) TO STDOUT");
        harness.run_approved();
        harness.query(COPY_IN);
        harness.run_approved();
        assert!(harness.client.copying);
        harness.copy_data();
        harness.copy_end(true);
        harness.run();
        harness.parse("cp", COPY_IN);
        harness.bind("", "cp", 0);
        harness.execute_copy("");
        harness.run();
        assert!(is_held(harness) && !harness.client.copying);
        harness.grant();
        harness.run();
        assert!(harness.client.copying);
        harness.copy_end(true);
        harness.run();
        assert_eq!((harness.ran, harness.approvals.asked, errors(harness).len()), (3, 3, 0));
    });
}

#[test]
fn a_client_that_does_not_wait_is_refused_and_passes_when_it_comes_again() {
    with(Harness::held_async, |harness| {
        harness.query(UPDATE);
        harness.run();
        let (_, first) = harness.approvals.pending.clone().unwrap();
        assert_eq!(first.wait, Wait::Async);
        harness.tell_waiting();
        harness.run();
        assert_eq!(errors(harness), ["57X01"]);
        assert!(harness.approvals.withdrawn.is_empty(), "the request lives on");
        harness.query(COUNT);
        harness.query(UPDATE);
        harness.run();
        let (_, again) = harness.approvals.pending.clone().unwrap();
        assert_eq!(first.binding, again.binding, "the same statement");
        harness.grant();
        harness.run();
        assert_eq!((harness.ran, errors(harness).len()), (2, 1));
    });
}

#[test]
fn definitions_that_change_while_it_is_held_are_looked_at_again() {
    conversation(|harness| {
        harness.query(UPDATE);
        harness.run();
        harness.wait(Duration::from_secs(60));
        harness.database.catalog_changed();
        harness.refresh_catalog();
        harness.grant();
        harness.run();
        assert_eq!((harness.ran, harness.approvals.asked), (1, 1), "the server says that it means the same");
    });
}

#[test]
fn what_the_client_sends_while_it_waits_is_bounded() {
    conversation(|harness| {
        harness.query(UPDATE);
        harness.run();
        // A client that goes on sending is not read without bound.
        for _ in 0..100_000 {
            harness.query(COUNT);
        }
        let all = harness.outgoing.len();
        while harness.session.wants_client() {
            harness.deliver_client(1 << 14);
        }
        let taken = all - harness.outgoing.len();
        assert!(taken <= (256 << 10) + (1 << 14), "{taken} of {all} bytes are kept");
        assert_eq!(harness.ran, 0);
        harness.handle(Input::ClientClosed);
        assert!(harness.session.is_closed());
    });
}
