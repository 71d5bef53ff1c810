//! The only writer to the upstream.
//!
//! Statements need a [`Permit`] and a [`Receipt`]: of a record that has left the process for a read, that is on disk for
//! a write. Everything else that is sent is in the
//! closed list [`Housekeeping`] or a question, which PostgreSQL parses and does not execute.
//!
//! Values that prove a decision, or a record, can't be made elsewhere:
//!
//! ```compile_fail,E0451
//! # fn forge(judged: std::sync::Arc<session::Judged>) {
//! let permit: session::Permit<session::Read> = session::Permit { judged, kind: std::marker::PhantomData };
//! # }
//! ```
//!
//! ```compile_fail,E0451
//! let receipt: session::Receipt<session::Durable> = session::Receipt { kind: std::marker::PhantomData };
//! ```
//!
//! A write can't be forwarded on the strength of a record that isn't on disk:
//!
//! ```compile_fail,E0308
//! # fn hurry(permit: session::Permit<session::Write>, receipt: session::Receipt<session::Written>) {
//! let mut out = session::Outbox::default();
//! session::forward_write(&mut out.upstream, permit, receipt, b"");
//! # }
//! ```
//!
//! nor a write be taken for a read:
//!
//! ```compile_fail,E0308
//! # fn disguise(permit: session::Permit<session::Write>, receipt: session::Receipt<session::Written>) {
//! let mut out = session::Outbox::default();
//! session::forward_read(&mut out.upstream, permit, receipt, b"");
//! # }
//! ```
//!
//! A permit to parse binds and executes nothing:
//!
//! ```compile_fail,E0277
//! # fn bind(permit: session::Permit<session::Parse>) {
//! let mut out = session::Outbox::default();
//! session::forward_binding(&mut out.upstream, &permit, b"");
//! # }
//! ```
//!
//! ```compile_fail,E0308
//! # fn execute(permit: session::Permit<session::Parse>, receipt: session::Receipt<session::Written>) {
//! let mut out = session::Outbox::default();
//! session::forward_read(&mut out.upstream, permit, receipt, b"");
//! # }
//! ```
//!
//! and bytes can't be added behind its back:
//!
//! ```compile_fail,E0616
//! let mut out = session::Outbox::default();
//! out.upstream.bytes.extend_from_slice(b"X");
//! ```

use crate::evidence::Parameters;
use model::{Oid, quote_literal};
use wire::EncodeError;
use wire::frontend::{self, Target, encode};

use crate::authorize::{Executes, Parse, Permit, Prepare, Read, Write};
use crate::record::{Durable, Receipt, Written};

/// Bytes on their way to the upstream.
#[derive(Default)]
pub struct UpstreamBytes {
    // INVARIANT: only this module appends.
    bytes: Vec<u8>,
}

impl UpstreamBytes {
    /// Lends the bytes to be written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the first `n` bytes, which the upstream has taken; gives memory back when none is left.
    pub fn consume(&mut self, n: usize) {
        if n >= self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..n);
        }
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Forwards a statement that only reads; its record has left the process.
pub fn forward_read(
    out: &mut UpstreamBytes,
    permit: Permit<Read>,
    receipt: Receipt<Written>,
    message: &[u8],
) {
    let (Permit { .. }, Receipt { .. }) = (permit, receipt);
    out.bytes.extend_from_slice(message);
}

/// Forwards a statement that may change something; its record is on disk.
pub fn forward_write(
    out: &mut UpstreamBytes,
    permit: Permit<Write>,
    receipt: Receipt<Durable>,
    message: &[u8],
) -> InProgress {
    let (Permit { .. }, Receipt { .. }) = (permit, receipt);
    out.bytes.extend_from_slice(message);
    InProgress(())
}

/// Forwards a Parse; nothing of it is executed, so that it may also be of a statement that waits for approvers.
pub fn forward_parse(out: &mut UpstreamBytes, permit: &Permit<Parse>, message: ParseMessage<'_>) {
    let (Permit { .. }, ParseMessage(message)) = (permit, message);
    out.bytes.extend_from_slice(message);
}

/// A Parse message, and nothing else.
pub struct ParseMessage<'a>(&'a [u8]);

impl<'a> ParseMessage<'a> {
    /// Takes a whole message if it is of that kind.
    pub fn new(message: &'a [u8]) -> Option<Self> {
        matches!(message.first(), Some(&frontend::tag::PARSE)).then_some(Self(message))
    }
}

/// Forwards a Bind of a statement that is allowed. The server plans it, and may compute with its parameters then.
pub fn forward_binding<K: Executes>(out: &mut UpstreamBytes, permit: &Permit<K>, message: &[u8]) {
    let Permit { .. } = permit;
    out.bytes.extend_from_slice(message);
}

/// Forwards SQL's PREPARE of a statement that waits for approvers until it is executed; its record has left the process.
pub fn forward_prepare(
    out: &mut UpstreamBytes,
    permit: Permit<Prepare>,
    receipt: Receipt<Written>,
    message: &[u8],
) {
    let (Permit { .. }, Receipt { .. }) = (permit, receipt);
    out.bytes.extend_from_slice(message);
}

/// Proof that a write was forwarded; its COPY data may follow.
pub struct InProgress(());

/// Forwards (part of) CopyData, CopyDone or CopyFail of a COPY that was forwarded.
pub fn forward_copy_data(out: &mut UpstreamBytes, statement: &InProgress, bytes: &[u8]) {
    let InProgress(()) = statement;
    out.bytes.extend_from_slice(bytes);
}

/// Messages that carry no statement.
pub(crate) enum Housekeeping<'a> {
    /// A client's Describe, Close, Sync or Flush, as it came.
    Client(ClientHousekeeping<'a>),
    /// Closes a prepared statement that a question has made and policy then refused.
    CloseStatement(&'a [u8]),
    /// Makes the extended protocol fail where a message was refused, so that the server's books agree with the client's.
    FailExtended,
    /// Likewise for the simple protocol.
    FailSimple,
    /// Ends a failed question, or the transaction in which nothing but parsing has been done.
    Sync,
    /// Undoes what a failed question did to a transaction block; see [`Guard`].
    Unguard,
    /// Begins, commits or rolls back the implicit transaction of a Query with several statements.
    Begin,
    Commit,
    Rollback,
    /// Ends the connection.
    Terminate,
}

/// A client message that neither defines nor runs a statement.
pub(crate) struct ClientHousekeeping<'a>(&'a [u8]);

impl<'a> ClientHousekeeping<'a> {
    /// Takes a whole message if it is of a kind that runs nothing.
    pub(crate) fn new(message: &'a [u8]) -> Option<Self> {
        use frontend::tag::{CLOSE, DESCRIBE, FLUSH, SYNC};
        matches!(message.first(), Some(&(CLOSE | DESCRIBE | FLUSH | SYNC))).then_some(Self(message))
    }
}

/// Prefix of the names that the gateway itself uses on the server; clients may not use it.
pub(crate) const RESERVED_PREFIX: &str = "gatepost.";

/// The statement that makes the server fail: its name says in the server's log why.
const REFUSED: &[u8] = b"gatepost.refused";

pub(crate) fn housekeeping(out: &mut UpstreamBytes, message: Housekeeping<'_>) {
    let bytes = &mut out.bytes;
    match message {
        Housekeeping::Client(ClientHousekeeping(raw)) => bytes.extend_from_slice(raw),
        // None of these can fail: the texts are constants, and the name came in a message of the same form.
        Housekeeping::CloseStatement(name) => drop(encode::close(bytes, Target::Statement, name)),
        Housekeeping::FailExtended => drop(encode::describe(bytes, Target::Statement, REFUSED)),
        // A syntax error, whatever the grammar: an unterminated quoted identifier that says what happened.
        Housekeeping::FailSimple => drop(encode::query(bytes, b"\"gatepost.refused")),
        Housekeeping::Sync => encode::sync(bytes),
        Housekeeping::Unguard => drop(encode::query(bytes, UNGUARD)),
        Housekeeping::Begin => drop(encode::query(bytes, b"BEGIN")),
        Housekeeping::Commit => drop(encode::query(bytes, b"COMMIT")),
        Housekeeping::Rollback => drop(encode::query(bytes, b"ROLLBACK")),
        Housekeeping::Terminate => encode::terminate(bytes),
    }
}

/// A savepoint around a flight whose failure must leave a transaction block as it was.
pub(crate) struct Guard;

const GUARD: &[u8] = b"SAVEPOINT \"gatepost.guard\"";
const GUARD_OVER: &[u8] = b"RELEASE \"gatepost.guard\"";
const UNGUARD: &[u8] = b"ROLLBACK TO \"gatepost.guard\"; RELEASE \"gatepost.guard\"";
const GUARD_NAME: &[u8] = b"gatepost.guard";

/// One thing to ask the server, in the session's own transaction.
pub(crate) enum Question {
    /// Parse the client's own message, which leaves its prepared statement.
    ClientParse(Vec<u8>),
    /// Parse this text under a name of our own and close it again.
    Parse { text: String, param_types: Vec<Oid> },
    /// Parse this text only for what the server says of it: no tree is wanted, so nothing comes before it.
    Syntax(String),
    /// Run a catalog query of our own.
    Rows(String),
}

const ON: &str = "SELECT pg_catalog.set_config('gatepost.messages', pg_catalog.current_setting('client_min_messages'), true), \
                  pg_catalog.set_config('client_min_messages', 'log', true), \
                  pg_catalog.set_config('debug_pretty_print', 'off', true), \
                  pg_catalog.set_config('debug_print_rewritten', 'on', true)";
const OFF: &str = "SELECT pg_catalog.set_config('debug_print_rewritten', 'off', true), \
                   pg_catalog.set_config('client_min_messages', pg_catalog.current_setting('gatepost.messages'), true)";
const ON_NAME: &[u8] = b"gatepost.on";
const OFF_NAME: &[u8] = b"gatepost.off";
const ASK_NAME: &[u8] = b"gatepost.ask";

/// How many ParseComplete messages come before those of the questions themselves, if any is about a tree.
pub(crate) const PREAMBLE_PARSES: usize = 2;

/// Sends questions in one flight, those about trees first, without Sync: locks that their analysis takes are held
/// until the statement runs. Returns how many CloseComplete messages end the flight.
///
/// # Errors
/// A text is too long for a message; then nothing was sent.
pub(crate) fn ask(
    out: &mut UpstreamBytes,
    questions: &[Question],
    guard: Option<&Guard>,
) -> Result<usize, EncodeError> {
    let start = out.bytes.len();
    let asked = ask_into(&mut out.bytes, questions, guard);
    if asked.is_err() {
        out.bytes.truncate(start);
    }
    asked
}

fn ask_into(
    bytes: &mut Vec<u8>,
    questions: &[Question],
    guard: Option<&Guard>,
) -> Result<usize, EncodeError> {
    let trees = questions.iter().any(|q| matches!(q, Question::ClientParse(_) | Question::Parse { .. }));
    // A flight that failed has left its names behind: closing what isn't there is no error.
    let mut closes = 0;
    for name in [ON_NAME, OFF_NAME, ASK_NAME] {
        closes += drop_named(bytes, name)?;
    }
    if guard.is_some() {
        closes += drop_named(bytes, GUARD_NAME)?;
        encode::parse(bytes, GUARD_NAME, GUARD, [])?;
        run(bytes, GUARD_NAME)?;
        closes += drop_named(bytes, GUARD_NAME)?;
    }
    if trees {
        // Both are parsed before the printing of trees is on.
        encode::parse(bytes, ON_NAME, ON.as_bytes(), [])?;
        encode::parse(bytes, OFF_NAME, OFF.as_bytes(), [])?;
        run(bytes, ON_NAME)?;
        for question in questions {
            match question {
                Question::ClientParse(raw) => bytes.extend_from_slice(raw),
                Question::Parse { text, param_types } => {
                    encode::parse(bytes, ASK_NAME, text.as_bytes(), param_types.iter().copied())?;
                    encode::close(bytes, Target::Statement, ASK_NAME)?;
                    closes += 1;
                }
                Question::Rows(_) | Question::Syntax(_) => {}
            }
        }
        run(bytes, OFF_NAME)?;
        closes += drop_named(bytes, ON_NAME)? + drop_named(bytes, OFF_NAME)?;
    }
    for question in questions {
        match question {
            Question::Rows(text) => {
                encode::parse(bytes, ASK_NAME, text.as_bytes(), [])?;
                run(bytes, ASK_NAME)?;
                closes += drop_named(bytes, ASK_NAME)?;
            }
            Question::Syntax(text) => {
                encode::parse(bytes, ASK_NAME, text.as_bytes(), [])?;
                encode::close(bytes, Target::Statement, ASK_NAME)?;
                closes += 1;
            }
            Question::ClientParse(_) | Question::Parse { .. } => {}
        }
    }
    if guard.is_some() {
        encode::parse(bytes, GUARD_NAME, GUARD_OVER, [])?;
        run(bytes, GUARD_NAME)?;
        closes += drop_named(bytes, GUARD_NAME)?;
    }
    encode::flush(bytes);
    Ok(closes)
}

const PLAN_NAME: &[u8] = b"gatepost.plan";

/// Asks for the plan that a query with these parameters would have. EXPLAIN without ANALYZE runs nothing of it. Returns how many
/// CloseComplete messages end the answer.
///
/// # Errors
/// A text or a value is too long for a message; then nothing was sent.
pub(crate) fn ask_plan(
    out: &mut UpstreamBytes,
    query: &str,
    param_types: &[Oid],
    parameters: &Parameters,
) -> Result<usize, EncodeError> {
    // INVARIANT: the text is one that is explained, whatever it is: nothing of it can come before these words or among them.
    let text = format!("EXPLAIN (FORMAT JSON) {query}");
    let mut bytes = Vec::new();
    let mut closes = drop_named(&mut bytes, PLAN_NAME)?;
    encode::parse(&mut bytes, PLAN_NAME, text.as_bytes(), param_types.iter().copied())?;
    let formats = parameters.values().map(|(format, _)| format);
    let values = parameters.values().map(|(_, value)| value);
    encode::bind(&mut bytes, PLAN_NAME, PLAN_NAME, formats, values, [])?;
    encode::execute(&mut bytes, PLAN_NAME, 0)?;
    closes += drop_named(&mut bytes, PLAN_NAME)?;
    encode::flush(&mut bytes);
    out.bytes.extend_from_slice(&bytes);
    Ok(closes)
}

fn run(bytes: &mut Vec<u8>, name: &[u8]) -> Result<(), EncodeError> {
    encode::bind(bytes, name, name, [], [], [])?;
    encode::execute(bytes, name, 0)
}

fn drop_named(bytes: &mut Vec<u8>, name: &[u8]) -> Result<usize, EncodeError> {
    encode::close(bytes, Target::Portal, name)?;
    encode::close(bytes, Target::Statement, name)?;
    Ok(2)
}

/// Writes a catalog query that resolves names as the session would: one row per name that exists.
pub(crate) fn resolve_names_query(names: &[(Option<&str>, &str)]) -> String {
    let mut text = String::from(
        "SELECT v.i, pg_catalog.to_regclass(v.n)::pg_catalog.oid, pg_catalog.current_schema() FROM (VALUES ",
    );
    for (i, (schema, name)) in names.iter().enumerate() {
        let mut qualified = schema.map(|s| format!("{}.", model::quote_identifier(s))).unwrap_or_default();
        qualified.push_str(&model::quote_identifier(name));
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&format!("({i}, {}::pg_catalog.text)", quote_literal(&qualified)));
    }
    text.push_str(") AS v(i, n)");
    text
}

/// Writes a catalog query for what names lead to: `r` and the OID of each relation that a view among those named is made of,
/// and so on through views of views; `p` and the OID of each function behind an operator of one of those names, or behind a
/// cast, that didn't come with the server.
pub(crate) fn reach_query(relations: &[(Option<&str>, &str)], operators: &[&str]) -> String {
    let names = relations.iter().map(|(schema, name)| {
        let schema = schema.map(|s| format!("{}.", model::quote_identifier(s))).unwrap_or_default();
        quote_literal(&format!("{schema}{}", model::quote_identifier(name)))
    });
    let names: Vec<String> = names.collect();
    let operators: Vec<String> = operators.iter().map(|name| quote_literal(name)).collect();
    format!(
        "WITH RECURSIVE named(oid) AS (SELECT pg_catalog.to_regclass(n)::pg_catalog.oid \
         FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.text[]) n), \
         reached(oid) AS (SELECT oid FROM named UNION SELECT d.refobjid FROM reached \
         JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) reached.oid \
         AND c.relkind OPERATOR(pg_catalog.=) 'v' \
         JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) c.oid \
         AND r.ev_type OPERATOR(pg_catalog.=) '1' \
         JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) r.oid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
         AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass) \
         SELECT 'r', oid FROM reached WHERE NOT EXISTS \
         (SELECT 1 FROM named n WHERE n.oid OPERATOR(pg_catalog.=) reached.oid) AND oid IS NOT NULL \
         UNION ALL SELECT 'p', o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o \
         WHERE o.oprname OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.name[]) \
         AND o.oid OPERATOR(pg_catalog.>=) 16384 AND o.oprcode::pg_catalog.oid OPERATOR(pg_catalog.<>) 0 \
         UNION ALL SELECT 'p', t.castfunc FROM pg_catalog.pg_cast t \
         WHERE t.castfunc OPERATOR(pg_catalog.>=) 16384",
        names.join(", "),
        operators.join(", "),
    )
}

/// Writes a catalog query that resolves types as the session would: one row each, in order, NULL for none.
pub(crate) fn resolve_types_query(types: &[String]) -> String {
    let rows: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(i, name)| format!("({i}, {}::pg_catalog.text)", quote_literal(name)))
        .collect();
    format!(
        "SELECT pg_catalog.to_regtype(v.n)::pg_catalog.oid FROM (VALUES {}) AS v(i, n) ORDER BY v.i",
        rows.join(", ")
    )
}
