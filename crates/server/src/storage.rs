//! Where the store is that the configuration names, and what is forgotten of it. Knows nothing of what is in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use config::{Host, Roots, StorePlace, UpstreamTls};
use store::{Keep, Location, Password, Postgres, Probe, Store, StoreError, Tls};

use crate::gateway::Gateway;
use crate::secrets::{self, SecretError};

/// How often what is old is forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Why it isn't known where the store is.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The role to log in as.
    #[error("[store] user: {0}")]
    User(#[from] SecretError),
    /// The authorities.
    #[error("[store] url: {0}: {1}")]
    Roots(std::path::PathBuf, std::io::Error),
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the store.
pub(crate) async fn open(config: &config::Store) -> Result<Store, PlaceError> {
    Ok(Store::open(location(config).await?).await?)
}

/// Looks at the store without changing anything.
pub(crate) async fn probe(config: &config::Store) -> Result<Probe, PlaceError> {
    Ok(store::probe(&location(config).await?).await?)
}

async fn location(config: &config::Store) -> Result<Location, PlaceError> {
    let (server, user, password) = match &config.place {
        StorePlace::Sqlite(path) => return Ok(Location::Sqlite(path.clone())),
        StorePlace::Postgres { server, user, password } => (server, user, password),
    };
    let password = match password {
        None => Password::none(),
        Some(reference) => {
            let reference = Arc::new(reference.clone());
            Password::new(move || {
                let reference = reference.clone();
                async move { secrets::resolve(&reference).await.map(Some).map_err(|error| oidc::chain(&error)) }
            })
        }
    };
    let tls = match &server.tls {
        UpstreamTls::VerifyFull(Roots::File(path)) => {
            Tls::VerifyFull(std::fs::read(path).map_err(|error| PlaceError::Roots(path.clone(), error))?)
        }
        UpstreamTls::VerifyFull(Roots::System) => Tls::VerifyFull(system_roots()),
        // INVARIANT: the configuration lets the others be for this host only.
        UpstreamTls::Disable | UpstreamTls::Require | UpstreamTls::VerifyCa(_) => Tls::Disable,
    };
    Ok(Location::Postgres(Postgres {
        host: match &server.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
            Host::Socket(folder) => folder.to_string_lossy().into_owned(),
        },
        port: server.port,
        database: server.database.clone(),
        user: secrets::resolve(user).await?.expose().clone(),
        password,
        tls,
    }))
}

/// The system's authorities, as PEM (RFC 7468).
fn system_roots() -> Vec<u8> {
    let certificates = rustls_native_certs::load_native_certs().certs;
    let pem = |certificate: &rustls::pki_types::CertificateDer<'_>| {
        let text = BASE64_STANDARD.encode(certificate);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    certificates.iter().map(pem).collect::<String>().into_bytes()
}

/// Forgets what is old, now and then.
pub(crate) async fn keep(gateway: Arc<Gateway>) {
    let keep = Keep { requests: gateway.config.store.keep };
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match gateway.store.sweep(keep, SystemTime::now().into()).await {
            Ok(swept) => {
                tracing::debug!(swept.requests, swept.others, "what was old in the store is forgotten")
            }
            Err(error) => tracing::warn!(%error, "what is old in the store is kept a while longer"),
        }
    }
}
