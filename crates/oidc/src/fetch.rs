//! Two bounded requests: an issuer's discovery document, and the key set that it names. Keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use identity::{BadBundle, KeySet, KeySetError, KeySetLimits, TrustBundle};
use model::Secret;
use serde_json::Value;
use url::Url;

use crate::config::{self, BadIssuer, IssuerConfig, KeysFrom};
use crate::credential::Credential;
use crate::files::FileError;
use crate::reach::{Guard, GuardedResolver};

/// Why an issuer's keys could not be fetched.
///
/// Every variant is the issuer's fault or the network's, except that [`Abandoned`](Self::Abandoned) is ours, seen only
/// while the process ends.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer came.
    #[error("{url} can't be fetched")]
    Http {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer took longer than `fetch_timeout`.
    #[error("{url} did not answer within {} ms", .limit.as_millis())]
    Timeout {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// A redirect; none is followed.
    #[error("{url} redirects (status {status}), and redirects are not followed; configure the final url")]
    Redirect {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A status other than 200.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A body over the limit.
    #[error("{url} answered with more than {bytes_max} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The discovery document is not one.
    #[error("{url} is not a discovery document: {problem}")]
    Discovery {
        /// Where it was.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The discovery document is another issuer's.
    #[error("{url} is for issuer {found:?}, not {expected:?}; they must be equal, a trailing / included")]
    WrongIssuer {
        /// Where it was.
        url: String,
        /// Its `issuer`.
        found: String,
        /// The configured URL.
        expected: String,
    },
    /// The discovery document names a place that this issuer may not point to.
    #[error("jwks_uri {uri:?} {problem}")]
    JwksUri {
        /// What it names.
        uri: String,
        /// Why not.
        problem: &'static str,
    },
    /// What is at `jwks_uri` is not a key set.
    #[error("{url} is not a key set")]
    KeySet {
        /// Where it was.
        url: String,
        /// Why.
        source: KeySetError,
    },
    /// What is at the URL is no trust bundle.
    #[error("{url} is no trust bundle")]
    Bundle {
        /// Where it was.
        url: String,
        /// Why.
        source: BadBundle,
    },
    /// A file can't be read or used.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has no authorities of certificates.
    #[error("the trust bundle has no authority of certificates")]
    NoAuthority,
    /// The gateway's own bearer token can't be had: the operator's fault.
    #[error("the bearer token to ask with can't be had: {0}")]
    Bearer(String),
    /// The fetch ended without a result.
    #[error("the fetch was abandoned")]
    Abandoned,
}

/// Returns an error and its causes in one line, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// What one successful fetch brought.
pub(crate) struct Fetched {
    pub(crate) bundle: TrustBundle,
    pub(crate) jwks_uri: String,
}

/// An HTTP client for what is at one address, and not further in than it.
pub(crate) struct Client {
    client: reqwest::Client,
    guard: Arc<Guard>,
    /// The address.
    issuer: Url,
    timeout: Duration,
    limits: KeySetLimits,
}

impl Client {
    /// Makes the client for an issuer, to be asked at an address.
    pub(crate) fn new(config: &IssuerConfig, asked: &str) -> Result<Self, BadIssuer> {
        let rules = &config.rules;
        let issuer = config::issuer_url(&rules.name, asked)?;
        let guard = Guard::of(&issuer).ok_or_else(|| BadIssuer::Url {
            name: rules.name.clone(),
            url: asked.to_owned(),
            problem: "has an address at which no issuer can be",
        })?;
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // SECURITY: a proxy from the environment would resolve names out of the guard's sight.
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver(Arc::clone(&guard))))
            // Fetches are minutes apart: each resolves and connects anew, so that the guard sees it.
            .pool_max_idle_per_host(0)
            .timeout(config.fetch_timeout);
        client = match (issuer.scheme(), &config.ca_file) {
            // No TLS, so no need for the system's certificates.
            ("http", _) => client.tls_certs_only([]),
            (_, None) => client.https_only(true),
            (_, Some(path)) => client.https_only(true).tls_certs_merge(ca_certificates(&rules.name, path)?),
        };
        let client =
            client.build().map_err(|source| BadIssuer::Client { name: rules.name.clone(), source })?;
        Ok(Self { client, guard, issuer, timeout: config.fetch_timeout, limits: config.limits })
    }

    pub(crate) fn get(&self, url: &str) -> reqwest::RequestBuilder {
        self.client.get(url)
    }

    pub(crate) fn post(&self, url: &str) -> reqwest::RequestBuilder {
        self.client.post(url)
    }

    /// Whether it is asked without TLS, which is so on loopback only.
    pub(crate) fn is_plain(&self) -> bool {
        self.issuer.scheme() == "http"
    }

    /// Checks an address that the discovery document names and the gateway asks.
    pub(crate) fn check_endpoint(&self, uri: &str) -> Result<Url, &'static str> {
        let url = config::issuer_endpoint(uri, self.is_plain())?;
        if !self.guard.allows_url(&url) {
            return Err("is at a private or local address, closer in than the issuer itself");
        }
        Ok(url)
    }

    /// Sends a request for JSON, and returns the body of the answer, which must have status 200 and be neither long nor late.
    pub(crate) async fn send(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
    ) -> Result<Vec<u8>, FetchError> {
        self.send_accepting(request, url, &[200]).await.map(|(_, body)| body)
    }

    /// The same where other statuses have a body that says something.
    pub(crate) async fn send_accepting(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
        statuses: &[u16],
    ) -> Result<(u16, Vec<u8>), FetchError> {
        match tokio::time::timeout(self.timeout, self.send_unhurried(request, url, statuses)).await {
            Ok(Err(FetchError::Http { source, .. })) if source.is_timeout() => Err(self.timed_out(url)),
            Ok(result) => result,
            Err(_elapsed) => Err(self.timed_out(url)),
        }
    }

    fn timed_out(&self, url: &str) -> FetchError {
        FetchError::Timeout { url: url.to_owned(), limit: self.timeout }
    }

    async fn send_unhurried(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
        statuses: &[u16],
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let http =
            |error: reqwest::Error| FetchError::Http { url: url.to_owned(), source: error.without_url() };
        let too_long = || FetchError::TooLong { url: url.to_owned(), bytes_max: self.limits.bytes_max };
        let request = request.header(http::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(http)?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect { url: url.to_owned(), status: status.as_u16() });
        }
        if !statuses.contains(&status.as_u16()) {
            return Err(FetchError::Status { url: url.to_owned(), status: status.as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if body.len().saturating_add(chunk.len()) > self.limits.bytes_max {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status.as_u16(), body))
    }
}

/// Fetches one issuer's keys.
pub(crate) struct Fetcher {
    client: Client,
    issuer_text: String,
    discovery_url: String,
    keys_from: KeysFrom,
    bearer: Option<Credential>,
}

impl Fetcher {
    pub(crate) fn new(config: &IssuerConfig) -> Result<Self, BadIssuer> {
        let rules = &config.rules;
        // SECURITY: where the operator says the keys are is where from reach is measured: nothing else is asked then.
        let asked = match &config.keys_from {
            KeysFrom::Jwks(url) | KeysFrom::Bundle(url) => url,
            KeysFrom::Discovery | KeysFrom::File(_) => &rules.issuer_url,
        };
        let client = Client::new(config, asked)?;
        // OpenID Connect Discovery 4.1: a terminating / is removed first.
        let base = rules.issuer_url.strip_suffix('/').unwrap_or(&rules.issuer_url);
        Ok(Self {
            client,
            issuer_text: rules.issuer_url.clone(),
            discovery_url: format!("{base}/.well-known/openid-configuration"),
            keys_from: config.keys_from.clone(),
            bearer: config.bearer.clone(),
        })
    }

    pub(crate) fn discovery_url(&self) -> &str {
        &self.discovery_url
    }

    /// Fetches the discovery document, then the keys. Takes at most twice `fetch_timeout`.
    pub(crate) async fn fetch(&self) -> Result<Fetched, FetchError> {
        let uri = match &self.keys_from {
            KeysFrom::Jwks(_) | KeysFrom::Bundle(_) | KeysFrom::File(_) => self.client.issuer.clone(),
            KeysFrom::Discovery => {
                let body = self.get(&self.discovery_url).await?;
                self.read_jwks_uri(&body)?
            }
        };
        let body = self.get(uri.as_str()).await?;
        let bundle = match &self.keys_from {
            KeysFrom::Bundle(_) => TrustBundle::parse(&body, self.client.limits)
                .map_err(|source| FetchError::Bundle { url: uri.to_string(), source }),
            KeysFrom::Discovery | KeysFrom::Jwks(_) | KeysFrom::File(_) => {
                KeySet::parse(&body, self.client.limits)
                    .map(|keys| TrustBundle { anchors: None, keys })
                    .map_err(|source| FetchError::KeySet { url: uri.to_string(), source })
            }
        };
        Ok(Fetched { bundle: bundle?, jwks_uri: uri.into() })
    }

    /// Returns the bearer token for a request, if one is to be shown there.
    ///
    /// SECURITY: a discovery document can't make the gateway show it to somebody else.
    async fn bearer_for(&self, url: &str) -> Result<Option<Secret<String>>, FetchError> {
        let own = Url::parse(url).is_ok_and(|url| url.origin() == self.client.issuer.origin());
        match &self.bearer {
            Some(bearer) if own => bearer.fetch().await.map(Some).map_err(FetchError::Bearer),
            _ => Ok(None),
        }
    }

    fn read_jwks_uri(&self, body: &[u8]) -> Result<Url, FetchError> {
        let document = read_discovery(body, &self.discovery_url, &self.issuer_text)?;
        let missing = || FetchError::Discovery {
            url: self.discovery_url.clone(),
            problem: "it has no string \"jwks_uri\"".to_owned(),
        };
        let uri = document.get("jwks_uri").and_then(Value::as_str).ok_or_else(missing)?;
        self.client
            .check_endpoint(uri)
            .map_err(|problem| FetchError::JwksUri { uri: uri.chars().take(200).collect(), problem })
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut request = self.client.get(url);
        if let Some(bearer) = self.bearer_for(url).await? {
            request = request.bearer_auth(bearer.expose().trim());
        }
        self.client.send(request, url).await
    }
}

/// Reads a discovery document, which must be this issuer's.
pub(crate) fn read_discovery(body: &[u8], url: &str, issuer: &str) -> Result<Value, FetchError> {
    let bad = |problem: String| FetchError::Discovery { url: url.to_owned(), problem };
    let document = identity::parse_json(body).map_err(|error| bad(error.to_string()))?;
    let found = document.get("issuer").and_then(Value::as_str);
    let found = found.ok_or_else(|| bad("it has no string \"issuer\"".to_owned()))?;
    if found != issuer {
        return Err(FetchError::WrongIssuer {
            url: url.to_owned(),
            found: found.chars().take(200).collect(),
            expected: issuer.to_owned(),
        });
    }
    Ok(document)
}

fn ca_certificates(name: &str, path: &std::path::Path) -> Result<Vec<reqwest::Certificate>, BadIssuer> {
    let pem = std::fs::read(path).map_err(|source| BadIssuer::CaFile {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(BadIssuer::CaPem { name: name.to_owned(), path: path.to_owned() }),
    }
}
