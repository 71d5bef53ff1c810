//! One bounded HTTP request to a configured server: time, size, no redirect, no proxy. Knows no API, and no secret from another
//! text: whoever sends one sees to it that no URL holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder};
use url::Url;
use zeroize::Zeroizing;

/// More than any answer that holds secrets of a login, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why there is no answer. The server's fault, the network's or the operator's.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpFault {
    #[error("certificates {0:?} can't be read")]
    CaFile(PathBuf, #[source] std::io::Error),
    #[error("{0:?} holds no certificate; it should have a \"-----BEGIN CERTIFICATE-----\"")]
    CaPem(PathBuf),
    #[error("{0} is at an address where no server can be")]
    Address(String),
    #[error("{server} can't be asked")]
    Http { server: String, source: reqwest::Error },
    #[error("{server} did not answer within {} ms", .limit.as_millis())]
    TimedOut { server: String, limit: Duration },
    #[error(
        "{server} redirects (status {status}), and redirects are not followed; configure the address that answers itself"
    )]
    Redirect { server: String, status: u16 },
    #[error("{server} answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLong { server: String },
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// A server.
pub(super) struct Http {
    /// Without a slash at its end.
    server: String,
    ca: Option<PathBuf>,
    timeout: Duration,
    /// Made anew when the file of authorities changes.
    client: Mutex<Option<(Option<Vec<u8>>, Client)>>,
}

impl Http {
    /// Asks `server`, whose certificate must lead to the system's authorities or one in `ca`. It is https, unless it is on this
    /// host or a link-local address.
    pub(super) fn new(server: &str, ca: Option<&Path>, timeout: Duration) -> Self {
        Self { server: server.to_owned(), ca: ca.map(Path::to_owned), timeout, client: Mutex::new(None) }
    }

    /// Returns where it is.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    fn client(&self) -> Result<Client, HttpFault> {
        let pem = match &self.ca {
            Some(path) => Some(std::fs::read(path).map_err(|error| HttpFault::CaFile(path.clone(), error))?),
            None => None,
        };
        let mut known = self.client.lock();
        if let Some((before, client)) = &*known
            && *before == pem
        {
            return Ok(client.clone());
        }
        if known.is_some() {
            tracing::info!(server = self.server, "the certificates of its authorities have changed");
        }
        let client = self.build(pem.as_deref())?;
        *known = Some((pem, client.clone()));
        Ok(client)
    }

    fn build(&self, pem: Option<&[u8]>) -> Result<Client, HttpFault> {
        let unreachable = || HttpFault::Address(self.server.clone());
        let url = Url::parse(&self.server).map_err(|_| unreachable())?;
        let mut builder = Client::builder()
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // SECURITY: what a proxy from the environment would see are secrets.
            .no_proxy()
            // No connection outlives its request, and neither do buffers with secrets.
            .pool_max_idle_per_host(0)
            .timeout(self.timeout);
        if url.domain().is_some() {
            builder = builder.dns_resolver(oidc::resolver(&url).ok_or_else(unreachable)?);
        }
        builder = match (url.scheme(), pem, &self.ca) {
            ("http", ..) => builder.tls_certs_only([]),
            (_, Some(pem), Some(path)) => {
                let roots = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
                if roots.is_empty() {
                    return Err(HttpFault::CaPem(path.clone()));
                }
                builder.https_only(true).tls_certs_merge(roots)
            }
            _ => builder.https_only(true),
        };
        builder.build().map_err(|source| HttpFault::Http { server: self.server.clone(), source })
    }

    /// Sends the request that `make` makes, and reads the answer.
    pub(super) async fn send(
        &self,
        make: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Answer, HttpFault> {
        let client = self.client()?;
        let server = || self.server.clone();
        let timed_out = || HttpFault::TimedOut { server: server(), limit: self.timeout };
        // SECURITY: the error would repeat the URL.
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => timed_out(),
            false => HttpFault::Http { server: server(), source: error.without_url() },
        };
        let exchange = async {
            let mut response = make(&client).send().await.map_err(failed)?;
            let status = response.status();
            if status.is_redirection() {
                return Err(HttpFault::Redirect { server: server(), status: status.as_u16() });
            }
            let mut body = Zeroizing::new(Vec::with_capacity(4096));
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                    return Err(HttpFault::TooLong { server: server() });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status: status.as_u16(), body })
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(timed_out()))
    }
}

/// Servers by their configuration, so that each has one client.
pub(super) type Known<K, V> = std::sync::LazyLock<Mutex<std::collections::HashMap<K, Arc<V>>>>;
