//! Results on their way: described, counted, passed on, masked or withheld.

use wire::backend::{self, RowDescription, tag};
use wire::error::field;
use wire::frame::{self, Header};

use super::Pass;
use crate::authorize::Judged;
use crate::ops::OpKind;
use crate::refuse::Refusal;
use crate::results::{self, Contradiction, Rows};
use crate::running::{Running, Turn};

impl Running {
    /// Whether rows of what is being answered go on unread.
    pub(super) fn rows_pass(&self, tag: u8) -> bool {
        match self.ops.front().map(|op| &op.kind) {
            Some(OpKind::Query(run) | OpKind::Execute(run)) => match tag {
                // What is dropped needs no reading.
                _ if self.drops_rows() => true,
                tag::COPY_DATA => self.copy_out.is_none(),
                _ => matches!(run.rows, Rows::Plain),
            },
            _ => false,
        }
    }

    /// How many rows a message holds. COPY sends each in one of its own (`CopySendEndOfRow`, commands/copyto.c), and so a line of
    /// names before them, or in binary what comes after them: two bytes.
    pub(super) fn rows_in(&self, header: Header) -> u64 {
        let Some(run) = self.ops.front().and_then(|op| op.kind.run()) else { return 1 };
        match run.judged.analysis.copies_out().filter(|_| header.tag == tag::COPY_DATA) {
            Some(format) if format.format == sql::CopyText::Binary => {
                u64::from(header.len != frame::HEADER_BYTES + 2)
            }
            Some(format) => u64::from(!format.header || run.bytes > 0),
            None => 1,
        }
    }

    /// Whether the statement being answered copies what the client sends.
    pub(super) fn front_copies_in(&self) -> bool {
        self.ops.front().and_then(|op| op.kind.run()).is_some_and(|run| run.judged.analysis.copies_in())
    }

    /// Counts the rows of a COPY FROM STDIN that is done, and makes it fail if they are too many.
    pub(super) fn is_over_with(&mut self, rows: u64, turn: &mut Turn<'_>) -> bool {
        let Some(run) = self.ops.front().and_then(|op| op.kind.run()) else { return false };
        let Err(reached) = self.quota.take(&run.spent, rows, 0, turn.now) else { return false };
        let number = run.number;
        self.record_limit(Some(number), &reached, turn);
        self.fail_done(&reached, turn);
        true
    }

    pub(super) fn row_description(&mut self, body: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        let Some(judged) = self.ops.front().and_then(|op| op.kind.run()).map(|run| run.judged.clone()) else {
            return Err("a description of nothing".to_owned());
        };
        let description = RowDescription::parse(body).map_err(|error| error.to_string())?;
        match self.described(&judged, description) {
            Ok(Ok(rows)) => {
                if let Some(run) = self.ops.front_mut().and_then(|op| op.kind.run_mut()) {
                    run.rows = rows;
                }
                Ok(Pass::On)
            }
            Ok(Err(refusal)) => self.withhold(&refusal, turn),
            Err(contradiction) => self.contradicted(&contradiction, turn),
        }
    }

    pub(super) fn described(
        &self,
        judged: &Judged,
        description: RowDescription<'_>,
    ) -> Result<Result<Rows, Refusal>, Contradiction> {
        let tagged = |relation, column| {
            let Some(known) = self.overlay.relation(relation).or_else(|| self.catalog.relation(relation))
            else {
                return false;
            };
            let Some(name) = known.column_name(column) else { return false };
            let past = self.database.past();
            let others =
                past.map(|past| past.other_names(relation, column, (&known.name, name))).unwrap_or_default();
            let tagged = |(relation, name): (&_, &str)| !self.bundle.tags(relation, name).is_empty();
            tagged((&known.name, name)) || others.iter().any(|(relation, name)| tagged((relation, name)))
        };
        Rows::described(judged, description, tagged, &self.database.settings)
    }

    pub(super) fn describe_message(
        &mut self,
        tag: u8,
        body: &[u8],
        judged: &Judged,
        turn: &mut Turn<'_>,
    ) -> Result<Pass, String> {
        match tag {
            tag::PARAMETER_DESCRIPTION => Ok(Pass::On),
            tag::NO_DATA => self.complete(),
            tag::ROW_DESCRIPTION => {
                let description = RowDescription::parse(body).map_err(|error| error.to_string())?;
                match self.described(judged, description) {
                    Ok(_) => self.complete(),
                    Err(contradiction) => self.contradicted(&contradiction, turn),
                }
            }
            other => Err(format!("unexpected {} message", backend::name(other).unwrap_or("unknown"))),
        }
    }

    pub(super) fn copy_out_response(&mut self, body: &[u8], turn: &mut Turn<'_>) -> Result<Pass, String> {
        let response = backend::CopyResponse::parse(body).map_err(|error| error.to_string())?;
        let Some(judged) = self.ops.front().and_then(|op| op.kind.run()).map(|run| run.judged.clone()) else {
            return Err("COPY data of nothing".to_owned());
        };
        match results::copy_masker(&judged, &self.database.settings, response.columns.len()) {
            Ok(Ok(masker)) => {
                self.copy_out = masker.map(Box::new);
                Ok(Pass::On)
            }
            Ok(Err(refusal)) => self.withhold(&refusal, turn),
            Err(contradiction) => self.contradicted(&contradiction, turn),
        }
    }

    /// The result isn't what the statement was decided as: nothing more of it leaves, and the session ends.
    pub(super) fn contradicted(
        &mut self,
        contradiction: &Contradiction,
        turn: &mut Turn<'_>,
    ) -> Result<Pass, String> {
        let number = self.ops.front().and_then(|op| op.kind.run()).map(|run| run.number);
        self.record_incident(number, "unexpected_result", &contradiction.0, turn);
        self.withhold(&Refusal::Incident(contradiction.0.clone()), turn)
    }

    /// A result that can't be passed on: its statement has run, so only the end of the session keeps the client from
    /// taking it for done.
    pub(super) fn withhold(&mut self, refusal: &Refusal, turn: &mut Turn<'_>) -> Result<Pass, String> {
        let mut error = refusal.error();
        error = error.with(field::SEVERITY, "FATAL").with(field::SEVERITY_NONLOCALIZED, "FATAL");
        self.fail(&error, "result withheld", turn);
        Ok(Pass::Done)
    }
}
