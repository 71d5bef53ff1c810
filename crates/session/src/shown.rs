//! Masked values on their way back: what a session was shown masked, and what has the form of a mask's output, is not stored as data.
//!
//! Knows values and masks. Not which of a statement's values goes into which column: it looks at all of them.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use model::Mask;

use crate::refuse::Refusal;

/// Masked values of a session that are known again; the oldest are forgotten first.
const SHOWN_MAX: usize = 4096;

/// Shorter ones mean too little to be anybody's: a masked `0` is a zero like any other.
const SHOWN_BYTES_MIN: usize = 3;

/// Hashes of the masked values that a session was shown.
#[derive(Default)]
pub(crate) struct Shown {
    keys: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Shown {
    /// Notes a value that goes to the client masked.
    pub(crate) fn note(&mut self, value: &[u8]) {
        if value.len() < SHOWN_BYTES_MIN || !self.known.insert(self.keys.hash_one(value)) {
            return;
        }
        self.order.push_back(self.keys.hash_one(value));
        if self.order.len() > SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Looks at a value that is to be stored where columns are that the identity sees under these masks.
    fn check(&self, masks: &[(String, Mask)], value: &[u8]) -> Result<(), Refusal> {
        let of_form = masks.iter().find(|(_, mask)| mask::is_output(mask, value));
        let shown = || masks.first().filter(|_| self.known.contains(&self.keys.hash_one(value)));
        match of_form.or_else(shown) {
            Some((column, mask)) => Err(Refusal::WrittenBack { column: column.clone(), mask: mask.kind() }),
            None => Ok(()),
        }
    }

    /// Looks at all values of a statement that writes columns which the identity sees under these masks.
    pub(crate) fn check_statement<'a>(
        &self,
        masks: &[(String, Mask)],
        text: &str,
        parameters: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Refusal> {
        if masks.is_empty() {
            return Ok(());
        }
        for value in parameters {
            self.check(masks, value)?;
        }
        let Some(literals) = sql::literals(text) else {
            let what = "what its literals say, and it writes columns that are masked";
            return Err(Refusal::NotUnderstood(what.to_owned()));
        };
        for literal in literals {
            self.check(masks, literal.as_bytes())?;
            // The sign is an operator.
            self.check(masks, format!("-{literal}").as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shown: &Shown, text: &str, passes: bool) {
        let masks = [("public.t.c".to_owned(), Mask::Year)];
        assert_eq!(shown.check_statement(&masks, text, std::iter::empty()).is_ok(), passes, "{text}");
        assert!(shown.check_statement(&[], text, std::iter::empty()).is_ok(), "{text}");
    }

    #[test]
    fn what_was_shown_masked_is_not_stored_until_it_is_forgotten() {
        let mut shown = Shown::default();
        check(&shown, "UPDATE t SET c = '1961-01-01'", true);
        shown.note(b"1961-01-01");
        shown.note(b"-1000");
        check(&shown, "UPDATE t SET c = '1961-01-01'", false);
        check(&shown, "UPDATE t SET c = $1, d = E'1961\\x2d01-01'", false);
        check(&shown, "UPDATE t SET c = -1000", false);
        check(&shown, "UPDATE t SET c = '[redacted]'", false);
        check(&shown, "UPDATE t SET c = '1961-11-23'", true);
        let masks = [("public.t.c".to_owned(), Mask::Year)];
        assert!(
            shown.check_statement(&masks, "UPDATE t SET c = $1", [&b"1961-01-01"[..]].into_iter()).is_err()
        );
        for n in 0..2 * SHOWN_MAX {
            shown.note(format!("value {n}").as_bytes());
        }
        assert_eq!((shown.order.len(), shown.known.len()), (SHOWN_MAX, SHOWN_MAX));
        check(&shown, "UPDATE t SET c = '1961-01-01'", true);
    }
}
