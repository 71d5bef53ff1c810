//! Blocks as the file has them, checked as they are read; and how a batch becomes part of them.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::IndexError;
use crate::batch::Batch;
use crate::bucket::{self, BUCKETS, Bucket};
use crate::columns::{self, Column, Doc};

/// What the file says of a block as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) block: u64,
    pub(crate) docs: u64,
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
    /// As in [`Doc`]: and one.
    pub(crate) rows_max: u64,
    pub(crate) duration_max: u64,
}

impl Header {
    /// Of a block that the file doesn't have yet.
    pub(crate) fn new(block: u64, (earliest, latest): (i64, i64)) -> Self {
        Self { block, earliest, latest, ..Self::default() }
    }
}

/// Numbers as SQLite has them: the same bits.
pub(crate) const fn bits(value: u64) -> i64 {
    value.cast_signed()
}

/// Reads the headers of all blocks, in order.
pub(crate) fn headers(connection: &Connection) -> Result<Vec<Header>, IndexError> {
    let found = read_headers(connection)?;
    let mut statement = connection.prepare_cached("SELECT value FROM state WHERE name = 'blocks'")?;
    let said: Option<Vec<u8>> = statement.query_row([], |row| row.get(0)).optional()?;
    // None is missing, and none was changed.
    let is_whole = match said {
        None => found.is_empty(),
        Some(said) => said == digest(&found),
    };
    if is_whole {
        Ok(found)
    } else {
        Err(IndexError::damaged("the list of its blocks is not what was written"))
    }
}

fn read_headers(connection: &Connection) -> Result<Vec<Header>, IndexError> {
    let mut statement = connection.prepare_cached(
        "SELECT block, docs, earliest, latest, rows_max, duration_max FROM blocks ORDER BY block",
    )?;
    let rows = statement.query_map([], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
        Ok(Header {
            block: number(0)?,
            docs: number(1)?,
            earliest: row.get(2)?,
            latest: row.get(3)?,
            rows_max: number(4)?,
            duration_max: number(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn digest(headers: &[Header]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(headers.len() * 48);
    for Header { block, docs, earliest, latest, rows_max, duration_max } in headers {
        for number in
            [*block, *docs, earliest.cast_unsigned(), latest.cast_unsigned(), *rows_max, *duration_max]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    crc32fast::hash(&bytes).to_le_bytes().to_vec()
}

/// Notes which blocks there are, so that one that goes missing is missed.
fn note_headers(transaction: &Transaction<'_>) -> Result<(), IndexError> {
    let headers = read_headers(transaction)?;
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES ('blocks', ?1)")?;
    put.execute([digest(&headers)])?;
    Ok(())
}

fn damaged_bucket(block: u64) -> IndexError {
    IndexError::damaged(format!("postings of block {block} are not what was written"))
}

/// Reads which records of a block have a term. The block is in the file.
pub(crate) fn posting(connection: &Connection, block: u64, term: u64) -> Result<Vec<u16>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT data FROM buckets WHERE id = ?1")?;
    let mut rows = statement.query([bits(bucket::id(block, bucket::of(term)))])?;
    let row = rows.next()?.ok_or_else(|| damaged_bucket(block))?;
    let bytes = row.get_ref(0)?.as_blob().map_err(|_| damaged_bucket(block))?;
    bucket::find(block, term, bytes).ok_or_else(|| damaged_bucket(block))
}

fn read_bucket(connection: &Connection, block: u64, number: u64) -> Result<Bucket, IndexError> {
    let mut statement = connection.prepare_cached("SELECT data FROM buckets WHERE id = ?1")?;
    let bytes: Option<Vec<u8>> =
        statement.query_row([bits(bucket::id(block, number))], |row| row.get(0)).optional()?;
    bytes.and_then(|bytes| bucket::read(block, number, &bytes)).ok_or_else(|| damaged_bucket(block))
}

/// Reads a column's bytes; `None`: the block has none.
pub(crate) fn column(
    connection: &Connection,
    block: u64,
    column: Column,
) -> Result<Option<Vec<u8>>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT data FROM columns WHERE id = ?1")?;
    Ok(statement.query_row([bits(column.id(block))], |row| row.get(0)).optional()?)
}

pub(crate) fn damaged_column(block: u64) -> IndexError {
    IndexError::damaged(format!("a column of block {block} is not what was written"))
}

fn read_docs(connection: &Connection, block: u64) -> Result<Vec<Doc>, IndexError> {
    let mut bytes = Vec::new();
    for name in columns::doc_columns() {
        bytes.push(column(connection, block, name)?.ok_or_else(|| damaged_column(block))?);
    }
    columns::docs(block, &bytes).ok_or_else(|| damaged_column(block))
}

/// Writes what a batch adds to blocks.
pub(crate) fn write(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), IndexError> {
    let known = headers(transaction)?;
    let mut touched: Vec<u64> = batch.postings.keys().map(|key| key.0).collect();
    touched.extend(batch.docs.keys().chain(batch.ended.keys()).chain(batch.places.keys()));
    touched.sort_unstable();
    touched.dedup();
    // In the order in which they lie in the file.
    let mut terms: Vec<_> =
        batch.postings.keys().map(|(block, term)| (*block, bucket::of(*term), *term)).collect();
    terms.sort_unstable();
    let mut terms = terms.into_iter().peekable();
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO blocks (block, docs, earliest, latest, rows_max, duration_max)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for block in touched {
        let before = known.binary_search_by_key(&block, |it| it.block).ok().and_then(|at| known.get(at));
        let mut header = before.copied().unwrap_or(Header::new(block, (i64::MAX, i64::MIN)));
        for number in 0..BUCKETS {
            let mut new = Vec::new();
            while let Some((_, _, term)) = terms.next_if(|it| (it.0, it.1) == (block, number)) {
                new.push((term, batch.postings.get(&(block, term)).map(Vec::as_slice).unwrap_or_default()));
            }
            write_bucket(transaction, (block, number), new, before.is_none())?;
        }
        write_columns(transaction, batch, before.is_none(), &mut header)?;
        let Header { block, docs, earliest, latest, rows_max, duration_max } = header;
        put.execute(params![bits(block), bits(docs), earliest, latest, bits(rows_max), bits(duration_max)])?;
    }
    note_headers(transaction)
}

fn write_bucket(
    transaction: &Transaction<'_>,
    (block, number): (u64, u64),
    new: Vec<(u64, &[u16])>,
    is_new: bool,
) -> Result<(), IndexError> {
    if new.is_empty() && !is_new {
        return Ok(());
    }
    let mut postings = if is_new { Bucket::new() } else { read_bucket(transaction, block, number)? };
    for (term, positions) in new {
        let all = postings.entry(term).or_default();
        all.extend_from_slice(positions);
        if !all.is_sorted_by(|a, b| a < b) {
            all.sort_unstable();
            all.dedup();
        }
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO buckets (id, data) VALUES (?1, ?2)")?;
    put.execute(params![bits(bucket::id(block, number)), bucket::write(block, number, &postings)])?;
    Ok(())
}

fn write_columns(
    transaction: &Transaction<'_>,
    batch: &Batch,
    is_new: bool,
    header: &mut Header,
) -> Result<(), IndexError> {
    let block = header.block;
    let mut docs = if is_new || header.docs == 0 { Vec::new() } else { read_docs(transaction, block)? };
    docs.extend(batch.docs.get(&block).into_iter().flatten());
    for ended in batch.ended.get(&block).into_iter().flatten() {
        let at = docs.binary_search_by_key(&ended.at, |doc| doc.at);
        // Its statement may have been in what retention has removed.
        if let Some(doc) = at.ok().and_then(|at| docs.get_mut(at)) {
            ended.apply(doc);
        }
    }
    header.docs = u64::try_from(docs.len()).unwrap_or(u64::MAX);
    for doc in &docs {
        header.earliest = header.earliest.min(doc.time);
        header.latest = header.latest.max(doc.time);
        header.rows_max = header.rows_max.max(doc.rows);
        header.duration_max = header.duration_max.max(doc.duration);
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO columns (id, data) VALUES (?1, ?2)")?;
    for (name, bytes) in columns::encode(block, &docs) {
        put.execute(params![bits(name.id(block)), bytes])?;
    }
    if let Some(new) = batch.places.get(&block) {
        let mut places = match column(transaction, block, Column::Places)? {
            Some(bytes) => columns::decode_places(block, &bytes).ok_or_else(|| damaged_column(block))?,
            None => Vec::new(),
        };
        places.extend(new);
        put.execute(params![bits(Column::Places.id(block)), columns::encode_places(block, &places)])?;
    }
    Ok(())
}

/// Reads all of a block and compares it with what it says of itself.
pub(crate) fn verify(connection: &Connection, header: &Header) -> Result<(), IndexError> {
    let Header { block, docs, .. } = *header;
    for number in 0..BUCKETS {
        read_bucket(connection, block, number)?;
    }
    let read = read_docs(connection, block)?.len();
    let places = column(connection, block, Column::Places)?;
    let has_places = places.is_some_and(|bytes| columns::decode_places(block, &bytes).is_some());
    if u64::try_from(read) != Ok(docs) || !has_places {
        return Err(damaged_column(block));
    }
    Ok(())
}

/// Removes blocks before one.
pub(crate) fn remove_before(transaction: &Transaction<'_>, block: u64) -> Result<(), IndexError> {
    if transaction.execute("DELETE FROM blocks WHERE block < ?1", [bits(block)])? > 0 {
        transaction.execute("DELETE FROM buckets WHERE id < ?1", [bits(bucket::id(block, 0))])?;
        transaction.execute("DELETE FROM columns WHERE id < ?1", [bits(Column::At.id(block))])?;
        note_headers(transaction)?;
    }
    Ok(())
}
