//! What a client may be told: every byte frames, every answer was asked for, and nothing of what no client may see.
//!
//! Knows what was sent and what it must lead to; nothing of the gateway.

use std::collections::VecDeque;

use wire::backend::tag;
use wire::error::ErrorFields;
use wire::frame;

use crate::statements::CANARY;

/// What a message that was sent leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// So many results, then ReadyForQuery.
    Query {
        statements: usize,
        done: usize,
        failed: bool,
    },
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
    Sync,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Client {
    input: Vec<u8>,
    pub(crate) expects: VecDeque<Expect>,
    /// An error came; what is sent until Sync has no answer.
    skipping: bool,
    /// COPY FROM STDIN was sent and not yet answered: nothing may be sent.
    pub(crate) holding: bool,
    /// CopyInResponse came.
    pub(crate) copying: bool,
    /// A FATAL error came.
    pub(crate) ended: bool,
    pub(crate) status: u8,
    /// Messages as they came: type, and the SQLSTATE of errors.
    pub(crate) heard: Vec<(u8, String)>,
    logged_in: bool,
    pub(crate) rows: usize,
    /// Of the result that is coming, and the most that one had.
    rows_here: usize,
    pub(crate) rows_most: usize,
    /// An error has come since the last ReadyForQuery.
    failed: bool,
}

impl Client {
    /// Notes that a message was sent.
    pub(crate) fn sent(&mut self, expect: Expect) {
        if expect == Expect::Sync {
            self.skipping = false;
        }
        if !self.skipping {
            self.expects.push_back(expect);
        }
    }

    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Takes bytes from the gateway.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let at = memchr(&self.input, CANARY.as_bytes());
        assert!(
            at.is_none(),
            "a masked value reached the client: {:?}",
            String::from_utf8_lossy(&self.input)
        );
        let mut used = 0;
        loop {
            let input = self.input[used..].to_vec();
            let Some(frame) = frame::next(&input, 1 << 24).expect("the gateway's framing") else { break };
            used += frame.raw.len();
            assert!(!self.ended, "a message {:?} after the end", char::from(frame.tag));
            self.message(frame.tag, frame.body);
        }
        self.input.drain(..used);
    }

    /// Whether the gateway stopped in the middle of a message.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.input.is_empty()
    }

    fn message(&mut self, tag: u8, body: &[u8]) {
        let mut state = String::new();
        if tag == tag::ERROR_RESPONSE {
            let fields = ErrorFields::parse(body).expect("an error's fields");
            state = fields.sqlstate().expect("an error's SQLSTATE").to_string();
            self.heard.push((tag, state.clone()));
            if fields.is_fatal() {
                self.ended = true;
                return;
            }
            self.failed = true;
            self.rows_here = 0;
            return self.error(&state);
        }
        if tag == tag::NOTICE_RESPONSE {
            let fields = ErrorFields::parse(body).expect("a notice's fields");
            state = fields.sqlstate().expect("a notice's SQLSTATE").to_string();
        }
        self.heard.push((tag, state));
        match tag {
            tag::DATA_ROW | tag::COPY_DATA => self.rows_here += 1,
            tag::COMMAND_COMPLETE | tag::PORTAL_SUSPENDED => self.rows_here = 0,
            // What failed leaves no transaction that goes on.
            tag::READY_FOR_QUERY => {
                assert!(!std::mem::take(&mut self.failed) || body[0] != b'T', "{:?}", self.heard)
            }
            _ => {}
        }
        self.rows_most = self.rows_most.max(self.rows_here);
        if !self.logged_in {
            self.logged_in = tag == tag::READY_FOR_QUERY;
            return;
        }
        if matches!(tag, tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE) {
            return;
        }
        self.answer(tag, body);
    }

    fn error(&mut self, state: &str) {
        self.copying = false;
        // A COPY that waits is the last thing that was sent.
        let last = self.expects.len() == 1;
        match self.expects.front_mut() {
            None => panic!("error {state} that nothing asked for"),
            Some(Expect::Query { failed, .. }) => {
                assert!(!*failed, "two errors in answer to one Query");
                *failed = true;
                self.holding &= !last;
            }
            Some(Expect::Sync) => {}
            Some(_) => {
                while self.expects.front().is_some_and(|expect| *expect != Expect::Sync) {
                    self.expects.pop_front();
                }
                self.skipping = self.expects.is_empty();
                self.holding &= !self.skipping;
            }
        }
    }

    fn answer(&mut self, tag: u8, body: &[u8]) {
        let shown = char::from(tag);
        let front = self.expects.front_mut().unwrap_or_else(|| panic!("{shown:?} that nothing asked for"));
        let mut pop = true;
        match (&mut *front, tag) {
            (Expect::Query { statements, done, failed }, tag::READY_FOR_QUERY) => {
                assert!(*failed || done == statements, "{done} of {statements} results, then ReadyForQuery");
                self.status = body[0];
            }
            (Expect::Sync, tag::READY_FOR_QUERY) => self.status = body[0],
            (Expect::Query { failed: true, .. }, _) => panic!("{shown:?} after an error"),
            (Expect::Query { done, .. }, tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE) => {
                *done += 1;
                pop = false;
            }
            (Expect::Query { .. } | Expect::Execute, tag::COPY_IN_RESPONSE) => {
                self.holding = false;
                self.copying = true;
                pop = false;
            }
            (
                Expect::Query { .. } | Expect::Execute,
                tag::DATA_ROW | tag::COPY_OUT_RESPONSE | tag::COPY_DATA | tag::COPY_DONE,
            ) => {
                self.rows += usize::from(tag == tag::DATA_ROW);
                pop = false;
            }
            (Expect::Query { .. }, tag::ROW_DESCRIPTION)
            | (Expect::DescribeStatement, tag::PARAMETER_DESCRIPTION) => pop = false,
            (Expect::Execute, tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED)
            | (Expect::Parse, tag::PARSE_COMPLETE)
            | (Expect::Bind, tag::BIND_COMPLETE)
            | (Expect::Close, tag::CLOSE_COMPLETE)
            | (Expect::DescribeStatement | Expect::DescribePortal, tag::ROW_DESCRIPTION | tag::NO_DATA) => {}
            (front, _) => panic!("{shown:?} in answer to {front:?}"),
        }
        if pop {
            self.expects.pop_front();
        }
    }
}

fn memchr(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
