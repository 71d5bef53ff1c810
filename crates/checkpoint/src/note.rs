//! Signed notes, as <https://c2sp.org/signed-note> describes them: text with signature lines below. Checks no signature.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest note that is read: some lines of text and as many signatures as anybody must accept, and more.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// One line of signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub id: u32,
    /// What the key made of the text.
    pub bytes: Vec<u8>,
}

/// A text and who is said to have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    // INVARIANT: ends in a newline; what follows the last empty line of the note is no part of it.
    text: String,
    signatures: Vec<Signature>,
}

/// Why a text is no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signed note: {0}")]
pub struct NotANote(pub &'static str);

/// Whether a key may be called so.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl Note {
    /// Puts signatures below a text, which must end in a newline.
    ///
    /// # Errors
    /// [`NotANote`]: caller; what it makes would not be read as it was meant.
    pub fn new(text: String, signatures: Vec<Signature>) -> Result<Self, NotANote> {
        let note = Self { text, signatures };
        match Self::parse(&note.to_string())? {
            read if read == note => Ok(note),
            _ => Err(NotANote("it would be read as another")),
        }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NotANote`]: whoever wrote it.
    pub fn parse(note: &str) -> Result<Self, NotANote> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NotANote("it is too long"));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NotANote("it has control characters"));
        }
        let (text, below) = note.rsplit_once("\n\n").ok_or(NotANote("it has no empty line"))?;
        let below = below.strip_suffix('\n').ok_or(NotANote("its last line is not ended"))?;
        let signatures = below
            .split('\n')
            .map(signature)
            .collect::<Option<Vec<_>>>()
            .ok_or(NotANote("a signature line is malformed"))?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// Returns what is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns who is said to have signed it.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    if !is_key_name(name) || bytes.is_empty() {
        return None;
    }
    Some(Signature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
}

impl fmt::Display for Signature {
    /// Writes the line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, bytes } = self;
        write!(f, "\u{2014} {name} {}", STANDARD.encode([&id.to_be_bytes()[..], bytes].concat()))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}
