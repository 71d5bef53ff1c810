//! What the gateway shows to an issuer that wants to know who asks. Knows no secret, only how to get it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use model::Secret;

type Fetched = Pin<Box<dyn Future<Output = Result<Secret<String>, String>> + Send>>;

/// A secret that is fetched anew for each request, so that one that was replaced is noticed.
#[derive(Clone)]
pub struct Credential {
    reference: String,
    fetch: Arc<dyn Fn() -> Fetched + Send + Sync>,
}

impl Credential {
    /// Takes what the configuration calls it, and how it is fetched.
    pub fn new<F>(reference: String, fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret<String>, String>> + Send + 'static,
    {
        Self { reference, fetch: Arc::new(move || Box::pin(fetch())) }
    }

    pub(crate) async fn fetch(&self) -> Result<Secret<String>, String> {
        (self.fetch)().await
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.reference == other.reference
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.reference)
    }
}
