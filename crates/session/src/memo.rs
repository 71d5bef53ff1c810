//! What was learnt about a statement before: by shape, for sessions that see names alike.

mod store;

use std::cell::RefCell;
use std::sync::Arc;

use model::Oid;
use sql::Strings;
use sql::shape::{self, Form, Shape, Shaper};

pub use store::{Holder, Memo, Probe};

use crate::analysis::Analysis;
use crate::authorize::Judged;
use crate::input::Now;
use crate::running::Running;

thread_local! {
    static SHAPER: RefCell<Shaper> = RefCell::default();
}

/// Lends the shape of a text, made in memory that is the thread's.
pub fn with_shape<T>(text: &str, run: impl FnOnce(Shape<'_>) -> T) -> T {
    SHAPER.with_borrow_mut(|shaper| run(shaper.shape(text.as_bytes(), Strings::Standard)))
}

impl Running {
    /// Returns what was decided about a statement of that shape, if it still holds.
    pub(crate) fn known(&self, text: &str, param_types: &[Oid], now: Now) -> Option<Arc<Judged>> {
        with_shape(text, |shape| {
            self.known_as(shape, param_types, now).or_else(|| {
                // Statements whose meaning depends on their literals are known by their very text.
                let exact = shape::exact(text.as_bytes(), Strings::Standard);
                (shape.form == Form::Blanked).then(|| self.known_as(exact, param_types, now)).flatten()
            })
        })
    }

    fn known_as(&self, shape: Shape<'_>, param_types: &[Oid], now: Now) -> Option<Arc<Judged>> {
        let probe = |scope| Probe { shape, param_types, scope };
        let holder = self.scope.holder();
        if !self.names.shared() {
            let analysis = self.names.recall(&probe(0), now.monotonic)?;
            return (analysis.epoch == self.database.epoch()).then(|| self.judge(&analysis, now));
        }
        let lasting = !self.bundle.depends_on_time();
        if lasting && let Some(judged) = self.database.judged(&probe(self.scope.id()), holder, now.monotonic)
        {
            return Some(judged);
        }
        let analysis = self.database.analysis(&probe(self.scope.names()), holder, now.monotonic)?;
        let judged = self.judge(&analysis, now);
        if lasting {
            self.database.keep_judged(&probe(self.scope.id()), holder, &judged);
        }
        Some(judged)
    }

    /// Logins that stand for one role mean the same by the same names only while none of them is given something alone.
    pub(crate) fn stay_alike(&mut self) {
        // INVARIANT: before anything is looked up or kept in this turn.
        if self.alike_since.is_some_and(|since| since != self.database.roles_named()) {
            self.alike_since = None;
            self.names.unsettle();
        }
    }

    /// Keeps an analysis for statements of the same shape.
    pub(crate) fn learn(&mut self, text: &str, param_types: &[Oid], analysis: &Arc<Analysis>) {
        if analysis.session_bound {
            return;
        }
        let keep = |shape: Shape<'_>| {
            let probe = |scope| Probe { shape, param_types, scope };
            if self.names.shared() {
                self.database.keep_analysis(&probe(self.scope.names()), self.scope.holder(), analysis);
            } else {
                self.names.remember(&probe(0), analysis);
            }
        };
        if analysis.depends_on_literals {
            keep(shape::exact(text.as_bytes(), Strings::Standard));
        } else {
            with_shape(text, keep);
        }
    }
}
