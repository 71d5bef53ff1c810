//! Which limits hold for whom.

use policy::{Bundle, LimitKind};

use crate::support::{bundle, identity};

const RULES: &str = r#"permit (principal in Group::"a", action, resource);
permit (principal in Group::"b", action, resource);
permit (principal in Group::"c", action, resource);"#;

const MANIFEST: &str = r#"
[approvers]
dba = { group = "dba" }

[limits.default]
sessions = 2
rows_per_statement = 1_000
statement_timeout = "30s"
bytes_per_day = "1GB"
cost = { max = 1e6, then = "refuse" }

[limits.a]
sessions = 5
bytes_per_statement = "50 MB"
cost = { max = 1e7, then = "refuse" }

[limits.b]
sessions = 3
rows_per_statement = "unlimited"
bytes_per_statement = "64 MiB"
statement_timeout = "2m"
cost = { max = 1e7, then = "approval:dba" }

[limits.c]
bytes_per_statement = 100
cost = "unlimited"
"#;

fn max(bundle: &Bundle, groups: &[&str], kind: LimitKind) -> Option<u64> {
    bundle.limits(&identity(groups)).get(kind).map(|limit| limit.max)
}

#[test]
fn the_most_generous_of_an_identitys_groups_holds_else_the_default() {
    use LimitKind as K;
    let bundle = bundle(MANIFEST, RULES);
    let of = |groups: &[&str]| {
        [K::Sessions, K::RowsPerStatement, K::BytesPerStatement, K::StatementTimeout, K::BytesPerDay]
            .map(|kind| max(&bundle, groups, kind))
    };
    let default = [Some(2), Some(1_000), None, Some(30), Some(1_000_000_000)];
    assert_eq!(of(&[]), default);
    assert_eq!(of(&["stranger"]), default);
    assert_eq!(of(&["a"]), [Some(5), Some(1_000), Some(50_000_000), Some(30), Some(1_000_000_000)]);
    // A group that says a limit is wider than everybody's, and one that narrows it.
    assert_eq!(of(&["a", "b"]), [Some(5), None, Some(64 << 20), Some(120), Some(1_000_000_000)]);
    assert_eq!(of(&["c"]), [Some(2), Some(1_000), Some(100), Some(30), Some(1_000_000_000)]);
    assert_eq!(of(&["a", "c"])[2], Some(50_000_000));
    // Nobody is a member of "default" by being in a group of that name.
    assert_eq!(of(&["default"]), default);
    let whose = |groups: &[&str]| bundle.limits(&identity(groups)).get(K::Sessions).unwrap().whose();
    assert_eq!((whose(&[]), whose(&["a", "b"])), ("everybody".to_owned(), "group \"a\"".to_owned()));
}

#[test]
fn a_cost_that_may_be_approved_is_wider_than_one_that_is_refused() {
    let bundle = bundle(MANIFEST, RULES);
    let of = |groups: &[&str]| {
        bundle
            .limits(&identity(groups))
            .cost()
            .map(|cost| (cost.max, cost.approval.as_deref().map(str::to_owned)))
    };
    assert_eq!(of(&[]), Some((1e6, None)));
    assert_eq!(of(&["a"]), Some((1e7, None)));
    assert_eq!(of(&["a", "b"]), Some((1e7, Some("dba".to_owned()))));
    assert_eq!(of(&["a", "b", "c"]), None);
}

#[test]
fn limits_are_told_by_name() {
    let bundle = bundle(MANIFEST, RULES);
    let limits = bundle.limits(&identity(&["b"]));
    assert_eq!(
        limits.lines(),
        [
            "sessions = 3 (group \"b\")",
            "bytes_per_statement = 67108864 (group \"b\")",
            "bytes_per_day = 1000000000 (everybody)",
            "statement_timeout = 120 s (group \"b\")",
            "cost = 10000000, then approval by dba (group \"b\")",
        ]
    );
    assert!(bundle.limits_days() && !self::bundle("", RULES).limits_days());
    assert!(self::bundle("", RULES).limits(&identity(&["a"])).is_empty());
}
