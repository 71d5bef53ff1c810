//! COPY. Knows no rows.

use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, DefElem, Node};

use super::names::{columns, strings};
use super::options::{boolean, options, text};
use super::{Read, Reader, plain_query};
use crate::{Command, CopyFormat, CopySource, CopyText, CopyWhich, Effect, ExpressionRole, QueryRole, Touch};

impl Reader<'_> {
    pub(super) fn copy(&mut self, stmt: &CopyStmt) -> Read {
        let CopyStmt { relation, query, attlist, is_from, is_program, filename, options, where_clause } =
            stmt;
        let source = match (filename.is_empty(), is_program) {
            (true, false) => CopySource::Client,
            (false, false) => CopySource::File(filename.clone()),
            (_, true) => CopySource::Program(filename.clone()),
        };
        let touch = if *is_from { Touch::Insert } else { Touch::Select };
        match (relation, query.as_deref().and_then(|node| node.node.as_ref())) {
            (Some(relation), None) => self.relation(Some(relation), columns(attlist), touch, false),
            (None, Some(query)) if !is_from && plain_query(query).is_some() => {
                self.query(query, QueryRole::CopyOut, Vec::new())
            }
            (None, Some(_)) if !is_from => self.refused_query(query),
            _ => self.unsupported("COPY of such a thing"),
        }
        if let Some(condition) = where_clause.as_deref().and_then(|node| node.node.as_ref()) {
            let from = relation.clone().map(NodeEnum::RangeVar).into_iter().collect();
            self.expressions(&[condition], from, ExpressionRole::CopyWhere);
        }
        let format = self.copy_format(options, source, touch);
        (Command::Copy, if *is_from { Effect::CopyIn(format) } else { Effect::CopyOut(format) })
    }

    /// `ProcessCopyOptions` (src/backend/commands/copy.c).
    fn copy_format(&mut self, list: &[Node], source: CopySource, touch: Touch) -> CopyFormat {
        let incoming = touch == Touch::Insert;
        let mut format = CopyText::Text;
        let (mut header, mut encoding, mut force_quote) = (false, None, CopyWhich::None);
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, None, None);
        for option in options(list) {
            let Some(option) = option else {
                self.unsupported("an option of COPY");
                continue;
            };
            let value = text(option);
            match option.defname.as_str() {
                "format" => match value.as_deref() {
                    Some("text") => format = CopyText::Text,
                    Some("csv") => format = CopyText::Csv,
                    Some("binary") => format = CopyText::Binary,
                    _ => self.unsupported("a COPY format that isn't text, csv or binary"),
                },
                "header" => header = boolean(option).unwrap_or(true),
                "encoding" => encoding = value,
                "delimiter" => delimiter = self.one_byte(option),
                "quote" => quote = self.one_byte(option),
                "escape" => escape = self.one_byte(option),
                "null" => null = value,
                "force_quote" => force_quote = self.which(option),
                // These change what comes in, not how it is written.
                "freeze"
                | "default"
                | "force_not_null"
                | "force_null"
                | "on_error"
                | "log_verbosity"
                | "reject_limit"
                | "convert_selectively" => {}
                // What comes in is PostgreSQL's to understand.
                _ if incoming => self.read(option),
                other => self.unsupported(format!("COPY's option \"{other}\"")),
            }
        }
        let csv = format == CopyText::Csv;
        let quote = quote.unwrap_or(b'"');
        CopyFormat {
            format,
            delimiter: delimiter.unwrap_or(if csv { b',' } else { b'\t' }),
            null: null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
            quote,
            escape: escape.unwrap_or(quote),
            header,
            force_quote,
            encoding,
            source,
        }
    }

    fn one_byte(&mut self, option: &DefElem) -> Option<u8> {
        let value = text(option).unwrap_or_default();
        let [byte] = value.as_bytes() else {
            self.unsupported(format!("COPY's {} that isn't one byte", option.defname));
            return None;
        };
        Some(*byte)
    }

    fn which(&mut self, option: &DefElem) -> CopyWhich {
        match option.arg.as_deref().and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::AStar(_)) => CopyWhich::All,
            Some(NodeEnum::List(list)) => match strings(&list.items) {
                Some(names) => CopyWhich::Columns(names),
                None => {
                    self.unsupported("COPY's FORCE_QUOTE");
                    CopyWhich::None
                }
            },
            _ => {
                self.unsupported("COPY's FORCE_QUOTE");
                CopyWhich::None
            }
        }
    }
}
