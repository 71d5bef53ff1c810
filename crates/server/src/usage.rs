//! What identities have taken of their day before the gateway was started: the journal knows.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use audit::Time;
use session::Day;

use crate::gateway::Served;

/// Adds what the journal says of today to the counters of the databases whose days are limited.
///
/// # Errors
/// The journal can't be read: then nobody knows what is left of anybody's day.
pub(crate) fn restore(
    journal: &Path,
    databases: &HashMap<String, Arc<Served>>,
    now: SystemTime,
) -> Result<(), journal::reader::ReadError> {
    if !databases.values().any(|served| served.bundle().limits_days()) {
        return Ok(());
    }
    let began = Instant::now();
    let today = Day::of(now);
    let taken = journal::query::taken(journal, Time::from(today.begin()))?;
    for taken in &taken {
        if let Some(served) = databases.get(&taken.database) {
            served.database.usages.restore(&taken.issuer, &taken.subject, today, taken.rows, taken.bytes);
        }
    }
    let (identities, elapsed_ms) = (taken.len(), began.elapsed().as_millis());
    tracing::info!(identities, elapsed_ms, "what was taken today has been read from the journal");
    Ok(())
}
