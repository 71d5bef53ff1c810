//! `gatepost sessions replay --against`: runs what a session ran at another database, and says where it comes to something else.
//!
//! All of it is one transaction that is rolled back, unless told otherwise: the session's own transactions are savepoints in it. What
//! is compared, and what can't be, is `replay`'s to say.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use config::SecretRef;
use model::{Oid, Secret};
use recording::{Entry, Sent, What};
use replay::{Chain, Column, Comparison, Control, Difference, Outcome, Tally, compare, control};
use server::upstream::{self, Target, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::backend::{ReadyForQuery, TransactionStatus, tag};
use wire::frame;
use wire::frontend::{Target as Named, encode};

use super::tape::Tape;
use crate::failure::{Failure, Status};
use crate::output::{Cell, Format, Out, Tone};

/// To connect and log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);
/// PostgreSQL's own limit of a message (`PQ_LARGE_MESSAGE_LIMIT`, libpq/libpq.h).
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// The savepoints that stand for the session's transactions, and for statements outside of them.
const BLOCK: &str = "gatepost_block";
const ALONE: &str = "gatepost_alone";

/// Whether what is run stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is rolled back.
    Rollback,
    /// The session's transactions are its own.
    Commit,
}

/// A recorded statement, until its end is read.
struct Recorded {
    number: u64,
    sent: Sent,
    tally: Tally,
    copy: Vec<u8>,
    copy_cut: bool,
}

/// What became of a statement here.
enum Found {
    Compared(Comparison),
    NotRun(&'static str),
}

/// Runs a recording at the database that `reference` leads to, and prints what differs.
pub(super) async fn run(
    mut tape: Tape,
    reference: &str,
    ending: Ending,
    everything: bool,
    format: Format,
) -> Result<Status, Failure> {
    let mut there = There::open(reference, ending).await?;
    let mut waiting: VecDeque<Recorded> = VecDeque::new();
    let mut report = Report { everything, rows: Vec::new(), same: 0, other: 0, untold: 0, not_run: 0 };
    while let Some(entry) = tape.next_entry()? {
        take(&mut waiting, &entry);
        while waiting.front().is_some_and(|it| it.tally.is_done() || it.sent.decision.sqlstate.is_some()) {
            let Some(recorded) = waiting.pop_front() else { break };
            let found = there.again(&recorded).await?;
            report.add(&recorded, &found);
        }
    }
    for recorded in waiting {
        report.add(&recorded, &Found::NotRun("its end is not recorded"));
    }
    there.close().await?;
    for damage in tape.damage() {
        report.hole(damage);
    }
    report.print(ending, format)
}

/// Puts an entry where it belongs.
fn take(waiting: &mut VecDeque<Recorded>, entry: &Entry) {
    let number = entry.statement;
    if let What::Sent(sent) = &entry.what {
        waiting.push_back(Recorded {
            number,
            tally: Tally::new(&Column::known(sent)),
            sent: (**sent).clone(),
            copy: Vec::new(),
            copy_cut: false,
        });
        return;
    }
    let Some(it) = waiting.iter_mut().find(|it| it.number == number) else { return };
    match &entry.what {
        What::Received(bytes) => {
            let mut rest = bytes.as_slice();
            while let Ok(Some(message)) = frame::next(rest, MESSAGE_BYTES_MAX) {
                rest = rest.get(message.raw.len()..).unwrap_or_default();
                it.tally.take(message);
            }
        }
        What::Cut { rows, .. } => it.tally.cut(*rows),
        What::CopyData(data) => it.copy.extend_from_slice(data),
        What::CopyCut(_) => it.copy_cut = true,
        _ => {}
    }
}

/// The values of parameters, as they were bound; `None` if one can't be read.
fn bound(sent: &Sent) -> Option<Vec<Option<Vec<u8>>>> {
    let value = |(at, value): (usize, &Option<String>)| match value {
        None => Some(None),
        Some(text) if sent.parameters_binary.iter().any(|it| usize::from(*it) == at) => {
            Some(Some(hex::decode(text.strip_prefix("\\x")?).ok()?))
        }
        Some(text) => Some(Some(text.clone().into_bytes())),
    };
    sent.parameters.iter().enumerate().map(value).collect()
}

/// The other database.
struct There {
    upstream: Upstream,
    received: Vec<u8>,
    ending: Ending,
    /// Where the session stands, by its own transactions.
    status: TransactionStatus,
    /// Whether the transaction that is to be rolled back has begun.
    within: bool,
}

impl There {
    async fn open(reference: &str, ending: Ending) -> Result<Self, Failure> {
        let reference = SecretRef::parse(reference, Path::new("."))
            .map_err(|error| Failure::usage(format!("--against {error}")))?;
        let url = server::secrets::resolve(&reference).await.map_err(|error| Failure::of(&error))?;
        let (server, user, password) = config::Upstream::parse_login(url.expose(), Path::new("."))
            .map_err(|why| Failure::new(format!("secret \"{reference}\" {why}")))?;
        let target = Target::new(&server).map_err(|error| Failure::of(&error))?;
        let (user, password) = (Secret::new(user), password.map(Secret::new));
        let parameters = [("application_name".to_owned(), "gatepost replay".to_owned())];
        let upstream = upstream::login(&target, &user, password.as_ref(), &parameters, LOGIN_TIMEOUT).await;
        let mut upstream = upstream.map_err(|error| Failure::of(&error))?;
        let received = std::mem::take(&mut upstream.leftover);
        let mut there = Self { upstream, received, ending, status: TransactionStatus::Idle, within: false };
        there.own("SET standard_conforming_strings = on").await?;
        if ending == Ending::Rollback {
            there.own("BEGIN").await?;
            there.within = true;
        }
        Ok(there)
    }

    /// Runs a recorded statement, and compares.
    async fn again(&mut self, recorded: &Recorded) -> Result<Found, Failure> {
        if recorded.sent.decision.sqlstate.is_some() {
            // The database never saw it; within a transaction it failed what followed.
            if self.status == TransactionStatus::InTransaction {
                self.fail().await?;
            }
            return Ok(Found::NotRun("it was refused"));
        }
        if recorded.sent.parameters_cut > 0 {
            return Ok(Found::NotRun("its parameters are not all recorded"));
        }
        if recorded.copy_cut {
            return Ok(Found::NotRun("not all rows of its COPY are recorded"));
        }
        let control = control(&recorded.sent.text);
        let now = match (self.ending, control) {
            (_, Control::TwoPhase) => return Ok(Found::NotRun("it is about two-phase commit")),
            (Ending::Commit, _) => self.statement(recorded).await?,
            (Ending::Rollback, Control::None) => match self.guarded(recorded).await? {
                Some(now) => now,
                None => {
                    return Ok(Found::NotRun("it can't be run where it is rolled back; --commit runs it"));
                }
            },
            (Ending::Rollback, control) => self.control(control).await?,
        };
        let mut then = recorded.tally.clone().finish();
        then.masked = recorded.sent.decision.masked.iter().map(|at| usize::from(*at)).collect();
        then.masked_somewhere = recorded.sent.decision.verdict == "mask" && then.masked.is_empty();
        Ok(Found::Compared(compare(&then, &now)))
    }

    /// Does with savepoints what the session did with transactions.
    async fn control(&mut self, control: Control) -> Result<Outcome, Failure> {
        let before = self.status;
        let begin = format!("SAVEPOINT {BLOCK}");
        let end = format!("RELEASE SAVEPOINT {BLOCK}");
        let back = format!("ROLLBACK TO SAVEPOINT {BLOCK}");
        let (tag, chain) = match (control, before) {
            (Control::None | Control::TwoPhase, _) => return Ok(Outcome::default()),
            (Control::Begin, TransactionStatus::Idle) => {
                self.own(&begin).await?;
                self.status = TransactionStatus::InTransaction;
                ("BEGIN", Chain::No)
            }
            // A warning, and nothing.
            (Control::Begin, TransactionStatus::InTransaction) => ("BEGIN", Chain::No),
            (Control::Begin, TransactionStatus::Failed) => {
                return Ok(Outcome { sqlstate: Some("25P02".to_owned()), ..Outcome::default() });
            }
            (Control::Commit { chain: Chain::No }, TransactionStatus::Idle) => ("COMMIT", Chain::No),
            (Control::Rollback { chain: Chain::No }, TransactionStatus::Idle) => ("ROLLBACK", Chain::No),
            (Control::Commit { .. } | Control::Rollback { .. }, TransactionStatus::Idle) => {
                return Ok(Outcome { sqlstate: Some("25P01".to_owned()), ..Outcome::default() });
            }
            (Control::Commit { chain }, TransactionStatus::InTransaction) => {
                // What a commit would check is checked now.
                let outcome = self.own_outcome("SET CONSTRAINTS ALL IMMEDIATE").await?;
                if outcome.sqlstate.is_some() {
                    self.own(&back).await?;
                    self.own(&end).await?;
                    self.status = TransactionStatus::Idle;
                    return Ok(Outcome { tag: None, sqlstate: outcome.sqlstate, ..Outcome::default() });
                }
                self.own(&end).await?;
                ("COMMIT", chain)
            }
            (Control::Commit { chain } | Control::Rollback { chain }, _) => {
                self.own(&back).await?;
                self.own(&end).await?;
                ("ROLLBACK", chain)
            }
        };
        if !matches!(control, Control::Begin) {
            self.status = TransactionStatus::Idle;
            if chain == Chain::Yes {
                self.own(&begin).await?;
                self.status = TransactionStatus::InTransaction;
            }
        }
        Ok(Outcome { tag: Some(tag.to_owned()), ..Outcome::default() })
    }

    /// Runs a statement so that its failure fails what it would have failed and no more; `None` if it must not be in a transaction.
    async fn guarded(&mut self, recorded: &Recorded) -> Result<Option<Outcome>, Failure> {
        let alone = self.status == TransactionStatus::Idle;
        if alone {
            self.own(&format!("SAVEPOINT {ALONE}")).await?;
        }
        let now = self.statement(recorded).await?;
        if alone {
            if now.sqlstate.is_some() {
                self.own(&format!("ROLLBACK TO SAVEPOINT {ALONE}")).await?;
            }
            self.own(&format!("RELEASE SAVEPOINT {ALONE}")).await?;
        }
        // active_sql_transaction
        Ok((now.sqlstate.as_deref() != Some("25001")).then_some(now))
    }

    /// Fails the transaction, as a refusal did.
    async fn fail(&mut self) -> Result<(), Failure> {
        let raise = "DO $$ BEGIN RAISE EXCEPTION 'refused'; END $$";
        self.own_outcome(raise).await?;
        self.status = TransactionStatus::Failed;
        Ok(())
    }

    async fn own(&mut self, text: &str) -> Result<(), Failure> {
        let outcome = self.own_outcome(text).await?;
        match outcome.sqlstate {
            None => Ok(()),
            Some(state) => Err(Failure::new(format!("the other database refuses {text}: {state}"))),
        }
    }

    async fn own_outcome(&mut self, text: &str) -> Result<Outcome, Failure> {
        Ok(self.exchange(text, None, &[], &[]).await?.0)
    }

    async fn statement(&mut self, recorded: &Recorded) -> Result<Outcome, Failure> {
        let sent = &recorded.sent;
        let Some(parameters) = bound(sent) else {
            return Err(Failure::new(format!("a parameter of statement {} can't be read", recorded.number)));
        };
        let formats: Vec<i16> = sent.columns.iter().map(|column| column.format).collect();
        let (outcome, status) =
            self.exchange(&sent.text, Some((sent, &parameters)), &formats, &recorded.copy).await?;
        match (self.ending, status) {
            (Ending::Commit, status) => self.status = status,
            (Ending::Rollback, TransactionStatus::Failed)
                if self.status == TransactionStatus::InTransaction =>
            {
                self.status = TransactionStatus::Failed;
            }
            // ROLLBACK TO SAVEPOINT brings a failed transaction back.
            (Ending::Rollback, TransactionStatus::InTransaction)
                if self.status == TransactionStatus::Failed =>
            {
                self.status = TransactionStatus::InTransaction;
            }
            (Ending::Rollback, _) => {}
        }
        Ok(outcome)
    }

    /// Sends one statement by the extended protocol, which takes no more than one, and reads until the server is ready.
    // SECURITY: whatever was recorded, one text is one statement here, and the promise to roll back is checked after each.
    async fn exchange(
        &mut self,
        text: &str,
        bound: Option<(&Sent, &[Option<Vec<u8>>])>,
        formats: &[i16],
        copy: &[u8],
    ) -> Result<(Outcome, TransactionStatus), Failure> {
        let wrong = |error: wire::EncodeError| Failure::caused("a recorded statement can't be sent", error);
        let mut out = Vec::new();
        let (types, binary, parameters) = match bound {
            Some((sent, parameters)) => {
                (sent.parameter_types.as_slice(), sent.parameters_binary.as_slice(), parameters)
            }
            None => ([].as_slice(), [].as_slice(), [].as_slice()),
        };
        let is_binary = |at: usize| i16::from(binary.iter().any(|it| usize::from(*it) == at));
        encode::parse(&mut out, b"", text.as_bytes(), types.iter().map(|oid| Oid(*oid))).map_err(wrong)?;
        let values = parameters.iter().map(Option::as_deref);
        let codes = (0..parameters.len()).map(is_binary);
        encode::bind(&mut out, b"", b"", codes, values, formats.iter().copied()).map_err(wrong)?;
        encode::describe(&mut out, Named::Portal, b"").map_err(wrong)?;
        encode::execute(&mut out, b"", 0).map_err(wrong)?;
        encode::flush(&mut out);
        self.send(&out).await?;
        let mut tally = Tally::default();
        let mut synced = false;
        loop {
            let length = self.message().await?;
            let bytes = self.received.get(..length).unwrap_or_default();
            let Ok(Some(message)) = frame::next(bytes, MESSAGE_BYTES_MAX) else {
                return Err(Failure::new("the other database broke the protocol"));
            };
            let kind = message.tag;
            tally.take(message);
            let ready = (kind == tag::READY_FOR_QUERY)
                .then(|| ReadyForQuery::parse(message.body).map(|ready| ready.status))
                .transpose()
                .map_err(|error| Failure::caused("the other database broke the protocol", error))?;
            self.received.drain(..length);
            if let Some(status) = ready {
                self.check(status)?;
                return Ok((tally.finish(), status));
            }
            if kind == tag::COPY_IN_RESPONSE {
                let mut rows = Vec::new();
                encode::copy_data(&mut rows, copy).map_err(wrong)?;
                encode::copy_done(&mut rows);
                self.send(&rows).await?;
            }
            if tally.is_done() && !synced {
                synced = true;
                let mut sync = Vec::new();
                encode::sync(&mut sync);
                self.send(&sync).await?;
            }
        }
    }

    /// Whether what was promised still holds.
    fn check(&self, status: TransactionStatus) -> Result<(), Failure> {
        if self.within && status == TransactionStatus::Idle {
            return Err(Failure::new(
                "the transaction that was to be rolled back has ended; nothing more is run",
            ));
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = self.upstream.stream.write_all(bytes).await;
        sent.map_err(|error| Failure::caused("the other database went away", error))
    }

    /// Waits until a message is whole; returns its length.
    async fn message(&mut self) -> Result<usize, Failure> {
        loop {
            match frame::next(&self.received, MESSAGE_BYTES_MAX) {
                Ok(Some(message)) => return Ok(message.raw.len()),
                Ok(None) => {}
                Err(error) => return Err(Failure::caused("the other database broke the protocol", error)),
            }
            let read = self.upstream.stream.read_buf(&mut self.received).await;
            match read {
                Ok(0) => return Err(Failure::new("the other database closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(Failure::caused("the other database went away", error)),
            }
        }
    }

    async fn close(mut self) -> Result<(), Failure> {
        if self.ending == Ending::Rollback {
            self.within = false;
            self.own("ROLLBACK").await?;
        }
        self.upstream.terminate().await;
        Ok(())
    }
}

/// What is printed at the end.
struct Report {
    everything: bool,
    rows: Vec<Vec<Cell>>,
    same: u64,
    other: u64,
    untold: u64,
    not_run: u64,
}

/// Characters of a statement in a table.
const TEXT_MAX: usize = 60;

impl Report {
    fn add(&mut self, recorded: &Recorded, found: &Found) {
        let (tone, word, details) = match found {
            Found::NotRun(why) => {
                self.not_run += 1;
                (Tone::Warning, "not run", vec![(*why).to_owned()])
            }
            Found::Compared(Comparison { differences, unknown }) => {
                let untold = unknown.iter().map(|it| format!("not compared: {it}"));
                let details: Vec<String> = differences.iter().map(worded).chain(untold).collect();
                if !differences.is_empty() {
                    self.other += 1;
                    (Tone::Bad, "different", details)
                } else if !unknown.is_empty() {
                    self.untold += 1;
                    (Tone::Warning, "same as far as it is known", details)
                } else {
                    self.same += 1;
                    (Tone::Good, "same", details)
                }
            }
        };
        if self.everything || word != "same" {
            let text = recorded.sent.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let short: String = text.chars().take(TEXT_MAX).collect();
            let details: Vec<serde_json::Value> = details.into_iter().map(Into::into).collect();
            self.rows.push(vec![
                Cell::new(recorded.number),
                Cell::toned(tone, word),
                Cell::new(short),
                Cell::new(details),
            ]);
        }
    }

    fn hole(&mut self, damage: &str) {
        self.untold += 1;
        self.rows.push(vec![
            Cell::new(serde_json::Value::Null),
            Cell::toned(Tone::Bad, "not readable"),
            Cell::new(""),
            Cell::new(damage),
        ]);
    }

    fn print(self, ending: Ending, format: Format) -> Result<Status, Failure> {
        let mut out = Out::new();
        if !self.rows.is_empty() || format == Format::Json {
            out.table(format, &["statement", "result", "text", "details"], &self.rows)?;
        }
        if format == Format::Table {
            let Self { same, other, untold, not_run, .. } = self;
            let kept = match ending {
                Ending::Rollback => "everything was rolled back",
                Ending::Commit => "it was committed as the session did",
            };
            out.line(&format!(
                "{same} same, {other} different, {untold} not told apart, {not_run} not run; {kept}"
            ))?;
        }
        out.flush()?;
        Ok(if self.other == 0 { Status::Success } else { Status::CheckFailed })
    }
}

fn worded(difference: &Difference) -> String {
    let ended = |it: &Option<String>| it.clone().unwrap_or_else(|| "success".to_owned());
    match difference {
        Difference::Sqlstate(then, now) => format!("then {}, now {}", ended(then), ended(now)),
        Difference::Tag(then, now) => {
            let said = |it: &Option<String>| it.clone().unwrap_or_else(|| "nothing".to_owned());
            format!("then {}, now {}", said(then), said(now))
        }
        Difference::Columns(then, now) => {
            format!("then columns {}, now {}", then.join(", "), now.join(", "))
        }
        Difference::Rows(then, now) => format!("then {then} rows, now {now}"),
        Difference::Values(columns) => format!("other values in {}", columns.join(", ")),
        Difference::Order => "the same rows in another order".to_owned(),
    }
}
