//! Who shares a scope: identities that the rules of a bundle can't tell apart. Knows nothing of roles.

use std::fmt;

use model::Identity;
use sha2::{Digest, Sha256};

use crate::bundle::Bundle;

/// A digest of a bundle and of all that its rules can see of an identity: equal keys, equal [`Grants`](super::Grants) of equal
/// [`Objects`](super::Objects).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeKey(pub [u8; 32]);

impl fmt::Display for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Bundle {
    /// Returns the scope of an identity: what its rules look at, the time and the session left out.
    pub fn scope_key(&self, identity: &Identity) -> ScopeKey {
        let mut digest = Sha256::new();
        digest.update(b"gatepost scope 1\0");
        digest.update(self.hash());
        digest.update((self.database().len() as u64).to_be_bytes());
        digest.update(self.database().as_bytes());
        if self.see(identity, &mut digest).is_err() {
            // SECURITY: whoever rules can't be asked about shares a scope with nobody, and gets nothing.
            digest.update(format!("{identity:?}").as_bytes());
        }
        ScopeKey(digest.finalize().into())
    }
}
