//! An object that is written piece by piece, without being held. Knows no format.

use bytes::BytesMut;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::{Archive, Fault};

/// The size of a part. S3 takes no more than 10 000 of at least 5 MiB each, so this is enough for 80 GB; then parts grow.
const PART_BYTES: usize = 8 << 20;
/// After so many parts each is twice as large.
const PARTS_OF_A_SIZE: usize = 2000;

/// An object that is being written; holds no more than a part of it. Nothing is there until [`Upload::finish`] has returned.
pub struct Upload {
    archive: Archive,
    key: String,
    at: Key,
    held: BytesMut,
    parts: Option<Box<dyn MultipartUpload>>,
    count: usize,
    bytes: u64,
}

impl Upload {
    pub(crate) fn new(archive: Archive, key: String, at: Key) -> Self {
        Self { archive, key, at, held: BytesMut::new(), parts: None, count: 0, bytes: 0 }
    }

    /// Appends bytes; sends a part when there is one.
    ///
    /// # Errors
    /// [`Fault`]: a part could not be stored. The upload is to be given up.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let size = PART_BYTES << (self.count / PARTS_OF_A_SIZE).min(5);
            let (now, later) = bytes.split_at(bytes.len().min(size.saturating_sub(self.held.len())));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() >= size {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Makes the object appear, whole, and returns its size.
    ///
    /// # Errors
    /// [`Fault`]: it is not known to be there.
    pub async fn finish(mut self) -> Result<u64, Fault> {
        if self.parts.is_some() && !self.held.is_empty() {
            self.send().await?;
        }
        let Self { archive, key, at, held, parts, bytes, .. } = self;
        match parts {
            None => archive.store.put(&at, PutPayload::from_bytes(held.freeze())).await.map(drop),
            Some(mut parts) => parts.complete().await.map(drop),
        }
        .map_err(|error| archive.fault(&key, error))?;
        Ok(bytes)
    }

    /// Gives up, and has the store forget the parts.
    ///
    /// # Errors
    /// [`Fault`]: parts may be left over there; stores have rules that remove them after some days.
    pub async fn abort(mut self) -> Result<(), Fault> {
        match &mut self.parts {
            None => Ok(()),
            Some(parts) => parts.abort().await.map_err(|error| self.archive.fault(&self.key, error)),
        }
    }

    async fn send(&mut self) -> Result<(), Fault> {
        let fault = |error| self.archive.fault(&self.key, error);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(self.archive.store.put_multipart(&self.at).await.map_err(fault)?),
        };
        let part = self.held.split().freeze();
        parts.put_part(PutPayload::from_bytes(part)).await.map_err(fault)?;
        self.count += 1;
        Ok(())
    }
}
