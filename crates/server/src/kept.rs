//! How far records have come: to this machine's disk, and to every stream that statements wait for. Knows no statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::Seq;
use journal::Progress;
use parking_lot::Mutex;
use tokio::sync::watch;

/// How far the journal's records have come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The last that is on disk, and has arrived by every required stream.
    pub(crate) durable: Seq,
    /// Counts failures; whoever waits when it grows waits in vain.
    pub(crate) failures: u64,
    pub(crate) why: Arc<str>,
}

/// Where those who know how far records have come tell it.
pub(crate) struct Arrivals {
    places: Mutex<Places>,
    kept: watch::Sender<Kept>,
    /// Counts what came to the disk, for those who send it on.
    wake: watch::Sender<u64>,
}

struct Places {
    disk: Seq,
    /// By stream.
    // INVARIANT: every required stream is in it from the beginning.
    streams: BTreeMap<String, Seq>,
}

impl Arrivals {
    /// Makes it for streams that statements wait for, by name.
    pub(crate) fn new(required: impl Iterator<Item = String>) -> (Arc<Self>, watch::Receiver<Kept>) {
        let streams = required.map(|name| (name, Seq(0))).collect();
        let places = Mutex::new(Places { disk: Seq(0), streams });
        let (kept, receiver) = watch::channel(Kept::default());
        (Arc::new(Self { places, kept, wake: watch::Sender::new(0) }), receiver)
    }

    /// Returns what the journal's thread tells its progress to.
    pub(crate) fn progress(this: &Arc<Self>) -> Box<dyn Fn(Progress) + Send + Sync> {
        let this = this.clone();
        Box::new(move |progress| match progress {
            Progress::Durable(seq) => {
                this.came(|places| places.disk = places.disk.max(seq));
                this.wake.send_modify(|count| *count = count.wrapping_add(1));
            }
            Progress::Failed(why) => this.failed(&why),
        })
    }

    /// Returns what changes when more is on disk.
    pub(crate) fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    /// Everything up to a record has arrived by a stream.
    pub(crate) fn arrived(&self, stream: &str, seq: Seq) {
        self.came(|places| {
            if let Some(place) = places.streams.get_mut(stream) {
                *place = seq;
            }
        });
    }

    /// Whoever waits now waits in vain.
    pub(crate) fn failed(&self, why: &str) {
        self.kept.send_modify(|kept| {
            kept.failures += 1;
            kept.why = why.into();
        });
    }

    fn came(&self, note: impl FnOnce(&mut Places)) {
        let mut places = self.places.lock();
        note(&mut places);
        // SECURITY: the one that is furthest behind decides.
        let durable = places.streams.values().copied().fold(places.disk, Seq::min);
        self.kept.send_modify(|kept| kept.durable = durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_when_it_is_everywhere() {
        let (arrivals, kept) = Arrivals::new(["a", "b"].into_iter().map(str::to_owned));
        let durable = || kept.borrow().durable;
        let progress = Arrivals::progress(&arrivals);
        progress(Progress::Durable(Seq(5)));
        assert_eq!(durable(), Seq(0));
        arrivals.arrived("a", Seq(5));
        arrivals.arrived("other", Seq(5));
        assert_eq!(durable(), Seq(0));
        arrivals.arrived("b", Seq(3));
        assert_eq!(durable(), Seq(3));
        arrivals.arrived("b", Seq(9));
        assert_eq!(durable(), Seq(5));
        arrivals.failed("why");
        assert_eq!((kept.borrow().failures, &*kept.borrow().why), (1, "why"));
        // One that begins again has what it says, not what it once had.
        arrivals.arrived("a", Seq(0));
        assert_eq!(durable(), Seq(0));
    }

    #[test]
    fn without_required_streams_the_disk_decides() {
        let (arrivals, kept) = Arrivals::new(std::iter::empty());
        let wake = arrivals.wake();
        Arrivals::progress(&arrivals)(Progress::Durable(Seq(2)));
        assert_eq!((kept.borrow().durable, wake.has_changed().unwrap()), (Seq(2), true));
    }
}
