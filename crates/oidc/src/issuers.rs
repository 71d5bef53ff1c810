//! All configured issuers: finds the one that a token names. Decides nothing about tokens.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use identity::{Excerpt, Rejection, Verified, peek};
use model::{Method, Secret};

use crate::config::{BadIssuer, IssuerConfig};
use crate::fetch::FetchError;
use crate::issuer::{Clock, Issuer};

/// Why a token was not believed. For log and audit; the client gets one neutral message, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The token is wrong: the client's fault.
    #[error("token rejected")]
    Rejected(#[source] Rejection),
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
        method: Method,
        now: SystemTime,
    ) -> Result<Verified, Failure> {
        let token = token.expose();
        let claimed = peek(token).map_err(Failure::Rejected)?;
        let unknown = || Failure::Rejected(Rejection::UnknownIssuer(Excerpt::of(&claimed.issuer)));
        let issuer = self.iter().find(|it| it.url() == claimed.issuer).ok_or_else(unknown)?;
        issuer.verify(token, method, now).await
    }
}

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
