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
/// The gateway ends a stream of events sooner.
const LISTENING: Duration = Duration::from_secs(3600);
/// By this the gateway knows in what words to record where an act came from: a label, which anybody may send.
pub(crate) const USER_AGENT: &str = concat!("gatepost-cli/", env!("CARGO_PKG_VERSION"));
/// For one event; the gateway's are small.
const EVENT_BYTES_MAX: usize = 1 << 20;

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
            .user_agent(USER_AGENT)
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
            .user_agent(USER_AGENT)
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

    /// Gets what is at a path, with these parameters.
    ///
    /// # Errors
    /// [`ClientError`]: see there.
    pub async fn get_with(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, ClientError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        self.send(self.http.get(url)).await
    }

    /// Listens to what happens.
    ///
    /// # Errors
    /// [`ClientError`]: see there.
    pub async fn events(&self) -> Result<Happenings, ClientError> {
        let request = self.http.get(self.url(&["events"])?).timeout(LISTENING);
        let response = self.with_token(request).send().await.map_err(|error| self.unreached(error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status.as_u16(), response.json().await.ok()));
        }
        Ok(Happenings { response, buffer: Vec::new() })
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

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    fn unreached(&self, source: reqwest::Error) -> ClientError {
        ClientError::Reach { at: self.base.to_string(), source: source.without_url() }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, ClientError> {
        let response = self.with_token(request).send().await.map_err(|error| self.unreached(error))?;
        let status = response.status();
        let body: Option<Value> = response.json().await.ok();
        match body {
            Some(body) if status.is_success() => Ok(body),
            body => Err(refused(status.as_u16(), body)),
        }
    }
}

fn refused(status: u16, body: Option<Value>) -> ClientError {
    let message = body.as_ref().and_then(|body| body.get("error")?.as_str());
    match message {
        Some(message) => ClientError::Refused { status, message: message.to_owned() },
        None => ClientError::Answer(status),
    }
}

/// What happens in the gateway, as it is told.
pub struct Happenings {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

/// One of those.
#[derive(Clone, Debug)]
pub struct Happening {
    /// The event's name: `approval`, `session`, ...
    pub kind: String,
    /// What is told of it.
    pub data: Value,
}

impl Happenings {
    /// Returns the next; `None` where the gateway has ended the stream.
    ///
    /// # Errors
    /// [`ClientError`]: the connection broke, or it is no such stream.
    pub async fn next(&mut self) -> Result<Option<Happening>, ClientError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(happening) = read(&block) {
                    return Ok(Some(happening));
                }
                continue;
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(ClientError::Answer(self.response.status().as_u16()));
            }
            let at = self.response.url().to_string();
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                Err(source) => return Err(ClientError::Reach { at, source: source.without_url() }),
            }
        }
    }
}

/// Reads one event of a stream (WHATWG HTML, 9.2); `None` for a comment, or one without data.
fn read(block: &[u8]) -> Option<Happening> {
    let text = String::from_utf8_lossy(block);
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(field, _)| *field == name).map(|(_, value)| value.trim_start()).next_back()
    };
    let data = serde_json::from_str(field("data")?).ok()?;
    Some(Happening { kind: field("event").unwrap_or("message").to_owned(), data })
}
