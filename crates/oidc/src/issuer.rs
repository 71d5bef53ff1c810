//! One issuer's keys: cached, refreshed by one fetch at a time, never more often than the floor. Decides nothing
//! about tokens.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use identity::{
    Anchors, CertificateRules, IssuerRules, KeySet, Presented, Rejection, RevocationLists, Told, TrustBundle,
    Verified, Withdrawal,
};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::config::{BadIssuer, IssuerConfig, KeysFrom};
use crate::fetch::{FetchError, Fetcher, chain};
use crate::files::{FileError, Watched};
use crate::introspect::{Freshness, Introspection, Introspector};
use crate::issuers::Failure;

/// Where an issuer takes the time from; a test gives its own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Without any keys, a failed fetch is tried again after this, where the floor is longer: a gateway that was up
/// before its issuer should not stay shut for long.
const COLD_FLOOR: Duration = Duration::from_secs(1);

/// An issuer, and the keys that are known of it.
pub struct Issuer {
    config: IssuerConfig,
    source: Source,
    revoked: Option<Watched<RevocationLists>>,
    introspector: Option<Introspector>,
    clock: Clock,
    known: ArcSwapOption<Known>,
    flight: Mutex<Flight>,
}

/// Where keys come from.
enum Source {
    Fetched(Box<Fetcher>),
    File(Watched<TrustBundle>),
}

/// The keys of one fetch.
struct Known {
    bundle: TrustBundle,
    jwks_uri: String,
    at: Instant,
}

/// What is known of an issuer, for `gatepost check --connect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkup {
    /// Where its keys are.
    pub jwks_uri: String,
    /// The ids of the keys that can be used; `None` for one without.
    pub keys: Vec<Option<String>>,
    /// The keys that can't, and why.
    pub left_out: Vec<String>,
    /// How many authorities of certificates there are.
    pub authorities: usize,
}

type Outcome = Result<(), Arc<FetchError>>;

/// The latest fetch. INVARIANT: at most one is under way: it is begun only under the lock that holds this.
#[derive(Default)]
struct Flight {
    begun: Option<Instant>,
    outcome: Option<watch::Receiver<Option<Outcome>>>,
}

/// What became of the wish for newer keys.
enum Refresh {
    /// A fetch is under way, perhaps begun by someone else.
    Underway(watch::Receiver<Option<Outcome>>),
    /// The latest fetch is too recent; how it ended.
    TooSoon(Outcome),
}

impl Issuer {
    pub(crate) fn new(config: IssuerConfig, clock: Clock) -> Result<Arc<Self>, BadIssuer> {
        let limits = config.limits;
        let source = match &config.keys_from {
            KeysFrom::File(path) => Source::File(Watched::new(path, move |text| {
                TrustBundle::parse(text, limits).map_err(|error| chain(&error))
            })),
            KeysFrom::Discovery | KeysFrom::Jwks(_) | KeysFrom::Bundle(_) => {
                Source::Fetched(Box::new(Fetcher::new(&config)?))
            }
        };
        let introspector =
            config.introspection.as_ref().map(|it| Introspector::new(&config, it)).transpose()?;
        let lists = |text: &[u8]| RevocationLists::from_pem(text).map_err(|error| chain(&error));
        let revoked = config.revoked.as_ref().map(|path| Watched::new(path, lists));
        Ok(Arc::new(Self {
            config,
            source,
            revoked,
            introspector,
            clock,
            known: ArcSwapOption::empty(),
            flight: Mutex::new(Flight::default()),
        }))
    }

    /// Returns how many keys are known of it, and how old they are; `None`: none were had yet.
    pub fn keys_known(&self) -> Option<(usize, std::time::Duration)> {
        let known = self.known.load_full()?;
        Some((known.bundle.keys.len(), (self.clock)().saturating_duration_since(known.at)))
    }

    /// Returns whether its keys are in a file, which is read when it changes.
    pub const fn has_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Returns its name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.rules.name
    }

    /// Returns the URL that tokens carry as `iss`.
    pub fn url(&self) -> &str {
        &self.config.rules.issuer_url
    }

    /// Returns where its discovery document is: the `openid-configuration` of an OAUTHBEARER error (RFC 7628 3.2.2).
    pub fn discovery_url(&self) -> &str {
        match &self.source {
            Source::Fetched(fetcher) => fetcher.discovery_url(),
            Source::File(_) => "",
        }
    }

    /// Returns whether it is the issuer of tokens with this `iss`.
    pub(crate) fn is_of(&self, iss: &str) -> bool {
        let by_url = matches!(self.config.keys_from, KeysFrom::Discovery | KeysFrom::Jwks(_));
        by_url && self.url() == iss
    }

    pub(crate) fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Fetches the keys now if the floor allows, else waits for the fetch under way, and says what is known.
    ///
    /// # Errors
    /// [`FetchError`]: the issuer can't be reached, or is not as it should be, and nothing usable is cached.
    pub async fn check(self: &Arc<Self>) -> Result<Checkup, Arc<FetchError>> {
        let of = |bundle: &TrustBundle, at: String| Checkup {
            jwks_uri: at,
            keys: bundle.keys.ids().map(|id| id.map(str::to_owned)).collect(),
            left_out: bundle.keys.left_out().to_vec(),
            authorities: bundle.anchors.as_ref().map_or(0, Anchors::len),
        };
        if let Some(revoked) = &self.revoked {
            revoked.current().map_err(|error| Arc::new(error.into()))?;
        }
        if let Source::File(file) = &self.source {
            let bundle = file.current().map_err(|error| Arc::new(error.into()))?;
            return Ok(of(&bundle, file.path().display().to_string()));
        }
        let outcome = self.refresh_and_wait().await;
        let known = self.known.load_full();
        match (outcome, known) {
            (Ok(()), Some(known)) => Ok(of(&known.bundle, known.jwks_uri.clone())),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Arc::new(FetchError::Abandoned)),
        }
    }

    /// Checks certificates that a client showed in its TLS handshake, its own first.
    pub(crate) async fn verify_certificate(
        self: &Arc<Self>,
        chain: &[CertificateDer<'static>],
        rules: &CertificateRules,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        let unread = |error: FileError| self.unavailable(Arc::new(error.into()));
        let revoked = self.revoked.as_ref().map(Watched::current).transpose().map_err(unread)?;
        let check = |bundle: &TrustBundle| {
            let none = || self.unavailable(Arc::new(FetchError::NoAuthority));
            let anchors = bundle.anchors.as_ref().ok_or_else(none)?;
            identity::verify_certificate(chain, rules, anchors, revoked.as_deref(), now)
                .map_err(Failure::Certificate)
        };
        match &self.source {
            Source::File(file) => check(&*file.current().map_err(unread)?),
            Source::Fetched(_) => check(&self.known().await?.bundle),
        }
    }

    /// Returns how it is asked about tokens, if it is.
    pub fn introspection(&self) -> Option<&Introspection> {
        self.introspector.as_ref().map(Introspector::config)
    }

    /// Checks a token that only the issuer can read.
    pub(crate) async fn verify_opaque(
        &self,
        token: &str,
        presented: Presented,
        freshness: Freshness,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        let rejected = |why| Failure::Rejected(Rejection::Malformed(why));
        let introspector =
            self.introspector.as_ref().ok_or_else(|| rejected("it does not have three parts"))?;
        if token.len() > self.config.rules.token_bytes_max {
            let (bytes, bytes_max) = (token.len(), self.config.rules.token_bytes_max);
            return Err(Failure::Rejected(Rejection::TooLong { bytes, bytes_max }));
        }
        // RFC 6750 2.1: what else is no bearer token, and no issuer is bothered with it.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(rejected("it has characters that no bearer token has"));
        }
        let answer = introspector.ask(token, freshness).await;
        let answer = answer.map_err(|error| self.unavailable(Arc::new(error)))?;
        identity::verify_introspection(&answer, &self.config.rules, presented, now).map_err(Failure::Rejected)
    }

    /// Checks a token that says something by itself, and asks the issuer about it as well where it is to be asked.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        token: &str,
        presented: Presented,
        freshness: Freshness,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        // SECURITY: first what can be checked here: nobody is asked about tokens that others made.
        let verified = self.verify_alone(token, presented, now).await?;
        if let Some(introspector) = &self.introspector {
            let answer = introspector.ask(token, freshness).await;
            let answer = answer.map_err(|error| self.unavailable(Arc::new(error)))?;
            identity::check_introspection(&answer, &self.config.rules, &verified, now)
                .map_err(Failure::Rejected)?;
        }
        Ok(verified)
    }

    async fn verify_alone(
        self: &Arc<Self>,
        token: &str,
        presented: Presented,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        self.judge(|rules, keys| identity::verify(token, rules, keys, presented, now)).await
    }

    pub(crate) async fn verify_logout(
        self: &Arc<Self>,
        token: &str,
        now: SystemTime,
    ) -> Result<Withdrawal, Failure> {
        self.judge(|rules, keys| identity::verify_logout(token, rules, keys, now)).await
    }

    /// Checks an ID token.
    pub(crate) async fn verify_id_token(
        self: &Arc<Self>,
        token: &str,
        expected: identity::Expected<'_>,
        now: SystemTime,
    ) -> Result<(Verified, Option<String>), Failure> {
        self.judge(|rules, keys| identity::verify_id_token(token, rules, keys, expected, now)).await
    }

    pub(crate) async fn verify_event(
        self: &Arc<Self>,
        token: &str,
        now: SystemTime,
    ) -> Result<Told, Failure> {
        self.judge(|rules, keys| identity::verify_event(token, rules, keys, now)).await
    }

    /// Judges by the keys that are known, and once more by newer ones where the token names one that is not.
    async fn judge<T>(
        self: &Arc<Self>,
        judged: impl Fn(&IssuerRules, &KeySet) -> Result<T, Rejection>,
    ) -> Result<T, Failure> {
        if let Source::File(file) = &self.source {
            let bundle = file.current().map_err(|error| self.unavailable(Arc::new(error.into())))?;
            return judged(&self.config.rules, &bundle.keys).map_err(Failure::Rejected);
        }
        let known = self.known().await?;
        let rejection = match judged(&self.config.rules, &known.bundle.keys) {
            Err(rejection) if rejection.is_unknown_key() => rejection,
            result => return result.map_err(Failure::Rejected),
        };
        let outcome = self.refresh_and_wait().await;
        match self.serving() {
            Some(newer) if !Arc::ptr_eq(&newer, &known) => {
                judged(&self.config.rules, &newer.bundle.keys).map_err(Failure::Rejected)
            }
            // The key may be a new one, which the issuer could not tell us of: not to be held against the token.
            _ => Err(outcome.map_or_else(|error| self.unavailable(error), |()| Failure::Rejected(rejection))),
        }
    }

    /// Returns what was fetched, waiting for it if nothing was yet.
    async fn known(self: &Arc<Self>) -> Result<Arc<Known>, Failure> {
        let known = match self.serving() {
            Some(known) => known,
            None => {
                let outcome = self.refresh_and_wait().await;
                // Keys from a fetch that ended meanwhile will do, however the latest one ended.
                match (self.serving(), outcome) {
                    (Some(known), _) => known,
                    (None, Err(error)) => return Err(self.unavailable(error)),
                    (None, Ok(())) => return Err(self.unavailable(Arc::new(FetchError::Abandoned))),
                }
            }
        };
        if self.age(&known) >= self.config.keys_age_max {
            // In the background: nobody waits for it while a key is known.
            let _underway = self.refresh();
        }
        Ok(known)
    }

    fn unavailable(&self, reason: Arc<FetchError>) -> Failure {
        Failure::Unavailable { issuer: self.name().to_owned(), reason }
    }

    fn age(&self, known: &Known) -> Duration {
        (self.clock)().saturating_duration_since(known.at)
    }

    /// Returns the keys, unless they are too old to be trusted.
    fn serving(&self) -> Option<Arc<Known>> {
        self.known.load_full().filter(|known| self.age(known) < self.config.keys_stale_max)
    }

    async fn refresh_and_wait(self: &Arc<Self>) -> Outcome {
        match self.refresh() {
            Refresh::TooSoon(outcome) => outcome,
            Refresh::Underway(mut outcome) => match outcome.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or_else(abandoned),
                Err(_closed) => abandoned(),
            },
        }
    }

    /// Begins a fetch, unless one is under way or the latest one was begun too recently.
    fn refresh(self: &Arc<Self>) -> Refresh {
        let now = (self.clock)();
        let mut flight = self.flight.lock();
        if let Some(latest) = &flight.outcome {
            let ended = match (latest.borrow().clone(), latest.has_changed()) {
                (Some(outcome), _) => Some(outcome),
                (None, Err(_closed)) => Some(abandoned()),
                (None, Ok(_)) => None,
            };
            let Some(outcome) = ended else { return Refresh::Underway(latest.clone()) };
            let cold = outcome.is_err() && self.serving().is_none();
            let floor =
                if cold { self.config.refresh_floor.min(COLD_FLOOR) } else { self.config.refresh_floor };
            if flight.begun.is_some_and(|begun| now.saturating_duration_since(begun) < floor) {
                return Refresh::TooSoon(outcome);
            }
        }
        let (sender, receiver) = watch::channel(None);
        *flight = Flight { begun: Some(now), outcome: Some(receiver.clone()) };
        // A task of its own: a verifier that gives up must not take the others' fetch with it.
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = issuer.fetch().await;
            sender.send_replace(Some(outcome));
        });
        Refresh::Underway(receiver)
    }

    async fn fetch(&self) -> Outcome {
        // The age counts from before the request: what the answer says may be as old as that.
        let at = (self.clock)();
        let Source::Fetched(fetcher) = &self.source else { return abandoned() };
        match fetcher.fetch().await {
            Ok(fetched) => {
                let keys = &fetched.bundle.keys;
                tracing::debug!(issuer = self.name(), keys = keys.len(), "issuer keys fetched");
                for reason in keys.left_out() {
                    tracing::debug!(issuer = self.name(), %reason, "issuer key left out");
                }
                if keys.is_empty() && fetched.bundle.anchors.is_none() {
                    tracing::warn!(
                        issuer = self.name(),
                        "issuer has no usable keys; its tokens are all refused"
                    );
                }
                self.known.store(Some(Arc::new(Known {
                    bundle: fetched.bundle,
                    jwks_uri: fetched.jwks_uri,
                    at,
                })));
                Ok(())
            }
            Err(error) => {
                let cached_s = self.known.load().as_ref().map(|known| self.age(known).as_secs());
                tracing::warn!(issuer = self.name(), error = %chain(&error), cached_s, "issuer keys not fetched");
                Err(Arc::new(error))
            }
        }
    }
}

fn abandoned() -> Outcome {
    Err(Arc::new(FetchError::Abandoned))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name()).field("url", &self.url()).finish_non_exhaustive()
    }
}
