//! The folder of recordings. Knows names and files, not what is in them.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::SessionId;
use parking_lot::Mutex;

use super::RecordingError;

/// What files of recordings end with.
const EXTENSION: &str = "gpr";

/// What a session's file is called.
pub(crate) fn file_name(session: SessionId) -> String {
    format!("{session}.{EXTENSION}")
}

/// See the module.
pub(crate) struct Spool {
    folder: PathBuf,
    /// Held for as long as the gateway lives.
    _lock: File,
    /// Whose files are being written.
    open: Mutex<HashSet<SessionId>>,
}

impl Spool {
    /// Makes the folder where it is missing.
    pub(super) fn open(folder: &Path) -> Result<Self, RecordingError> {
        let failed = |error| RecordingError::Folder(folder.to_owned(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let mut lock = OpenOptions::new();
        let lock = lock.create(true).truncate(false).write(true).mode(0o600);
        let lock = lock.open(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordingError::Locked(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { folder: folder.to_owned(), _lock: lock, open: Mutex::default() })
    }

    /// Where a session's recording is.
    pub(crate) fn path(&self, session: SessionId) -> PathBuf {
        self.folder.join(file_name(session))
    }

    /// Makes a session's file, which must not be there.
    pub(super) fn create(&self, session: SessionId) -> std::io::Result<File> {
        self.open.lock().insert(session);
        let made = OpenOptions::new().create_new(true).append(true).mode(0o600).open(self.path(session));
        // The name must outlive a power failure too.
        let made = made.and_then(|file| File::open(&self.folder)?.sync_all().map(|()| file));
        if made.is_err() {
            self.close(session);
        }
        made
    }

    /// Nothing is written to it any more.
    pub(super) fn close(&self, session: SessionId) {
        self.open.lock().remove(&session);
    }

    /// Whose recordings are here and not being written.
    pub(crate) fn at_rest(&self) -> std::io::Result<Vec<SessionId>> {
        let mut sessions = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let ours = path.extension().is_some_and(|extension| extension == EXTENSION) && name.len() == 32;
            if let (true, Ok(number)) = (ours, u128::from_str_radix(name, 16)) {
                sessions.push(SessionId(number));
            }
        }
        // INVARIANT: after the folder: what was begun since is not taken for one at rest.
        let open = self.open.lock();
        sessions.retain(|session| !open.contains(session));
        sessions.sort_unstable();
        Ok(sessions)
    }

    /// Puts a file aside that holds nothing that can be read.
    pub(super) fn put_aside(&self, session: SessionId) -> std::io::Result<()> {
        let path = self.path(session);
        fs::rename(&path, path.with_extension("unreadable"))
    }
}
