//! A dynamic credential's lease: renewed while somebody holds it, revoked when nobody does. Knows no credential.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Secret;
use tokio::sync::{oneshot, watch};

use super::vault::{Client, Held, Reply};

/// A revocation that fails is tried again after each of these.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Holding it keeps a credential alive; dropping it revokes the credential.
pub struct Lease {
    /// Dropped with this.
    _held: oneshot::Sender<()>,
    ended: watch::Receiver<bool>,
}

impl Lease {
    /// Resolves when the credential has come to its end though this is held: it could not be renewed any more.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // A sender that has gone says so too: nobody renews any more.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

struct Kept {
    client: Arc<Client>,
    token: Arc<Held>,
    id: Secret<String>,
    duration: Duration,
    renewable: bool,
}

/// Takes a lease into care.
pub(super) fn keep(client: Arc<Client>, token: Arc<Held>, id: String, reply: &Reply) -> Lease {
    let (held, dropped) = oneshot::channel();
    let (sender, ended) = watch::channel(false);
    client.leases.send_modify(|open| *open += 1);
    let kept = Kept {
        client,
        token,
        id: Secret::new(id),
        duration: reply.lease_duration(),
        renewable: reply.is_renewable(),
    };
    tokio::spawn(async move {
        let _counted = Counted(kept.client.clone());
        kept.until(dropped, &sender).await;
        kept.revoke().await;
    });
    Lease { _held: held, ended }
}

/// Counts a lease until it is given back, whatever happens.
struct Counted(Arc<Client>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.leases.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Kept {
    /// Renews until the lease is dropped.
    async fn until(&self, mut dropped: oneshot::Receiver<()>, ended: &watch::Sender<bool>) {
        // The session must be over before the credential is.
        let margin = (self.duration / 10).min(Duration::from_secs(5));
        let mut until = Instant::now() + self.duration;
        let mut renewable = self.renewable;
        loop {
            let left = until.saturating_duration_since(Instant::now()).saturating_sub(margin);
            let wait = if renewable { (left * 2 / 3).max(margin) } else { left };
            tokio::select! {
                _ = &mut dropped => return,
                () = tokio::time::sleep(wait) => {}
            }
            if renewable {
                match self.client.renew_lease(&self.token, self.id.expose(), self.duration).await {
                    Ok(reply) => {
                        until = Instant::now() + reply.lease_duration();
                        renewable = reply.is_renewable();
                    }
                    Err(error) => {
                        tracing::warn!(
                            reason = oidc::chain(&error),
                            "the lease of a database credential could not be renewed"
                        );
                    }
                }
            }
            if until.saturating_duration_since(Instant::now()) <= margin {
                ended.send_replace(true);
                let _ = dropped.await;
                return;
            }
        }
    }

    async fn revoke(&self) {
        let mut again = AGAIN.into_iter();
        while let Err(error) = self.client.revoke_lease(&self.token, self.id.expose()).await {
            let Some(wait) = again.next() else {
                let reason = oidc::chain(&error);
                tracing::warn!(reason, "a database credential could not be revoked; it ends with its lease");
                return;
            };
            tokio::time::sleep(wait).await;
        }
    }
}
