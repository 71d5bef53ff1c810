//! Opens the object stores that are configured, with their secrets. Knows nothing of what is put there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use archive::Trial;
use archive::{Archive, Fault};
use config::ObjectStore;
use tokio::sync::Mutex;

use crate::cancel::random;
use crate::secrets::{self, SecretError};

/// So long a client is used with the secrets that it was opened with: replaced keys come into use without a restart.
const USED: Duration = Duration::from_secs(300);

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Operator: no [[object_store]] has that name.
    #[error("there is no [[object_store]] named \"{0}\"")]
    Unknown(String),
    /// Operator: a secret can't be fetched.
    #[error("object store \"{0}\"")]
    Secret(String, #[source] SecretError),
    /// The machine's.
    #[error("the system has no randomness")]
    NoRandomness,
    /// The store's.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// The object stores of a configuration, by name; opened when they are needed.
pub struct Archives {
    stores: BTreeMap<String, Known>,
}

/// A store as it is configured, and the client that is in use, with when it was opened.
struct Known {
    config: ObjectStore,
    client: Mutex<Option<(Archive, Instant)>>,
}

impl Archives {
    /// Opens nothing yet.
    pub fn new(stores: &[ObjectStore]) -> Self {
        let known = |store: &ObjectStore| Known { config: store.clone(), client: Mutex::new(None) };
        Self { stores: stores.iter().map(|store| (store.name.clone(), known(store))).collect() }
    }

    /// Returns a client of a store. To be asked for anew for each file or so.
    ///
    /// # Errors
    /// [`ArchiveError`]: operator; that nobody answers there is only known when it is used.
    pub async fn get(&self, name: &str) -> Result<Archive, ArchiveError> {
        let known = self.stores.get(name).ok_or_else(|| ArchiveError::Unknown(name.to_owned()))?;
        let mut kept = known.client.lock().await;
        if let Some((archive, since)) = &*kept
            && since.elapsed() < USED
        {
            return Ok(archive.clone());
        }
        let opened = open(&known.config).await?;
        *kept = Some((opened.clone(), Instant::now()));
        Ok(opened)
    }
}

/// Fetches a store's secrets, and makes a client of it.
///
/// # Errors
/// [`ArchiveError`]: operator.
pub async fn open(store: &ObjectStore) -> Result<Archive, ArchiveError> {
    let mut fetched = Vec::new();
    for reference in store.secrets() {
        let secret = secrets::resolve(reference).await;
        fetched.push(secret.map_err(|error| ArchiveError::Secret(store.name.clone(), error))?);
    }
    Ok(Archive::open(store, &fetched)?)
}

/// Tries a store out, with an object of a name that nobody used.
///
/// # Errors
/// [`ArchiveError`]: what does not work.
pub async fn test(store: &ObjectStore) -> Result<Trial, ArchiveError> {
    let archive = open(store).await?;
    let unique = random::<8>().map_err(|_| ArchiveError::NoRandomness)?;
    Ok(archive.trial(&hex::encode(unique)).await?)
}
