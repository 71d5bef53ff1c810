//! What a session has put before approvers, as its shell sees it. Decides nothing.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use approval::{Answer, Ask, Ended};
use store::Change;
use tokio::sync::broadcast::error::RecvError;

use crate::desk::{Asked, Terms};
use crate::gateway::Gateway;
use crate::views::LiveKind;

/// The last ask of a session. Dropped, it is withdrawn.
pub(crate) struct Approval {
    asked: u64,
    pending: Asked,
}

impl Approval {
    pub(crate) fn ask(gateway: &Arc<Gateway>, asked: u64, ask: Ask) -> Self {
        Self { asked, pending: gateway.desk.ask(ask, gateway.terms()) }
    }

    /// Whether it is the one that the session means.
    pub(crate) const fn is(&self, asked: u64) -> bool {
        self.asked == asked
    }

    /// Returns the next answer and what it answers; `None` after the last.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Answer)>> {
        let answer = ready!(self.pending.poll(cx));
        Poll::Ready(answer.map(|answer| (self.asked, answer)))
    }

    pub(crate) fn withdraw(self, why: Ended) {
        self.pending.withdraw(why);
    }
}

impl Gateway {
    /// Returns what is configured of requests for approval, as it is now.
    pub(crate) fn terms(&self) -> Terms {
        let live = self.live();
        let limits = &live.config.limits;
        Terms {
            open_max: limits.approvals_max.into(),
            each_max: limits.approvals_per_identity_max.into(),
            public_url: self.config.listen.public_url.as_ref().map(ToString::to_string),
        }
    }
}

/// Tells whoever looks on of every change to a request, by whichever gateway. Runs as long as the gateway does.
pub(crate) async fn tell_onlookers(gateway: Arc<Gateway>) {
    let mut changes = gateway.store.changes();
    loop {
        let number = match changes.recv().await {
            Ok(Change::Request { number, version: _ }) => number,
            Ok(Change::Delegations) => {
                gateway.views.live.tell(LiveKind::Delegations);
                continue;
            }
            Ok(Change::Everything) | Err(RecvError::Lagged(_)) => {
                gateway.views.live.tell(LiveKind::Resync);
                continue;
            }
            Ok(Change::Outbox) => continue,
            Err(RecvError::Closed) => return,
        };
        if let Ok(Some(kept)) = gateway.store.request(number).await {
            let state = kept.request.state.as_str().to_owned();
            gateway.views.live.tell(LiveKind::Approval { number: number.0, state });
        }
    }
}
