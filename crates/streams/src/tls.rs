//! Whom a stream trusts: the system's authorities, and those of `ca`. Sends nothing.

use std::path::Path;
use std::sync::Arc;

use model::Secret;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Failure;

/// A client for HTTP that follows no redirect and goes by no proxy.
pub(crate) fn http_client(ca: Option<&Path>) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
        // SECURITY: a redirect would take events elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(path) = ca {
        let pem = std::fs::read(path).map_err(|error| told(path, &error))?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| told(path, &error))? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| Failure::of("no HTTP client", &error))
}

/// TLS for a client, with a certificate of its own where there is one.
pub(crate) fn client(
    ca: Option<&Path>,
    own: Option<(&Path, &Secret<String>)>,
) -> Result<rustls::ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        for certificate in chain(path)? {
            roots.add(certificate).map_err(|error| told(path, &error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::of("TLS", &error))?
        .with_root_certificates(roots);
    let Some((path, key)) = own else { return Ok(builder.with_no_client_auth()) };
    // SECURITY: what is wrong with a key is not told in its own words.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| Failure::new("\"key\" is no private key in PEM"))?;
    let mine = builder.with_client_auth_cert(chain(path)?, key);
    mine.map_err(|_| Failure::new("\"key\" is not the key of \"certificate\""))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = std::fs::read(path).map_err(|error| told(path, &error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| told(path, &error))?;
    if all.is_empty() {
        return Err(Failure::new(format!("there is no certificate in \"{}\"", path.display())));
    }
    Ok(all)
}

fn told(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::of(&format!("\"{}\"", path.display()), error)
}
