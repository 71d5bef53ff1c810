//! All configured issuers: finds the one that a token names. Decides nothing about tokens.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use identity::{
    CertificateKind, CertificateRejection, CertificateRules, Excerpt, Presented, Rejection, Told, Unverified,
    Verified, Withdrawal, is_self_contained, peek, peek_certificate, peek_event, peek_logout,
};
use model::Secret;
use rustls_pki_types::CertificateDer;

use crate::config::{BadIssuer, IssuerConfig};
use crate::fetch::FetchError;
use crate::introspect::Freshness;
use crate::issuer::{Clock, Issuer};

/// Why a token was not believed. For log and audit; the client gets one neutral message, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The token is wrong: the client's fault.
    #[error("token rejected")]
    Rejected(#[source] Rejection),
    /// The certificate is wrong: the client's fault, or of whoever keeps revocation lists.
    #[error("certificate rejected")]
    Certificate(#[source] CertificateRejection),
    /// No issuer of those that are accepted believes certificates.
    #[error("no issuer that is accepted here believes certificates")]
    NoAuthority,
    /// It is of an issuer that is not accepted here.
    #[error("issuer {0:?} is not accepted by the [[auth]] rule")]
    NotAccepted(String),
    /// The issuer's keys are not known and can't be had: the issuer's fault, or the network's.
    #[error("issuer {issuer:?} is unavailable")]
    Unavailable {
        /// Its name in the configuration.
        issuer: String,
        /// Why.
        #[source]
        reason: Arc<FetchError>,
    },
}

/// The issuers whose tokens are believed.
#[derive(Clone, Debug)]
pub struct Issuers {
    issuers: Arc<[Arc<Issuer>]>,
}

impl Issuers {
    /// Makes the issuers; fetches nothing yet.
    ///
    /// # Errors
    /// [`BadIssuer`]: the operator's fault.
    pub fn new(configs: Vec<IssuerConfig>) -> Result<Self, BadIssuer> {
        Self::with_clock(configs, Arc::new(Instant::now))
    }

    /// As [`new`](Self::new), with another clock for the ages of keys. It must never go back.
    ///
    /// # Errors
    /// [`BadIssuer`]: the operator's fault.
    pub fn with_clock(configs: Vec<IssuerConfig>, clock: Clock) -> Result<Self, BadIssuer> {
        check_distinct(&configs)?;
        let issuers = configs.into_iter().map(|config| Issuer::new(config, Arc::clone(&clock)));
        Ok(Self { issuers: issuers.collect::<Result<_, _>>()? })
    }

    /// Makes the issuers of a changed configuration; those that did not change keep their keys, so that a reload
    /// while an issuer is down costs nothing. (A CA file is read again only if its path changes.)
    ///
    /// # Errors
    /// [`BadIssuer`]: the operator's fault; `self` can go on serving.
    pub fn reconfigured(&self, configs: Vec<IssuerConfig>) -> Result<Self, BadIssuer> {
        check_distinct(&configs)?;
        let issuers = configs.into_iter().map(|config| match self.iter().find(|it| *it.config() == config) {
            Some(same) => Ok(Arc::clone(same)),
            None => Issuer::new(config, Arc::new(Instant::now)),
        });
        Ok(Self { issuers: issuers.collect::<Result<_, _>>()? })
    }

    /// Returns every issuer, in the configuration's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.iter()
    }

    /// Returns the issuer of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.iter().find(|it| it.name() == name)
    }

    /// Begins to fetch every issuer's keys, so that the first client needn't wait; failures are logged.
    ///
    /// Must be called within a tokio runtime.
    pub fn warm(&self) {
        for issuer in self.iter() {
            let issuer = Arc::clone(issuer);
            tokio::spawn(async move { issuer.check().await });
        }
    }

    /// Checks a token: finds its issuer, and the key, fetching what is not known yet.
    ///
    /// Where the key is known it answers at once, whatever fetch is under way; where a fetch is needed, it takes at
    /// most twice the issuer's `fetch_timeout`. It may be dropped at any time.
    ///
    /// # Errors
    /// [`Failure`]: see there.
    pub async fn verify(
        &self,
        token: &Secret<String>,
        presented: impl Into<Presented>,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        self.verify_by(token, presented.into(), Freshness::Remembered, |_| true, now).await
    }

    /// As [`verify`](Self::verify), by the issuers that `accepts` says. A token that says nothing by itself is one of the first
    /// issuers, three at most, that can be asked about it.
    ///
    /// # Errors
    /// [`Failure`]: see there.
    pub async fn verify_by(
        &self,
        token: &Secret<String>,
        presented: Presented,
        freshness: Freshness,
        accepts: impl Fn(&str) -> bool,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        let token = token.expose();
        if !is_self_contained(token) {
            return self.verify_opaque(token, presented, freshness, accepts, now).await;
        }
        let issuer = self.claimed(peek(token))?;
        if !accepts(issuer.name()) {
            return Err(Failure::NotAccepted(issuer.name().to_owned()));
        }
        issuer.verify(token, presented, freshness, now).await
    }

    async fn verify_opaque(
        &self,
        token: &str,
        presented: Presented,
        freshness: Freshness,
        accepts: impl Fn(&str) -> bool,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        let mut failure = Failure::Rejected(Rejection::Malformed("it does not have three parts"));
        let asked = self.iter().filter(|it| it.introspection().is_some() && accepts(it.name()));
        for issuer in asked.take(OPAQUE_ISSUERS_MAX) {
            match issuer.verify_opaque(token, presented, freshness, now).await {
                // The others may know it.
                Err(why @ Failure::Rejected(Rejection::Inactive)) => failure = why,
                // SECURITY: one that knows it, or can't be asked, has the last word.
                result => return result,
            }
        }
        Err(failure)
    }

    /// Checks certificates that a client showed in its TLS handshake, its own first, by the issuers that `accepts` says.
    ///
    /// One with a SPIFFE ID of a configured trust domain is that one's, whatever other authorities would say of it. Any other is of
    /// the first issuer whose authorities vouch for it.
    ///
    /// # Errors
    /// [`Failure`]: why the one that it should be of doesn't believe it; or, if there are several, the last of them.
    pub async fn verify_certificate(
        &self,
        chain: &[CertificateDer<'static>],
        accepts: impl Fn(&str) -> bool,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        if chain.is_empty() {
            return Err(Failure::Certificate(CertificateRejection::Missing));
        }
        let domain = peek_certificate(chain);
        let all = || self.iter().filter_map(|it| Some((it, it.config().certificates.as_ref()?)));
        let of_domain = |rules: &CertificateRules| match &rules.kind {
            CertificateKind::Svid(of) => domain.as_ref() == Some(of),
            CertificateKind::Named { .. } => false,
        };
        if let Some((issuer, rules)) = all().find(|(_, rules)| of_domain(rules)) {
            if !accepts(issuer.name()) {
                return Err(Failure::NotAccepted(issuer.name().to_owned()));
            }
            return issuer.verify_certificate(chain, rules, now).await;
        }
        let mut failure = Failure::NoAuthority;
        for (issuer, rules) in all() {
            if !accepts(issuer.name()) || matches!(rules.kind, CertificateKind::Svid(_)) {
                continue;
            }
            match issuer.verify_certificate(chain, rules, now).await {
                Ok(verified) => return Ok(verified),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    /// Returns whether any issuer believes certificates.
    pub fn take_certificates(&self) -> bool {
        self.iter().any(|it| it.config().certificates.is_some())
    }

    /// Checks a logout token (OpenID Connect Back-Channel Logout 1.0), as [`verify`](Self::verify) does a token.
    ///
    /// # Errors
    /// [`Failure`]: see there.
    pub async fn verify_logout(
        &self,
        token: &Secret<String>,
        now: SystemTime,
    ) -> Result<Withdrawal, Failure> {
        let token = token.expose();
        self.claimed(peek_logout(token))?.verify_logout(token, now).await
    }

    /// Checks a security event token (RFC 8417), likewise.
    ///
    /// # Errors
    /// [`Failure`]: see there.
    pub async fn verify_event(&self, token: &Secret<String>, now: SystemTime) -> Result<Told, Failure> {
        let token = token.expose();
        self.claimed(peek_event(token))?.verify_event(token, now).await
    }

    fn claimed(&self, claimed: Result<Unverified, Rejection>) -> Result<&Arc<Issuer>, Failure> {
        let claimed = claimed.map_err(Failure::Rejected)?;
        let named = claimed.issuer.as_ref().and_then(|iss| self.iter().find(|it| it.is_of(iss)));
        let spiffe = || {
            let of = claimed.trust_domain.as_ref()?;
            self.iter().find(|it| it.config().rules.trust_domain.as_ref() == Some(of))
        };
        named.or_else(spiffe).ok_or_else(|| {
            let name =
                claimed.issuer.clone().or_else(|| claimed.trust_domain.as_ref().map(|it| it.to_string()));
            Failure::Rejected(Rejection::UnknownIssuer(Excerpt::of(&name.unwrap_or_default())))
        })
    }
}

/// How many issuers are asked about a token that doesn't say whose it is: each is told somebody else's token.
const OPAQUE_ISSUERS_MAX: usize = 3;

/// SECURITY: `issuer:subject` names an identity, and `iss` chooses the rules, so both must be unique.
fn check_distinct(configs: &[IssuerConfig]) -> Result<(), BadIssuer> {
    for (index, config) in configs.iter().enumerate() {
        let (name, url) = (&config.rules.name, &config.rules.issuer_url);
        let earlier = configs.iter().take(index).map(|it| &it.rules);
        if earlier.into_iter().any(|it| it.name == *name || it.issuer_url == *url) {
            return Err(BadIssuer::Twice { name: name.clone(), url: url.clone() });
        }
    }
    Ok(())
}
