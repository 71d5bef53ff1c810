//! What becomes of rows on their way to the client: passed on as bytes, masked, or stopped.

use mask::copy::{CopyCsv, CopyFormat, CopyMasker, CopyText};
use mask::{ColumnType, Format, Masker};
use model::{Mask, Oid};
use wire::backend::{DataRow, RowDescription};

use crate::analysis::Results;
use crate::authorize::Judged;
use crate::extended::Portal;
use crate::refuse::Refusal;
use crate::shared::Settings;
use crate::shown::Shown;

/// What becomes of the rows of one execution.
pub(crate) enum Rows {
    /// Passed on as they come.
    Plain,
    /// Rewritten: one masker, or none, per column.
    Masked(Vec<Option<Masker>>),
    /// A plan's lines, without the numbers that tell of the values it would handle.
    Plan,
    /// None may come before a RowDescription has said what they are (simple protocol).
    Undescribed,
}

/// The result isn't what the statement was decided as.
pub(crate) struct Contradiction(pub(crate) String);

impl Rows {
    /// For the simple protocol: RowDescription comes first.
    pub(crate) fn until_described(judged: &Judged) -> Self {
        if judged.masks.is_empty() && !judged.hides_sizes { Self::Plain } else { Self::Undescribed }
    }

    /// For Execute: what Bind said of formats, and the analysis of types, must do.
    pub(crate) fn bound(judged: &Judged, portal: &Portal, settings: &Settings) -> Result<Self, Refusal> {
        let (false, Results::Columns(columns)) = (judged.masks.is_empty(), &judged.analysis.results) else {
            return Ok(if judged.hides_sizes { Self::Plan } else { Self::Plain });
        };
        if portal.binary_cursor {
            return Err(Refusal::Unmaskable(
                "a binary cursor over masked columns can't be executed directly".to_owned(),
            ));
        }
        let format = |i: usize| match portal.formats.as_slice() {
            [] => 0,
            [all] => *all,
            each => each.get(i).copied().unwrap_or(0),
        };
        let mut maskers = Vec::with_capacity(columns.len());
        for (i, (column, spec)) in columns.iter().zip(&judged.masks).enumerate() {
            let bare = is_bare(column);
            let ty = ColumnType { oid: column.type_oid, typmod: column.typmod };
            maskers.push(match spec {
                Some(spec) => Some(masker(spec, bare, ty, format(i), settings)?),
                None => None,
            });
        }
        Ok(Self::Masked(maskers))
    }

    /// Takes a RowDescription: what it says must agree with the analysis.
    pub(crate) fn described(
        judged: &Judged,
        description: RowDescription<'_>,
        tagged: impl Fn(Oid, i16) -> bool,
        settings: &Settings,
    ) -> Result<Result<Self, Refusal>, Contradiction> {
        let columns = match &judged.analysis.results {
            Results::Columns(columns) => columns.as_slice(),
            Results::None => &[],
            Results::Unknown => return Ok(Ok(Self::Plain)),
        };
        if !columns.is_empty() && columns.len() != description.len() {
            let (said, known) = (description.len(), columns.len());
            return Err(Contradiction(format!("{said} columns instead of {known}")));
        }
        let mut maskers = Vec::new();
        for (i, field) in description.iter().enumerate() {
            let column = columns.get(i);
            let expected = column.is_some_and(|c| c.origins.contains(&(field.table_oid, field.attnum)));
            if field.table_oid != Oid(0) && !expected && tagged(field.table_oid, field.attnum) {
                let (relation, number) = (field.table_oid, field.attnum);
                return Err(Contradiction(format!(
                    "column {} comes from column {number} of relation {relation}",
                    i + 1
                )));
            }
            if let Some(column) = column
                // A domain's values come as those of its base type.
                && column.type_oid.is_builtin()
                && column.type_oid != Oid(0)
                && column.type_oid != field.type_oid
                && judged.masks.get(i).is_some_and(Option::is_some)
            {
                return Err(Contradiction(format!("column {} has another type", i + 1)));
            }
            if let (Some(column), Some(Some(spec))) = (column, judged.masks.get(i)) {
                let ty = ColumnType { oid: field.type_oid, typmod: field.typmod };
                match masker(spec, is_bare(column), ty, field.format, settings) {
                    Ok(masker) => maskers.push(Some(masker)),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            } else {
                maskers.push(None);
            }
        }
        if judged.hides_sizes {
            return Ok(Ok(Self::Plan));
        }
        Ok(Ok(if judged.masks.is_empty() { Self::Plain } else { Self::Masked(maskers) }))
    }
}

/// Whether the value is, unchanged, that of one column; anything else is masked whole.
fn is_bare(column: &crate::analysis::OutputColumn) -> bool {
    matches!(column.sources.as_slice(), [(_, true)])
}

fn masker(
    mask: &Mask,
    bare: bool,
    ty: ColumnType,
    format: i16,
    settings: &Settings,
) -> Result<Masker, Refusal> {
    let format = match format {
        0 => Format::Text,
        1 => Format::Binary,
        other => return Err(Refusal::Unmaskable(format!("format {other} of a masked column is not known"))),
    };
    if !bare {
        return Ok(Masker::for_expression(mask, ty, format));
    }
    let key = match mask {
        Mask::Hash { key: Some(name), .. } | Mask::Uuid { key: Some(name) } => {
            settings.mask_keys.named.get(name)
        }
        _ => settings.mask_keys.default.as_ref(),
    };
    Masker::for_column(mask, ty, format, key).map_err(|error| Refusal::Unmaskable(error.to_string()))
}

/// Checks that the masks of a result fit its columns, as far as that is known before it comes.
pub(crate) fn maskable(judged: &Judged, settings: &Settings) -> Result<(), Refusal> {
    let (Results::Columns(columns), false) = (&judged.analysis.results, judged.masks.is_empty()) else {
        return Ok(());
    };
    if judged.analysis.copies_out().is_some() {
        return match copy_masker(judged, settings, columns.len()) {
            Ok(masker) => masker.map(drop),
            Err(Contradiction(what)) => Err(Refusal::NotUnderstood(what)),
        };
    }
    for (column, spec) in columns.iter().zip(&judged.masks) {
        if let (Some(spec), true) = (spec, column.type_oid != Oid(0)) {
            let ty = ColumnType { oid: column.type_oid, typmod: column.typmod };
            masker(spec, is_bare(column), ty, 0, settings)?;
        }
    }
    Ok(())
}

/// Rewrites a DataRow into `out`.
pub(crate) fn mask_row(
    body: &[u8],
    maskers: &[Option<Masker>],
    shown: &mut Shown,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let row = DataRow::parse(body).map_err(|error| error.to_string())?;
    if row.len() != maskers.len() {
        return Err(format!("a row has {} values instead of {}", row.len(), maskers.len()));
    }
    let start = out.len();
    out.extend_from_slice(&[wire::backend::tag::DATA_ROW, 0, 0, 0, 0]);
    out.extend_from_slice(body.get(..2).unwrap_or_default());
    for (value, masker) in row.iter().zip(maskers) {
        match masker {
            None => push_value(out, value),
            Some(masker) => {
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                let length = match masker.apply(value, out) {
                    mask::Outcome::Null => {
                        out.truncate(at + 4);
                        -1
                    }
                    mask::Outcome::Value => {
                        shown.note(out.get(at + 4..).unwrap_or_default());
                        i32::try_from(out.len() - at - 4).map_err(|e| e.to_string())?
                    }
                };
                patch(out, at, length)?;
            }
        }
    }
    let length = i32::try_from(out.len() - start - 1).map_err(|e| e.to_string())?;
    patch(out, start + 1, length)
}

pub(crate) fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value.and_then(|v| Some((i32::try_from(v.len()).ok()?, v))) {
        Some((length, value)) => {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}

pub(crate) fn patch(out: &mut [u8], at: usize, length: i32) -> Result<(), String> {
    let slot = out.get_mut(at..at + 4).ok_or("a length has no place")?;
    slot.copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn is_utf8(encoding: &str) -> bool {
    let folded: String =
        encoding.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    matches!(folded.as_str(), "utf8" | "unicode")
}

/// A copier for COPY TO STDOUT, if any of its columns is masked.
pub(crate) fn copy_masker(
    judged: &Judged,
    settings: &Settings,
    columns_said: usize,
) -> Result<Result<Option<CopyMasker>, Refusal>, Contradiction> {
    let (Some(format), Results::Columns(columns)) = (judged.analysis.copies_out(), &judged.analysis.results)
    else {
        return Err(Contradiction("COPY data comes unasked".to_owned()));
    };
    if columns.len() != columns_said {
        return Err(Contradiction(format!("{columns_said} columns instead of {}", columns.len())));
    }
    if judged.masks.is_empty() {
        return Ok(Ok(None));
    }
    // In other encodings a byte of a character can look like a delimiter.
    if format.encoding.as_ref().is_some_and(|name| !is_utf8(name)) {
        return Ok(Err(Refusal::Unmaskable(
            "COPY of masked columns in an encoding other than UTF8".to_owned(),
        )));
    }
    let wire_format = i16::from(format.format == sql::CopyText::Binary);
    let mut maskers = Vec::with_capacity(columns.len());
    for (column, spec) in columns.iter().zip(&judged.masks) {
        let ty = ColumnType { oid: column.type_oid, typmod: column.typmod };
        match spec.as_ref().map(|spec| masker(spec, is_bare(column), ty, wire_format, settings)) {
            Some(Ok(masker)) => maskers.push(Some(masker)),
            Some(Err(refusal)) => return Ok(Err(refusal)),
            None => maskers.push(None),
        }
    }
    let null = format.null.clone().into_bytes();
    let (delimiter, header) = (format.delimiter, format.header);
    let format = match format.format {
        sql::CopyText::Text => CopyFormat::Text(CopyText { delimiter, null, header }),
        sql::CopyText::Csv => {
            CopyFormat::Csv(CopyCsv { delimiter, quote: format.quote, escape: format.escape, null, header })
        }
        sql::CopyText::Binary => CopyFormat::Binary,
    };
    Ok(CopyMasker::new(maskers, format).map(Some).map_err(|error| Refusal::Unmaskable(error.to_string())))
}
