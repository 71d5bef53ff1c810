//! What a checkpoint says, as <https://c2sp.org/tlog-checkpoint> describes it. Knows no signature.

use std::fmt;

use crate::key::VerifierKey;
use crate::tree::TreeHash;

/// Begins the extension line by which a key hands over to its successor.
const NEXT_KEY: &str = "next-key ";

/// The state of a log at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root of their tree.
    pub root: TreeHash,
    /// The key that signs from this size on, in place of the one that signed until now. Both sign this checkpoint.
    pub next_key: Option<VerifierKey>,
}

/// Why a text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: its lines must be an origin, a size, a root and nothing else but a \"next-key\"")]
pub struct NotACheckpoint;

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`NotACheckpoint`]: whoever wrote it. Extension lines that nobody here knows are an error too: nobody signs some here.
    pub fn parse(text: &str) -> Result<Self, NotACheckpoint> {
        let mut lines = text.strip_suffix('\n').ok_or(NotACheckpoint)?.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(NotACheckpoint)?.to_owned();
        let digits = lines.next().ok_or(NotACheckpoint)?;
        let size: u64 = digits.parse().map_err(|_| NotACheckpoint)?;
        let root = lines.next().and_then(TreeHash::from_base64).ok_or(NotACheckpoint)?;
        let next_key = match lines.next() {
            None => None,
            Some(line) => {
                let key = line.strip_prefix(NEXT_KEY).and_then(|key| key.parse().ok());
                Some(key.ok_or(NotACheckpoint)?)
            }
        };
        let read = Self { origin, size, root, next_key };
        // No second spelling of the same state: "+7", "007", another base64.
        if lines.next().is_none() && read.to_string() == text { Ok(read) } else { Err(NotACheckpoint) }
    }
}

impl fmt::Display for Checkpoint {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root, next_key } = self;
        write!(f, "{origin}\n{size}\n{root}\n")?;
        next_key.iter().try_for_each(|key| writeln!(f, "{NEXT_KEY}{key}"))
    }
}
