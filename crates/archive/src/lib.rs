//! Object stores: a local folder, S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Puts, reads, lists and deletes objects; knows nothing of what is in them, and fetches no secret: it is given them. `open` makes a
//! client of what is configured, `upload` writes what is too large to be held, `trial` tries a store out, `fault` says what went wrong.

mod fault;
mod open;
mod trial;
mod upload;

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

pub use fault::{Fault, Kind};
pub use trial::Trial;
pub use upload::Upload;

/// A key is no longer than this, in bytes, prefix included. S3 and Google take 1024.
const KEY_BYTES_MAX: usize = 900;

/// An object store. Cheap to copy; one client for all copies.
#[derive(Clone, Debug)]
pub struct Archive {
    name: Arc<str>,
    prefix: Arc<str>,
    store: Arc<dyn ObjectStore>,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key, without the store's prefix.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock: milliseconds since 1970.
    pub modified: u64,
}

/// What came of [`Archive::put_new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now, and was not before.
    Stored,
    /// Something was there already, and was left as it is. It may be what an earlier try of the same call wrote, whose answer
    /// was lost: compare where that matters.
    AlreadyThere,
}

impl Archive {
    /// Returns the name that the configuration gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes an object, over what may be there.
    ///
    /// # Errors
    /// [`Fault`]: it is not known to be there.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        let at = self.at(key)?;
        self.store.put(&at, PutPayload::from_bytes(bytes)).await.map(drop).map_err(|e| self.fault(key, e))
    }

    /// Writes an object unless one is there: of two writers one wins, in every store.
    ///
    /// # Errors
    /// [`Fault`]: it is not known to be there.
    pub async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, Fault> {
        let at = self.at(key)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&at, PutPayload::from_bytes(bytes), options).await {
            Ok(_) => Ok(Put::Stored),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::AlreadyThere),
            Err(error) => Err(self.fault(key, error)),
        }
    }

    /// Begins an object of unknown size. Nothing is there until [`Upload::finish`] has returned.
    ///
    /// # Errors
    /// [`Fault`]: of kind [`Kind::BadKey`].
    pub fn upload(&self, key: &str) -> Result<Upload, Fault> {
        Ok(Upload::new(self.clone(), key.to_owned(), self.at(key)?))
    }

    /// Reads an object of at most `bytes_max`.
    ///
    /// # Errors
    /// [`Fault`]: of kind [`Kind::NotFound`], [`Kind::TooLarge`], or that of what went wrong.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Bytes, Fault> {
        let at = self.at(key)?;
        let found = self.store.get(&at).await.map_err(|error| self.fault(key, error))?;
        let mut stream = found.into_stream();
        let mut read = BytesMut::new();
        // The size that the store tells is not believed.
        while let Some(chunk) = stream.try_next().await.map_err(|error| self.fault(key, error))? {
            if (read.len() + chunk.len()) as u64 > bytes_max {
                return Err(Fault::new(&self.name, key, Kind::TooLarge(bytes_max)));
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    /// Reads part of an object; fewer bytes where it ends before.
    ///
    /// # Errors
    /// [`Fault`]: of kind [`Kind::NotFound`], or that of what went wrong, as a range that begins after the end.
    pub async fn range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Fault> {
        let at = self.at(key)?;
        let wanted = range.end.saturating_sub(range.start);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store.get_opts(&at, options).await.map_err(|error| self.fault(key, error))?;
        let read = found.bytes().await.map_err(|error| self.fault(key, error))?;
        if read.len() as u64 > wanted {
            return Err(Fault::new(
                &self.name,
                key,
                Kind::Other("it sent more than was asked for".to_owned()),
            ));
        }
        Ok(read)
    }

    /// Says what is known of an object; `None`: there is none.
    ///
    /// # Errors
    /// [`Fault`]: nobody knows whether it is there.
    pub async fn head(&self, key: &str) -> Result<Option<Entry>, Fault> {
        let at = self.at(key)?;
        match self.store.head(&at).await {
            Ok(meta) => Ok(Some(self.entry(&meta))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(key, error)),
        }
    }

    /// Lists the objects below a folder of keys (without a slash at its end; empty: all), in the order of their keys.
    ///
    /// # Errors
    /// [`Fault`]: what went wrong; of kind [`Kind::TooMany`] where there are more than `most`.
    pub async fn list(&self, folder: &str, most: usize) -> Result<Vec<Entry>, Fault> {
        let at = match (folder.is_empty(), self.prefix.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Key::from(&*self.prefix)),
            (false, _) => Some(self.at(folder)?),
        };
        let mut stream = self.store.list(at.as_ref());
        let mut entries = Vec::new();
        while let Some(meta) = stream.try_next().await.map_err(|error| self.fault(folder, error))? {
            if entries.len() >= most {
                return Err(Fault::new(&self.name, folder, Kind::TooMany(most)));
            }
            entries.push(self.entry(&meta));
        }
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(entries)
    }

    /// Deletes an object. That there is none is no error.
    ///
    /// # Errors
    /// [`Fault`]: it may still be there; of kind [`Kind::Refused`] where it is locked.
    pub async fn delete(&self, key: &str) -> Result<(), Fault> {
        let at = self.at(key)?;
        match self.store.delete(&at).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault(key, error)),
        }
    }

    /// Returns where a key is, below the prefix.
    fn at(&self, key: &str) -> Result<Key, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
        let good = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        // SECURITY: a key made of a name from outside never leads out of its folder.
        if !key.split('/').all(good) || self.prefix.len() + 1 + key.len() > KEY_BYTES_MAX {
            return Err(Fault::new(&self.name, key, Kind::BadKey));
        }
        Ok(if self.prefix.is_empty() { Key::from(key) } else { Key::from(format!("{}/{key}", self.prefix)) })
    }

    fn entry(&self, meta: &ObjectMeta) -> Entry {
        let whole: &str = meta.location.as_ref();
        let key = match self.prefix.is_empty() {
            true => whole,
            false => {
                whole.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('/')).unwrap_or(whole)
            }
        };
        let modified = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or_default();
        Entry { key: key.to_owned(), bytes: meta.size, modified }
    }

    fn fault(&self, key: &str, error: Error) -> Fault {
        Fault::of(&self.name, key, error)
    }
}
