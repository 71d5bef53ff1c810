//! Messages of a client that leave in one piece.

use testkit::client::{Message, Raw};
use wire::backend::tag;
use wire::frontend::{Target, encode};

/// What is to be sent.
#[derive(Default)]
pub(crate) struct Flight(Vec<u8>);

impl Flight {
    pub(crate) fn query(mut self, sql: &str) -> Self {
        encode::query(&mut self.0, sql.as_bytes()).unwrap();
        self
    }

    pub(crate) fn parse(mut self, name: &str, sql: &str) -> Self {
        encode::parse(&mut self.0, name.as_bytes(), sql.as_bytes(), []).unwrap();
        self
    }

    /// Binds text to the unnamed portal; the result comes in `format`.
    pub(crate) fn bind(mut self, statement: &str, values: &[&str], format: i16) -> Self {
        let values = values.iter().map(|value| Some(value.as_bytes()));
        encode::bind(&mut self.0, b"", statement.as_bytes(), [], values, [format]).unwrap();
        self
    }

    /// Binds no values to a named portal.
    pub(crate) fn bind_portal(mut self, portal: &str, statement: &str) -> Self {
        let none = std::iter::empty::<Option<&[u8]>>();
        encode::bind(&mut self.0, portal.as_bytes(), statement.as_bytes(), [], none, []).unwrap();
        self
    }

    pub(crate) fn execute_portal(mut self, portal: &str) -> Self {
        encode::execute(&mut self.0, portal.as_bytes(), 0).unwrap();
        self
    }

    pub(crate) fn describe_portal(mut self) -> Self {
        encode::describe(&mut self.0, Target::Portal, b"").unwrap();
        self
    }

    pub(crate) fn describe_statement(mut self, name: &str) -> Self {
        encode::describe(&mut self.0, Target::Statement, name.as_bytes()).unwrap();
        self
    }

    pub(crate) fn execute(mut self) -> Self {
        encode::execute(&mut self.0, b"", 0).unwrap();
        self
    }

    /// All that it takes to run a statement without parameters.
    pub(crate) fn run(self, name: &str, sql: &str) -> Self {
        self.parse(name, sql).bind(name, &[], 0).describe_portal().execute()
    }

    pub(crate) fn flush(mut self) -> Self {
        encode::flush(&mut self.0);
        self
    }

    pub(crate) fn sync(mut self) -> Self {
        encode::sync(&mut self.0);
        self
    }

    pub(crate) fn cancel(mut self, process_id: i32, key: &[u8]) -> Self {
        encode::cancel_request(&mut self.0, process_id, key).unwrap();
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }

    /// Sends all of it.
    pub(crate) fn to(self, raw: &mut Raw) {
        raw.send(&self.0);
    }

    /// Sends all of it and returns what comes up to ReadyForQuery.
    pub(crate) fn answered(self, raw: &mut Raw) -> Vec<Message> {
        raw.send(&self.0);
        raw.until(tag::READY_FOR_QUERY)
    }
}

/// Returns the SQLSTATE of the first error; empty if there is none.
pub(crate) fn sqlstate(messages: &[Message]) -> String {
    let error = messages.iter().find(|message| message.tag == tag::ERROR_RESPONSE);
    error.map(|error| error.field(b'C')).unwrap_or_default()
}
