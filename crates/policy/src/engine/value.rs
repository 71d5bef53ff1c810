//! Values that may be unknown, for rules that are evaluated before all of a request is known.
//!
//! Knows Cedar's values and operators. What it can't compute is [`Value::Unknown`], never an error: an error in Cedar refuses, so
//! taking it for unknown only supposes more than can happen.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EvalResult;

/// A value, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Bool(bool),
    Long(i64),
    String(String),
    /// Type and id.
    Entity(String, String),
    Set(BTreeSet<Value>),
    /// A set that has these members, and may have others.
    AtLeast(BTreeSet<Value>),
    Record(BTreeMap<String, Value>),
    Unknown,
}

use Value::{AtLeast, Bool, Long, Record, Set, Unknown};

impl Value {
    pub(super) fn of(result: &EvalResult) -> Self {
        match result {
            EvalResult::Bool(value) => Bool(*value),
            EvalResult::Long(value) => Long(*value),
            EvalResult::String(value) => Self::String(value.clone()),
            EvalResult::EntityUid(uid) => {
                Self::Entity(uid.type_name().to_string(), uid.id().unescaped().to_owned())
            }
            EvalResult::Set(set) => Self::set(set.iter().map(Self::of)),
            EvalResult::Record(record) => {
                Record(record.iter().map(|(key, value)| (key.clone(), Self::of(value))).collect())
            }
            EvalResult::ExtensionValue(_) => Unknown,
        }
    }

    /// Makes a set; one with a member that isn't known has at least the others.
    pub(super) fn set(members: impl IntoIterator<Item = Self>) -> Self {
        let (known, open): (Vec<Self>, Vec<Self>) = members.into_iter().partition(Self::is_known);
        let known = known.into_iter().collect();
        if open.is_empty() { Set(known) } else { AtLeast(known) }
    }

    /// Returns whether all of it is known.
    fn is_known(&self) -> bool {
        match self {
            Unknown | AtLeast(_) => false,
            Record(fields) => fields.values().all(Self::is_known),
            // made of what is known
            Set(_) | Bool(_) | Long(_) | Self::String(_) | Self::Entity(..) => true,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Bool(value) => Bool(!value),
            _ => Unknown,
        }
    }

    /// `&&`: false if either is surely false. That the left one may fail is no matter: a rule that fails permits nothing.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Bool(false) => Bool(false),
            Bool(true) => other().truth(),
            _ => match other() {
                Bool(false) => Bool(false),
                _ => Unknown,
            },
        }
    }

    /// `||`: true if either is surely true. That the left one may fail is no matter: a rule that fails makes a refusal, as a `forbid`
    /// that is true does.
    pub(super) fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Bool(true) => Bool(true),
            Bool(false) => other().truth(),
            _ => match other() {
                Bool(true) => Bool(true),
                _ => Unknown,
            },
        }
    }

    fn truth(self) -> Self {
        if matches!(self, Bool(_)) { self } else { Unknown }
    }

    pub(super) fn equals(&self, other: &Self) -> Self {
        if self.is_known() && other.is_known() { Bool(self == other) } else { Unknown }
    }

    pub(super) fn compare(&self, other: &Self, holds: fn(std::cmp::Ordering) -> bool) -> Self {
        match (self, other) {
            (Long(left), Long(right)) => Bool(holds(left.cmp(right))),
            _ => Unknown,
        }
    }

    pub(super) fn contains(&self, member: &Self) -> Self {
        if !member.is_known() {
            return Unknown;
        }
        match self {
            Set(members) => Bool(members.contains(member)),
            AtLeast(members) if members.contains(member) => Bool(true),
            _ => Unknown,
        }
    }

    pub(super) fn contains_all(&self, others: &Self) -> Self {
        match (self, others) {
            (Set(members), Set(others)) => Bool(others.is_subset(members)),
            (Set(members), AtLeast(others)) if !others.is_subset(members) => Bool(false),
            (AtLeast(members), Set(others)) if others.is_subset(members) => Bool(true),
            _ => Unknown,
        }
    }

    pub(super) fn contains_any(&self, others: &Self) -> Self {
        match (self, others) {
            (Set(members) | AtLeast(members), Set(others) | AtLeast(others))
                if !members.is_disjoint(others) =>
            {
                Bool(true)
            }
            (Set(_), Set(_)) => Bool(false),
            (Set(none), _) | (_, Set(none)) if none.is_empty() => Bool(false),
            _ => Unknown,
        }
    }

    pub(super) fn is_empty(&self) -> Self {
        match self {
            Set(members) => Bool(members.is_empty()),
            AtLeast(members) if !members.is_empty() => Bool(false),
            _ => Unknown,
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Self {
        match self {
            Record(fields) => fields.get(name).cloned().unwrap_or(Unknown),
            _ => Unknown,
        }
    }

    pub(super) fn has(&self, name: &str) -> Self {
        match self {
            Record(fields) => Bool(fields.contains_key(name)),
            _ => Unknown,
        }
    }

    /// `like`: the parts of a pattern, `None` for `*`.
    pub(super) fn like(&self, pattern: &[Option<&str>]) -> Self {
        match self {
            Self::String(text) => Bool(matches(text, pattern)),
            _ => Unknown,
        }
    }
}

/// Literals between wildcards are found from the left, the shortest way; what is after the last wildcard must be the end.
fn matches(text: &str, pattern: &[Option<&str>]) -> bool {
    let mut rest = text;
    let mut pieces: Vec<String> = vec![String::new()];
    for part in pattern {
        match (part, pieces.last_mut()) {
            (Some(literal), Some(piece)) => piece.push_str(literal),
            _ => pieces.push(String::new()),
        }
    }
    let [first, middle @ .., last] = pieces.as_slice() else {
        return pieces.first().is_some_and(|only| only == text);
    };
    match rest.strip_prefix(first.as_str()) {
        Some(after) => rest = after,
        None => return false,
    }
    for piece in middle {
        match rest.split_once(piece.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn what_is_not_known_decides_nothing_and_what_is_decides() {
        assert_eq!(Unknown.and(|| Bool(false)), Bool(false));
        assert_eq!(Unknown.and(|| Bool(true)), Unknown);
        assert_eq!(Unknown.or(|| Bool(true)), Bool(true));
        assert_eq!(Unknown.or(|| Bool(false)), Unknown);
        assert_eq!(Bool(true).and(|| text("x")), Unknown);
        assert_eq!(Unknown.not(), Unknown);
        assert_eq!(text("a").equals(&Unknown), Unknown);
        assert_eq!(text("a").equals(&Long(1)), Bool(false));
    }

    #[test]
    fn a_set_that_may_have_more_members_only_says_what_it_has() {
        let open = Value::set([text("a"), Unknown]);
        let set = |members: &[&str]| Value::set(members.iter().map(|m| text(m)));
        assert_eq!(open.contains(&text("a")), Bool(true));
        assert_eq!(open.contains(&text("b")), Unknown);
        assert_eq!(open.contains_any(&set(&["a", "b"])), Bool(true));
        assert_eq!(open.contains_any(&set(&["b"])), Unknown);
        assert_eq!(open.contains_any(&set(&[])), Bool(false));
        assert_eq!(open.contains_all(&set(&["a"])), Bool(true));
        assert_eq!(open.contains_all(&set(&["a", "b"])), Unknown);
        assert_eq!(set(&["a"]).contains_all(&Value::set([text("b"), Unknown])), Bool(false));
        assert_eq!((open.is_empty(), Value::set([Unknown]).is_empty()), (Bool(false), Unknown));
        assert_eq!(open.equals(&set(&["a"])), Unknown);
        assert_eq!(set(&["a", "b"]).contains_any(&set(&["c"])), Bool(false));
    }

    #[test]
    fn patterns_match_as_cedar_s_do() {
        let check = |of: &str, pattern: &[Option<&str>], expected: bool| {
            assert_eq!(text(of).like(pattern), Bool(expected), "{of} {pattern:?}");
        };
        check("", &[], true);
        check("a", &[], false);
        check("", &[None], true);
        check("abc", &[Some("a"), None], true);
        check("abc", &[None, Some("bc")], true);
        check("aba", &[Some("ab"), None, Some("ba")], false);
        check("a.b.c", &[None, Some("."), None, Some("."), None], true);
        check("a.b", &[None, Some("."), None, Some("."), None], false);
        check("aab", &[None, Some("ab")], true);
    }
}
