//! Finding records: who did what to which relation, and how it ended. Memory is bounded whatever the journal's size.

pub(crate) mod filter;
mod join;
pub(crate) mod row;
mod taken;

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

pub use filter::{Decided, Filter, Limit, Masked, Touched, View, Who};
pub use row::{Row, Summary};
pub use taken::{Taken, taken};

use crate::reader::{ReadError, Reader};
use filter::StatementKey;
use join::Join;

/// How often [`follow`] looks for new records.
const POLL: Duration = Duration::from_millis(100);

/// Gives every record that the filter lets through, in order, statements together with their outcomes.
///
/// A statement waits for its outcome, and what comes after it waits with it; [`Limit::Last`] gives nothing until the journal
/// is read to its end.
///
/// # Errors
/// As [`Reader::read`]; what was given before is good.
pub fn run(
    dir: &Path,
    filter: &Filter,
    mut each: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut left = match filter.limit {
        Some(Limit::First(0) | Limit::Last(0)) => return Ok(()),
        Some(Limit::First(n)) => n,
        Some(Limit::Last(n)) => return last(dir, filter, n, each),
        None => usize::MAX,
    };
    scan(dir, filter, &mut |row| {
        each(row)?;
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

fn last(
    dir: &Path,
    filter: &Filter,
    count: usize,
    mut each: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut kept = VecDeque::new();
    let result = scan(dir, filter, &mut |row| {
        if kept.len() == count {
            kept.pop_front();
        }
        kept.push_back(row);
        ControlFlow::Continue(())
    });
    let _ = kept.into_iter().try_for_each(&mut each);
    result
}

fn scan(dir: &Path, filter: &Filter, each: &mut dyn FnMut(Row) -> ControlFlow<()>) -> Result<(), ReadError> {
    let mut reader = Reader::open_from(dir, audit::Seq(0))?;
    let mut join = Join::default();
    loop {
        let flow = match reader.read() {
            Ok(Some(record)) => join.take(filter, &record, each),
            Ok(None) => {
                let _ = join.finish(each);
                return Ok(());
            }
            Err(error) => {
                let _ = join.finish(each);
                return Err(error);
            }
        };
        if flow.is_break() {
            return Ok(());
        }
        while join.is_full() {
            // The first statement has waited for long: look ahead for its outcome rather than keep all that came after it.
            let flow = join.resolve_first(dir, reader.position(), each)?;
            if flow.is_break() {
                return Ok(());
            }
        }
    }
}

/// Gives records as they are written, beginning where `reader` stands, until `stop` says so: a statement when it is decided,
/// and its outcome, as a row of its own, when it ends. The filter's limit does not apply.
///
/// # Errors
/// As [`Reader::read`].
pub fn follow(
    mut reader: Reader,
    filter: &Filter,
    stop: impl Fn() -> bool,
    mut each: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut running: HashSet<StatementKey> = HashSet::new();
    let mut order: VecDeque<StatementKey> = VecDeque::new();
    while !stop() {
        let Some(record) = reader.read()? else {
            std::thread::sleep(POLL);
            continue;
        };
        let view = View::of(&record);
        let is_ours = match view.key() {
            Some(key) if view.is_outcome() => running.remove(&key),
            Some(key) if filter.admits(record.time, &view) => {
                if view.awaits_outcome() && running.insert(key) {
                    order.push_back(key);
                }
                true
            }
            _ => filter.admits(record.time, &view),
        };
        // Outcomes of the oldest may be missed where this many run at once.
        if order.len() > join::OPEN_MAX
            && let Some(oldest) = order.pop_front()
        {
            running.remove(&oldest);
        }
        if is_ours && each(Row::alone(&record)).is_break() {
            return Ok(());
        }
    }
    Ok(())
}
