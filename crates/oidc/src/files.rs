//! A file that is read again when it changes. Knows nothing of what is in it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// The longest file that is read, in bytes: authorities and revocation lists of the largest public ones fit.
const BYTES_MAX: u64 = 64 << 20;

/// Why what is in a file isn't known: the operator's fault.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{path:?} can't be read: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is not what it should be.
    #[error("{path:?} can't be used: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What tells one state of a file from another: a file that replaces it has another inode.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

type Content<T> = Result<Arc<T>, FileError>;
type Parse<T> = dyn Fn(&[u8]) -> Result<T, String> + Send + Sync;

/// A file and what was last read of it.
pub(crate) struct Watched<T> {
    path: PathBuf,
    parse: Box<Parse<T>>,
    known: Mutex<Option<(Stamp, Content<T>)>>,
}

impl<T> Watched<T> {
    pub(crate) fn new(
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self { path: path.to_owned(), parse: Box::new(parse), known: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is in the file now; it is read only if it has changed. It is looked at by everyone who asks: a look costs
    /// microseconds, and what was withdrawn a second ago is withdrawn.
    ///
    /// SECURITY: what the file held before it was removed or damaged counts no longer.
    pub(crate) fn current(&self) -> Content<T> {
        let unread =
            |error: std::io::Error| FileError::Read { path: self.path.clone(), why: error.to_string() };
        let mut known = self.known.lock();
        let metadata = fs::metadata(&self.path).map_err(unread)?;
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        if let Some((of, content)) = &*known
            && *of == stamp
        {
            return content.clone();
        }
        let bad = |why: String| FileError::Content { path: self.path.clone(), why };
        if stamp.bytes > BYTES_MAX {
            return Err(bad(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let text = fs::read(&self.path).map_err(unread)?;
        let content = (self.parse)(&text).map(Arc::new).map_err(bad);
        match &content {
            Ok(_) => tracing::info!(path = ?self.path, "read"),
            Err(error) => tracing::warn!(path = ?self.path, %error, "what it held before counts no longer"),
        }
        *known = Some((stamp, content.clone()));
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let watched = Watched::new(&path, |text| match text {
            b"bad" => Err("bad".to_owned()),
            text => Ok(text.to_vec()),
        });
        assert!(matches!(watched.current(), Err(FileError::Read { .. })));
        fs::write(&path, "one").unwrap();
        let first = watched.current().unwrap();
        assert_eq!(*first, b"one");
        assert!(Arc::ptr_eq(&first, &watched.current().unwrap()), "read once");
        // As writers replace a file, and of the same length.
        fs::write(folder.path().join("g"), "two").unwrap();
        fs::rename(folder.path().join("g"), &path).unwrap();
        assert_eq!(*watched.current().unwrap(), b"two");
        fs::write(&path, "bad").unwrap();
        assert!(matches!(watched.current(), Err(FileError::Content { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(watched.current(), Err(FileError::Read { .. })), "gone is gone");
    }
}
