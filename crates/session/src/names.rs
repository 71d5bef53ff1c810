//! Whether what was learnt about names still holds.
//!
//! The server is never imitated: this only knows *when* an answer may have gone stale, not what the new one is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::analysis::Analysis;
use crate::memo::{Memo, Probe};

/// How long an answer of the server about a statement's names is relied on while nothing is known to have changed.
/// Bounds how long DDL that did not pass through this gateway can go unnoticed.
pub(crate) const ANSWER_AGE_MAX: Duration = Duration::from_secs(30);

/// Room for answers that one session keeps to itself.
const PRIVATE_BYTES_MAX: usize = 512 << 10;

/// A session's view of the meaning of names.
#[derive(Default)]
pub(crate) struct Names {
    // INVARIANT: None while the session resolves names exactly as a fresh login of the same role does.
    private: Option<Memo<Analysis>>,
    /// Whether the open transaction has changed the meaning of names, so that its end may change it back.
    dirty: bool,
    generation: u64,
}

impl Names {
    /// Counts the moments at which names may have changed their meaning.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns whether answers may be shared with other sessions.
    pub(crate) fn shared(&self) -> bool {
        self.private.is_none()
    }

    /// A statement that may change what names mean is being forwarded.
    pub(crate) fn unsettle(&mut self) {
        self.private = Some(Memo::new(PRIVATE_BYTES_MAX, 1));
        self.dirty = true;
        self.generation += 1;
    }

    /// A transaction, or part of one, may be ending: what it changed may be undone.
    pub(crate) fn boundary(&mut self) {
        if self.dirty {
            self.private = Some(Memo::new(PRIVATE_BYTES_MAX, 1));
            self.generation += 1;
        }
    }

    /// The server is idle outside a transaction and nothing is on its way.
    pub(crate) fn idle(&mut self) {
        self.boundary();
        self.dirty = false;
    }

    pub(crate) fn recall(&self, probe: &Probe<'_>, now: Instant) -> Option<Arc<Analysis>> {
        self.private.as_ref()?.get(probe, 0).filter(|known| fresh(known.asked, now))
    }

    pub(crate) fn remember(&self, probe: &Probe<'_>, analysis: &Arc<Analysis>) {
        if let Some(private) = &self.private {
            private.put(probe, 0, analysis, analysis.bytes());
        }
    }
}

/// Returns whether an answer of that time can still be relied on.
pub(crate) fn fresh(asked: Instant, now: Instant) -> bool {
    now.saturating_duration_since(asked) < ANSWER_AGE_MAX
}

/// Run-time parameters that can't change what a name means, which rows are visible, or how text is read.
/// Setting any other makes the session ask again. From PostgreSQL's documentation, chapter "Server Configuration".
const HARMLESS_PARAMETERS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "commit_delay",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "extra_float_digits",
    "force_parallel_mode",
    "from_collapse_limit",
    "gatepost.approval",
    "geqo",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lock_timeout",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "random_page_cost",
    "seq_page_cost",
    "statement_timeout",
    "synchronous_commit",
    "temp_buffers",
    "timezone",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_timeout",
    "work_mem",
];

/// Returns whether setting the parameter leaves the meaning of names alone.
pub(crate) fn parameter_is_harmless(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HARMLESS_PARAMETERS.binary_search(&name.as_str()).is_ok() || name.starts_with("enable_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_binary_search() {
        assert!(HARMLESS_PARAMETERS.is_sorted());
        assert!(parameter_is_harmless("TimeZone"));
        assert!(!parameter_is_harmless("search_path"));
        assert!(!parameter_is_harmless("row_security"));
    }

    #[test]
    fn a_transaction_that_changed_names_is_forgotten_at_its_end_however_it_ends() {
        let mut names = Names::default();
        assert!(names.shared());
        names.boundary();
        assert_eq!(names.generation(), 0);
        names.unsettle();
        let inside = names.generation();
        names.boundary();
        assert!(names.generation() > inside);
        names.idle();
        let after = names.generation();
        names.boundary();
        assert_eq!(names.generation(), after);
        assert!(!names.shared());
    }
}
