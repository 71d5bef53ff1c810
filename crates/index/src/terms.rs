//! What can be asked for of a record, each thing as a number. Knows no file.

use journal::query::{Touched, View};
use journal::search::Search;

use crate::Fingerprint;

/// The kinds of terms. The numbers are part of the file's format.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Session = 1,
    Identity = 2,
    Behalf = 3,
    Group = 4,
    Database = 5,
    Verdict = 6,
    Event = 7,
    Sqlstate = 8,
    Relation = 9,
    Column = 10,
    Rule = 11,
    Approval = 12,
    Fingerprint = 13,
}

/// Numbers below this stand for letters of texts.
const LETTERS: u64 = 1 << 18;
/// Texts with so many different runs of three letters that all are taken for theirs.
pub(crate) const ANY_TEXT: u64 = LETTERS;
/// More different runs than these, and a text has [`ANY_TEXT`] instead: nobody can make the index grow faster than the journal.
const RUNS_MAX: usize = 2048;
/// Runs of what is looked for that are asked about: more tell little more.
const RUNS_ASKED_MAX: usize = 12;

/// FNV-1a, then finished as MurmurHash3 does: the same in every build, unlike the standard library's. Whoever makes two names of one number
/// has the index say that one may be where the other is, and the journal that it is not.
fn number(kind: Kind, text: &str) -> u64 {
    let bytes = std::iter::once(kind as u8).chain(text.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    // Above those of letters, and no negative number in SQL.
    ((hash ^ (hash >> 33)) & (u64::MAX >> 1)) | 1 << 62
}

pub(crate) fn of(kind: Kind, text: &str) -> u64 {
    number(kind, text)
}

pub(crate) fn of_fingerprint(fingerprint: Fingerprint) -> u64 {
    number(Kind::Fingerprint, &fingerprint.to_string())
}

/// Gives every term of a record but those of its text.
pub(crate) fn each(view: &View, each: &mut dyn FnMut(u64)) {
    let mut term = |kind: Kind, text: &str| each(number(kind, text));
    if let Some(event) = &view.event {
        term(Kind::Event, event);
    }
    if let Some(session) = view.session() {
        term(Kind::Session, &session.to_string());
    }
    for name in view.names() {
        term(Kind::Identity, &name);
    }
    if let Some(who) = &view.identity {
        who.groups.iter().for_each(|group| term(Kind::Group, group));
    }
    if let Some(party) = view.behalf() {
        term(Kind::Behalf, &party.subject);
        term(Kind::Behalf, &party.to_string());
    }
    let given =
        [(Kind::Database, &view.database), (Kind::Verdict, &view.verdict), (Kind::Sqlstate, &view.sqlstate)];
    for (kind, text) in given {
        if let Some(text) = text {
            term(kind, text);
        }
    }
    for Touched { name, columns, .. } in view.touched() {
        let parts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
        for part in parts.filter_map(|from| name.get(from..)) {
            term(Kind::Relation, part);
            for column in columns {
                term(Kind::Column, &format!("{part}.{column}"));
            }
        }
    }
    view.rules().iter().for_each(|rule| term(Kind::Rule, rule));
    if let Some(approval) = view.approval() {
        term(Kind::Approval, &approval.to_string());
    }
}

/// The terms that a record must have to be looked for, but those of texts.
pub(crate) fn asked(search: &Search, fingerprint: Option<Fingerprint>) -> Vec<u64> {
    let Search { filter, sqlstate, column, rule, approval, group, measure } = search;
    let approval = approval.map(|number| number.to_string());
    let session = filter.session.map(|session| session.to_string());
    let given = [
        (Kind::Session, &session),
        (Kind::Approval, &approval),
        (Kind::Sqlstate, sqlstate),
        (Kind::Column, column),
        (Kind::Rule, rule),
        (Kind::Group, group),
        (Kind::Identity, &filter.identity),
        (Kind::Behalf, &filter.on_behalf_of),
        (Kind::Relation, &filter.relation),
        (Kind::Database, &filter.database),
        (Kind::Verdict, &filter.verdict),
        (Kind::Event, &filter.event),
    ];
    let mut terms: Vec<u64> =
        given.into_iter().filter_map(|(kind, text)| text.as_ref().map(|text| number(kind, text))).collect();
    terms.extend(fingerprint.map(of_fingerprint));
    if filter.event.is_none() && !measure.is_any() {
        terms.push(number(Kind::Event, "statement"));
    }
    terms
}

/// The runs of three letters of a text, in the case in which texts are compared; `None`: too many.
pub(crate) fn letters(text: &str) -> Option<Vec<u64>> {
    let mut runs = runs(text);
    runs.sort_unstable();
    runs.dedup();
    (runs.len() <= RUNS_MAX).then_some(runs)
}

/// Runs that a text must have to contain this one; `None`: it is too short to say.
pub(crate) fn letters_asked(text: &str) -> Option<Vec<u64>> {
    let mut runs = runs(text);
    let step = runs.len().div_ceil(RUNS_ASKED_MAX).max(1);
    runs = runs.into_iter().step_by(step).collect();
    runs.sort_unstable();
    runs.dedup();
    (!runs.is_empty()).then_some(runs)
}

fn runs(text: &str) -> Vec<u64> {
    let lower = text.to_lowercase();
    let mut found = Vec::with_capacity(lower.len());
    let mut last = ['\0'; 2];
    for (at, c) in lower.chars().enumerate() {
        if at >= 2 {
            let bits = last.into_iter().chain([c]).fold(0_u64, |hash, c| {
                hash.wrapping_mul(0x1_0000_01b3).wrapping_add(u64::from(u32::from(c)) + 1)
            });
            found.push(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 46);
        }
        let [_, middle] = last;
        last = [middle, c];
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LETTERS, letters, letters_asked, runs};

    proptest! {
        #[test]
        fn what_a_text_contains_has_no_run_that_it_lacks(text in "\\PC{0,60}", from in 0_usize..60, to in 0_usize..60) {
            let part: String = text.chars().skip(from.min(to)).take(from.abs_diff(to)).collect();
            let has = letters(&text).unwrap();
            let within = text.to_lowercase().contains(&part.to_lowercase());
            if let Some(asked) = letters_asked(&part).filter(|_| within) {
                prop_assert!(asked.iter().all(|run| has.contains(run)), "{part:?} in {text:?}");
            }
            prop_assert!(runs(&text).iter().all(|run| *run < LETTERS));
        }
    }

    #[test]
    fn a_text_of_too_many_runs_is_taken_for_any() {
        let text: String = (0..3000_u32).filter_map(|n| char::from_u32(0x4e00 + n)).collect();
        assert_eq!(letters(&text), None);
        assert_eq!(letters_asked("ab"), None);
    }
}
