//! Whose signature counts at which size. Follows keys that hand over to others.

use crate::body::{Checkpoint, NotACheckpoint};
use crate::key::VerifierKey;
use crate::note::Note;

/// The keys that count, and for which sizes of the log.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<Valid>,
}

#[derive(Clone, Debug)]
struct Valid {
    key: VerifierKey,
    /// Of no checkpoint over this size.
    until: u64,
}

/// Why a checkpoint isn't believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Its text.
    #[error(transparent)]
    NotACheckpoint(#[from] NotACheckpoint),
    /// Nobody who is trusted is said to have signed it.
    #[error("it is signed by no key that was given, but by {0}")]
    Unknown(String),
    /// Somebody who is trusted is said to have signed it, and hasn't.
    #[error("the signature of {0} is not its signature of this text")]
    Forged(VerifierKey),
    /// The key had been replaced.
    #[error("it is signed by {key}, which was replaced when there were {until} records")]
    Replaced {
        /// The key.
        key: VerifierKey,
        /// Its last checkpoint's size.
        until: u64,
    },
    /// It names a successor that hasn't signed it.
    #[error("it names {0} as the next key, which has not signed it")]
    NotTakenOver(VerifierKey),
}

impl Trust {
    /// Trusts keys, for all sizes until they hand over.
    pub fn new(keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| Valid { key, until: u64::MAX }).collect() }
    }

    /// Returns whether nobody is trusted.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys that may sign now.
    pub fn in_force(&self) -> impl Iterator<Item = &VerifierKey> {
        self.keys.iter().filter(|valid| valid.until == u64::MAX).map(|valid| &valid.key)
    }

    /// Reads a checkpoint and checks who signed it. One that hands over to another key makes that one trusted, and its own no longer.
    ///
    /// Checkpoints must come in the order of their sizes.
    ///
    /// # Errors
    /// [`Distrust`]: whoever made it.
    pub fn accept(&mut self, note: &Note) -> Result<Checkpoint, Distrust> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let mut signers = Vec::new();
        let mut replaced = None;
        for (at, valid) in self.keys.iter().enumerate() {
            match valid.key.signed(note) {
                Some(true) if checkpoint.size <= valid.until => signers.push(at),
                Some(true) => {
                    replaced = Some(Distrust::Replaced { key: valid.key.clone(), until: valid.until })
                }
                // SECURITY: a note with a wrong signature of a known key is rejected as a whole.
                Some(false) => return Err(Distrust::Forged(valid.key.clone())),
                None => {}
            }
        }
        if signers.is_empty() {
            let names = note.signatures().iter().map(|line| format!("{}+{:08x}", line.name, line.id));
            return Err(replaced.unwrap_or_else(|| Distrust::Unknown(names.collect::<Vec<_>>().join(", "))));
        }
        if let Some(next) = &checkpoint.next_key {
            if next.signed(note) != Some(true) {
                return Err(Distrust::NotTakenOver(next.clone()));
            }
            for at in signers {
                if let Some(valid) = self.keys.get_mut(at).filter(|valid| valid.key != *next) {
                    valid.until = checkpoint.size;
                }
            }
            if !self.keys.iter().any(|valid| valid.key == *next) {
                self.keys.push(Valid { key: next.clone(), until: u64::MAX });
            }
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::{Distrust, Trust};
    use crate::{Checkpoint, KeyError, Note, SigningKey, TreeHash, VerifierKey};

    fn key(name: &str) -> SigningKey {
        SigningKey::from_pem(name, &SigningKey::generate().unwrap()).unwrap()
    }

    fn at(size: u64, next: Option<&SigningKey>) -> Checkpoint {
        let next_key = next.map(|key| key.verifier().clone());
        Checkpoint {
            origin: "gatepost/ab".to_owned(),
            size,
            root: TreeHash::leaf(&size.to_be_bytes()),
            next_key,
        }
    }

    fn signed(checkpoint: &Checkpoint, keys: &[&SigningKey]) -> Note {
        let text = checkpoint.to_string();
        let signatures = keys.iter().map(|key| key.sign(&text)).collect();
        Note::parse(&Note::new(text, signatures).unwrap().to_string()).unwrap()
    }

    #[test]
    fn only_a_trusted_key_s_own_signature_of_exactly_that_text_counts() {
        let (ours, other) = (key("a.example"), key("a.example"));
        let mut trust = Trust::new([ours.verifier().clone()]);
        let checkpoint = at(7, None);
        assert_eq!(trust.accept(&signed(&checkpoint, &[&ours])), Ok(checkpoint.clone()));
        // Signatures of strangers beside it are nobody's business.
        assert_eq!(trust.accept(&signed(&checkpoint, &[&other, &ours])), Ok(checkpoint.clone()));
        assert!(matches!(trust.accept(&signed(&checkpoint, &[&other])), Err(Distrust::Unknown(_))));
        let good = signed(&checkpoint, &[&ours]).to_string();
        for (from, to) in [("7\n", "8\n"), ("gatepost/ab", "gatepost/ac")] {
            let changed = Note::parse(&good.replacen(from, to, 1)).unwrap();
            assert_eq!(trust.accept(&changed), Err(Distrust::Forged(ours.verifier().clone())), "{from}");
        }
        assert!(matches!(Trust::default().accept(&signed(&checkpoint, &[&ours])), Err(Distrust::Unknown(_))));
    }

    #[test]
    fn a_key_hands_over_once_and_then_counts_no_more() {
        let (first, second, third) = (key("k1"), key("k2"), key("k3"));
        let mut trust = Trust::new([first.verifier().clone()]);
        trust.accept(&signed(&at(5, None), &[&first])).unwrap();
        // Nobody makes himself the successor, and nobody is made one who hasn't the key.
        assert!(trust.accept(&signed(&at(8, Some(&second)), &[&second])).is_err());
        assert!(matches!(
            trust.accept(&signed(&at(8, Some(&second)), &[&first])),
            Err(Distrust::NotTakenOver(_))
        ));
        trust.accept(&signed(&at(8, Some(&second)), &[&first, &second])).unwrap();
        trust.accept(&signed(&at(9, None), &[&second])).unwrap();
        assert_eq!(
            trust.accept(&signed(&at(10, None), &[&first])),
            Err(Distrust::Replaced { key: first.verifier().clone(), until: 8 })
        );
        // The old key hands over to nobody else any more.
        assert!(matches!(
            trust.accept(&signed(&at(11, Some(&third)), &[&first, &third])),
            Err(Distrust::Replaced { .. })
        ));
        assert_eq!(trust.in_force().collect::<Vec<_>>(), [second.verifier()]);
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_nothing_else_is() {
        let ours = key("gateway.example/audit");
        let text = ours.verifier().to_string();
        assert_eq!(text.parse::<VerifierKey>().as_ref(), Ok(ours.verifier()));
        for wrong in
            [text.replace("gateway", "gatewax"), text.replace('+', " "), text.clone() + "A", String::new()]
        {
            assert_eq!(wrong.parse::<VerifierKey>(), Err(KeyError::Public), "{wrong}");
        }
        for name in ["", "a b", "a+b", "a\nb"] {
            assert_eq!(VerifierKey::new(name, [0; 32]), Err(KeyError::Name));
        }
        for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert_eq!(
                SigningKey::from_pem("k", &Secret::new(pem.to_owned())).err(),
                Some(KeyError::Private)
            );
        }
        // A key of OpenSSL: the seed 00..1f, whose public key follows from RFC 8032.
        let der = [
            &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..],
            &(0..32).collect::<Vec<u8>>(),
        ]
        .concat();
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"));
        let read = SigningKey::from_pem("k", &pem).unwrap();
        assert!(
            read.verifier().to_string().ends_with("+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"),
            "{}",
            read.verifier()
        );
    }

    #[test]
    fn the_note_of_the_specification_is_read_and_verified() {
        // https://pkg.go.dev/golang.org/x/mod/sumdb/note: the documentation's example.
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let lines = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let note = Note::parse(&format!("{text}\n{lines}")).unwrap();
        assert_eq!(note.text(), text);
        assert_eq!(vkey.parse::<VerifierKey>().unwrap().signed(&note), Some(true));
        assert_eq!(note.to_string(), format!("{text}\n{lines}"));
    }

    #[test]
    fn no_second_spelling_of_a_state_is_read() {
        let text = at(7, None).to_string();
        assert!(Checkpoint::parse(&text).is_ok());
        for (from, to) in [
            ("\n7\n", "\n+7\n"),
            ("\n7\n", "\n07\n"),
            ("\n7\n", "\n7\r\n"),
            ("=\n", "=\nother\n"),
            ("gatepost/ab", ""),
        ] {
            assert!(Checkpoint::parse(&text.replacen(from, to, 1)).is_err(), "{to:?}");
        }
        for note in [
            "",
            "a\n",
            "a\n\n",
            "a\n\n\u{2014} k\n",
            "a\n\n- k AAAAAAA=\n",
            "a\u{1b}\n\n\u{2014} k AAAAAAA=\n",
        ] {
            assert!(Note::parse(note).is_err(), "{note:?}");
        }
        assert!(Note::new("a\n\nb".to_owned(), Vec::new()).is_err());
    }
}
