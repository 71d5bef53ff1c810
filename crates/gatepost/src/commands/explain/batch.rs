//! Many texts in one run: lines of JSON in, a line of JSON for each out, in order and at once. Nothing stops the run but the
//! end of the input or of its reader.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use server::probe::{Explainer, Line, Status as Understood, Told, UnknownCode, search_path};

use crate::failure::{Failure, Status};
use crate::output::Out;

/// Bytes of the longest line that is read: more than the longest statement that can be configured takes, escaped.
const LINE_BYTES_MAX: u64 = 512 << 20;

/// What a line asks.
struct Query {
    id: Value,
    sql: String,
    search_path: Option<String>,
}

/// Why a line asks nothing, with its `id` if it has a usable one.
struct Bad {
    id: Value,
    reason: String,
}

/// Counts what became of the lines.
#[derive(Default)]
struct Counts {
    understood: u64,
    refused_by_server: u64,
    unknown: u64,
    invalid: u64,
    /// Of those unknown: because the server was gone.
    lost: u64,
}

pub(super) async fn run(explainer: &mut Explainer<'_>, file: &Path) -> Result<Status, Failure> {
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file);
        let opened =
            opened.map_err(|error| Failure::caused(&format!("can't read \"{}\"", file.display()), error))?;
        Box::new(BufReader::with_capacity(1 << 16, opened))
    };
    let (mut out, mut counts, begun) = (Out::new(), Counts::default(), Instant::now());
    let mut number = 0;
    while !out.closed() {
        let Some(line) = next_line(&mut input)? else { break };
        number += 1;
        let answer = match line {
            Ok(line) if line.trim_ascii().is_empty() => continue,
            Ok(line) => read(&line),
            Err(reason) => Err(Bad { id: Value::Null, reason }),
        };
        let json = match answer {
            Ok(query) => {
                let told = explainer.explain(&query.sql, query.search_path.as_deref()).await;
                counts.count(&told);
                serde_json::to_string(&Line::answer(Some(number), &query.id, &told))
            }
            Err(bad) => {
                counts.invalid += 1;
                serde_json::to_string(&Line::invalid(number, &bad.id, &bad.reason))
            }
        };
        out.line(&json.map_err(|error| Failure::caused("can't write an answer", error))?)?;
        out.flush()?;
    }
    counts.report(begun.elapsed().as_secs_f64());
    let good = counts.invalid == 0 && counts.lost == 0;
    Ok(if good { Status::Success } else { Status::CheckFailed })
}

/// Reads to the next line break; `None` at the end. Of a line that is too long only the end is looked for.
fn next_line(input: &mut dyn BufRead) -> Result<Option<Result<Vec<u8>, String>>, Failure> {
    let failed = |error| Failure::caused("can't read the next line", error);
    let mut line = Vec::new();
    let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && read as u64 == LINE_BYTES_MAX {
        loop {
            line.clear();
            let more = input.take(1 << 20).read_until(b'\n', &mut line).map_err(failed)?;
            if more == 0 || line.last() == Some(&b'\n') {
                return Ok(Some(Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"))));
            }
        }
    }
    Ok(Some(Ok(line)))
}

fn read(line: &[u8]) -> Result<Query, Bad> {
    let bad = |id: &Value, reason: String| Bad { id: id.clone(), reason };
    let object = match serde_json::from_slice::<Value>(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(bad(&Value::Null, "the line is not a JSON object".to_owned())),
        Err(error) => return Err(bad(&Value::Null, format!("the line is not JSON: {error}"))),
    };
    let id = match object.get("id") {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        Some(_) => return Err(bad(&Value::Null, "\"id\" must be a string or a number".to_owned())),
        None => return Err(bad(&Value::Null, "\"id\" is missing".to_owned())),
    };
    let known = ["id", "sql", "search_path"];
    let unknown: Vec<_> = object.keys().filter(|key| !known.contains(&key.as_str())).collect();
    if !unknown.is_empty() {
        let reason = format!("unknown members: {unknown:?}; a line has \"id\", \"sql\" and \"search_path\"");
        return Err(bad(&id, reason));
    }
    let sql = match object.get("sql") {
        Some(Value::String(sql)) => sql.clone(),
        Some(_) => return Err(bad(&id, "\"sql\" must be a string".to_owned())),
        None => return Err(bad(&id, "\"sql\" is missing".to_owned())),
    };
    let search_path = match object.get("search_path") {
        None | Some(Value::Null) => None,
        Some(Value::String(list)) => {
            search_path(list).map_err(|why| bad(&id, format!("\"search_path\": {why}")))?
        }
        Some(_) => return Err(bad(&id, "\"search_path\" must be a string".to_owned())),
    };
    Ok(Query { id, sql, search_path })
}

impl Counts {
    fn count(&mut self, told: &Told) {
        match told.status {
            Understood::Understood => self.understood += 1,
            Understood::Error => self.refused_by_server += 1,
            Understood::Unknown => self.unknown += 1,
        }
        let connection = |unknown: &server::probe::told::Unknown| unknown.code == UnknownCode::Connection;
        self.lost += u64::from(told.unknown.as_ref().is_some_and(connection));
    }

    /// Says on standard error what became of all, and how fast.
    #[expect(clippy::print_stderr, reason = "it is no data: those are on standard output")]
    fn report(&self, seconds: f64) {
        let Self { understood, refused_by_server, unknown, invalid, lost } = self;
        let all = understood + refused_by_server + unknown + invalid;
        let rate = all as f64 / seconds.max(0.001);
        eprintln!(
            "gatepost: {all} lines in {seconds:.1} s ({rate:.0}/s): {understood} understood, {refused_by_server} \
             refused by PostgreSQL, {unknown} unknown ({lost} for want of a connection), {invalid} invalid"
        );
    }
}
