//! Asks an authorization server about tokens (RFC 7662), and remembers its answers for a moment. Judges none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::thumbprint_of;
use model::Secret;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::{BadIssuer, IssuerConfig};
use crate::credential::Credential;
use crate::fetch::{Client, FetchError};

/// How an authorization server is asked about tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// Its introspection endpoint.
    pub url: String,
    /// How the gateway shows who it is.
    pub asker: Asker,
    /// How often it is asked again about a token whose session lives.
    pub every: Duration,
    /// For how long a session lives on without an answer.
    pub grace: Duration,
}

/// How the gateway shows an authorization server who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// As a client, by HTTP Basic authentication (RFC 6749, section 2.3.1).
    Client {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Credential,
    },
    /// By a token of its own (RFC 6750).
    Bearer(Credential),
}

/// Whether an answer may be one that was given a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may.
    Remembered,
    /// It may not.
    Fresh,
}

/// For how long an answer is remembered, good or bad: a token that is sent again and again is asked about once.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How many answers are remembered.
const ANSWERS_MAX: usize = 4096;
/// How many questions are under way at once; others wait, as long as an answer may take.
const ASKING_MAX: usize = 16;

type Answer = Arc<Vec<u8>>;

/// See the module.
pub(crate) struct Introspector {
    config: Introspection,
    client: Client,
    timeout: Duration,
    /// By SHA-256 of the token: tokens themselves are not kept.
    answers: Mutex<HashMap<[u8; 32], (Instant, Answer)>>,
    asking: Semaphore,
}

impl Introspector {
    pub(crate) fn new(config: &IssuerConfig, introspection: &Introspection) -> Result<Self, BadIssuer> {
        Ok(Self {
            config: introspection.clone(),
            client: Client::new(config, &introspection.url)?,
            timeout: config.fetch_timeout,
            answers: Mutex::default(),
            asking: Semaphore::new(ASKING_MAX),
        })
    }

    pub(crate) const fn config(&self) -> &Introspection {
        &self.config
    }

    /// Returns what the server says of a token.
    pub(crate) async fn ask(&self, token: &str, freshness: Freshness) -> Result<Answer, FetchError> {
        let key = thumbprint_of(token.as_bytes());
        if freshness == Freshness::Remembered
            && let Some((at, answer)) = self.answers.lock().get(&key)
            && at.elapsed() < REMEMBERED
        {
            return Ok(answer.clone());
        }
        let timed_out = |_| FetchError::Timeout { url: self.config.url.clone(), limit: self.timeout };
        let turn = tokio::time::timeout(self.timeout, self.asking.acquire()).await.map_err(timed_out)?;
        let _turn = turn.map_err(|_| FetchError::Abandoned)?;
        // The age counts from before the request.
        let at = Instant::now();
        let answer = Arc::new(self.post(token).await?);
        let mut answers = self.answers.lock();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        }
        if answers.len() < ANSWERS_MAX {
            answers.insert(key, (at, answer.clone()));
        }
        Ok(answer)
    }

    async fn post(&self, token: &str) -> Result<Vec<u8>, FetchError> {
        let secret = |credential: &Credential| {
            let credential = credential.clone();
            async move { credential.fetch().await.map_err(FetchError::Bearer) }
        };
        let request = self.client.post(&self.config.url);
        let request = match &self.config.asker {
            Asker::Client { id, secret: credential } => {
                let secret: Secret<String> = secret(credential).await?;
                // RFC 6749 2.3.1: both are encoded as in a form first.
                request.basic_auth(form(id), Some(form(secret.expose().trim_end_matches('\n'))))
            }
            Asker::Bearer(credential) => request.bearer_auth(secret(credential).await?.expose().trim()),
        };
        let request = request.form(&[("token", token), ("token_type_hint", "access_token")]);
        self.client.send(request, &self.config.url).await
    }
}

fn form(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
