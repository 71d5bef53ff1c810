//! What is said of bundles that are wrong: each mistake alone, its text under snapshot.

use std::fmt::Write;

use crate::support::{PLAIN, load};

/// A manifest with a tag, a mask, an approver group and a claim to refer to.
const MANIFEST: &str = r#"name = "b"
version = "1"
claims = ["team"]

[tags]
"public.customers.email" = ["pii"]

[masks]
pii = "redact"

[approvers]
leads = { group = "leads" }
"#;

const RULES: &str = r#"permit (principal in Group::"agents", action in Action::"Read", resource in Schema::"app.public");
"#;

/// Loads files, each of which must be refused, and writes down why.
fn said_of(mistakes: &[(&str, Vec<(&str, String)>)]) -> String {
    let mut text = String::new();
    for (what, files) in mistakes {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let Err(error) = load(&files) else { panic!("{what} was loaded") };
        // the last line names a folder that is another each time
        let said = error.to_string();
        let (said, sum) = said.rsplit_once('\n').unwrap();
        assert!(sum.contains("was not loaded"), "{sum}");
        let rule = "=".repeat(100_usize.saturating_sub(what.len() + 4));
        writeln!(text, "== {what} {rule}\n{}\n", said.trim_end()).unwrap();
    }
    text
}

fn with_rules<'a>(what: &'a str, rules: &str) -> (&'a str, Vec<(&'static str, String)>) {
    (what, vec![("bundle.toml", MANIFEST.to_owned()), ("shop.cedar", rules.to_owned())])
}

fn with_manifest<'a>(what: &'a str, manifest: &str) -> (&'a str, Vec<(&'static str, String)>) {
    (what, vec![("bundle.toml", format!("{PLAIN}{manifest}")), ("shop.cedar", RULES.to_owned())])
}

fn with_test<'a>(what: &'a str, test: &str) -> (&'a str, Vec<(&'static str, String)>) {
    let files = [("bundle.toml", MANIFEST), ("shop.cedar", RULES), ("tests/t.toml", test)]
        .map(|(p, t)| (p, t.to_owned()));
    (what, files.to_vec())
}

#[test]
fn mistakes_in_rules() {
    let scope = r#"principal in Group::"agents", action == Action::"select""#;
    let said = said_of(&[
        with_rules("no semicolon", "permit (principal, action, resource)\n"),
        with_rules("action mistyped", r#"permit (principal, action == Action::"selct", resource);"#),
        with_rules("entity type mistyped", r#"permit (principal in Grup::"agents", action, resource);"#),
        with_rules("attribute mistyped", &format!("permit ({scope}, resource) when {{ context.maskd }};")),
        with_rules(
            "attribute not everywhere",
            &format!(r#"permit ({scope}, resource) when {{ resource.tags.contains("pii") }};"#),
        ),
        with_rules(
            "tag mistyped",
            &format!(
                "permit ({scope}, resource is Column)\nunless {{\n    resource.tags.contains(\"pi\")\n}};"
            ),
        ),
        with_rules(
            "tag in a set",
            &format!(
                r#"permit ({scope}, resource is Column) unless {{ resource.tags.containsAny(["pii", "secrets"]) }};"#
            ),
        ),
        with_rules(
            "approver mistyped",
            &format!(r#"permit ({scope}, resource) when {{ context.approved_by.contains("lead") }};"#),
        ),
        with_rules(
            "kind mistyped",
            &format!(r#"permit ({scope}, resource is Relation) when {{ resource.kind == "veiw" }};"#),
        ),
        with_rules(
            "command in lower case",
            &format!(r#"forbid ({scope}, resource) when {{ context.statement.command == "select" }};"#),
        ),
        with_rules(
            "claim not declared",
            &format!(r#"permit ({scope}, resource) when {{ principal.claims has tea }};"#),
        ),
        with_rules(
            "claim spelt almost right",
            &format!(
                r#"permit ({scope}, resource) when {{ principal.claims has teams && principal.claims.teams == "x" }};"#
            ),
        ),
        with_rules(
            "has an attribute that nothing has",
            &format!(
                r#"permit ({scope}, resource) unless {{ resource has tgas && resource.tags.contains("pii") }};"#
            ),
        ),
        with_rules(
            "has a fact of the session that is none",
            &format!(r#"permit ({scope}, resource) unless {{ context.session has adress }};"#),
        ),
        with_rules("other database", r#"forbid (principal, action, resource in Schema::"ap.public");"#),
        with_rules("too few parts", r#"forbid (principal, action, resource in Relation::"app.customers");"#),
        with_rules(
            "quotes in a name",
            r#"forbid (principal, action, resource in Relation::"app.public.\"t");"#,
        ),
        with_rules(
            "needless quotes",
            r#"forbid (principal, action, resource in Relation::"app.public.\"t\"");"#,
        ),
        with_rules("star in a name", r#"forbid (principal, action, resource in Relation::"app.public.*");"#),
        with_rules(
            "name in a condition",
            r#"forbid (principal, action, resource) when { resource in Schema::"public" };"#,
        ),
        with_rules("agent without issuer", r#"permit (principal == Agent::"joe", action, resource);"#),
        with_rules(
            "forbid misses what is inside",
            r#"forbid (principal, action in Action::"Read", resource == Relation::"app.public.customers");"#,
        ),
        with_rules(
            "rule can never apply",
            r#"permit (principal, action == Action::"select", resource is Function);"#,
        ),
        with_rules(
            "looks past its own entities",
            r#"permit (principal, action, resource) when { Relation::"app.public.t".system };"#,
        ),
        with_rules("template", r#"permit (principal == ?principal, action, resource);"#),
        with_rules(
            "id twice",
            "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
        ),
        with_rules(
            "terms of approval",
            &format!(
                "@hold(\"10\") permit ({scope}, resource) when {{ context.approved_by.contains(\"leads\") }};\n@in_transaction(\"wait\")\npermit ({scope}, resource) when {{ context.approved_by.contains(\"leads\") }};\n@id(\"x\") @hold(\"5m\") permit ({scope}, resource);\n@hodl(\"5m\") @advice(\"ours\") permit ({scope}, resource);"
            ),
        ),
        with_rules("id of the gateway", "@id(\"gatepost:mine\") permit (principal, action, resource);"),
        with_rules(
            "several at once",
            "permit (principal, action == Action::\"selct\", resource);\n\n  forbid (principal, action, resource in Schema::\"ap.public\");",
        ),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn mistakes_in_the_manifest() {
    let said = said_of(&[
        ("no manifest", vec![("shop.cedar", RULES.to_owned())]),
        ("no rules", vec![("bundle.toml", MANIFEST.to_owned())]),
        (
            "not TOML",
            vec![("bundle.toml", "name = \"b\nversion = 1".to_owned()), ("a.cedar", RULES.to_owned())],
        ),
        (
            "name and version missing",
            vec![("bundle.toml", "[tags]\n".to_owned()), ("a.cedar", RULES.to_owned())],
        ),
        with_manifest("unknown key, near", "[tag]\n\"a.b.c\" = [\"x\"]"),
        with_manifest("unknown key, far", "[quotas]\nrows = 1"),
        with_manifest("limits of nobody", "[limits]\nrows_per_day = 1"),
        with_manifest(
            "limit mistyped, below one, no number",
            "[limits.default]\nrows_per_dya = 1\nsessions = 0\nrows_per_statement = -5\nstatements_per_minute = \"many\"",
        ),
        with_manifest(
            "limits of size and time",
            "[limits.g]\nbytes_per_day = \"1 gig\"\nbytes_per_statement = -1\nstatement_timeout = \"0s\"\nidle_timeout = 30\nidle_in_transaction_timeout = \"90d\"",
        ),
        with_manifest(
            "limits of cost",
            "[limits.a]\ncost = 5\n[limits.b]\ncost = { max = 5 }\n[limits.c]\ncost = { max = -1.5, then = \"refuse\" }\n[limits.d]\ncost = { max = nan, then = \"ask\" }\n[limits.e]\ncost = { max = 1, then = \"approval:dba\" }",
        ),
        with_manifest("unknown key in a table", "[approvers]\nleads = { group = \"l\", quorm = 2 }"),
        with_manifest(
            "tags of no column",
            "[tags]\n\"customers.email\" = [\"pii\"]\n\"*.t.c\" = [\"x\"]\n\"a.t*.c\" = [\"x\"]\n\"a..c\" = [\"x\"]",
        ),
        with_manifest("tags as a number", "[tags]\n\"a.b.c\" = 1\n\"a.b.d\" = [1]"),
        with_manifest("mask mistyped", "[masks]\npii = \"redakt\""),
        with_manifest("mask parameter mistyped", "[masks]\npii = { kind = \"partial\", keep_lst = 4 }"),
        with_manifest(
            "mask parameter missing",
            "[masks]\na = \"partial\"\nb = { kind = \"round\" }\nc = \"constant\"\nd = { keep_last = 1 }",
        ),
        with_manifest(
            "mask parameter out of range",
            "[masks]\na = { kind = \"ip\", v4 = 33 }\nb = { kind = \"partial\", keep_last = -1 }\nc = { kind = \"partial\", keep_last = 1, fill = \"\" }",
        ),
        with_manifest(
            "approvers",
            "[approvers]\na = { quorum = 0, group = \"g\" }\nb = {}\nc = { group = \"g\", hold = \"10\" }\nd = \"g\"",
        ),
        with_manifest(
            "terms of approval",
            "[approvers]\na = { group = \"g\", any = [\"h\"] }\nb = { all = [] }\nc = { any = [\"g\", \"g\", \"\"] }\nd = { group = \"g\", in_transaction = \"wait\" }\ne = { group = \"g\", hold = \"1m\", hold_in_transaction = \"1m\" }\nf = { group = \"g\", count_rows = \"2m\", reason = \"yes\" }\nh = { group = \"g\", breakglass = \"h\", use_within = \"30d\" }",
        ),
        with_manifest("recording", "[recording]\ndefault = \"statement\""),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn mistakes_in_tests() {
    let test = "[[test]]\nname = \"t\"\n";
    let said = said_of(&[
        with_test(
            "failed test",
            &format!(
                "{test}groups = [\"agents\"]\naction = \"select\"\nresource = \"public.customers.email\"\nexpect = \"mask\""
            ),
        ),
        with_test(
            "failed test, denied",
            &format!(
                "{test}groups = [\"agents\"]\naction = \"update\"\nresource = \"public.customers.email\"\nexpect = \"allow\""
            ),
        ),
        with_test(
            "test key mistyped",
            &format!(
                "{test}group = [\"agents\"]\naction = \"select\"\nresource = \"public.customers.email\"\nexpect = \"allow\""
            ),
        ),
        with_test(
            "no expectation",
            &format!("{test}action = \"select\"\nresource = \"public.customers.email\""),
        ),
        with_test(
            "expectation mistyped",
            &format!("{test}action = \"select\"\nresource = \"public.customers.email\"\nexpect = \"denied\""),
        ),
        with_test(
            "action mistyped",
            &format!("{test}action = \"selct\"\nresource = \"public.customers.email\"\nexpect = \"deny\""),
        ),
        with_test(
            "action and resource don't fit",
            &format!("{test}action = \"delete\"\nresource = \"public.customers.email\"\nexpect = \"deny\""),
        ),
        with_test(
            "resource of five parts",
            &format!(
                "{test}action = \"select\"\nresource = \"app.public.customers.email.x\"\nexpect = \"deny\""
            ),
        ),
        with_test("both kinds", &format!("{test}sql = \"SELECT 1\"\naction = \"select\"\nexpect = \"deny\"")),
        with_test("neither kind", &format!("{test}expect = \"deny\"")),
        with_test(
            "terms that are not held",
            &format!(
                "{test}action = \"connect\"\nexpect = \"deny\"\nhold = \"5m\"\nin_transaction = \"never\""
            ),
        ),
        with_test(
            "claim and approver unknown",
            &format!(
                "{test}claims = {{ tem = \"a\" }}\napproved_by = \"leds\"\naction = \"connect\"\nexpect = \"deny\""
            ),
        ),
        with_test(
            "identity, time and address",
            &format!(
                "{test}as = \"joe\"\naction = \"connect\"\nexpect = \"deny\"\n\n{test}now = \"tomorrow\"\naction = \"connect\"\nexpect = \"deny\"\n\n{test}address = \"here\"\naction = \"connect\"\nexpect = \"deny\""
            ),
        ),
        with_test("tests, not test", "[[tests]]\nname = \"t\""),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn files_that_are_no_part_of_a_bundle() {
    let files = |path: &'static str| {
        vec![("bundle.toml", MANIFEST.to_owned()), ("a.cedar", RULES.to_owned()), (path, "forbid".to_owned())]
    };
    let said = said_of(&[
        ("suffix mistyped", files("deny.ceder")),
        ("folder", files("more/deny.cedar")),
        ("test of another kind", files("tests/deny.cedar")),
    ]);
    insta::assert_snapshot!(said);
    for left_alone in ["README.md", ".git/config", "..data/x", "a.cedar~", "tests/README.md"] {
        assert!(load(&files_as_str(&files(left_alone))).is_ok(), "{left_alone}");
    }
}

fn files_as_str<'a>(files: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    files.iter().map(|(path, text)| (*path, text.as_str())).collect()
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = policy::load(std::path::Path::new("no/such/bundle"), "app").unwrap_err();
    assert!(error.to_string().contains("no/such/bundle: can't be read: No such file"), "{error}");
}

#[test]
fn what_is_not_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bundle.toml"), MANIFEST).unwrap();
    std::fs::write(dir.path().join("a.cedar"), b"permit (principal, action, resource);\xff").unwrap();
    let error = policy::load(dir.path(), "app").unwrap_err();
    assert!(error.to_string().contains("a.cedar: is not UTF-8"), "{error}");
}

#[test]
fn limits_of_a_group_that_no_rule_names_are_a_warning() {
    let manifest = "[limits.agents]\nsessions = 1\n[limits.\"ag ents\"]\nsessions = 2\n";
    let bundle = crate::support::bundle(manifest, RULES);
    let [warning] = bundle.warnings() else { panic!("{:?}", bundle.warnings()) };
    assert_eq!(warning.position(), Some(("bundle.toml", 5, 2)));
    assert!(warning.message().contains("no rule names the group \"ag ents\""), "{warning}");
}

#[test]
fn a_mask_that_no_column_uses_is_a_warning() {
    let bundle = crate::support::bundle("[masks]\npii = \"redact\"\n", RULES);
    let [warning] = bundle.warnings() else { panic!("{:?}", bundle.warnings()) };
    assert_eq!(warning.position(), Some(("bundle.toml", 4, 1)));
    assert!(warning.message().contains("no column has the tag \"pii\""), "{warning}");
}
