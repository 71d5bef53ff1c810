//! A recording as psql would have shown it: entries in, pieces of text out. Knows the protocol's messages and psql's habits; no
//! terminal, no time.

use std::collections::VecDeque;
use std::time::Duration;

use recording::{Entry, Hold, Opening, Sent, What};
use wire::backend::{
    CommandComplete, CopyResponse, NotificationResponse, ReadyForQuery, RowDescription, TransactionStatus,
    tag,
};
use wire::error::ErrorFields;
use wire::frame;

use crate::fault::{self, Form};
use crate::piece::{Kind, Piece, clock};
use crate::safe::{self, Brackets};
use crate::table::{Column, Table, footer};
use crate::values;

/// How much is said beside what the client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What `psql -e` shows of the same session, and nothing else.
    Psql,
    /// With prompts, times, decisions, holds and cuts, in brackets `⟦⟧` that nothing recorded can have.
    Annotated,
}

/// Statements that are remembered until they are answered: a pipeline.
const WAITING_MAX: usize = 4096;

/// A statement that isn't answered yet.
#[derive(Debug)]
struct Waiting {
    number: u64,
    text: String,
    /// Characters of the message before it.
    offset: usize,
    refused: bool,
    /// Rows of its result that were not kept.
    cut: u64,
    /// What its rows have for columns, where that isn't sent with them.
    columns: Vec<Column>,
}

/// What of COPY goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    No,
    Out,
    OutBinary,
}

/// Prints entries in the order in which they were recorded.
#[derive(Debug)]
pub struct Printer {
    style: Style,
    database: String,
    status: TransactionStatus,
    waiting: VecDeque<Waiting>,
    table: Option<Table>,
    copying: Copying,
    /// psql tells notifications when a statement is done.
    notifications: String,
    /// Of which statement something was printed last.
    last: u64,
}

impl Printer {
    /// Begins, at the session's beginning or where [`Printer::is_at_rest`] said so; then with the status that it had there.
    pub fn new(style: Style, opening: &Opening, status: TransactionStatus) -> Self {
        let brackets = if style == Style::Annotated { Brackets::Ours } else { Brackets::Theirs };
        Self {
            style,
            database: safe::word(&opening.database, brackets),
            status,
            waiting: VecDeque::new(),
            table: None,
            copying: Copying::No,
            notifications: String::new(),
            last: 0,
        }
    }

    /// Whether whatever was sent is answered: what comes can be printed by another printer that knows the status only.
    pub fn is_at_rest(&self) -> bool {
        self.waiting.is_empty()
            && self.table.is_none()
            && self.copying == Copying::No
            && self.notifications.is_empty()
    }

    /// Returns where the session stands with transactions.
    pub const fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Prints what an entry adds.
    pub fn print(&mut self, entry: &Entry) -> Vec<Piece> {
        let Entry { at, statement, what } = entry;
        let mut page = Page { at: *at, statement: *statement, pieces: Vec::new() };
        match what {
            What::Sent(sent) => self.sent(sent, &mut page),
            What::Received(bytes) => self.received(bytes, &mut page),
            What::Cut { rows, bytes } => {
                if let Some(waiting) = self.find(page.statement) {
                    waiting.cut = waiting.cut.saturating_add(*rows);
                }
                self.note(Kind::Note, &format!("{rows} rows, {bytes} bytes: not kept"), &mut page);
            }
            What::CopyData(data) => {
                if self.style == Style::Annotated {
                    let mut text = self.text(data);
                    end_line(&mut text);
                    page.push(Kind::Input, text);
                }
            }
            What::CopyCut(bytes) => {
                self.note(Kind::Note, &format!("{bytes} bytes that the client sent: not kept"), &mut page);
            }
            What::Kept(kept) => {
                self.note(Kind::Note, &format!("from here {} are kept", kept.as_str()), &mut page);
            }
            What::Hold(Hold { request, state, message }) => {
                let said = message.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
                self.note(Kind::Hold, &format!("request {request} {state}{said}"), &mut page);
            }
            What::CancelRequested => self.note(Kind::Note, "the client asks to cancel", &mut page),
            What::Gap { why } => {
                self.note(Kind::Note, &format!("not recorded up to here: {why}"), &mut page);
            }
            What::Ended { why } => {
                self.rows(&mut page);
                self.note(Kind::Note, &format!("the session ended: {why}"), &mut page);
            }
        }
        page.pieces
    }

    const fn brackets(&self) -> Brackets {
        match self.style {
            Style::Annotated => Brackets::Ours,
            Style::Psql => Brackets::Theirs,
        }
    }

    fn text(&self, bytes: &[u8]) -> String {
        safe::text(bytes, self.brackets())
    }

    fn find(&mut self, number: u64) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.number == number)
    }

    /// Says something that nobody saw then.
    fn note(&mut self, kind: Kind, text: &str, page: &mut Page) {
        if self.style == Style::Annotated {
            let [open, close] = safe::BRACKETS;
            page.push(kind, format!("{open}{}{close}\n", safe::word(text, Brackets::Ours)));
        }
    }

    fn sent(&mut self, sent: &Sent, page: &mut Page) {
        let Sent { text, decision, .. } = sent;
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            number: page.statement,
            text: text.clone(),
            offset: usize::try_from(sent.offset).unwrap_or(usize::MAX),
            refused: decision.sqlstate.is_some(),
            cut: 0,
            columns: Column::known(sent),
        });
        self.last = page.statement;
        let shown = self.text(text.as_bytes());
        let lines = match self.style {
            Style::Psql => format!("{shown}\n"),
            Style::Annotated => self.prompted(&shown, page),
        };
        page.push(Kind::Statement, lines);
        self.decided(sent, page);
    }

    fn prompted(&self, shown: &str, page: &Page) -> String {
        let [open, close] = safe::BRACKETS;
        let within = match self.status {
            TransactionStatus::Idle => "",
            TransactionStatus::InTransaction => "*",
            TransactionStatus::Failed => "!",
        };
        let mut lines = format!("{open}{} {}{close} ", page.statement, clock(page.at));
        for (at, line) in shown.split('\n').enumerate() {
            if at == 0 {
                lines += &format!("{}={within}> {line}\n", self.database);
            } else {
                lines += &format!("{}-> {line}\n", self.database);
            }
        }
        lines
    }

    fn decided(&mut self, sent: &Sent, page: &mut Page) {
        if !sent.parameters.is_empty() {
            let values: Vec<String> = sent
                .parameters
                .iter()
                .enumerate()
                .map(|(at, value)| {
                    let value =
                        value.as_ref().map_or_else(|| "NULL".to_owned(), |it| model::quote_literal(it));
                    format!("${} = {value}", at + 1)
                })
                .collect();
            let cut = match sent.parameters_cut {
                0 => String::new(),
                bytes => format!("; {bytes} bytes of them: not kept"),
            };
            self.note(Kind::Note, &(values.join(", ") + &cut), page);
        }
        let decision = &sent.decision;
        let verb = match (decision.verdict.as_str(), &decision.sqlstate) {
            (_, Some(sqlstate)) => format!("refused with {sqlstate}"),
            ("allow", None) => return,
            ("mask", None) => "masked".to_owned(),
            ("hold", None) => "needs approval".to_owned(),
            (other, None) => other.to_owned(),
        };
        let rules = match decision.rules.as_slice() {
            [] => String::new(),
            rules => format!(" by {}", rules.join(", ")),
        };
        let request = decision.approval.map(|number| format!(", request {number}")).unwrap_or_default();
        self.note(Kind::Note, &format!("{verb}{rules}{request}"), page);
    }

    fn received(&mut self, bytes: &[u8], page: &mut Page) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match frame::next(rest, usize::MAX) {
                Ok(Some(message)) => {
                    rest = rest.get(message.raw.len()..).unwrap_or_default();
                    self.message(message.tag, message.body, page);
                }
                Ok(None) | Err(_) => {
                    self.note(Kind::Note, "a message that is not whole", page);
                    return;
                }
            }
        }
    }

    fn message(&mut self, message: u8, body: &[u8], page: &mut Page) {
        let read = match message {
            tag::ROW_DESCRIPTION => RowDescription::parse(body).map(|description| {
                self.table = Some(Table::new(Column::of(description)));
            }),
            tag::DATA_ROW => {
                self.data_row(body, page);
                Ok(())
            }
            tag::COMMAND_COMPLETE => {
                CommandComplete::parse(body).map(|complete| self.complete(complete.tag, page))
            }
            tag::EMPTY_QUERY_RESPONSE => {
                self.answered(page.statement);
                Ok(())
            }
            tag::PORTAL_SUSPENDED => {
                self.suspended(page);
                Ok(())
            }
            tag::ERROR_RESPONSE => ErrorFields::parse(body).map(|fields| self.error(&fields, page)),
            tag::NOTICE_RESPONSE => ErrorFields::parse(body).map(|fields| self.notice(&fields, page)),
            tag::NOTIFICATION_RESPONSE => {
                NotificationResponse::parse(body).map(|it| self.notification(it, page))
            }
            tag::COPY_OUT_RESPONSE => CopyResponse::parse(body).map(|copy| {
                self.copying = if copy.format == 1 { Copying::OutBinary } else { Copying::Out };
            }),
            tag::COPY_DATA => {
                self.copy_data(body, page);
                Ok(())
            }
            tag::READY_FOR_QUERY => ReadyForQuery::parse(body).map(|ready| self.ready(ready.status, page)),
            // Nothing of these is shown by psql.
            _ => Ok(()),
        };
        if read.is_err() {
            let name = wire::backend::name(message).unwrap_or("message");
            self.note(Kind::Note, &format!("a {name} that can't be read"), page);
        }
    }

    fn data_row(&mut self, body: &[u8], page: &mut Page) {
        let brackets = self.brackets();
        let waiting = self.waiting.iter().find(|waiting| waiting.number == page.statement);
        let known = waiting.map(|waiting| waiting.columns.as_slice()).unwrap_or_default();
        let table = self.table.get_or_insert_with(|| {
            if !known.is_empty() {
                return Table::new(known.to_vec());
            }
            let count = wire::backend::DataRow::parse(body).map(|row| row.len()).unwrap_or_default();
            Table::new(Column::unknown(count))
        });
        if table.push(body) {
            let mut text = String::new();
            table.print(brackets, &mut text);
            self.turn(page);
            page.push(Kind::Rows, text);
        }
    }

    /// Says whose answer follows, where another statement was sent in the meantime.
    fn turn(&mut self, page: &mut Page) {
        if page.statement != 0 && self.last != page.statement {
            self.last = page.statement;
            self.note(Kind::Note, &format!("answer to {}", page.statement), page);
        }
    }

    fn complete(&mut self, command: &[u8], page: &mut Page) {
        self.turn(page);
        let cut = self.find(page.statement).map(|waiting| waiting.cut).unwrap_or_default();
        let copied = self.copying != Copying::No;
        self.copying = Copying::No;
        let word = self.text(command);
        match self.table.take() {
            Some(mut table) => {
                let mut text = String::new();
                if !table.headed() || !table.is_empty() {
                    table.print(self.brackets(), &mut text);
                }
                text += &footer(table.count.saturating_add(cut));
                page.push(Kind::Rows, text);
                // psql 15 to 18 (PrintQueryResult, bin/psql/common.c).
                if ["INSERT", "UPDATE", "DELETE", "MERGE"].iter().any(|it| word.starts_with(it)) {
                    page.push(Kind::Tag, format!("{word}\n"));
                }
            }
            // Where the data went to the screen psql says no more (HandleCopyResult, bin/psql/common.c).
            None if copied && self.style == Style::Psql => {}
            None => page.push(Kind::Tag, format!("{word}\n")),
        }
        self.answered(page.statement);
    }

    fn suspended(&mut self, page: &mut Page) {
        self.turn(page);
        self.rows(page);
        self.note(Kind::Note, "these are the rows that it asked for; there may be more", page);
        self.answered(page.statement);
    }

    /// Prints rows that came and that psql would not show, since no end of them came.
    fn rows(&mut self, page: &mut Page) {
        let Some(mut table) = self.table.take() else { return };
        if self.style == Style::Annotated && (!table.is_empty() || table.headed()) {
            let mut text = String::new();
            table.print(self.brackets(), &mut text);
            page.push(Kind::Rows, text);
        }
    }

    fn error(&mut self, fields: &ErrorFields, page: &mut Page) {
        self.turn(page);
        let came = self.table.as_ref().is_some_and(|table| table.count > 0);
        self.rows(page);
        if came {
            self.note(Kind::Note, "these rows had come when it failed", page);
        }
        self.copying = Copying::No;
        let refused = self.find(page.statement).is_some_and(|waiting| waiting.refused);
        let text = self.fault(Form::Error, fields, page.statement);
        page.push(if refused { Kind::Refusal } else { Kind::Error }, text);
        self.answered(page.statement);
    }

    fn notice(&mut self, fields: &ErrorFields, page: &mut Page) {
        self.turn(page);
        let text = self.fault(Form::Notice, fields, page.statement);
        page.push(Kind::Notice, text);
    }

    fn fault(&self, form: Form, fields: &ErrorFields, statement: u64) -> String {
        let waiting = self.waiting.iter().find(|waiting| waiting.number == statement);
        let within = waiting.map(|it| (it.text.as_str(), it.offset));
        fault::text(form, fields, within, self.brackets())
    }

    /// As psql words it (PrintNotifications, bin/psql/common.c).
    fn notification(&mut self, it: NotificationResponse<'_>, page: &mut Page) {
        let (channel, payload) = (self.text(it.channel), self.text(it.payload));
        let with = if payload.is_empty() { String::new() } else { format!(" with payload \"{payload}\"") };
        let line = format!(
            "Asynchronous notification \"{channel}\"{with} received from server process with PID {}.\n",
            it.process_id
        );
        if self.waiting.is_empty() {
            page.push(Kind::Notice, line);
        } else {
            self.notifications.push_str(&line);
        }
    }

    fn copy_data(&mut self, data: &[u8], page: &mut Page) {
        self.turn(page);
        let text = match self.copying {
            Copying::OutBinary => format!("{}\n", values::hex(data)),
            Copying::Out | Copying::No => {
                let mut text = self.text(data);
                end_line(&mut text);
                text
            }
        };
        match page.pieces.last_mut() {
            Some(last) if last.kind == Kind::Rows => last.text.push_str(&text),
            _ => page.push(Kind::Rows, text),
        }
    }

    fn ready(&mut self, status: TransactionStatus, page: &mut Page) {
        self.status = status;
        // A table without its end is a statement that was described only.
        self.table = None;
        self.copying = Copying::No;
        let number = page.statement;
        if number != 0 {
            self.waiting.retain(|waiting| waiting.number > number);
        }
        let told = std::mem::take(&mut self.notifications);
        if !told.is_empty() {
            page.push(Kind::Notice, told);
        }
    }

    fn answered(&mut self, number: u64) {
        self.waiting.retain(|waiting| waiting.number != number);
    }
}

fn end_line(text: &mut String) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
}

/// The pieces of one entry.
struct Page {
    at: Duration,
    statement: u64,
    pieces: Vec<Piece>,
}

impl Page {
    fn push(&mut self, kind: Kind, text: String) {
        if !text.is_empty() {
            self.pieces.push(Piece { at: self.at, statement: self.statement, kind, text });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
