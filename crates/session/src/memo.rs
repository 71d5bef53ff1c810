//! What was learnt about a statement before: by shape, for sessions that see names alike.

use std::sync::Arc;

use model::Oid;
use sql::{Strings, shape};
use xxhash_rust::xxh3::xxh3_128;

use crate::analysis::Analysis;
use crate::authorize::Judged;
use crate::input::Now;
use crate::running::Running;

/// Names a statement's shape, parameter types included.
pub(crate) struct Key {
    /// With literals blanked.
    shape: u128,
    /// Whether there were any.
    blanked: bool,
    param_types: Vec<Oid>,
}

impl Key {
    pub(crate) fn new(text: &str, param_types: &[Oid]) -> Self {
        let shape = shape::key(text.as_bytes(), Strings::Standard);
        Self {
            shape: with_types(shape.key, param_types),
            blanked: shape.blanked,
            param_types: param_types.to_vec(),
        }
    }

    /// The key of the very text, for statements whose meaning depends on their literals.
    fn exact(&self, text: &str) -> u128 {
        with_types(shape::exact(text.as_bytes(), Strings::Standard).key, &self.param_types)
    }
}

fn with_types(key: u128, param_types: &[Oid]) -> u128 {
    if param_types.is_empty() {
        return key;
    }
    let mut bytes = key.to_le_bytes().to_vec();
    bytes.extend(param_types.iter().flat_map(|oid| oid.0.to_le_bytes()));
    xxh3_128(&bytes)
}

impl Running {
    /// Returns what was decided about a statement of that shape, if it still holds.
    pub(crate) fn known(&self, key: &Key, text: &str, now: Now) -> Option<Arc<Judged>> {
        self.known_as(key.shape, now).or_else(|| {
            // Only where something was blanked can the two keys differ.
            key.blanked.then(|| self.known_as(key.exact(text), now)).flatten()
        })
    }

    fn known_as(&self, key: u128, now: Now) -> Option<Arc<Judged>> {
        if !self.names.shared() {
            let analysis = self.names.recall(key, now.monotonic)?;
            return (analysis.epoch == self.database.epoch()).then(|| self.judge(&analysis, now));
        }
        let lasting = !self.bundle.depends_on_time();
        if lasting && let Some(judged) = self.database.judged(key, self.scope.id(), now.monotonic) {
            return Some(judged);
        }
        let analysis = self.database.analysis(key, self.scope.names(), now.monotonic)?;
        let judged = self.judge(&analysis, now);
        if lasting {
            self.database.keep_judged(key, self.scope.id(), &judged);
        }
        Some(judged)
    }

    /// Keeps an analysis for statements of the same shape.
    pub(crate) fn learn(&mut self, key: &Key, text: &str, analysis: &Arc<Analysis>) {
        if analysis.session_bound {
            return;
        }
        let key = if analysis.depends_on_literals && key.blanked { key.exact(text) } else { key.shape };
        if self.names.shared() {
            self.database.keep_analysis(key, self.scope.names(), analysis);
        } else {
            self.names.remember(key, analysis);
        }
    }
}
