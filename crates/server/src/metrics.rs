//! What the gateway counts as it works, and the text that monitoring reads. What can be counted from the journal is counted there: [`crate::views`].
//!
//! Knows no session and no request's text. Counting takes no lock and no memory: numbers of fixed number, a few of each so that threads don't
//! wait for one another's cache lines.

use std::cell::Cell;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use approval::{Request, Stamp, State, Verdict, Wait};

use crate::desk::Happened;

/// Copies of a histogram that threads share.
const SHARDS: usize = 8;

/// Upper bounds of the time that a turn takes, in nanoseconds, and as they are written, in seconds.
const TURN_BOUNDS: [(u64, &str); 12] = [
    (10_000, "0.00001"),
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (50_000_000, "0.05"),
    (250_000_000, "0.25"),
];

/// The same of the time that statements are held.
const HOLD_BOUNDS: [(u64, &str); 12] = [
    (1_000_000_000, "1"),
    (5_000_000_000, "5"),
    (15_000_000_000, "15"),
    (30_000_000_000, "30"),
    (60_000_000_000, "60"),
    (120_000_000_000, "120"),
    (300_000_000_000, "300"),
    (600_000_000_000, "600"),
    (1_800_000_000_000, "1800"),
    (3_600_000_000_000, "3600"),
    (14_400_000_000_000, "14400"),
    (86_400_000_000_000, "86400"),
];

/// What becomes of requests for approval: the words of [`State::as_str`], and `break_glass`.
const OUTCOMES: [&str; 9] = [
    "approved",
    "denied",
    "break_glass",
    "expired",
    "cancelled",
    "session_ended",
    "policy_changed",
    "withdrawn",
    "lost",
];

/// One copy of a histogram; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; 12],
    over: AtomicU64,
    sum_ns: AtomicU64,
}

/// How often something took how long.
pub(crate) struct Histogram {
    bounds: &'static [(u64, &'static str); 12],
    shards: [Shard; SHARDS],
}

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            mine.set(Some(new));
            new
        })
    })
}

impl Histogram {
    fn new(bounds: &'static [(u64, &'static str); 12]) -> Self {
        Self { bounds, shards: Default::default() }
    }

    fn observe(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let Some(shard) = self.shards.get(shard()) else { return };
        let within = self.bounds.iter().position(|(bound, _)| ns <= *bound);
        let bucket = within.and_then(|at| shard.buckets.get(at)).unwrap_or(&shard.over);
        bucket.fetch_add(1, Ordering::Relaxed);
        shard.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Writes it as a family. What is counted meanwhile is in it or not, but buckets and count are of one look.
    fn write(&self, page: &mut Page, name: &str, help: &str) {
        page.family(name, "histogram", help);
        let sum_of = |of: &dyn Fn(&Shard) -> u64| self.shards.iter().map(of).fold(0, u64::wrapping_add);
        let bucket = format!("{name}_bucket");
        let mut count = 0_u64;
        for (at, (_, bound)) in self.bounds.iter().enumerate() {
            let here = |shard: &Shard| shard.buckets.get(at).map_or(0, |it| it.load(Ordering::Relaxed));
            count = count.wrapping_add(sum_of(&here));
            page.sample(&bucket, &[("le", bound)], count);
        }
        count = count.wrapping_add(sum_of(&|shard| shard.over.load(Ordering::Relaxed)));
        page.sample(&bucket, &[("le", "+Inf")], count);
        let sum = sum_of(&|shard| shard.sum_ns.load(Ordering::Relaxed));
        page.sample(&format!("{name}_sum"), &[], Duration::from_nanos(sum).as_secs_f64());
        page.sample(&format!("{name}_count"), &[], count);
    }
}

/// See the module.
pub(crate) struct Metrics {
    turns: Histogram,
    holds: Histogram,
    opened: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES.len()],
    unrecorded: AtomicU64,
    turned_away: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            turns: Histogram::new(&TURN_BOUNDS),
            holds: Histogram::new(&HOLD_BOUNDS),
            opened: AtomicU64::new(0),
            outcomes: Default::default(),
            unrecorded: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Bytes of a client have been worked on for so long.
    pub(crate) fn turn(&self, took: Duration) {
        self.turns.observe(took);
    }

    /// Something of a session could not be recorded, and was refused.
    pub(crate) fn unrecorded(&self) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often that was so.
    pub(crate) fn unrecorded_total(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// A connection was refused because there are too many.
    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Something has happened to a request for approval.
    pub(crate) fn happened(&self, request: &Request, happened: Happened) {
        let outcome = match (happened, &request.state) {
            (Happened::Opened, _) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                return;
            }
            (Happened::BreakGlass, _) => "break_glass",
            (Happened::Decided | Happened::Ended, state @ (State::Denied | State::Ended(_))) => {
                state.as_str()
            }
            (Happened::Decided, State::Approved) => "approved",
            // It was decided before.
            (Happened::Decided | Happened::Ended, _) | (Happened::Reviewed, _) => return,
        };
        // Approved, and ended before it was used: that is not what it came to.
        let progress = request.progress();
        let was_approved = !progress.is_empty() && progress.iter().all(|it| it.have >= it.needed)
            || request.votes.iter().any(|vote| vote.verdict == Verdict::BreakGlass);
        if happened == Happened::Ended && was_approved {
            return;
        }
        let at = OUTCOMES.iter().position(|it| *it == outcome);
        if let Some(count) = at.and_then(|at| self.outcomes.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Wait::Held { .. } = request.ask.wait {
            let Stamp(opened) = request.opened;
            let Stamp(now) = SystemTime::now().into();
            self.holds.observe(Duration::from_millis(now.saturating_sub(opened)));
        }
    }

    /// Writes what is counted here.
    pub(crate) fn write(&self, page: &mut Page) {
        self.turns.write(
            page,
            "gatepost_latency_added_seconds",
            "Processor-bound time that the gateway adds when it has read bytes of a logged-in client, until it has decided, recorded and handed on what they hold, or has to wait. Waiting is not in it: for the server, its answers about a statement not seen before, approvers, or the disk.",
        );
        self.holds.write(
            page,
            "gatepost_hold_seconds",
            "How long held statements waited, from the request for approval to its decision or end at this gateway.",
        );
        page.counter(
            "gatepost_approvals_requested_total",
            "Requests for approval that were opened at this gateway.",
            self.opened.load(Ordering::Relaxed),
        );
        page.family(
            "gatepost_approvals_total",
            "counter",
            "Requests for approval that were decided or ended at this gateway, by what they came to.",
        );
        for (outcome, count) in OUTCOMES.iter().zip(&self.outcomes) {
            page.sample("gatepost_approvals_total", &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
        page.counter(
            "gatepost_connections_refused_total",
            "Connections that were refused because limits.connections_max were open.",
            self.turned_away.load(Ordering::Relaxed),
        );
    }
}

/// Text in the exposition format of Prometheus, version 0.0.4.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Nothing fails that is written to a string.
        let _written = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes one sample.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push_str(if at == 0 { "{" } else { "," });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _written = writeln!(self.0, " {value}");
    }

    /// Writes a family of one number that only grows.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// Writes a family of one number that goes up and down; no sample where it can't be known.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: Option<impl Display>) {
        self.family(name, "gauge", help);
        if let Some(value) = value {
            self.sample(name, &[], value);
        }
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, Page, TURN_BOUNDS};
    use std::time::Duration;

    #[test]
    fn buckets_hold_all_that_took_no_longer() {
        let histogram = Histogram::new(&TURN_BOUNDS);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for us in [10, 11, 1000, 1_000_000] {
                        histogram.observe(Duration::from_micros(us));
                    }
                });
            }
        });
        let mut page = Page::default();
        histogram.write(&mut page, "x", "X.");
        let text = page.finish();
        for line in [
            "# HELP x X.\n# TYPE x histogram\n",
            "x_bucket{le=\"0.00001\"} 3\n",
            "x_bucket{le=\"0.000025\"} 6\n",
            "x_bucket{le=\"0.0005\"} 6\n",
            "x_bucket{le=\"0.001\"} 9\n",
            "x_bucket{le=\"0.25\"} 9\n",
            "x_bucket{le=\"+Inf\"} 12\n",
            "x_sum 3.003063\n",
            "x_count 12\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn no_label_ends_its_line() {
        let mut page = Page::default();
        page.sample("x", &[("a", "q\"\\\nz"), ("b", "")], 1);
        assert_eq!(page.finish(), "x{a=\"q\\\"\\\\\\nz\",b=\"\"} 1\n");
    }
}
