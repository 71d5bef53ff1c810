//! What the gateway itself keeps for long and others replace meanwhile: its certificate and key, roots that upstreams are checked
//! against, keys of masks. Notices changes; says that there was one, never what.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use model::Secret;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use wire::scram::ChannelBinding;

use crate::gateway::Gateway;
use crate::secrets;
use crate::serve::ServeError;
use crate::tls::{self, TlsError};

type Seen = [u8; 32];

/// Makes what answers handshakes of a certificate and its key.
type Make = Box<dyn Fn(&[u8], &Secret<String>) -> Result<TlsAcceptor, TlsError> + Send + Sync>;

/// What a handshake needs, all of one certificate.
pub(crate) struct Shown {
    pub(crate) acceptor: TlsAcceptor,
    /// What SCRAM of clients binds to over that TLS.
    pub(crate) binding: ChannelBinding,
    /// Until when the certificate holds.
    pub(crate) ends: Option<SystemTime>,
}

/// The certificate that clients are shown, as it is now.
pub(crate) struct Certificate {
    config: config::Tls,
    make: Make,
    shown: ArcSwap<Shown>,
    seen: Mutex<Seen>,
}

impl Certificate {
    /// Reads certificate and key.
    pub(crate) async fn load(
        config: config::Tls,
        make: impl Fn(&[u8], &Secret<String>) -> Result<TlsAcceptor, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, ServeError> {
        let (certificate, key, seen) = read(&config).await?;
        let make: Make = Box::new(make);
        let shown = ArcSwap::from_pointee(shown(&make, &certificate, &key)?);
        Ok(Self { config, make, shown, seen: Mutex::new(seen) })
    }

    /// Returns what answers a handshake that begins now.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        self.shown.load_full()
    }

    async fn reload(&self) {
        let outcome = match read(&self.config).await {
            Ok((_, _, seen)) if *self.seen.lock() == seen => return,
            Ok((certificate, key, seen)) => {
                // Once it was told, the same mistake is not told again.
                *self.seen.lock() = seen;
                shown(&self.make, &certificate, &key).map_err(ServeError::from)
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(shown) => {
                self.shown.store(Arc::new(shown));
                tracing::info!("the changed certificate is shown to clients from now on");
            }
            Err(error) => {
                let reason = oidc::chain(&error);
                tracing::error!(
                    reason,
                    "the changed certificate is refused; the one before it is still shown"
                );
            }
        }
    }
}

fn shown(make: &Make, certificate: &[u8], key: &Secret<String>) -> Result<Shown, TlsError> {
    Ok(Shown {
        acceptor: make(certificate, key)?,
        binding: tls::own_channel_binding(certificate)?,
        ends: tls::ends(certificate),
    })
}

async fn read(config: &config::Tls) -> Result<(Vec<u8>, Secret<String>, Seen), ServeError> {
    let key = secrets::resolve(&config.key).await.map_err(|e| ServeError::Secret("listen.tls.key", e))?;
    let certificate = std::fs::read(&config.certificate)
        .map_err(|error| ServeError::Certificate(config.certificate.clone(), error))?;
    let mut digest = Sha256::new();
    digest.update(Sha256::digest(&certificate));
    digest.update(key.expose());
    Ok((certificate, key, digest.finalize().into()))
}

/// Remembers what mask keys were, to tell when one has changed.
pub(crate) struct MaskKeys {
    config: config::Mask,
    seen: Mutex<Option<Seen>>,
}

impl MaskKeys {
    /// Takes the keys as they are now for those in use.
    pub(crate) async fn note(config: config::Mask) -> Self {
        let seen = Mutex::new(digest(&config).await);
        Self { config, seen }
    }

    /// A changed key doesn't come into force: pseudonyms of one day would not be those of the next, in the middle of sessions.
    async fn look(&self) {
        let now = digest(&self.config).await;
        let mut seen = self.seen.lock();
        if now.is_some() && *seen != now {
            *seen = now;
            tracing::warn!(
                "a mask key has changed; pseudonyms are made with the one before it until the gateway starts again"
            );
        }
    }
}

async fn digest(config: &config::Mask) -> Option<Seen> {
    let mut digest = Sha256::new();
    for reference in config.hash_key.iter().chain(config.keys.values()) {
        let key = secrets::resolve(reference).await.ok()?;
        digest.update(Sha256::digest(key.expose()));
    }
    Some(digest.finalize().into())
}

/// Looks at everything again, and puts what has changed in force.
pub(crate) async fn all(gateway: &Gateway) {
    if let Some(certificate) = &gateway.tls {
        certificate.reload().await;
    }
    for served in gateway.databases.values() {
        let database = &served.config.name;
        match served.target.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!(database, "the changed root certificates are in force"),
            Err(error) => {
                let reason = oidc::chain(&error);
                tracing::error!(
                    database,
                    reason,
                    "the changed root certificates are refused; those before them stay"
                );
            }
        }
    }
    gateway.mask_keys.look().await;
}

/// The files that all this is read from.
pub(crate) struct Files(Vec<PathBuf>);

impl Files {
    pub(crate) fn of(config: &config::Config) -> Self {
        let mut files = Vec::new();
        let key = config.listen.tls.as_ref().map(|tls| &tls.key);
        for reference in key.into_iter().chain(&config.mask.hash_key).chain(config.mask.keys.values()) {
            if let config::SecretRef::File(path) = reference {
                files.push(path.clone());
            }
        }
        files.extend(config.listen.tls.as_ref().map(|tls| tls.certificate.clone()));
        for database in &config.databases {
            if let Some(config::Roots::File(path)) = database.upstream.tls.roots() {
                files.push(path.clone());
            }
        }
        Self(files)
    }

    /// Returns the folders to watch. What is mounted is replaced by a link beside it, so the folder that a path names is enough.
    pub(crate) fn folders(&self) -> HashSet<PathBuf> {
        let folder = |file: &PathBuf| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        self.0.iter().map(folder).collect()
    }

    /// Returns whether a change there may be one of these: other files in the same folder, a log say, change all the time.
    pub(crate) fn may_change_with(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        // Kubernetes' own: "..data" and what it leads to.
        name.as_encoded_bytes().starts_with(b"..") || self.0.iter().any(|file| file.file_name() == Some(name))
    }
}
