//! Every command is one of PostgreSQL's, and the test data has every one.

use std::collections::BTreeSet;

use sql::Command;

#[test]
fn every_command_is_in_the_test_data() {
    crate::on_large_stack(|| {
        let mut seen = BTreeSet::new();
        for text in crate::statements::texts() {
            seen.extend(crate::parse(&text).into_iter().flatten().map(|statement| statement.command));
        }
        // Tags that PostgreSQL's own list has and its grammar gives no statement for.
        let unreachable = [
            Command::AlterAccessMethod,
            Command::AlterCast,
            Command::AlterConstraint,
            Command::AlterTransform,
        ];
        let missing: Vec<&str> = Command::all()
            .iter()
            .filter(|command| !seen.contains(command) && !unreachable.contains(command))
            .map(|command| command.tag())
            .collect();
        assert!(missing.is_empty(), "no statement for {missing:?}");
    });
}

#[test]
fn tags_are_distinct() {
    let tags: BTreeSet<&str> = Command::all().iter().map(|command| command.tag()).collect();
    assert_eq!(tags.len(), Command::all().len());
}
