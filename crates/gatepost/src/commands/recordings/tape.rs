//! A recording's entries, from a file. Knows where files are; nothing of how they are shown.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use recording::{Damage, Entry, Identities, Item, Opening, Reader, SealError};

use crate::failure::Failure;

/// How much of what can't be read is told.
const DAMAGE_MAX: usize = 100;

/// An open recording.
pub(super) struct Tape {
    path: PathBuf,
    identities: Option<String>,
    reader: Reader<BufReader<File>>,
    damage: Vec<String>,
}

impl Tape {
    /// Opens a file. `identities` is the text of a file of age identities.
    pub(super) fn open(path: &Path, identities: Option<String>) -> Result<Self, Failure> {
        let reader = reader(path, identities.as_deref())?;
        Ok(Self { path: path.to_owned(), identities, reader, damage: Vec::new() })
    }

    /// Returns whose session it is.
    pub(super) fn opening(&self) -> &Opening {
        self.reader.opening()
    }

    /// Returns the next entry; what can't be read is passed over, and told by [`Tape::damage`].
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, Failure> {
        loop {
            let item = self.reader.read().map_err(|error| wrong(&self.path, &error))?;
            let hole = match item {
                None => return Ok(None),
                Some(Item::Entry(entry)) => return Ok(Some(entry)),
                Some(Item::Hole(hole)) => hole,
            };
            match hole.why {
                // Nothing of it can be read, and nothing is damaged.
                Damage::NeedsIdentity | Damage::Sealed(SealError::Stranger) => {
                    let who = self.reader.recipients().join(", ");
                    return Err(Failure::new(format!(
                        "{}: it is encrypted for {who}; name a file with the identity of one of them, with --identity",
                        self.path.display()
                    )));
                }
                _ if self.damage.len() < DAMAGE_MAX => self.damage.push(hole.to_string()),
                _ => {}
            }
        }
    }

    /// Returns what could not be read so far.
    pub(super) fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Returns whether it was closed: else its session still runs, or it was cut off.
    pub(super) fn is_closed(&self) -> bool {
        self.reader.is_closed()
    }

    /// Opens it once more, at its beginning.
    pub(super) fn again(&self) -> Result<Self, Failure> {
        Self::open(&self.path, self.identities.clone())
    }

    /// Goes back to its beginning.
    pub(super) fn rewind(&mut self) -> Result<(), Failure> {
        self.reader = reader(&self.path, self.identities.as_deref())?;
        self.damage.clear();
        Ok(())
    }
}

fn reader(path: &Path, identities: Option<&str>) -> Result<Reader<BufReader<File>>, Failure> {
    let file = File::open(path);
    let file = file.map_err(|error| Failure::caused(&format!("can't read {}", path.display()), error))?;
    let identities = identities.map(Identities::parse).transpose();
    let identities = identities.map_err(|error| Failure::caused("--identity", error))?;
    Reader::open(BufReader::new(file), identities).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(format!("{}: {}", path.display(), crate::failure::chain(error)))
}
