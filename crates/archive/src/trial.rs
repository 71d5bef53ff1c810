//! Whether a store does what is relied on: tried with one small object. Knows no clock: the object's name is given.

use bytes::Bytes;

use crate::{Archive, Fault, Kind, Put};

/// What a store that works did with the object at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Deleted it.
    Deleted,
    /// Refused to, as one with object lock does: it stays there.
    Kept,
}

const CONTENT: &[u8] = b"written by gatepost archive test\n";

impl Archive {
    /// Writes an object that was not there, sees that it is not written over, reads it, finds it and deletes it.
    ///
    /// # Errors
    /// [`Fault`]: the first thing that failed, or was not as it must be.
    pub async fn trial(&self, unique: &str) -> Result<Trial, Fault> {
        let key = format!("gatepost-archive-test/{unique}");
        let wrong = |what: &str| Fault::new(self.name(), &key, Kind::Other(what.to_owned()));
        if self.put_new(&key, Bytes::from_static(CONTENT)).await? != Put::Stored {
            return Err(wrong("it was there before, although its name is new"));
        }
        if self.put_new(&key, Bytes::from_static(b"another")).await? != Put::AlreadyThere {
            // SECURITY: else whoever may write could replace evidence without being noticed.
            return Err(wrong(
                "it was written over where only a new one may be written: the store does not know If-None-Match",
            ));
        }
        if self.get(&key, 1024).await? != CONTENT
            || self.range(&key, 8..10).await? != CONTENT.get(8..10).unwrap_or_default()
        {
            return Err(wrong("what was read is not what was written"));
        }
        if !self.list("gatepost-archive-test", 10_000).await?.iter().any(|entry| entry.key == key) {
            return Err(wrong("it is not in the list of what is there"));
        }
        match self.delete(&key).await {
            Ok(()) => Ok(Trial::Deleted),
            Err(fault) if matches!(fault.kind(), Kind::Refused) => Ok(Trial::Kept),
            Err(fault) => Err(fault),
        }
    }
}
