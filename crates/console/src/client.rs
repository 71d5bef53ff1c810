//! Asks a running gateway: over its HTTP port with a token, or over the local socket. Knows paths and answers; prints nothing.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use model::Secret;
use serde_json::Value;
use url::{Host, Url};

use crate::listen::within;

/// A gateway that can be asked.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Secret<String>>,
    /// The socket's path leads through it.
    _folder: Option<File>,
}

/// Why a gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Operator: the address, the certificate, or nobody is there.
    #[error("can't ask the gateway {at}")]
    Reach {
        /// Where.
        at: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// Operator: no gateway runs there, or it isn't this user's.
    #[error(
        "can't open {0}, where the gateway's local socket would be; run as its user or as root, or set GATEPOST_TOKEN"
    )]
    Folder(String, #[source] std::io::Error),
    /// Operator.
    #[error("{0}")]
    Url(String),
    /// The gateway said no.
    #[error("{message}")]
    Refused {
        /// HTTP's.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It is no gateway, or of another version.
    #[error("the answer makes no sense (HTTP {0})")]
    Answer(u16),
}

const TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    /// Asks over the local socket in the folder of `[state]`.
    ///
    /// # Errors
    /// [`ClientError`]: operator.
    pub fn local(state: &Path) -> Result<Self, ClientError> {
        let shown = || state.display().to_string();
        let folder = File::open(state).map_err(|error| ClientError::Folder(shown(), error))?;
        let http = reqwest::Client::builder()
            .unix_socket(within(&folder))
            .no_proxy()
            .tls_certs_only([])
            .timeout(TIMEOUT)
            .build();
        let http = http.map_err(|source| ClientError::Reach { at: shown(), source })?;
        let base = Url::parse("http://localhost/").map_err(|error| ClientError::Url(error.to_string()))?;
        Ok(Self { http, base, token: None, _folder: Some(folder) })
    }

    /// Asks at a URL, with a token; `authority` is PEM that is trusted beside the system's.
    ///
    /// # Errors
    /// [`ClientError`]: operator.
    pub fn remote(url: &str, token: Secret<String>, authority: Option<&[u8]>) -> Result<Self, ClientError> {
        let base =
            Url::parse(url).map_err(|error| ClientError::Url(format!("\"{url}\" is no URL: {error}")))?;
        let loopback = match base.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        // SECURITY: whoever reads the token on its way can end everybody's sessions with it.
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            let message =
                format!("\"{url}\" must be https:, since a token is sent there; http: is for this host only");
            return Err(ClientError::Url(message));
        }
        let failed = |source| ClientError::Reach { at: url.to_owned(), source };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT);
        if base.scheme() == "http" {
            // No TLS, so no need for the system's certificates.
            builder = builder.tls_certs_only([]);
        }
        if let Some(pem) = authority {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?;
            builder = builder.tls_certs_merge(roots);
        }
        Ok(Self { http: builder.build().map_err(failed)?, base, token: Some(token), _folder: None })
    }

    /// Gets what is at a path.
    ///
    /// # Errors
    /// [`ClientError`]: see there.
    pub async fn get(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.send(self.http.get(self.url(path)?)).await
    }

    /// Posts to a path.
    ///
    /// # Errors
    /// [`ClientError`]: see there.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.send(self.http.post(self.url(path)?).json(body)).await
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// [`ClientError`]: see there.
    pub async fn delete(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.send(self.http.delete(self.url(path)?)).await
    }

    fn url(&self, path: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        let failed = || ClientError::Url(format!("\"{}\" can't have a path", self.base));
        url.path_segments_mut().map_err(|()| failed())?.pop_if_empty().extend(["api", "v1"]).extend(path);
        Ok(url)
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Value, ClientError> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let failed = |source: reqwest::Error| ClientError::Reach {
            at: self.base.to_string(),
            source: source.without_url(),
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body: Option<Value> = response.json().await.ok();
        match body {
            Some(body) if status.is_success() => Ok(body),
            Some(Value::Object(body)) => match body.get("error").and_then(Value::as_str) {
                Some(message) => {
                    Err(ClientError::Refused { status: status.as_u16(), message: message.to_owned() })
                }
                None => Err(ClientError::Answer(status.as_u16())),
            },
            _ => Err(ClientError::Answer(status.as_u16())),
        }
    }
}
