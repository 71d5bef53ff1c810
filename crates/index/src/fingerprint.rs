//! What texts have in common that differ in literals alone, as a short name. Knows no tree.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use sql::Strings;
use sql::shape::{Form, Shaper};

/// The first eight bytes of SHA-256 over a statement's shape: its text without the literals that can't change what it means.
///
/// A text of which that can't be said (a utility statement, several statements, positions in ORDER BY) has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Makes it of a statement's text, in a shaper's memory.
    pub fn with(shaper: &mut Shaper, text: &str) -> Self {
        let shape = shaper.shape(text.as_bytes(), Strings::Standard);
        let form: &[u8] = match shape.form {
            Form::Exact => b"exact ",
            Form::Blanked => b"blanked ",
        };
        let digest = Sha256::new().chain_update(form).chain_update(shape.bytes).finalize();
        Self(digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// Makes it of a statement's text.
    pub fn of(text: &str) -> Self {
        Self::with(&mut Shaper::default(), text)
    }
}

impl fmt::Display for Fingerprint {
    /// Writes 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| format!("fingerprint {text:?} is none: 16 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn literals_do_not_count_and_names_do() {
        let of = Fingerprint::of;
        assert_eq!(of("select a from t where b = 1"), of("select a from t where b = 2"));
        assert_eq!(of("select a from t where b in (1, 2)"), of("select a from t where b in (1, 2, 3, 4)"));
        assert_ne!(of("select a from t where b = 1"), of("select a from u where b = 1"));
        assert_eq!(of("select 1").to_string().parse(), Ok(of("select 1")));
        assert!("abc".parse::<Fingerprint>().is_err());
    }

    #[test]
    fn a_fingerprint_is_the_same_in_each_version() {
        assert_eq!(Fingerprint::of("select a from t where b = 1").to_string(), "051686e59cfebfbf");
    }
}
