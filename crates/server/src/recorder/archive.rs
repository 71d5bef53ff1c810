//! Moves closed recordings into an object store. Knows files and stores, not what is in a recording.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::archive::{Archive, Fault};
use audit::{Event, RecordingArchived};
use jiff::Timestamp;
use journal::Journal;
use model::SessionId;
use recording::{OpenError, Reader};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::spool::{Spool, file_name};
use crate::archives::{ArchiveError, Archives};

/// What fails is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Why a recording isn't moved.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error("the file")]
    File(#[from] std::io::Error),
    #[error("the recording")]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] ArchiveError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("the store has {0} bytes of {1}")]
    Short(u64, u64),
    #[error("the journal")]
    Journal(#[from] journal::JournalError),
}

/// See the module.
pub(crate) struct Archiver {
    pub(crate) spool: Arc<Spool>,
    pub(crate) archives: Archives,
    /// The store's name.
    pub(crate) name: String,
    pub(crate) journal: Arc<Journal>,
    /// A recording was closed.
    pub(crate) closed: Arc<Notify>,
}

impl Archiver {
    /// Moves what is closed, now and whenever there is more.
    pub(crate) async fn run(self) {
        loop {
            let mut failed = false;
            match self.spool.at_rest() {
                Ok(sessions) => {
                    for session in sessions {
                        if let Err(error) = self.move_one(session).await {
                            failed = true;
                            tracing::warn!(%session, error = oidc::chain(&error), "a recording is not archived yet");
                        }
                    }
                }
                Err(error) => {
                    failed = true;
                    tracing::error!(%error, "the folder of recordings can't be read");
                }
            }
            let closed = self.closed.notified();
            if failed {
                tokio::time::sleep(AGAIN_AFTER).await;
            } else {
                closed.await;
            }
        }
    }

    async fn move_one(&self, session: SessionId) -> Result<(), MoveError> {
        let path = self.spool.path(session);
        let began = {
            let reader = Reader::open(std::fs::File::open(&path)?, None)?;
            if !reader.is_closed() {
                // What can't be closed is not moved: the next start of the gateway tries again.
                return Ok(());
            }
            reader.opening().began
        };
        let archive = self.archives.get(&self.name).await?;
        let key = key(session, began);
        let (bytes, sha256) = upload(&archive, &key, std::fs::File::open(&path)?).await?;
        let there = archive.head(&key).await?.map_or(0, |entry| entry.bytes);
        if there != bytes {
            return Err(MoveError::Short(there, bytes));
        }
        let file = file_name(session);
        let archived = RecordingArchived {
            session,
            file: &file,
            archive: &self.name,
            key: &key,
            bytes,
            sha256: &sha256,
        };
        self.journal.append(&Event::RecordingArchived(archived), SystemTime::now())?;
        self.journal.write()?;
        std::fs::remove_file(&path)?;
        Ok(())
    }
}

/// Where in the store: by the day on which the session began, in UTC.
fn key(session: SessionId, began: i64) -> String {
    let day = Timestamp::from_microsecond(began)
        .map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y/%m/%d").to_string());
    format!("recordings/{day}/{}", file_name(session))
}

/// Copies a file, and returns its size and SHA-256.
async fn upload(archive: &Archive, key: &str, file: std::fs::File) -> Result<(u64, String), MoveError> {
    let mut upload = archive.upload(key)?;
    let mut digest = Sha256::new();
    let mut file = file;
    loop {
        let (back, piece) = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
            (file, read.map(|_| piece))
        })
        .await
        .map_err(std::io::Error::other)?;
        file = back;
        let piece = match piece {
            Ok(piece) if piece.is_empty() => break,
            Ok(piece) => piece,
            Err(error) => {
                upload.abort().await?;
                return Err(error.into());
            }
        };
        digest.update(&piece);
        if let Err(error) = upload.write(&piece).await {
            // The store forgets what was not finished by rules of its own, if not now.
            let _left = upload.abort().await;
            return Err(error.into());
        }
    }
    Ok((upload.finish().await?, hex::encode(digest.finalize())))
}
