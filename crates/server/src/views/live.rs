//! What has just happened, in a few words, for whoever looks on. Bounded: who is too slow is told to look again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::broadcast;

/// Events that are kept for who is slow.
const KEPT: usize = 512;

/// One thing that has happened. It never holds what was written in a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LiveEvent {
    /// Grows; of this run of the gateway. A stream has it in its own place.
    #[serde(skip)]
    pub id: u64,
    /// What.
    #[serde(flatten)]
    pub kind: LiveKind,
}

/// See [`LiveEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LiveKind {
    /// A session began or ended.
    Session {
        /// Its id.
        id: String,
        /// `began` or `ended`.
        what: &'static str,
        /// `issuer:subject`.
        identity: Option<String>,
        /// The database as clients name it.
        database: Option<String>,
    },
    /// Sessions did something; at most once a second.
    Activity {
        /// Statements that were decided since the last time.
        statements: u64,
    },
    /// Somebody or something was refused.
    Refused {
        /// The record's number.
        seq: u64,
        /// `statement`, `authentication_failed`, `limit_exceeded`, `upstream_failed`, `control_refused`.
        what: String,
        /// `issuer:subject`, as far as it is known.
        identity: Option<String>,
        /// The database as clients name it.
        database: Option<String>,
        /// What the client was told.
        sqlstate: Option<String>,
    },
    /// A request for approval was opened, or its state has changed.
    Approval {
        /// Its number.
        number: u64,
        /// Its state now.
        state: String,
    },
    /// A delegation was made or ended.
    Delegations,
    /// A bundle was loaded, or refused.
    Policy {
        /// The database as clients name it.
        database: String,
        /// `loaded` or `refused`.
        what: &'static str,
    },
    /// Something is to be looked at: an incident, a fault of the journal, a changed configuration.
    Health {
        /// The event's name in the journal.
        what: String,
    },
    /// Anything may have changed: what is shown must be asked for again.
    Resync,
}

impl LiveKind {
    /// Returns its word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session",
            Self::Activity { .. } => "activity",
            Self::Refused { .. } => "refused",
            Self::Approval { .. } => "approval",
            Self::Delegations => "delegations",
            Self::Policy { .. } => "policy",
            Self::Health { .. } => "health",
            Self::Resync => "resync",
        }
    }
}

/// What a receiver gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next event.
    Event(Arc<LiveEvent>),
    /// Some were missed: what is shown must be asked for again.
    Resync,
    /// The gateway ends.
    End,
}

/// Where events come from; cheap to copy.
#[derive(Clone)]
pub struct Live {
    sender: broadcast::Sender<Arc<LiveEvent>>,
    last: Arc<AtomicU64>,
}

impl Default for Live {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(KEPT), last: Arc::default() }
    }
}

impl Live {
    /// Tells everybody who looks on.
    pub(crate) fn tell(&self, kind: LiveKind) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody may be looking on.
        let _nobody = self.sender.send(Arc::new(LiveEvent { id, kind }));
    }

    /// Begins to look on.
    pub fn subscribe(&self) -> LiveReceiver {
        LiveReceiver { receiver: self.sender.subscribe() }
    }

    /// Returns the id of the event that was told last; 0: none was.
    pub fn last_id(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

/// Somebody who looks on.
pub struct LiveReceiver {
    receiver: broadcast::Receiver<Arc<LiveEvent>>,
}

impl LiveReceiver {
    /// Waits for the next event. May be dropped at any time: nothing is lost.
    pub async fn next(&mut self) -> Received {
        match self.receiver.recv().await {
            Ok(event) => Received::Event(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Received::Resync,
            Err(broadcast::error::RecvError::Closed) => Received::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_too_slow_is_told_to_look_again_and_then_goes_on() {
        let live = Live::default();
        let mut slow = live.subscribe();
        let many = u64::try_from(KEPT).unwrap() + 100;
        for n in 1..=many {
            live.tell(LiveKind::Activity { statements: n });
        }
        assert_eq!(slow.next().await, Received::Resync);
        let Received::Event(event) = slow.next().await else { panic!("no event") };
        assert_eq!(event.id, 101);
        let mut last = event.id;
        while last < many {
            let Received::Event(event) = slow.next().await else { panic!("no event") };
            assert_eq!(event.id, last + 1);
            last = event.id;
        }
        assert_eq!(live.last_id(), many);
    }
}
