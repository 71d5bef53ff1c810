//! What a policy may say, and which of two masks wins.

use mask::{Mask, Step};
use proptest::prelude::*;

#[derive(serde::Deserialize)]
struct Bundle {
    m: Mask,
}

fn parse(toml: &str) -> Result<Mask, String> {
    toml::from_str::<Bundle>(&format!("m = {toml}")).map(|bundle| bundle.m).map_err(|error| error.to_string())
}

fn step(to: u32) -> Step {
    Step(to.try_into().unwrap())
}

#[test]
fn a_policy_names_masks_by_word_or_table() {
    let check = |toml, expected: Mask| assert_eq!(parse(toml).unwrap(), expected, "{toml}");
    check("'redact'", Mask::Redact);
    check("'hash'", Mask::Hash { digits: 16 });
    check("{ mask = 'hash', digits = 32 }", Mask::Hash { digits: 32 });
    check("{ mask = 'email' }", Mask::Email);
    check("{ mask = 'constant', value = 'x' }", Mask::Constant { value: "x".into() });
    check("{ mask = 'round', to = 1000 }", Mask::Round { to: step(1000) });
    check(
        "{ mask = 'partial', keep_last = 4 }",
        Mask::Partial { keep_first: 0, keep_last: 4, fill: "***".into() },
    );
    check(
        "{ mask = 'partial', keep_first = 1, keep_last = 2, fill = '-' }",
        Mask::Partial { keep_first: 1, keep_last: 2, fill: "-".into() },
    );
}

#[test]
fn what_is_not_a_mask_is_refused_with_the_reason() {
    let check = |toml: &str, reason: &str| {
        let error = parse(toml).unwrap_err();
        assert!(error.contains(reason), "{toml}: {error}");
    };
    check("'redacted'", "unknown mask \"redacted\"; known are null, redact");
    check("{ mask = 'nothing' }", "unknown mask");
    check("'partial'", "needs parameters");
    check("{ mask = 'partial' }", "needs parameters");
    check("{ mask = 'partial', fill = 'x' }", "not its own");
    check("{ mask = 'round' }", "to = 1000");
    check("{ mask = 'round', to = 0 }", "table with `mask`");
    check("{ mask = 'redact', keep_last = 4 }", "not its own");
    check("{ mask = 'hash', digits = 3 }", "4 to 64");
    check("{ mask = 'hash', digits = 65 }", "4 to 64");
    check("{ mask = 'constant', value = \"a\\u0000\" }", "NUL");
    check("{ mask = 'partial', keep_last = 1, fill = '' }", "fill");
    check("{ mask = 'email', keep = 1 }", "table with `mask`");
    check("7", "a mask's name");
}

/// One of each kind and a few strengths, the least revealing first.
pub(crate) fn ordered() -> Vec<Mask> {
    vec![
        Mask::Null,
        Mask::Redact,
        Mask::Constant { value: "2020-01-01".into() },
        Mask::Constant { value: "7".into() },
        Mask::Uuid,
        Mask::Hash { digits: 8 },
        Mask::Hash { digits: 64 },
        Mask::Year,
        Mask::Month,
        Mask::Round { to: step(1000) },
        Mask::Round { to: step(7) },
        Mask::Ip,
        Mask::Card,
        Mask::Phone,
        Mask::Email,
        Mask::Partial { keep_first: 0, keep_last: 1, fill: "***".into() },
        Mask::Partial { keep_first: 1, keep_last: 0, fill: "***".into() },
        Mask::Partial { keep_first: 0, keep_last: 4, fill: "'\",\t\\".into() },
    ]
}

#[test]
fn the_order_of_revealing_is_total() {
    let masks = ordered();
    for (a, x) in masks.iter().enumerate() {
        for (b, y) in masks.iter().enumerate() {
            assert_eq!(x.reveals_less_than(y), a < b, "{x:?} {y:?}");
            assert_eq!(x == y, a == b);
        }
    }
    assert!(Mask::NAMES.iter().all(|name| masks.iter().any(|mask| mask.name() == *name)));
    assert_eq!(masks.iter().rev().min(), Some(&Mask::Null));
}

proptest! {
    #[test]
    fn any_word_is_a_mask_or_an_error(word in "[a-z]{0,8}") {
        prop_assert_eq!(Mask::from_name(&word).is_ok_and(|mask| mask.name() == word), Mask::from_name(&word).is_ok());
    }
}
