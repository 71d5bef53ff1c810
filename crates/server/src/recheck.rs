//! Asks again, while a session lives, whether its credential is still believed. Knows no message; ends nothing itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use model::{Method, Secret};
use oidc::Freshness;
use tokio::time::{Sleep, sleep, sleep_until};

use crate::connection::Facts;
use crate::gateway::Gateway;

/// How often certificates are looked at again: authorities and revocation lists are files, so this costs next to nothing.
const CERTIFICATES: Duration = Duration::from_secs(5);
/// For how long files may be unreadable before sessions that depend on them end: as long as it takes to write them anew in place.
const FILES_GRACE: Duration = Duration::from_secs(10);

type Answer = Result<(), oidc::Failure>;
type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What is asked again of one session.
pub(crate) struct Recheck {
    ask: Box<dyn Fn() -> Asking + Send>,
    every: Duration,
    /// For how long there may be no answer.
    grace: Duration,
    timer: Pin<Box<Sleep>>,
    asking: Option<Asking>,
    silent_since: Option<Instant>,
}

impl Recheck {
    /// Looks at the session's certificates again.
    pub(crate) fn certificates(facts: Facts, gateway: Arc<Gateway>) -> Self {
        let ask = move || {
            let (facts, gateway) = (facts.clone(), gateway.clone());
            Box::pin(async move { facts.certified(&gateway).await.map(drop) }) as Asking
        };
        Self::new(ask, CERTIFICATES, FILES_GRACE)
    }

    /// Asks the token's issuer about it again; the token is kept for as long as its session lives.
    pub(crate) fn token(
        facts: Facts,
        gateway: Arc<Gateway>,
        token: Arc<Secret<String>>,
        method: Method,
        who: String,
        every: Duration,
        grace: Duration,
    ) -> Self {
        let ask = move || {
            let (facts, gateway, token, who) = (facts.clone(), gateway.clone(), token.clone(), who.clone());
            Box::pin(async move {
                let verified = facts.believed(&gateway, &token, method, Freshness::Fresh).await?;
                if verified.identity().to_string() == who {
                    Ok(())
                } else {
                    Err(oidc::Failure::Rejected(identity::Rejection::AnotherToken))
                }
            }) as Asking
        };
        Self::new(ask, every, grace)
    }

    fn new(ask: impl Fn() -> Asking + Send + 'static, every: Duration, grace: Duration) -> Self {
        let timer = Box::pin(sleep(every));
        Self { ask: Box::new(ask), every, grace, timer, asking: None, silent_since: None }
    }

    /// Ready with the reason when the credential is not believed any more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            if let Some(asking) = &mut self.asking {
                let Poll::Ready(answer) = asking.as_mut().poll(cx) else { return Poll::Pending };
                self.asking = None;
                if let Some(reason) = self.judge(answer) {
                    return Poll::Ready(reason);
                }
                self.timer.as_mut().reset((Instant::now() + self.every).into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // A timer that has fired must not be asked again.
            self.timer = Box::pin(sleep_until((Instant::now() + self.every).into()));
            self.asking = Some((self.ask)());
        }
    }

    /// SECURITY: no answer is as bad as a bad one, once it has lasted for the grace.
    fn judge(&mut self, answer: Answer) -> Option<String> {
        match answer {
            Ok(()) => {
                self.silent_since = None;
                None
            }
            Err(failure @ oidc::Failure::Unavailable { .. }) => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                (since.elapsed() >= self.grace).then(|| oidc::chain(&failure))
            }
            Err(failure) => Some(oidc::chain(&failure)),
        }
    }
}
