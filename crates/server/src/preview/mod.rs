//! What an approver is shown beside the request itself: the text with everything marked, what the planner would do, how many rows would
//! change; and the analysis of a statement that is asked for before anybody runs it.
//!
//! Everything that is asked of the database is asked over a connection of its own, as the requester's identity is there, in a
//! transaction that is rolled back. The session that waits is not disturbed. Nobody is allowed anything here.

mod before;
mod count;
mod history;
mod plan;
mod second;
mod tables;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) use self::before::ask_before;
pub use self::before::{Before, NotAsked};
pub(crate) use self::count::count;
pub use self::count::{RelationCount, RowCount};
pub(crate) use self::history::approved_before;
pub use self::history::{ApprovedBefore, SoFar};
pub use self::plan::Plan;
pub(crate) use self::plan::plan;
pub(crate) use self::text::text_shown;
pub use self::text::{ParameterShown, Run, TextShown};

/// Plans that are kept.
const PLANS_MAX: usize = 500;
/// Plans that are asked for at the same time.
const PLANNING_MAX: usize = 4;
/// How often the rows of one request are counted.
const COUNTS_MAX: u32 = 5;
/// Requests whose counts are remembered.
const COUNTED_MAX: usize = 10_000;

/// Why something can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotShown {
    /// Whoever asked: there is no such request, or no more.
    #[error("there is no request {0}")]
    Missing(approval::Number),
    /// Whoever asked.
    #[error("{0}")]
    NotAllowed(String),
    /// Nobody's fault: this is not had of such a statement, and why.
    #[error("{0}")]
    Impossible(String),
    /// Whoever asked, for now.
    #[error("{0}")]
    Busy(String),
    /// The database, or the way to it.
    #[error("the database could not be asked: {0}")]
    Database(String),
    /// Operator: the store or the journal.
    #[error("{0}")]
    Gateway(String),
}

/// What is kept between two looks at a request.
pub(crate) struct Previews {
    plans: Mutex<BTreeMap<u64, Arc<Plan>>>,
    planning: Semaphore,
    /// Databases in which something is counted just now.
    counting: Mutex<BTreeSet<String>>,
    /// By request.
    counts: Mutex<BTreeMap<u64, u32>>,
}

impl Default for Previews {
    fn default() -> Self {
        Self {
            plans: Mutex::default(),
            planning: Semaphore::new(PLANNING_MAX),
            counting: Mutex::default(),
            counts: Mutex::default(),
        }
    }
}

impl Previews {
    /// Returns the plan of a request that was asked for before.
    pub(crate) fn known_plan(&self, number: u64) -> Option<Arc<Plan>> {
        self.plans.lock().get(&number).cloned()
    }

    fn keep_plan(&self, number: u64, plan: &Arc<Plan>) {
        let mut plans = self.plans.lock();
        if plans.len() >= PLANS_MAX {
            plans.pop_first();
        }
        plans.insert(number, plan.clone());
    }

    /// Takes a turn at counting.
    fn begin_count(self: &Arc<Self>, number: u64, database: &str) -> Result<Counting, NotShown> {
        let mut counts = self.counts.lock();
        if counts.get(&number).is_some_and(|count| *count >= COUNTS_MAX) {
            let why = format!("the rows of this request were counted {COUNTS_MAX} times; that is all");
            return Err(NotShown::NotAllowed(why));
        }
        if !self.counting.lock().insert(database.to_owned()) {
            let why = "rows are being counted in this database just now; try again";
            return Err(NotShown::Busy(why.to_owned()));
        }
        if counts.len() >= COUNTED_MAX {
            counts.pop_first();
        }
        *counts.entry(number).or_default() += 1;
        Ok(Counting { previews: self.clone(), database: database.to_owned() })
    }
}

/// A turn at counting; over when dropped.
struct Counting {
    previews: Arc<Previews>,
    database: String,
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.previews.counting.lock().remove(&self.database);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_count_at_a_time_in_a_database_and_few_for_a_request() {
        let previews = Arc::new(Previews::default());
        let first = previews.begin_count(1, "a").unwrap();
        assert!(matches!(previews.begin_count(2, "a"), Err(NotShown::Busy(_))));
        let _other = previews.begin_count(2, "b").unwrap();
        drop(first);
        for _ in 1..COUNTS_MAX {
            drop(previews.begin_count(1, "a").unwrap());
        }
        assert!(matches!(previews.begin_count(1, "a"), Err(NotShown::NotAllowed(_))));
        assert!(previews.begin_count(3, "a").is_ok());
    }
}
