//! What is granted: never narrower than what could be decided, and of the shop nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{Identity, Method, Oid, QualifiedName};
use policy::grants::{
    ColumnObject, FunctionObject, Grants, Object, Objects, Privilege, Privileges, RelationObject,
    SchemaObject, Server, Tagging, derive,
};
use policy::{
    Action, Bundle, Context, Declared, FunctionFacts, FunctionSecurity, Language, PartVerdict, Persistence,
    RelationFacts, RelationKind, Request, Resource, SessionFacts, StatementFacts, Touch, Volatility,
};

use crate::support::{PLAIN, identity, load, name, shop};

fn relation(path: &str, kind: RelationKind, columns: &[&str]) -> RelationObject {
    let (schema, relation) = path.split_once('.').unwrap();
    let qualified = name(schema, relation);
    let column = |name: &str, system: bool| ColumnObject {
        name: Arc::from(name),
        tags: Vec::new(),
        tagging: Tagging::Complete,
        public: Privileges::default(),
        system,
        type_schema: None,
    };
    let mut all: Vec<ColumnObject> = columns.iter().map(|name| column(name, false)).collect();
    if kind == RelationKind::Table {
        all.push(column("ctid", true));
    }
    RelationObject {
        facts: RelationFacts::new(&qualified, kind, Persistence::Permanent),
        name: qualified,
        owner: Arc::from("owner"),
        public: Privileges::default(),
        columns: all,
        sequences: Vec::new(),
        calls: Vec::new(),
        policies_read: Vec::new(),
    }
}

fn function(path: &str, volatility: Volatility) -> FunctionObject {
    let (schema, function) = path.split_once('.').unwrap();
    let name = name(schema, function);
    let builtin = schema == "pg_catalog";
    let facts = FunctionFacts::new(&Declared {
        name: &name,
        oid: if builtin { Oid(1) } else { Oid::FIRST_NORMAL },
        arguments: None,
        language: if builtin { Language::Internal } else { Language::Procedural },
        volatility,
        security: FunctionSecurity::Invoker,
    });
    let public = if builtin { [Privilege::Execute].into_iter().collect() } else { Privileges::default() };
    FunctionObject { name, arguments: "integer".to_owned(), facts, owner: Arc::from("owner"), public }
}

fn objects(schemas: &[&str], relations: Vec<RelationObject>, functions: Vec<FunctionObject>) -> Objects {
    let schema = |name: &&str| SchemaObject {
        name: (*name).to_owned(),
        owner: Arc::from("owner"),
        public: Privileges::default(),
    };
    Objects {
        server: Server { version_major: 17 },
        database: "app".to_owned(),
        public: Privileges::default(),
        schemas: schemas.iter().map(schema).collect(),
        relations,
        functions,
    }
}

fn shop_objects() -> Objects {
    use RelationKind::{Sequence, Table, View};
    let customers = ["id", "name", "email", "phone", "ssn", "birth_date", "city", "notes"];
    let mut relations = vec![
        relation("public.customers", Table, &customers),
        relation("public.orders", Table, &["id", "customer_id", "placed_at", "status"]),
        relation("public.tickets", Table, &["id", "customer_id", "subject", "body", "status", "opened_at"]),
        relation("public.open_tickets", View, &["id", "customer", "email", "unread"]),
        relation("public.tickets_id_seq", Sequence, &["last_value"]),
        relation("pg_catalog.pg_stats", View, &["most_common_vals"]),
    ];
    // As read from its definition; of the last column it could not be read.
    for (column, tags) in [("customer", &["name"][..]), ("email", &["pii", "email"])] {
        let view = &mut relations[3].columns;
        view.iter_mut().find(|c| &*c.name == column).unwrap().tags =
            tags.iter().map(|tag| (*tag).to_owned()).collect();
    }
    relations[3].columns[3].tagging = Tagging::Open;
    relations[2].sequences = vec![name("public", "tickets_id_seq")];
    let functions = vec![
        function("pg_catalog.nextval", Volatility::Volatile),
        function("public.refund", Volatility::Volatile),
    ];
    objects(&["public", "pg_catalog", "audit"], relations, functions)
}

/// Exactly this, for each of the shop's groups.
#[test]
fn the_shop_grants_what_its_rules_could_use() {
    let bundle = shop();
    let objects = shop_objects();
    let mut text = String::new();
    for groups in [&["support-agents"][..], &["analysts"], &["dba"], &["marketing"], &[]] {
        let grants = derive(&bundle, &identity(groups), &objects);
        text.push_str(&format!("# {}\n", groups.join(", ")));
        for statement in grants.statements("scope") {
            text.push_str(&format!("{statement};\n"));
        }
        for beyond in grants.beyond() {
            let actions: Vec<&str> = beyond.actions.iter().map(|action| action.as_str()).collect();
            let (objects, example) = (beyond.objects, &beyond.example);
            text.push_str(&format!(
                "-- {} on {objects}, as {example}: {}\n",
                actions.join(", "),
                beyond.need
            ));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_public_holds_needs_no_grant_and_is_told() {
    let bundle = shop();
    let mut objects = shop_objects();
    let privileges = |list: &[Privilege]| list.iter().copied().collect::<Privileges>();
    objects.public = privileges(&[Privilege::Connect, Privilege::Temporary]);
    objects.schemas[0].public = privileges(&[Privilege::Usage, Privilege::Create]);
    objects.relations[1].public = privileges(&[Privilege::Select, Privilege::Insert]);
    objects.relations[0].columns[4].public = privileges(&[Privilege::Select]);
    let grants = derive(&bundle, &identity(&["analysts"]), &objects);
    assert!(!grants.has(&Object::Schema("public".to_owned()), Privilege::Usage));
    assert!(!grants.has_any(&name("public", "orders"), Privilege::Select));
    assert!(grants.has_column(&name("public", "customers"), "city", Privilege::Select));
    assert!(!grants.has_column(&name("public", "customers"), "ssn", Privilege::Select));
    let open = objects.open().statements("PUBLIC").join("\n");
    assert_eq!(
        open.replace("\"PUBLIC\"", "PUBLIC"),
        r#"GRANT CONNECT ON DATABASE "app" TO PUBLIC
GRANT TEMPORARY ON DATABASE "app" TO PUBLIC
GRANT CREATE ON SCHEMA "public" TO PUBLIC
GRANT USAGE ON SCHEMA "public" TO PUBLIC
GRANT SELECT ("ssn") ON TABLE "public"."customers" TO PUBLIC
GRANT SELECT ON TABLE "public"."orders" TO PUBLIC
GRANT INSERT ON TABLE "public"."orders" TO PUBLIC"#
    );
}

#[test]
fn what_a_relation_carries_with_it_is_granted_and_what_its_policies_read_is_told() {
    let rules = r#"
        permit (principal in Group::"a", action in [Action::"select", Action::"insert"], resource in Relation::"app.a.t");
        permit (principal in Group::"a", action == Action::"lock", resource in Schema::"app.a");
        permit (principal in Group::"a", action == Action::"select", resource == Relation::"app.a.only_counted");
    "#;
    let bundle = crate::support::bundle("", rules);
    let mut table = relation("a.t", RelationKind::Table, &["x"]);
    table.sequences = vec![name("s", "seq")];
    table.calls = vec![0];
    table.policies_read = vec![(name("a", "member"), Arc::from("who")), (name("a", "t"), Arc::from("x"))];
    table.columns[0].type_schema = Some(Arc::from("types"));
    let others = ["a.member", "a.only_counted"].map(|path| relation(path, RelationKind::Table, &["who"]));
    let relations = std::iter::once(table).chain(others).collect();
    let objects =
        objects(&["a", "s", "types"], relations, vec![function("f.check_it", Volatility::Immutable)]);
    let grants = derive(&bundle, &identity(&["a"]), &objects);
    assert_eq!(
        grants.statements("r"),
        [
            r#"GRANT CONNECT ON DATABASE "app" TO "r""#,
            r#"GRANT USAGE ON SCHEMA "a" TO "r""#,
            r#"GRANT USAGE ON SCHEMA "types" TO "r""#,
            r#"GRANT SELECT ("ctid", "x") ON TABLE "a"."t" TO "r""#,
            r#"GRANT INSERT ("x") ON TABLE "a"."t" TO "r""#,
            r#"GRANT USAGE ON SEQUENCE "s"."seq" TO "r""#,
            r#"GRANT EXECUTE ON ROUTINE "f"."check_it"(integer) TO "r""#,
        ]
    );
    let needs: Vec<String> = grants.beyond().iter().map(|b| format!("{} {}", b.example, b.need)).collect();
    assert_eq!(needs.len(), 3, "{needs:?}");
    assert!(needs[0].starts_with("a.only_counted a column"), "{needs:?}");
    assert!(needs[1].starts_with("a.member UPDATE on a column"), "{needs:?}");
    assert!(needs[2].starts_with("a.t SELECT ON a.member.who"), "{needs:?}");
}

#[test]
fn scopes_are_one_where_rules_see_no_difference() {
    let rules = r#"
        permit (principal in Group::"a", action, resource) when { principal.claims has team && principal.claims.team == "x" };
        forbid (principal == Agent::"corp:mallory", action, resource);
        forbid (principal, action, resource) unless { principal in [Group::"a", Group::"b"] };
    "#;
    let bundle = crate::support::bundle("claims = [\"team\", \"floor\"]", rules);
    let who = |subject: &str, groups: &[&str], claims: &[(&str, &str)]| {
        let attributes: BTreeMap<String, String> =
            claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let identity = Identity { subject: subject.to_owned(), attributes, ..identity(groups) };
        bundle.scope_key(&identity)
    };
    let alice = who("alice", &["a"], &[("team", "x")]);
    assert_eq!(alice, who("bob", &["a", "other"], &[("team", "x"), ("floor", "2")]));
    assert_ne!(alice, who("mallory", &["a"], &[("team", "x")]));
    assert_ne!(alice, who("alice", &["a"], &[("team", "y")]));
    assert_ne!(alice, who("alice", &["a"], &[]));
    assert_ne!(alice, who("alice", &["a", "b"], &[("team", "x")]));
    let other = crate::support::bundle("claims = [\"team\", \"floor\"]", &format!("{rules}\n// another"));
    assert_ne!(alice, other.scope_key(&Identity { subject: "alice".to_owned(), ..identity(&["a"]) }));
}

/// Small numbers that repeat with the seed (splitmix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth > 0 && self.roll(3) > 0 {
            let (one, other) = (self.condition(depth - 1), self.condition(depth - 1));
            return match self.roll(4) {
                0 => format!("({one} && {other})"),
                1 => format!("({one} || {other})"),
                2 => format!("!({one})"),
                _ => format!("(if {} then {one} else {other})", self.condition(0)),
            };
        }
        self.pick(&[
            "(resource has tags && resource.tags.contains(\"pii\"))",
            "(resource has tags && resource.tags.containsAny([\"pii\", \"fin\"]))",
            "(resource has tags && resource.tags.containsAll([\"pii\", \"fin\"]))",
            "(resource has tags && resource.tags.isEmpty())",
            "(resource has kind && resource.kind == \"view\")",
            "(resource has kind && [\"view\", \"sequence\"].contains(resource.kind))",
            "(resource has volatility && resource.volatility == \"volatile\")",
            "context.masked",
            "(context.statement.has_where)",
            "context.statement.row_locks",
            "context.statement.command == \"SELECT\"",
            "context.approved_by.contains(\"lead\")",
            "context.approved_by.containsAll([\"lead\", \"boss\"])",
            "context.session.tls",
            "context.session.method == \"token\"",
            "context.session.address.isInRange(ip(\"10.0.0.0/8\"))",
            "context.session.application_name like \"psql*\"",
            "context.now < datetime(\"2026-06-01T00:00:00Z\")",
            "principal in Group::\"b\"",
            "principal in [Group::\"b\", Group::\"c\"]",
            "principal == Agent::\"corp:agent-1\"",
            "principal.subject like \"agent-*\"",
            "(principal.claims has team && principal.claims.team == \"x\")",
            "action in Action::\"Read\"",
            "action == Action::\"select\"",
            "[Action::\"insert\", Action::\"delete\"].contains(action)",
            "resource in Relation::\"app.a.t\"",
            "(resource is Column && resource in Schema::\"app.a\")",
            "resource == Column::\"app.a.t.y\"",
            "9223372036854775807 + 1 > 0",
        ])
        .to_owned()
    }

    fn rule(&mut self) -> String {
        let effect = self.pick(&["permit", "permit", "forbid"]);
        let principal = self.pick(&["principal", "principal in Group::\"a\"", "principal in Group::\"b\""]);
        let action = self.pick(&[
            "action",
            "action in Action::\"Read\"",
            "action in [Action::\"Read\", Action::\"Write\"]",
            "action == Action::\"select\"",
            "action in [Action::\"execute\", Action::\"create\", Action::\"truncate\"]",
        ]);
        let resource = self.pick(&[
            "resource",
            "resource in Schema::\"app.a\"",
            "resource in Relation::\"app.a.t\"",
            "resource is Column in Schema::\"app.b\"",
            "resource in Database::\"app\"",
        ]);
        let mut rule = format!("{effect} ({principal}, {action}, {resource})");
        for kind in ["when", "unless"] {
            if self.roll(2) == 0 {
                rule.push_str(&format!(" {kind} {{ {} }}", self.condition(2)));
            }
        }
        rule + ";\n"
    }
}

/// What the database has, and all that can be asked of it.
fn world() -> (Objects, Vec<Touch>) {
    use RelationKind::{MaterializedView, Sequence, Table, View};
    let relations = vec![
        relation("a.t", Table, &["x", "y", "z"]),
        relation("b.u", Table, &["x", "w"]),
        relation("a.v", View, &["x", "y"]),
        relation("b.m", MaterializedView, &["x"]),
        relation("a.s", Sequence, &["last_value"]),
    ];
    let functions = vec![
        function("a.f", Volatility::Volatile),
        function("b.g", Volatility::Immutable),
        function("pg_catalog.nextval", Volatility::Volatile),
    ];
    let mut touches = vec![Touch { action: Action::Connect, resource: Resource::Database }];
    for action in Action::all() {
        let mut resources = vec![Resource::Database];
        resources.extend(["a", "b", "pg_temp"].map(|name| Resource::Schema { name: name.to_owned() }));
        for RelationObject { name, facts, columns, .. } in &relations {
            resources.push(Resource::Relation { name: name.clone(), facts: *facts });
            resources.extend(columns.iter().map(|column| Resource::Column {
                relation: name.clone(),
                column: column.name.to_string(),
                tags: Vec::new(),
                facts: *facts,
            }));
        }
        resources.extend(
            functions
                .iter()
                .map(|function| Resource::Function { name: function.name.clone(), facts: function.facts }),
        );
        let asked = resources.into_iter().filter(|r| action.applies_to().contains(&r.resource_type()));
        touches.extend(asked.map(|resource| Touch { action, resource }));
    }
    (objects(&["a", "b"], relations, functions), touches)
}

/// Returns whether what is granted lets this through, or is told not to. `None`: no privilege is checked.
fn lets(grants: &Grants, touch: &Touch) -> Option<bool> {
    use Action as A;
    let told = || grants.beyond().iter().any(|beyond| beyond.actions.contains(&touch.action));
    let usage = |name: &QualifiedName| grants.has(&Object::Schema(name.schema.clone()), Privilege::Usage);
    let privilege = match touch.action {
        A::Select | A::Filter | A::Copy => Privilege::Select,
        A::Insert => Privilege::Insert,
        A::Update => Privilege::Update,
        A::Delete => Privilege::Delete,
        A::Truncate => Privilege::Truncate,
        A::Execute => Privilege::Execute,
        A::Create => Privilege::Create,
        A::Maintain => Privilege::Maintain,
        A::Connect => Privilege::Connect,
        A::Lock => {
            let Resource::Relation { name, facts } = &touch.resource else { return None };
            // PostgreSQL locks nothing else.
            if !matches!(facts.kind(), RelationKind::Table | RelationKind::View) {
                return None;
            }
            let table = Object::Table(name.clone());
            let strong = [Privilege::Delete, Privilege::Truncate, Privilege::Maintain];
            let whole = strong.into_iter().any(|privilege| grants.has(&table, privilege));
            return Some(told() || whole && grants.has_any(name, Privilege::Update));
        }
        // A column has no owner of its own.
        A::Alter | A::Drop | A::Comment | A::Grant if matches!(touch.resource, Resource::Column { .. }) => {
            return None;
        }
        A::Alter | A::Drop | A::Comment | A::Grant => return Some(told()),
        A::Impersonate | A::Role | A::System | A::ServerFile | A::ServerProgram | A::Load | A::Replicate => {
            return Some(told());
        }
        A::Do
        | A::Transaction
        | A::Set
        | A::Show
        | A::Explain
        | A::Prepare
        | A::Cursor
        | A::Listen
        | A::Notify
        | A::Discard => return None,
    };
    Some(match &touch.resource {
        Resource::Database if touch.action == A::Maintain => return None,
        Resource::Schema { .. } if touch.action == A::Maintain => return None,
        Resource::Database => grants.has(&Object::Database("app".to_owned()), privilege),
        Resource::Schema { name } if name == "pg_temp" => {
            grants.has(&Object::Database("app".to_owned()), Privilege::Temporary)
        }
        Resource::Schema { name } => grants.has(&Object::Schema(name.clone()), privilege),
        Resource::Function { name, .. } if touch.action == A::Execute => {
            let arguments = "integer".to_owned();
            let sequence = Object::Sequence(self::name("a", "s"));
            if name.name == "nextval" {
                return Some(grants.has(&sequence, Privilege::Usage));
            }
            usage(name) && grants.has(&Object::Routine { name: name.clone(), arguments }, privilege)
        }
        Resource::Function { .. } => told(),
        Resource::Relation { .. } if touch.action == A::Create => told(),
        Resource::Column { .. } if touch.action == A::Create => return None,
        Resource::Relation { name, facts } | Resource::Column { relation: name, facts, .. }
            if facts.kind() == RelationKind::Sequence =>
        {
            if !matches!(privilege, Privilege::Select | Privilege::Update) {
                return None;
            }
            if privilege == Privilege::Update && matches!(touch.resource, Resource::Column { .. }) {
                return None;
            }
            usage(name) && grants.has(&Object::Sequence(name.clone()), privilege)
        }
        Resource::Relation { facts, .. } | Resource::Column { facts, .. }
            if privilege == Privilege::Maintain && facts.kind() == RelationKind::View =>
        {
            return None;
        }
        Resource::Relation { facts, .. } | Resource::Column { facts, .. }
            if facts.kind() != RelationKind::Table
                && (privilege == Privilege::Truncate
                    || facts.kind() == RelationKind::MaterializedView
                        && !matches!(privilege, Privilege::Select | Privilege::Maintain)) =>
        {
            return None;
        }
        Resource::Relation { name, .. } => usage(name) && grants.has_any(name, privilege) || told(),
        Resource::Column { column, .. } if column == "ctid" && privilege != Privilege::Select => return None,
        Resource::Column { relation, column, .. } => {
            usage(relation) && grants.has_column(relation, column, privilege)
        }
    })
}

/// Decides everything in some context; returns the touches that pass in some way.
fn passing(bundle: &Bundle, who: &Identity, touches: &[Touch], dice: &mut Dice) -> BTreeSet<usize> {
    let approved: BTreeSet<String> =
        ["lead", "boss"].into_iter().filter(|_| dice.roll(3) == 0).map(str::to_owned).collect();
    let second = 1_767_268_800 + 86_400 * dice.roll(300) as u64;
    let context = Context {
        statement: StatementFacts {
            command: dice.pick(&["SELECT", "UPDATE", "TRUNCATE TABLE"]),
            has_where: dice.roll(2) == 0,
            row_locks: dice.roll(2) == 0,
        },
        session: SessionFacts {
            application_name: dice.pick(&["psql", "app", ""]),
            client_address: [IpAddr::from([10, 1, 2, 3]), IpAddr::from([127, 0, 0, 1])][dice.roll(2)],
            tls: dice.roll(2) == 0,
            method: [Method::Token, Method::OAuthBearer][dice.roll(2)],
        },
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        approved_by: &approved,
    };
    let decision = policy::decide(bundle, &Request { identity: who, database: "app", context, touches });
    // Whoever may not connect has no statement that passes.
    if decision.parts[0].verdict == PartVerdict::Deny {
        return BTreeSet::new();
    }
    let passes = decision.parts.iter().enumerate().filter(|(_, part)| part.verdict != PartVerdict::Deny);
    passes.map(|(at, _)| at).collect()
}

/// Each takes a third of a second, unoptimised.
const BUNDLES: usize = 10;

#[test]
fn whatever_could_be_allowed_masked_or_held_is_granted() {
    let manifest = format!(
        "{PLAIN}claims = [\"team\"]\n[tags]\n\"a.t.x\" = [\"pii\"]\n\"a.t.z\" = [\"pii\", \"fin\"]\n\"b.*.x\" = [\"fin\"]\n\
         [approvers]\nlead = {{ group = \"lead\", quorum = 1, hold = \"1m\" }}\nboss = {{ group = \"boss\", quorum = 1, hold = \"1m\" }}\n"
    );
    let (objects, touches) = world();
    let mut dice = Dice(4);
    let (mut bundles, mut passed, mut tried) = (0, 0, 0);
    while bundles < BUNDLES && tried < 10 * BUNDLES {
        tried += 1;
        let rules: String = (0..2 + dice.roll(4)).map(|_| dice.rule()).collect();
        // Some contradict themselves, which is a mistake in a bundle.
        let Ok(bundle) = load(&[("bundle.toml", &manifest), ("b.cedar", &rules)]) else { continue };
        bundles += 1;
        for groups in [&["a"][..], &["a", "b"]] {
            let mut who = identity(groups);
            if dice.roll(2) == 0 {
                who.attributes.insert("team".to_owned(), dice.pick(&["x", "y"]).to_owned());
            }
            let grants = derive(&bundle, &who, &objects);
            for _ in 0..3 {
                for at in passing(&bundle, &who, &touches, &mut dice) {
                    let touch = &touches[at];
                    passed += 1;
                    assert_ne!(
                        lets(&grants, touch),
                        Some(false),
                        "{:?} in {groups:?}: {} on {} by\n{rules}\n{:#?}",
                        who.attributes,
                        touch.action,
                        touch.resource.path("app"),
                        grants.statements("r")
                    );
                }
            }
        }
    }
    assert!(
        bundles == BUNDLES && passed > 100 * BUNDLES,
        "too little was allowed to say: {bundles} {passed}"
    );
}
