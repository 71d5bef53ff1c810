//! Every command is one of PostgreSQL's, and the test data has every one.

use std::collections::BTreeSet;

use sql::{Ask, Command};

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

/// An independent look at what the crate's own count promises.
#[test]
fn every_relation_and_function_of_a_statement_is_asked_about() {
    crate::on_large_stack(|| {
        for text in crate::statements::texts() {
            let Ok(statements) = crate::parse(&text) else { continue };
            let asks: Vec<&Ask> = statements.iter().flat_map(|statement| &statement.asks).collect();
            let unsupported = asks.iter().any(|ask| matches!(ask, Ask::Unsupported(_)));
            // Relations of another server.
            if unsupported || text.starts_with("IMPORT FOREIGN SCHEMA") {
                continue;
            }
            let asked: String = asks.iter().map(|ask| written(ask, &text)).collect();
            let tree = format!("{:?}", pg_query::parse(&text, 0).unwrap().protobuf.stmts);
            let relations = tree.split("relname: \"").skip(1);
            let calls =
                tree.split("FuncCall { funcname: [Node { node: Some(String(String { sval: \"").skip(1);
            for name in relations.chain(calls).map(|rest| rest.split('"').next().unwrap()) {
                assert!(asked.contains(name), "{text}: nobody asks about {name}: {asked}");
            }
        }
    });
}

/// What an ask says, its query included.
fn written(ask: &Ask, message: &str) -> String {
    match ask {
        Ask::Query { sql, .. } | Ask::Expression { sql, .. } => sql.bare(message).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn nothing_in_the_test_data_is_passed_over() {
    crate::on_large_stack(|| {
        for text in crate::statements::texts() {
            for ask in crate::parse(&text).into_iter().flatten().flat_map(|statement| statement.asks) {
                let Ask::Unsupported(what) = ask else { continue };
                assert!(!what.contains("isn't understood"), "{text}: {what}");
            }
        }
    });
}
