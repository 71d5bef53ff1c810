//! What bundles decide.

use model::Mask;
use policy::{Action, Decision, Help, PartVerdict, Touch, Verdict, Volatility};

use crate::support::*;

/// Every identity by every action by every resource of the shop, as one table.
#[test]
fn the_shop_decides_as_the_matrix_says() {
    let bundle = shop();
    let who: [(&str, &[&str]); 5] = [
        ("support", &["support-agents"]),
        ("analyst", &["analysts"]),
        ("both", &["analysts", "support-agents"]),
        ("dba", &["dba"]),
        ("nobody", &["marketing"]),
    ];
    let mut touches = Vec::new();
    for action in [Action::Select, Action::Filter, Action::Copy, Action::Update] {
        for (relation, columns) in [
            ("public.customers", &["id", "name", "email", "phone", "ssn", "birth_date", "city", "notes"][..]),
            ("public.tickets", &["status"]),
            ("pg_catalog.pg_class", &["relname"]),
            ("pg_catalog.pg_stat_activity", &["pid", "query"]),
            ("pg_catalog.pg_stats", &["most_common_vals"]),
            ("pg_catalog.pg_new_in_19", &["x"]),
        ] {
            touches.extend(columns.iter().map(|name| column(action, relation, name)));
        }
    }
    for action in Action::all() {
        for kind in action.applies_to() {
            use policy::ResourceType::*;
            touches.extend(match kind {
                Database => vec![database(action)],
                Relation => ["public.orders", "public.tickets"].map(|path| relation(action, path)).to_vec(),
                Function | Schema | Column => Vec::new(),
            });
        }
    }
    touches.extend(
        [
            "pg_catalog.lower",
            "pg_catalog.query_to_xml",
            "pg_catalog.pg_read_file",
            "pg_catalog.nextval",
            "public.mine",
        ]
        .map(|path| function(path, policy::Volatility::Immutable)),
    );
    let mut table = format!("{:<14} {:<48}", "action", "resource");
    let decisions: Vec<_> = who
        .iter()
        .map(|(name, groups)| {
            table.push_str(&format!(" {name:<26}"));
            Asking::by(groups).of("shop").decide(&bundle, &touches)
        })
        .collect();
    table.push('\n');
    for (at, touch) in touches.iter().enumerate() {
        let kind = touch.resource.resource_type().as_str().to_lowercase();
        let resource = format!("{kind} {}", touch.resource.path("shop"));
        table.push_str(&format!("{:<14} {resource:<48}", touch.action));
        for decision in &decisions {
            let verdict = match &decision.parts[at].verdict {
                policy::PartVerdict::Mask(mask) => format!("mask {}", mask.kind()),
                policy::PartVerdict::Hold { approvers, .. } => format!("hold {}", approvers.join("+")),
                other => other.as_str().to_owned(),
            };
            table.push_str(&format!(" {verdict:<26}"));
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

const LEADS: &str =
    "[approvers]\nleads = { group = \"leads\" }\ndba = { group = \"dba\", quorum = 2, hold = \"1h\" }\n";
const PII: &str = "[tags]\n\"public.*.email\" = \"pii\"\n\"public.secrets.*\" = [\"secret\", \"pii\"]\n\
                   [masks]\npii = \"email\"\nsecret = { kind = \"hash\", key = \"k\" }\n";

/// Writes verdict, parts' verdicts and rules in one line.
fn said(decision: &Decision) -> String {
    let verdict = match &decision.verdict {
        Verdict::Hold { approvers } => {
            let names: Vec<_> = approvers.iter().map(|approver| approver.name.as_str()).collect();
            format!("hold {}", names.join("+"))
        }
        verdict => verdict.as_str().to_owned(),
    };
    let parts = decision.parts.iter().map(|part| {
        let rules: Vec<_> = part.rules.iter().map(|rule| rule.id.as_str()).collect();
        let verdict = match &part.verdict {
            PartVerdict::Mask(mask) => format!("mask {}", mask.kind()),
            PartVerdict::Hold { approvers, mask } => {
                let mask = mask.as_ref().map(|mask| format!(" masked {}", mask.kind())).unwrap_or_default();
                format!("hold {}{mask}", approvers.join("+"))
            }
            other => other.as_str().to_owned(),
        };
        format!("{verdict} by [{}]", rules.join(" "))
    });
    format!("{verdict}: {}", parts.collect::<Vec<_>>().join("; "))
}

fn check(manifest: &str, rules: &str, touches: &[Touch], expected: &str) -> Decision {
    let decision = Asking::by(&["g"]).decide(&bundle(manifest, rules), touches);
    assert_eq!(
        said(&decision),
        expected,
        "{:?}",
        decision.parts.iter().map(|part| &part.help).collect::<Vec<_>>()
    );
    decision
}

#[test]
fn nothing_is_allowed_without_a_permit() {
    let decision = check(
        "",
        r#"permit (principal in Group::"other", action, resource);"#,
        &[relation(Action::Select, "public.t")],
        "deny: deny by []",
    );
    assert_eq!(
        decision.parts[0].help,
        [Help::Permit { action: Action::Select, resource: r#"Relation::"app.public.t""#.to_owned() }]
    );
}

#[test]
fn forbid_wins_over_any_permit_and_any_promise() {
    let rules = r#"
        @id("all") permit (principal, action, resource);
        @id("no") forbid (principal, action, resource in Relation::"app.public.t");"#;
    let touches = [
        column(Action::Select, "public.t", "c"),
        column(Action::Select, "public.u", "c"),
        relation(Action::Drop, "public.t"),
    ];
    let decision = check(LEADS, rules, &touches, "deny: deny by [no]; allow by [all]; deny by [no]");
    assert!(
        matches!(&decision.parts[0].help[..], [Help::Forbidden { rule }] if rule.id == "no" && rule.forbid && rule.line == 3)
    );
}

#[test]
fn one_refused_part_refuses_the_statement() {
    let rules = r#"permit (principal, action == Action::"select", resource in Relation::"app.public.t");"#;
    check(
        "",
        rules,
        &[column(Action::Select, "public.t", "a"), column(Action::Select, "public.u", "b")],
        "deny: allow by [b.cedar:1]; deny by []",
    );
}

#[test]
fn masking_is_preferred_to_asking_and_nothing_to_masking() {
    let rules = r#"
        @id("plain") permit (principal, action == Action::"select", resource in Relation::"app.public.t");
        @id("masked") permit (principal, action == Action::"select", resource in Schema::"app.public") when { context.masked };
        @id("asked") permit (principal, action == Action::"select", resource in Schema::"app.public") when { context.approved_by.contains("leads") };"#;
    let touches = [
        column(Action::Select, "public.t", "email"),
        column(Action::Select, "public.u", "email"),
        relation(Action::Select, "public.u"),
    ];
    check(
        &format!("{PII}{LEADS}"),
        rules,
        &touches,
        "hold leads: allow by [plain]; mask email by [masked]; hold leads by [asked]",
    );
}

#[test]
fn only_a_returned_column_can_be_masked() {
    let rules = r#"@id("m") permit (principal, action, resource) when { context.masked };"#;
    let touches = [Action::Select, Action::Filter, Action::Copy, Action::Update]
        .map(|action| column(action, "public.t", "email"));
    let decision = check(PII, rules, &touches, "deny: mask email by [m]; deny by []; deny by []; deny by []");
    assert_eq!(decision.parts[1].help[0], Help::Masked);
    assert_eq!(decision.parts[2].help[0], Help::Masked);
    assert!(!decision.parts[3].help.contains(&Help::Masked));
    check(PII, rules, &[relation(Action::Select, "public.t")], "deny: deny by []");
}

#[test]
fn the_least_revealing_mask_wins_and_without_one_it_is_null() {
    let rules = r#"@id("m") permit (principal, action, resource) when { context.masked };"#;
    let bundle = bundle(PII, rules);
    let mut inherited = column(Action::Select, "public.v", "shown_as");
    if let policy::Resource::Column { tags, .. } = &mut inherited.resource {
        tags.push("secret".to_owned());
    }
    let touches = [
        column(Action::Select, "public.secrets", "email"),
        column(Action::Select, "public.t", "city"),
        inherited,
    ];
    let decision = Asking::by(&["g"]).decide(&bundle, &touches);
    assert_eq!(said(&decision), "allow: mask hash by [m]; mask null by [m]; mask hash by [m]");
    assert_eq!(decision.parts[0].verdict.mask(), Some(&Mask::Hash { key: Some("k".to_owned()), digits: 16 }));
}

#[test]
fn tags_reach_rules_from_patterns_and_through_views() {
    let rules = r#"@id("r") permit (principal, action, resource) unless { resource has tags && resource.tags.containsAny(["pii", "secret"]) };"#;
    let mut view = column(Action::Filter, "public.v", "x");
    if let policy::Resource::Column { tags, .. } = &mut view.resource {
        tags.push("pii".to_owned());
    }
    let touches = [
        column(Action::Filter, "public.any", "email"),
        column(Action::Filter, "public.secrets", "x"),
        column(Action::Filter, "private.any", "email"),
        column(Action::Filter, "public.any", "Email"),
        view,
    ];
    check(PII, rules, &touches, "deny: deny by []; deny by []; allow by [r]; allow by [r]; deny by []");
}

#[test]
fn a_column_may_need_approval_and_a_mask() {
    let rules = r#"@id("both") permit (principal, action == Action::"select", resource) when { context.masked && context.approved_by.contains("leads") };"#;
    check(
        &format!("{PII}{LEADS}"),
        rules,
        &[column(Action::Select, "public.t", "email")],
        "hold leads: hold leads masked email by [both]",
    );
}

#[test]
fn two_groups_are_asked_only_if_one_is_not_enough() {
    let rules = r#"
        @id("and") permit (principal, action == Action::"drop", resource) when { context.approved_by.containsAll(["leads", "dba"]) };
        @id("or") permit (principal, action == Action::"delete", resource) when { context.approved_by.containsAny(["leads", "dba"]) };
        @id("dba") permit (principal, action == Action::"truncate", resource) when { context.approved_by.contains("dba") };"#;
    let [drop, delete, truncate] =
        [Action::Drop, Action::Delete, Action::Truncate].map(|action| relation(action, "public.t"));
    check(LEADS, rules, std::slice::from_ref(&delete), "hold leads: hold leads by [or]");
    check(LEADS, rules, std::slice::from_ref(&drop), "hold leads+dba: hold leads+dba by [and]");
    // dba alone is enough for both, though leads come first in the bundle
    check(LEADS, rules, &[delete.clone(), truncate.clone()], "hold dba: hold dba by [or]; hold dba by [dba]");
    check(LEADS, rules, &[drop, truncate], "hold leads+dba: hold leads+dba by [and]; hold dba by [dba]");
}

#[test]
fn a_rule_shortens_how_long_what_it_asks_for_is_held_and_nothing_else() {
    use policy::InTransaction;
    let manifest = "[approvers]\n\
        leads = { any = [\"leads\", \"duty\"], hold = \"20m\", in_transaction = \"hold\", hold_in_transaction = \"1m\" }\n\
        dba = { all = [\"dba\", \"owners\"], quorum = 2, hold = \"1h\" }\n";
    let rules = r#"
        @id("night") @hold("5m")
        permit (principal, action == Action::"delete", resource) when { context.approved_by.contains("leads") };
        @id("drop")
        permit (principal, action == Action::"drop", resource) when { context.approved_by.contains("leads") };
        @id("locks") @in_transaction("refuse")
        permit (principal, action == Action::"lock", resource) when { context.approved_by.contains("leads") };
        @id("truncate") @in_transaction("hold") @hold("2h")
        permit (principal, action == Action::"truncate", resource) when { context.approved_by.contains("dba") };
        @id("connect") permit (principal in Group::"g", action == Action::"connect", resource);"#;
    let bundle = bundle(manifest, rules);
    let held = |actions: &[Action]| {
        let touches: Vec<Touch> = actions.iter().map(|action| relation(*action, "public.t")).collect();
        match Asking::by(&["g"]).decide(&bundle, &touches).verdict {
            Verdict::Hold { approvers } => approvers,
            verdict => panic!("{verdict:?}"),
        }
    };
    let said = |actions: &[Action]| -> Vec<(String, u64, InTransaction, u64)> {
        let said = held(actions).into_iter().map(|group| {
            (group.name, group.hold.as_secs(), group.in_transaction, group.hold_in_transaction.as_secs())
        });
        said.collect()
    };
    let leads = |hold, in_transaction| ("leads".to_owned(), hold, in_transaction, 60);
    assert_eq!(said(&[Action::Drop]), [leads(1200, InTransaction::Hold)]);
    assert_eq!(said(&[Action::Delete]), [leads(300, InTransaction::Hold)]);
    assert_eq!(said(&[Action::Drop, Action::Delete]), [leads(300, InTransaction::Hold)]);
    assert_eq!(said(&[Action::Drop, Action::Lock]), [leads(1200, InTransaction::Refuse)]);
    // a longer time than the group's doesn't count; what a group refuses a rule may allow
    let dba = ("dba".to_owned(), 3600, InTransaction::Hold, 30);
    assert_eq!(said(&[Action::Truncate]), std::slice::from_ref(&dba));
    assert_eq!(said(&[Action::Truncate, Action::Delete]), [leads(300, InTransaction::Hold), dba]);
    let told: Vec<String> =
        held(&[Action::Truncate, Action::Delete]).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["1 of leads or duty (leads)", "2 of each of dba and owners (dba)"]);
}

#[test]
fn a_bundle_s_tests_expect_terms() {
    let rules = r#"
        @hold("5m") permit (principal in Group::"g", action == Action::"drop", resource) when { context.approved_by.contains("leads") };"#;
    let test = |expected: &str| {
        let test = format!(
            "[[test]]\nname = \"t\"\ngroups = [\"g\"]\naction = \"drop\"\nresource = \"public.t\"\nexpect = \"hold\"\n{expected}\n"
        );
        let manifest = format!("{PLAIN}{LEADS}");
        let files = [("bundle.toml", manifest.as_str()), ("r.cedar", rules), ("tests/t.toml", &test)];
        load(&files).err().map(|error| error.problems().iter().map(ToString::to_string).collect::<String>())
    };
    assert_eq!(test("hold = \"5m\"\nin_transaction = \"refuse\""), None);
    assert!(test("hold = \"10m\"").unwrap().contains("expected hold 10m, got 5m"));
    assert!(test("in_transaction = \"hold\"").unwrap().contains("expected in_transaction hold, got refuse"),);
}

#[test]
fn an_approval_given_counts_and_the_rest_is_asked_for() {
    let rules = r#"@id("and") permit (principal, action == Action::"drop", resource) when { context.approved_by.containsAll(["leads", "dba"]) };"#;
    let bundle = bundle(LEADS, rules);
    let touches = [relation(Action::Drop, "public.t")];
    let by = |groups: &[&str]| said(&Asking::by(&["g"]).approved(groups).decide(&bundle, &touches));
    assert_eq!(by(&["leads"]), "hold dba: hold dba by [and]");
    assert_eq!(by(&["leads", "dba"]), "allow: allow by [and]");
    assert_eq!(by(&["strangers"]), "hold leads+dba: hold leads+dba by [and]");
}

#[test]
fn a_forbid_that_approval_lifts_is_among_the_reasons() {
    let rules = r#"
        @id("write") permit (principal, action in Action::"Write", resource);
        @id("whole") forbid (principal, action in Action::"Write", resource) when { !context.statement.has_where } unless { context.approved_by.contains("dba") };"#;
    let bundle = bundle(LEADS, rules);
    let touches = [relation(Action::Delete, "public.t")];
    let mut asking = Asking::by(&["g"]);
    assert_eq!(said(&asking.decide(&bundle, &touches)), "allow: allow by [write]");
    asking.has_where = false;
    assert_eq!(said(&asking.decide(&bundle, &touches)), "hold dba: hold dba by [whole write]");
    // TRUNCATE has no WHERE, whatever is said of the statement
    asking.has_where = true;
    let touches = [relation(Action::Truncate, "public.t")];
    assert_eq!(said(&asking.decide(&bundle, &touches)), "hold dba: hold dba by [whole write]");
}

#[test]
fn a_refusal_says_that_a_where_clause_would_help() {
    let rules =
        r#"permit (principal, action in Action::"Write", resource) when { context.statement.has_where };"#;
    let mut asking = Asking::by(&["g"]);
    asking.has_where = false;
    let decision = asking.decide(&bundle("", rules), &[relation(Action::Delete, "public.t")]);
    assert_eq!(decision.parts[0].help[0], Help::Where);
}

#[test]
fn names_with_dots_and_quotes_are_not_mistaken_for_others() {
    let rules = r#"
        @id("dotted") permit (principal, action, resource in Relation::"app.public.\"a.b\"");
        @id("plain") permit (principal, action, resource == Column::"app.public.a.b");
        @id("quoted") permit (principal, action, resource in Schema::"app.\"we\"\"ird\"");"#;
    let touches = [
        column(Action::Select, "public.a.b", "c"),
        column(Action::Select, "public.a", "b"),
        column(Action::Select, "public.a", "b.c"),
        column(Action::Select, "we\"ird.t", "c"),
        column(Action::Select, "weird.t", "c"),
    ];
    check(
        "",
        rules,
        &touches,
        "deny: allow by [dotted]; allow by [plain]; deny by []; allow by [quoted]; deny by []",
    );
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses() {
    let rules = r#"
        @id("all") permit (principal, action, resource);
        @id("broken") forbid (principal, action == Action::"drop", resource) when { 9223372036854775807 + 1 == 0 };"#;
    let decision = check(
        "",
        rules,
        &[relation(Action::Drop, "public.t"), relation(Action::Alter, "public.t")],
        "deny: deny by []; allow by [all]",
    );
    assert!(
        matches!(&decision.parts[0].help[..], [Help::Failed { rule: Some(rule), error }] if rule.id == "broken" && error.contains("overflow")),
        "{:?}",
        decision.parts[0].help
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bundle = bundle("", "permit (principal, action, resource);");
    let asking = Asking::by(&["g"]);
    assert_eq!(asking.decide(&bundle, &[]).verdict, Verdict::Deny, "nothing touched");
    for touch in [
        column(Action::Delete, "public.t", "c"),
        relation(Action::Execute, "public.t"),
        database(Action::Select),
    ] {
        assert_eq!(
            said(&asking.decide(&bundle, std::slice::from_ref(&touch))),
            "deny: deny by []",
            "{touch:?}"
        );
    }
    let touches = [relation(Action::Select, "public.t")];
    assert_eq!(
        said(&Asking::by(&["g"]).of("other").decide(&bundle, &touches)),
        "deny: deny by []",
        "another database"
    );
    let mut far = Asking::by(&["g"]);
    far.now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 60);
    assert_eq!(said(&far.decide(&bundle, &touches)), "deny: deny by []", "a time that no rule can see");
    let mut colon = Asking::by(&["g"]);
    colon.identity.issuer = "corp:agent".to_owned();
    assert_eq!(
        said(&colon.decide(&bundle, &touches)),
        "deny: deny by []",
        "an issuer that could pass for another's subject"
    );
}

#[test]
fn an_agent_is_known_by_issuer_and_subject() {
    let rules =
        r#"@id("me") permit (principal == Agent::"corp:agent-1", action in Action::"Read", resource);"#;
    let bundle = bundle("", rules);
    let touches = [relation(Action::Select, "public.t"), database(Action::Connect)];
    let mut asking = Asking::by(&[]);
    assert_eq!(said(&asking.decide(&bundle, &touches)), "allow: allow by [me]; allow by [gatepost:session]");
    asking.identity.issuer = "evil".to_owned();
    assert_eq!(said(&asking.decide(&bundle, &touches)), "deny: deny by []; deny by []");
}

#[test]
fn a_bundle_may_forbid_what_the_gateway_permits() {
    let rules = r#"
        permit (principal in Group::"g", action == Action::"select", resource in Relation::"app.public.t");
        @id("no-explain") forbid (principal, action == Action::"explain", resource);
        @id("no-lower") forbid (principal, action == Action::"execute", resource == Function::"app.pg_catalog.lower");"#;
    let touches = [
        database(Action::Explain),
        database(Action::Show),
        function("pg_catalog.lower", Volatility::Immutable),
        function("pg_catalog.upper", Volatility::Immutable),
    ];
    check(
        "",
        rules,
        &touches,
        "deny: deny by [no-explain]; allow by [gatepost:session]; deny by [no-lower]; allow by [gatepost:functions]",
    );
}

#[test]
fn whoever_is_known_sees_the_catalog_s_names_and_not_its_data() {
    let known = r#"permit (principal in Group::"g", action == Action::"select", resource in Relation::"app.public.t");"#;
    let touches = [
        column(Action::Filter, "pg_catalog.pg_class", "relname"),
        column(Action::Select, "information_schema.columns", "column_name"),
        column(Action::Select, "pg_catalog.pg_stat_activity", "pid"),
        column(Action::Select, "pg_catalog.pg_stat_activity", "query"),
        column(Action::Filter, "pg_catalog.pg_stat_activity", "query"),
        column(Action::Select, "pg_catalog.pg_stats", "most_common_vals"),
        relation(Action::Select, "pg_catalog.pg_stats"),
        column(Action::Select, "pg_catalog.new_in_19", "name"),
        column(Action::Update, "pg_catalog.pg_class", "relname"),
        column(Action::Select, "public.pg_class", "relname"),
    ];
    check(
        "",
        known,
        &touches,
        "deny: allow by [gatepost:catalog]; allow by [gatepost:catalog]; allow by [gatepost:catalog]; \
         mask null by [gatepost:catalog-masked]; deny by []; deny by []; deny by []; deny by []; deny by []; deny by []",
    );
    let everybody =
        r#"permit (principal, action == Action::"select", resource in Relation::"app.public.t");"#;
    check("", everybody, &touches[..1], "deny: deny by []");
    let forbid = format!(
        r#"{known} @id("no-catalog") forbid (principal, action in Action::"Read", resource in Schema::"app.pg_catalog");"#
    );
    check(
        "",
        &forbid,
        &touches[..4],
        "deny: deny by [no-catalog]; allow by [gatepost:catalog]; deny by [no-catalog]; deny by [no-catalog]",
    );
}

#[test]
fn overloads_and_strangers_take_the_stricter_facts() {
    let rules = r#"@id("r") permit (principal, action == Action::"select", resource);"#;
    let harmless = overload("ts_rewrite", Some("tsquery,tsquery,tsquery"), Volatility::Immutable);
    let not = overload("ts_rewrite", Some("tsquery,text"), Volatility::Volatile);
    check("", rules, std::slice::from_ref(&harmless), "allow: allow by [gatepost:functions]");
    check("", rules, &[harmless, not], "deny: deny by []; deny by []");
    // a newer server's, and one that is not declared as the one that was read
    check("", rules, &[function("pg_catalog.new_in_19", Volatility::Immutable)], "deny: deny by []");
    check("", rules, &[overload("lower", Some("text"), Volatility::Volatile)], "deny: deny by []");
    // somebody's own function of the same name as a harmless one
    check("", rules, &[function("public.lower", Volatility::Immutable)], "deny: deny by []");
}

#[test]
fn rules_see_claims_address_and_time() {
    let rules = r#"
        @id("team") permit (principal, action == Action::"select", resource) when { principal.claims has team && principal.claims.team == "blue" };
        @id("net") permit (principal, action == Action::"filter", resource) when { context.session.address.isInRange(ip("10.0.0.0/8")) };
        @id("day") permit (principal, action == Action::"copy", resource) when { context.now >= datetime("2026-01-01T12:00:00Z") && context.now.toTime() < duration("13h") };"#;
    let bundle = bundle("", "permit (principal, action, resource);");
    assert!(!bundle.depends_on_time());
    let bundle =
        load(&[("bundle.toml", "name = \"b\"\nversion = \"1\"\nclaims = \"team\"\n"), ("b.cedar", rules)])
            .unwrap();
    assert!(bundle.depends_on_time());
    let touches = [Action::Select, Action::Filter, Action::Copy].map(|action| relation(action, "public.t"));
    let mut asking = Asking::by(&[]);
    assert_eq!(said(&asking.decide(&bundle, &touches)), "deny: deny by []; deny by []; allow by [day]");
    asking.now -= std::time::Duration::from_millis(1);
    asking.identity.attributes.insert("team".to_owned(), "blue".to_owned());
    asking.identity.attributes.insert("undeclared".to_owned(), "x".to_owned());
    asking.address = "::ffff:10.1.2.3".parse().unwrap();
    assert_eq!(said(&asking.decide(&bundle, &touches)), "deny: allow by [team]; allow by [net]; deny by []");
}

#[test]
fn a_decision_is_explained_as_a_table_and_as_data() {
    let bundle = shop();
    let touches = [
        database(Action::Connect),
        column(Action::Select, "public.customers", "email"),
        column(Action::Filter, "public.customers", "ssn"),
        column(Action::Select, "public.we.ird", "c\u{1b}[31m"),
        relation(Action::Delete, "public.tickets"),
        relation(Action::Truncate, "public.tickets"),
        function("pg_catalog.lower", Volatility::Immutable),
    ];
    let mut asking = Asking::by(&["support-agents"]).of("shop");
    asking.has_where = false;
    let request = asking.request(&touches);
    let decision = policy::decide(&bundle, &request);
    insta::assert_snapshot!("explained", policy::explain::render(&request, &decision));
    let held = [touches[4].clone()];
    let request = asking.request(&held);
    let report = policy::explain::report(&request, &policy::decide(&bundle, &request));
    insta::assert_snapshot!("explained_as_data", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn sql_tests_are_run_by_who_can_read_sql() {
    let bundle = shop();
    assert_eq!(bundle.tests_passed(), 18);
    let analyse = |test: &policy::SqlTest| {
        let action = if test.sql().contains("WHERE") { Action::Filter } else { Action::Select };
        let columns = if action == Action::Filter { &["ssn"][..] } else { &["id", "name", "email", "ssn"] };
        let touches = columns.iter().map(|name| column(action, "public.customers", name)).collect();
        Ok(policy::Analysis { touches, command: "SELECT".to_owned(), has_where: true, row_locks: false })
    };
    assert_eq!(policy::run_sql_tests(&bundle, analyse), []);
    let failures = policy::run_sql_tests(&bundle, |_| Err("no server".to_owned()));
    assert_eq!(failures.len(), 2);
    assert_eq!(
        failures[0].to_string(),
        "tests/support.toml:63: test \"the customer list comes masked\": the statement can't be analysed: no server"
    );
    let more = |test: &policy::SqlTest| {
        let mut analysis = analyse(test)?;
        analysis.touches.push(column(Action::Select, "public.customers", "phone"));
        Ok(analysis)
    };
    let failures = policy::run_sql_tests(&bundle, more);
    assert_eq!(failures.len(), 1);
    assert_eq!(
        failures[0].message,
        "expected masked public.customers.email, public.customers.ssn, \
         got public.customers.email, public.customers.phone, public.customers.ssn"
    );
}

#[test]
fn any_change_of_a_file_changes_the_hash() {
    let rules = "permit (principal, action, resource);";
    let hash = |files: &[(&str, &str)]| load(files).unwrap().hash();
    let plain = hash(&[("bundle.toml", PLAIN), ("a.cedar", rules)]);
    assert_eq!(plain, hash(&[("a.cedar", rules), ("bundle.toml", PLAIN)]));
    assert_eq!(plain, hash(&[("a.cedar", rules), ("bundle.toml", PLAIN), ("README.md", "x")]));
    assert_ne!(plain, hash(&[("bundle.toml", PLAIN), ("b.cedar", rules)]));
    assert_ne!(plain, hash(&[("bundle.toml", PLAIN), ("a.cedar", "permit (principal, action, resource); ")]));
    assert_ne!(plain, hash(&[("bundle.toml", PLAIN), ("a.cedar", rules), ("b.cedar", "")]));
}

#[test]
fn allow_all_allows_all_to_everyone_and_nobody_else() {
    let bundle = policy::load(&root().join("testdata/allow-all"), "app").unwrap();
    for action in Action::all() {
        let touch = match action.applies_to()[0] {
            policy::ResourceType::Relation => relation(action, "public.t"),
            policy::ResourceType::Function => function("public.f", Volatility::Volatile),
            _ => database(action),
        };
        let touches = [touch];
        assert_eq!(Asking::by(&["everyone"]).decide(&bundle, &touches).verdict, Verdict::Allow, "{action}");
        assert_eq!(Asking::by(&["anyone"]).decide(&bundle, &touches).verdict, Verdict::Deny, "{action}");
    }
}

/// PRODUCT's own example, word for word.
#[test]
fn the_example_of_the_product_page_works() {
    let manifest = r#"
[tags]
"public.customers.email" = ["pii"]
"public.customers.ssn"   = ["pii"]
[masks]
pii = "redact"
[approvers]
support-leads = { group = "support-leads", quorum = 1, hold = "10m" }
dba = { group = "dba" }
[recording]
default = "statements"
"#;
    let rules = r#"
permit (principal in Group::"support-agents", action in Action::"Read", resource in Schema::"app.public")
unless { resource has tags && resource.tags.contains("pii") };
permit (principal in Group::"support-agents", action == Action::"select", resource in Schema::"app.public")
when { context.masked };
permit (principal in Group::"support-agents", action == Action::"update", resource in Relation::"app.public.tickets");
permit (principal in Group::"support-agents", action == Action::"delete", resource in Relation::"app.public.tickets")
when { context.approved_by.contains("support-leads") };
forbid (principal, action in Action::"Write", resource)
when   { !context.statement.has_where }
unless { context.approved_by.contains("dba") };
"#;
    let bundle = bundle(manifest, rules);
    let touches = [
        column(Action::Select, "public.customers", "email"),
        column(Action::Select, "public.customers", "city"),
        column(Action::Update, "public.tickets", "status"),
    ];
    let mut asking = Asking::by(&["support-agents"]);
    assert_eq!(
        said(&asking.decide(&bundle, &touches)),
        "allow: mask redact by [b.cedar:4]; allow by [b.cedar:2]; allow by [b.cedar:6]"
    );
    asking.has_where = false;
    assert_eq!(
        said(&asking.decide(&bundle, &[relation(Action::Delete, "public.tickets")])),
        "hold support-leads+dba: hold support-leads+dba by [b.cedar:9 b.cedar:7]"
    );
}

/// Read anywhere; evaluated on a stack like that of the server's threads, since unoptimised Cedar takes 70 kB for an operator.
#[test]
fn rules_as_deep_as_they_may_be_are_read_and_decide() {
    let touches = [relation(Action::Select, "public.t")];
    for unit in ["context.masked || ", "!(context.masked) && ", "if context.masked then true else "] {
        let rules =
            format!("permit (principal, action, resource) when {{ {}!context.masked }};", unit.repeat(64));
        let bundle = bundle("", &rules);
        let decide = || said(&Asking::by(&[]).decide(&bundle, &touches));
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        let said = std::thread::scope(|scope| thread.spawn_scoped(scope, decide).unwrap().join().unwrap());
        assert_eq!(said, "allow: allow by [b.cedar:1]");
        // and where the stack is too small: refused, not aborted
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let said = std::thread::scope(|scope| thread.spawn_scoped(scope, decide).unwrap().join().unwrap());
        assert!(said.starts_with("allow") || said == "deny: deny by []", "{said}");
    }
    let dots = format!("permit (principal, action, resource) when {{ context{} }};", ".a".repeat(1000));
    assert!(load(&[("bundle.toml", PLAIN), ("b.cedar", &dots)]).is_err());
}

#[test]
fn many_columns_alike_are_decided_alike_but_for_those_that_a_rule_names() {
    let rules = r#"
        @id("named") permit (principal, action == Action::"select", resource == Column::"app.public.t.c3");
        @id("masked") permit (principal, action == Action::"select", resource in Relation::"app.public.t") when { context.masked };
        @id("cat") permit (principal, action == Action::"select", resource in Schema::"app.pg_catalog") when { resource has reveals && !resource.reveals };"#;
    let manifest =
        "[tags]\n\"public.t.c4\" = \"a\"\n\"public.t.c5\" = \"b\"\n[masks]\na = \"redact\"\nb = \"year\"\n";
    let mut touches: Vec<_> = (1..=6).map(|n| column(Action::Select, "public.t", &format!("c{n}"))).collect();
    touches.push(column(Action::Select, "public.u", "c1"));
    touches.extend(
        ["pid", "query", "state"].map(|name| column(Action::Select, "pg_catalog.pg_stat_activity", name)),
    );
    let decision = check(
        manifest,
        rules,
        &touches,
        "deny: mask null by [masked]; mask null by [masked]; allow by [named]; mask redact by [masked]; mask year by [masked]; \
         mask null by [masked]; deny by []; allow by [cat]; deny by []; allow by [cat]",
    );
    let help = |at: usize| decision.parts[at].help[0].to_string();
    assert!(
        help(6).contains("app.public.u.c1") && help(8).contains("pg_stat_activity.query"),
        "each names its own column"
    );
}

#[test]
fn a_bundle_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<policy::Bundle>();
    shared::<policy::Decision>();
}

#[test]
fn rules_see_for_whom_an_agent_acts() {
    let bundle = bundle(
        "",
        r#"permit (principal in Group::"g", action == Action::"select", resource)
           when { principal has on_behalf_of && principal.on_behalf_of == "corp:ada" };"#,
    );
    let touch = [relation(Action::Select, "public.t")];
    let party = |subject: &str| model::Party { issuer: "corp".to_owned(), subject: subject.to_owned() };
    for (party, allowed) in [(None, false), (Some(party("ada")), true), (Some(party("bob")), false)] {
        let mut asking = Asking::by(&["g"]);
        asking.identity.on_behalf_of = party.clone();
        assert_eq!(asking.decide(&bundle, &touch).verdict == Verdict::Allow, allowed, "{party:?}");
    }
}
