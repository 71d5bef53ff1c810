//! Entries and openings as CBOR (RFC 8949), and back. Knows nothing of chunks.
//!
//! Everything is a map with small numbers for keys. A key that isn't known is skipped, so members may be added; a key's meaning
//! never changes.

use std::convert::Infallible;
use std::time::Duration;

use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use model::SessionId;

use crate::entry::{Column, Decision, Entry, Hold, Kept, Opening, Sent, What};

type Out<'a> = Encoder<&'a mut Vec<u8>>;
type Written = Result<(), minicbor::encode::Error<Infallible>>;

/// Appends an entry.
pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let mut e = Encoder::new(out);
    // A vector takes everything: there is no error.
    let Ok(()) = write_entry(entry, &mut e) else { return };
}

/// Reads the entry at the front of `bytes`; `None` where it says something that only a newer gateway knows. Returns how long it is, too.
///
/// # Errors
/// Whoever made the bytes: they are no entry.
pub(crate) fn decode_entry(bytes: &[u8]) -> Result<(Option<Entry>, usize), Error> {
    let mut d = Decoder::new(bytes);
    let entry = read_entry(&mut d)?;
    Ok((entry, d.position()))
}

fn write_entry(entry: &Entry, e: &mut Out<'_>) -> Written {
    let Entry { at, statement, what } = entry;
    e.map(3)?.u8(0)?.u64(micros(*at))?.u8(1)?.u64(*statement)?;
    match what {
        What::Sent(sent) => write_sent(sent, e.u8(2)?)?,
        What::Received(bytes) => drop(e.u8(3)?.bytes(bytes)?),
        What::Cut { rows, bytes } => drop(e.u8(4)?.map(2)?.u8(0)?.u64(*rows)?.u8(1)?.u64(*bytes)?),
        What::CopyData(bytes) => drop(e.u8(5)?.bytes(bytes)?),
        What::CopyCut(bytes) => drop(e.u8(6)?.u64(*bytes)?),
        What::Hold(Hold { request, state, message }) => {
            e.u8(7)?.map(if message.is_some() { 3 } else { 2 })?.u8(0)?.u64(*request)?.u8(1)?.str(state)?;
            if let Some(message) = message {
                e.u8(2)?.str(message)?;
            }
        }
        What::CancelRequested => drop(e.u8(8)?.null()?),
        What::Gap { why } => drop(e.u8(9)?.str(why)?),
        What::Kept(kept) => drop(e.u8(10)?.u8(kept_byte(*kept))?),
        What::Ended { why } => drop(e.u8(11)?.str(why)?),
    }
    Ok(())
}

fn write_sent(sent: &Sent, e: &mut Out<'_>) -> Written {
    let Sent { text, parameters, parameters_cut, columns, decision, .. } = sent;
    let Sent { parameter_types, parameters_binary, extended, offset, .. } = sent;
    let Decision { verdict, rules, sqlstate, approval, masked } = decision;
    let some = [
        !parameters.is_empty(),
        *parameters_cut > 0,
        !columns.is_empty(),
        !rules.is_empty(),
        sqlstate.is_some(),
        approval.is_some(),
        *offset > 0,
        !masked.is_empty(),
        parameter_types.iter().any(|oid| *oid > 0),
        !parameters_binary.is_empty(),
    ];
    let members = 3 + some.iter().filter(|there| **there).count() as u64;
    e.map(members)?.u8(0)?.str(text)?.u8(1)?.bool(*extended)?.u8(2)?.str(verdict)?;
    if !parameters.is_empty() {
        e.u8(3)?.array(parameters.len() as u64)?;
        for value in parameters {
            match value {
                Some(value) => e.str(value)?,
                None => e.null()?,
            };
        }
    }
    if *parameters_cut > 0 {
        e.u8(4)?.u64(*parameters_cut)?;
    }
    if !columns.is_empty() {
        e.u8(5)?.array(columns.len() as u64)?;
        for Column { name, type_oid, format } in columns {
            e.array(3)?.str(name)?.u32(*type_oid)?.i16(*format)?;
        }
    }
    if !rules.is_empty() {
        write_texts(rules, e.u8(6)?)?;
    }
    if let Some(sqlstate) = sqlstate {
        e.u8(7)?.str(sqlstate)?;
    }
    if let Some(approval) = approval {
        e.u8(8)?.u64(*approval)?;
    }
    if *offset > 0 {
        e.u8(9)?.u64(*offset)?;
    }
    if !masked.is_empty() {
        write_numbers(masked.iter().map(|it| u32::from(*it)), e.u8(10)?)?;
    }
    if parameter_types.iter().any(|oid| *oid > 0) {
        write_numbers(parameter_types.iter().copied(), e.u8(11)?)?;
    }
    if !parameters_binary.is_empty() {
        write_numbers(parameters_binary.iter().map(|it| u32::from(*it)), e.u8(12)?)?;
    }
    Ok(())
}

fn write_texts(texts: &[String], e: &mut Out<'_>) -> Written {
    e.array(texts.len() as u64)?;
    texts.iter().try_for_each(|text| e.str(text).map(drop))
}

fn write_numbers(numbers: impl ExactSizeIterator<Item = u32>, e: &mut Out<'_>) -> Written {
    e.array(numbers.len() as u64)?;
    for number in numbers {
        e.u32(number)?;
    }
    Ok(())
}

fn read_entry(d: &mut Decoder<'_>) -> Result<Option<Entry>, Error> {
    let (mut at, mut statement, mut what) = (Duration::ZERO, 0, None);
    each(d, |key, d| {
        match key {
            0 => at = Duration::from_micros(d.u64()?),
            1 => statement = d.u64()?,
            2 => what = Some(What::Sent(Box::new(read_sent(d)?))),
            3 => what = Some(What::Received(d.bytes()?.to_vec())),
            4 => what = Some(read_cut(d)?),
            5 => what = Some(What::CopyData(d.bytes()?.to_vec())),
            6 => what = Some(What::CopyCut(d.u64()?)),
            7 => what = Some(What::Hold(read_hold(d)?)),
            8 => {
                d.skip()?;
                what = Some(What::CancelRequested);
            }
            9 => what = Some(What::Gap { why: d.str()?.to_owned() }),
            10 => what = Some(What::Kept(read_kept(d)?)),
            11 => what = Some(What::Ended { why: d.str()?.to_owned() }),
            _ => d.skip()?,
        }
        Ok(())
    })?;
    Ok(what.map(|what| Entry { at, statement, what }))
}

fn read_cut(d: &mut Decoder<'_>) -> Result<What, Error> {
    let (mut rows, mut bytes) = (0, 0);
    each(d, |key, d| {
        match key {
            0 => rows = d.u64()?,
            1 => bytes = d.u64()?,
            _ => d.skip()?,
        }
        Ok(())
    })?;
    Ok(What::Cut { rows, bytes })
}

fn read_hold(d: &mut Decoder<'_>) -> Result<Hold, Error> {
    let mut hold = Hold { request: 0, state: String::new(), message: None };
    each(d, |key, d| {
        match key {
            0 => hold.request = d.u64()?,
            1 => hold.state = d.str()?.to_owned(),
            2 => hold.message = Some(d.str()?.to_owned()),
            _ => d.skip()?,
        }
        Ok(())
    })?;
    Ok(hold)
}

fn read_sent(d: &mut Decoder<'_>) -> Result<Sent, Error> {
    let mut sent = Sent::default();
    each(d, |key, d| {
        match key {
            0 => sent.text = d.str()?.to_owned(),
            1 => sent.extended = d.bool()?,
            2 => sent.decision.verdict = d.str()?.to_owned(),
            3 => {
                items(d, |d| {
                    let value = if d.datatype()? == minicbor::data::Type::Null {
                        d.null()?;
                        None
                    } else {
                        Some(d.str()?.to_owned())
                    };
                    sent.parameters.push(value);
                    Ok(())
                })?;
            }
            4 => sent.parameters_cut = d.u64()?,
            5 => items(d, |d| {
                sent.columns.push(read_column(d)?);
                Ok(())
            })?,
            6 => sent.decision.rules = read_texts(d)?,
            7 => sent.decision.sqlstate = Some(d.str()?.to_owned()),
            8 => sent.decision.approval = Some(d.u64()?),
            9 => sent.offset = d.u64()?,
            10 => items(d, |d| {
                sent.decision.masked.push(d.u16()?);
                Ok(())
            })?,
            11 => items(d, |d| {
                sent.parameter_types.push(d.u32()?);
                Ok(())
            })?,
            12 => items(d, |d| {
                sent.parameters_binary.push(d.u16()?);
                Ok(())
            })?,
            _ => d.skip()?,
        }
        Ok(())
    })?;
    Ok(sent)
}

fn read_column(d: &mut Decoder<'_>) -> Result<Column, Error> {
    let mut column = Column::default();
    let mut place = 0;
    items(d, |d| {
        match place {
            0 => column.name = d.str()?.to_owned(),
            1 => column.type_oid = d.u32()?,
            2 => column.format = d.i16()?,
            _ => d.skip()?,
        }
        place += 1;
        Ok(())
    })?;
    Ok(column)
}

fn read_texts(d: &mut Decoder<'_>) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    items(d, |d| {
        texts.push(d.str()?.to_owned());
        Ok(())
    })?;
    Ok(texts)
}

/// Appends an opening.
pub(crate) fn encode_opening(opening: &Opening, out: &mut Vec<u8>) {
    let mut e = Encoder::new(out);
    // A vector takes everything: there is no error.
    let Ok(()) = write_opening(opening, &mut e) else { return };
}

fn write_opening(opening: &Opening, e: &mut Out<'_>) -> Written {
    let Opening {
        session,
        journal,
        gateway,
        began,
        kept,
        identity,
        on_behalf_of,
        groups,
        database,
        application_name,
        server_version,
        rows_max,
        bytes_max,
    } = opening;
    e.map(if on_behalf_of.is_some() { 13 } else { 12 })?;
    e.u8(0)?.bytes(&session.0.to_be_bytes())?.u8(1)?.str(journal)?.u8(2)?.str(gateway)?;
    e.u8(3)?.i64(*began)?.u8(4)?.u8(kept_byte(*kept))?.u8(5)?.str(identity)?;
    if let Some(whom) = on_behalf_of {
        e.u8(6)?.str(whom)?;
    }
    write_texts(groups, e.u8(7)?)?;
    e.u8(8)?.str(database)?.u8(9)?.str(application_name)?.u8(10)?.str(server_version)?;
    e.u8(11)?.u64(*rows_max)?.u8(12)?.u64(*bytes_max)?;
    Ok(())
}

/// Reads an opening.
pub(crate) fn read_opening(d: &mut Decoder<'_>) -> Result<Opening, Error> {
    let mut opening = Opening {
        session: SessionId(0),
        journal: String::new(),
        gateway: String::new(),
        began: 0,
        kept: Kept::Statements,
        identity: String::new(),
        on_behalf_of: None,
        groups: Vec::new(),
        database: String::new(),
        application_name: String::new(),
        server_version: String::new(),
        rows_max: 0,
        bytes_max: 0,
    };
    let mut named = false;
    each(d, |key, d| {
        match key {
            0 => {
                let bytes = d.bytes()?.try_into().map_err(|_| Error::message("a session has 16 bytes"))?;
                opening.session = SessionId(u128::from_be_bytes(bytes));
                named = true;
            }
            1 => opening.journal = d.str()?.to_owned(),
            2 => opening.gateway = d.str()?.to_owned(),
            3 => opening.began = d.i64()?,
            4 => opening.kept = read_kept(d)?,
            5 => opening.identity = d.str()?.to_owned(),
            6 => opening.on_behalf_of = Some(d.str()?.to_owned()),
            7 => opening.groups = read_texts(d)?,
            8 => opening.database = d.str()?.to_owned(),
            9 => opening.application_name = d.str()?.to_owned(),
            10 => opening.server_version = d.str()?.to_owned(),
            11 => opening.rows_max = d.u64()?,
            12 => opening.bytes_max = d.u64()?,
            _ => d.skip()?,
        }
        Ok(())
    })?;
    if named { Ok(opening) } else { Err(Error::message("an opening without a session")) }
}

/// Hands over each member of a map; what is handed over must be read or skipped. Only what is of definite length is taken: nothing
/// else is written, and one byte could otherwise stand for any number of members.
pub(crate) fn each<'b>(
    d: &mut Decoder<'b>,
    mut take: impl FnMut(u64, &mut Decoder<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    let members = d.map()?.ok_or_else(|| Error::message("a map of indefinite length"))?;
    for _ in 0..members {
        let key = d.u64()?;
        take(key, d)?;
    }
    Ok(())
}

/// The same for an array's items.
pub(crate) fn items<'b>(
    d: &mut Decoder<'b>,
    mut take: impl FnMut(&mut Decoder<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    let items = d.array()?.ok_or_else(|| Error::message("an array of indefinite length"))?;
    for _ in 0..items {
        take(d)?;
    }
    Ok(())
}

/// Microseconds, for as long as a session can last.
pub(crate) fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

const fn kept_byte(kept: Kept) -> u8 {
    match kept {
        Kept::Statements => 1,
        Kept::Results => 2,
    }
}

fn read_kept(d: &mut Decoder<'_>) -> Result<Kept, Error> {
    match d.u8()? {
        1 => Ok(Kept::Statements),
        2 => Ok(Kept::Results),
        _ => Err(Error::message("how much is kept is not known")),
    }
}
