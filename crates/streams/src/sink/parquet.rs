//! Parquet files in an object store: gathered for a while, in folders by day, as DuckDB, Spark, Athena and ClickHouse read them.
//!
//! A file is named by its first record, so that one that is written again after a crash replaces the one before: no event is there
//! twice. The columns are in docs/reference/audit-schema.md, by version.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use super::Settled;
use crate::item::Mark;
use crate::{Failure, Item, Outside};

/// The version of the columns; they are only added to, at the end.
const VERSION: &str = "1";

/// See the module. Text columns first in each group, so that what is asked for most is near.
const SCHEMA: &str = "message gatepost_audit_v1 {
  REQUIRED INT64 seq;
  REQUIRED INT64 time (TIMESTAMP(MICROS, true));
  REQUIRED BYTE_ARRAY event (STRING);
  REQUIRED BYTE_ARRAY journal (STRING);
  OPTIONAL BYTE_ARRAY session (STRING);
  OPTIONAL INT64 statement;
  OPTIONAL BYTE_ARRAY issuer (STRING);
  OPTIONAL BYTE_ARRAY subject (STRING);
  OPTIONAL BYTE_ARRAY on_behalf_of (STRING);
  OPTIONAL BYTE_ARRAY client (STRING);
  OPTIONAL BYTE_ARRAY database (STRING);
  OPTIONAL BYTE_ARRAY verdict (STRING);
  OPTIONAL BYTE_ARRAY text (STRING);
  OPTIONAL BYTE_ARRAY tag (STRING);
  OPTIONAL BYTE_ARRAY sqlstate (STRING);
  OPTIONAL BYTE_ARRAY reason (STRING);
  OPTIONAL INT64 rows;
  OPTIONAL INT64 bytes;
  OPTIONAL INT64 duration_us;
  REQUIRED BYTE_ARRAY record (STRING);
}";

/// Events of one file, and their bytes.
const EVENTS_MAX: usize = 100_000;
const BYTES_MAX: usize = 32 << 20;
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// What is being gathered.
pub(crate) struct Files {
    store: String,
    prefix: String,
    interval: Duration,
    journal: String,
    /// Days that are whole, or that are being gathered, oldest first. Each is one file.
    gathered: Vec<Gathered>,
    arrived: Option<Mark>,
}

struct Gathered {
    day: i64,
    items: Vec<Item>,
    bytes: usize,
    since: Instant,
}

impl Files {
    pub(crate) fn new(store: &str, prefix: &str, interval: Duration) -> Self {
        let (store, prefix, journal) = (store.to_owned(), prefix.to_owned(), String::new());
        Self { store, prefix, interval, journal, gathered: Vec::new(), arrived: None }
    }

    pub(crate) fn take(&mut self, items: &[Item], journal: &str) -> Result<(), Failure> {
        self.journal = journal.to_owned();
        for item in items {
            let day = item.time.0.div_euclid(DAY_NS);
            let open = self.gathered.last_mut();
            let open = open.filter(|it| it.day == day && it.items.len() < EVENTS_MAX && it.bytes < BYTES_MAX);
            let (line, item) = (item.line.len(), item.clone());
            match open {
                Some(open) => {
                    open.bytes += line;
                    open.items.push(item);
                }
                None => {
                    let (items, since) = (vec![item], Instant::now());
                    self.gathered.push(Gathered { day, items, bytes: line, since });
                }
            }
        }
        Ok(())
    }

    /// Writes the files that are full, of a day that is over, or due.
    pub(crate) async fn settle(&mut self, ending: bool, outside: &dyn Outside) -> Result<Settled, Failure> {
        while let Some(first) = self.gathered.first() {
            let full = self.gathered.len() > 1 || first.items.len() >= EVENTS_MAX || first.bytes >= BYTES_MAX;
            if !full && !ending && first.since.elapsed() < self.interval {
                break;
            }
            let file = self.gathered.remove(0);
            let key = self.key(&file);
            let bytes = write(&file.items, &self.journal)
                .map_err(|error| Failure::of("a Parquet file can't be made", &error))?;
            let store = outside.archive(&self.store).await.map_err(Failure::new)?;
            store
                .put(&key, Bytes::from(bytes))
                .await
                .map_err(|error| Failure::of("no file was stored", &error))?;
            self.arrived = file.items.last().map(|item| item.mark);
        }
        Ok(if self.gathered.is_empty() { Settled::All } else { Settled::Through(self.arrived) })
    }

    /// `PREFIX/date=2026-11-24/JOURNAL-00000000000000000001.parquet`.
    fn key(&self, file: &Gathered) -> String {
        let first = file.items.first();
        let day =
            first.map(|item| item.time.to_string().chars().take(10).collect::<String>()).unwrap_or_default();
        let seq = first.map_or(0, |item| item.mark.seq.0);
        format!("{}/date={day}/{}-{seq:020}.parquet", self.prefix, self.journal)
    }
}

/// One value of a column.
enum Cell<'a> {
    Number(Option<i64>),
    Text(Option<&'a str>),
}

/// Returns the value of a column in an event.
fn cell<'a>(column: &str, item: &'a Item, fields: &'a Value, journal: &'a str) -> Cell<'a> {
    let text = |pointer: &str| fields.pointer(pointer).and_then(Value::as_str);
    let number =
        |name: &str| fields.get(name).and_then(|it| it.as_u64().and_then(|it| i64::try_from(it).ok()));
    match column {
        "seq" => Cell::Number(i64::try_from(item.mark.seq.0).ok()),
        "time" => Cell::Number(Some(item.time.0.div_euclid(1000))),
        "event" => Cell::Text(Some(&item.event)),
        "journal" => Cell::Text(Some(journal)),
        "issuer" => Cell::Text(text("/identity/issuer")),
        "subject" => Cell::Text(text("/identity/subject")),
        "on_behalf_of" => Cell::Text(text("/identity/on_behalf_of/subject")),
        "record" => Cell::Text(Some(&item.line)),
        "statement" | "rows" | "bytes" | "duration_us" => Cell::Number(number(column)),
        other => Cell::Text(fields.get(other).and_then(Value::as_str)),
    }
}

fn write(items: &[Item], journal: &str) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let about = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(concat!("gatepost ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![
            about("gatepost.schema", VERSION),
            about("gatepost.journal", journal),
        ]))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let names: Vec<String> =
        writer.schema_descr().columns().iter().map(|column| column.name().to_owned()).collect();
    let fields: Vec<Value> =
        items.iter().map(|item| serde_json::from_str(&item.line).unwrap_or_default()).collect();
    let rows = || items.iter().zip(&fields);
    let mut group = writer.next_row_group()?;
    for name in &names {
        let Some(mut column) = group.next_column()? else { break };
        let (mut levels, mut numbers, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (item, fields) in rows() {
            let there = match cell(name, item, fields, journal) {
                Cell::Number(Some(number)) => {
                    numbers.push(number);
                    true
                }
                Cell::Text(Some(text)) => {
                    texts.push(ByteArray::from(text));
                    true
                }
                Cell::Number(None) | Cell::Text(None) => false,
            };
            levels.push(i16::from(there));
        }
        match column.untyped() {
            ColumnWriter::Int64ColumnWriter(typed) => {
                typed.write_batch(&numbers, Some(&levels), None)?;
            }
            ColumnWriter::ByteArrayColumnWriter(typed) => {
                typed.write_batch(&texts, Some(&levels), None)?;
            }
            _ => return Err(parquet::errors::ParquetError::General("a column of no known type".to_owned())),
        }
        column.close()?;
    }
    group.close()?;
    writer.into_inner()
}
