//! One conversation for each kind of mistake that a gateway can make.

use std::time::Duration;

use session::Input;
use wire::backend::tag;

use crate::harness::Harness;
use crate::on_large_stack;
use crate::rng::Rng;
use crate::statements::{COPY_IN, COUNT, DELETE, INSERT, INSERT_PARAMS, READ_NAME, READ_SSN, SECRET, UPDATE};

fn conversation(check: impl FnOnce(&mut Harness) + Send + 'static) {
    on_large_stack(|| {
        let mut harness = Harness::new(Rng::new(1));
        check(&mut harness);
        if !harness.session.is_closed() {
            harness.settle();
        }
    });
}

/// SQLSTATEs of the errors that the client got.
fn errors(harness: &Harness) -> Vec<&str> {
    harness
        .client
        .heard
        .iter()
        .filter(|(tag, _)| *tag == tag::ERROR_RESPONSE)
        .map(|(_, s)| s.as_str())
        .collect()
}

#[test]
fn allowed_runs_masked_and_denied_does_not() {
    conversation(|harness| {
        harness.query(READ_SSN);
        harness.query(SECRET);
        harness.run();
        assert_eq!(harness.client.rows, 3);
        assert_eq!(errors(harness), ["42501"]);
        assert_eq!(harness.ran, 1);
    });
}

#[test]
fn a_skipped_parse_leaves_the_old_statement() {
    conversation(|harness| {
        harness.parse("s1", COUNT);
        harness.sync();
        harness.run();
        // The first Execute fails, so that Close and Parse are skipped on the server.
        harness.execute("nothing", 0);
        harness.close(wire::frontend::Target::Statement, "s1");
        harness.parse("s1", INSERT);
        harness.sync();
        harness.run();
        harness.bind("", "s1", 0);
        harness.execute("", 0);
        harness.sync();
        harness.run();
        assert_eq!(errors(harness), ["34000"]);
        // The count's row, and nothing was inserted.
        assert_eq!((harness.ran, harness.client.rows), (1, 3));
    });
}

#[test]
fn a_new_policy_decides_the_execution_of_what_was_bound_before() {
    conversation(|harness| {
        harness.query("begin");
        harness.parse("s1", INSERT_PARAMS);
        harness.bind("c1", "s1", 3);
        harness.flush();
        harness.run();
        harness.change_policy(1);
        harness.execute("c1", 0);
        harness.sync();
        harness.run();
        assert_eq!(errors(harness), ["42501"]);
        assert_eq!(harness.ran, 1, "only begin ran");
    });
}

#[test]
fn a_new_policy_decides_what_still_waits_for_the_disk() {
    conversation(|harness| {
        harness.query(INSERT);
        harness.run_without_journal();
        harness.change_policy(1);
        harness.run();
        assert_eq!(errors(harness), ["42501"]);
        assert_eq!(harness.ran, 0);
    });
}

#[test]
fn pipelined_writes_share_one_flush() {
    conversation(|harness| {
        // Once, so that its shape is known.
        harness.unnamed(INSERT);
        harness.sync();
        harness.run();
        let before = (harness.ran, harness.undurable());
        for _ in 0..100 {
            harness.unnamed(INSERT);
        }
        harness.sync();
        harness.run_without_journal();
        assert_eq!(harness.undurable() - before.1, 100, "all are recorded before one is on disk");
        assert_eq!(harness.ran, before.0, "none runs before its record is on disk");
        harness.acknowledge_durable(harness.undurable());
        harness.run_without_journal();
        assert_eq!(harness.ran - before.0, 100, "one flush is enough for all");
    });
}

#[test]
fn written_is_not_enough_for_a_write_and_is_for_a_read() {
    conversation(|harness| {
        harness.query(UPDATE);
        harness.run_without_journal();
        harness.acknowledge_written(harness.unwritten());
        harness.run_without_journal();
        assert_eq!(harness.ran, 0);
        harness.run();
        assert_eq!(harness.ran, 1);
        harness.query(COUNT);
        harness.run_without_journal();
        assert_eq!(harness.ran, 1, "not before it is written");
        harness.acknowledge_written(harness.unwritten());
        harness.run_without_journal();
        assert_eq!(harness.ran, 2);
    });
}

#[test]
fn a_journal_failure_refuses_in_place_and_the_session_recovers() {
    conversation(|harness| {
        harness.unnamed(INSERT);
        harness.unnamed(UPDATE);
        harness.sync();
        harness.query(COUNT);
        harness.run_without_journal();
        harness.fail_journal();
        harness.run();
        assert_eq!(errors(harness), ["58030"]);
        assert_eq!(harness.client.rows, 3, "the read after it has its record");
        harness.query(INSERT);
        harness.run();
        assert_eq!(errors(harness).len(), 1);
        assert_eq!(harness.ran, 2);
    });
}

#[test]
fn a_journal_failure_leaves_a_copy_that_is_under_way() {
    conversation(|harness| {
        harness.query(COPY_IN);
        harness.run_without_journal();
        harness.acknowledge_all();
        // Sent, and the server has not answered yet; this client does not wait for the answer.
        harness.fail_journal();
        harness.copy_data();
        harness.copy_end(true);
        harness.run();
        assert_eq!(errors(harness), [""; 0]);
        assert!(harness.client.heard.iter().any(|(tag, _)| *tag == tag::COMMAND_COMPLETE));
    });
}

#[test]
fn a_copy_is_not_forgotten_when_a_statement_before_it_ends() {
    conversation(|harness| {
        for text in [READ_NAME, COPY_IN] {
            harness.query(text);
            harness.run();
            if harness.client.copying {
                harness.copy_end(true);
                harness.run();
            }
        }
        harness.query(READ_NAME);
        harness.query(COPY_IN);
        harness.run();
        assert!(harness.client.copying, "the server waits for data");
        harness.copy_data();
        harness.copy_end(true);
        harness.run();
        assert_eq!(harness.ran, 4);
    });
}

#[test]
fn a_script_outside_a_transaction_is_undone_as_a_whole() {
    conversation(|harness| {
        harness.query(&format!("{INSERT}; {SECRET}; {UPDATE}"));
        harness.run();
        assert_eq!(errors(harness), ["42501"]);
        assert_eq!(harness.ran, 1, "the third is not tried");
        assert_eq!(harness.client.status, b'I');
    });
}

#[test]
fn a_script_inside_a_transaction_fails_it() {
    conversation(|harness| {
        harness.query("begin");
        harness.query(&format!("{INSERT}; {DELETE}; {UPDATE}"));
        harness.run();
        assert_eq!(harness.client.status, b'E');
        harness.query(COUNT);
        harness.query("rollback");
        harness.run();
        assert_eq!(errors(harness), ["42501", "25P02"]);
        assert_eq!(harness.client.status, b'I');
    });
}

#[test]
fn a_script_that_commits_in_between_keeps_what_it_committed() {
    conversation(|harness| {
        harness.query(&format!("begin; {INSERT}; commit; {UPDATE}; {SECRET}"));
        harness.run();
        assert_eq!(errors(harness), ["42501"]);
        assert_eq!(harness.ran, 4);
        assert_eq!(harness.client.status, b'I');
    });
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_result_ends_the_session() {
    conversation(|harness| {
        harness.query(COUNT);
        harness.run_without_journal();
        harness.acknowledge_written(harness.unwritten());
        while harness.step_server() {}
        // The middle of the RowDescription: no row has been passed on.
        harness.deliver_server(10);
        harness.elapsed += Duration::from_secs(901);
        harness.handle(Input::Deadline);
        assert_eq!(errors(harness), ["57P01"]);
        assert!(harness.session.is_closed());
        let heard = harness.client.heard.len();
        harness.deliver_server(usize::MAX);
        assert_eq!((harness.client.heard.len(), harness.client.rows), (heard, 0));
    });
}

#[test]
fn nothing_that_was_prepared_by_sql_escapes_a_new_policy() {
    conversation(|harness| {
        harness.query("PREPARE p2 AS INSERT INTO orders VALUES (1, 2, 3)");
        harness.query("begin");
        harness.query("DECLARE c CURSOR FOR SELECT id, ssn FROM customers");
        harness.run();
        harness.change_policy(1);
        harness.query("FETCH ALL FROM c");
        harness.query("rollback");
        harness.query("EXECUTE p2");
        harness.bind("", "p2", 0);
        harness.execute("", 0);
        harness.sync();
        harness.run();
        assert_eq!(errors(harness), ["42501", "42501", "42501"]);
        assert_eq!(harness.client.rows, 0);
    });
}

fn limited(check: impl FnOnce(&mut Harness) + Send + 'static) {
    on_large_stack(|| {
        let mut harness = Harness::limited(Rng::new(1));
        check(&mut harness);
        if !harness.session.is_closed() {
            harness.settle();
        }
    });
}

#[test]
fn rows_beyond_the_limit_reach_nobody_and_a_late_cancel_meets_nothing_else() {
    limited(|harness| {
        harness.query(READ_NAME);
        harness.query(COUNT);
        harness.run();
        assert_eq!((errors(harness), harness.client.rows_most), (vec!["54000", "54000"], 2));
        harness.query("begin");
        harness.unnamed(READ_SSN);
        harness.sync();
        harness.run();
        assert_eq!(harness.client.status, b'E');
        harness.query("commit");
        harness.query(UPDATE);
        harness.run();
        assert_eq!(errors(harness).len(), 3);
    });
}

#[test]
fn a_session_that_does_nothing_ends_sooner_within_a_transaction() {
    limited(|harness| {
        harness.query("begin");
        harness.run();
        harness.wait(Duration::from_secs(299));
        harness.query(UPDATE);
        harness.run();
        harness.wait(Duration::from_secs(299));
        assert!(!harness.session.is_closed());
        harness.wait(Duration::from_secs(1));
        assert!(harness.session.is_closed());
        assert_eq!(errors(harness), ["25P03"]);
    });
    limited(|harness| {
        harness.wait(Duration::from_secs(599));
        assert!(!harness.session.is_closed());
        harness.wait(Duration::from_secs(1));
        assert!(harness.session.is_closed());
        assert_eq!(errors(harness), ["57P05"]);
    });
}

#[test]
fn what_is_done_before_it_is_cancelled_for_being_late_comes_whole() {
    limited(|harness| {
        harness.parse("", COUNT);
        harness.bind("", "", 0);
        harness.execute("", 1);
        harness.sync();
        harness.run();
        let rows = harness.client.rows;
        assert!(rows > 0);
        harness.bind("", "", 0);
        harness.execute("", 1);
        harness.sync();
        harness.deliver_client(usize::MAX);
        harness.acknowledge_written(harness.unwritten());
        // The server is done, and its answer on its way.
        while harness.step_server() {}
        harness.wait(Duration::from_secs(20));
        harness.deliver_server(usize::MAX);
        assert!(harness.deliver_cancel(), "it was late");
        harness.run();
        assert_eq!(errors(harness), [""; 0]);
        assert_eq!(harness.client.rows, 2 * rows, "either an error, or all rows");
    });
}
