//! Two databases that differ in nothing but personal data, each with a gateway in front of it. What comes through the gateways must be
//! the same.

use std::collections::BTreeMap;

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use wire::backend::{RowDescription, tag};

use crate::attacks::strong_role;
use crate::stage::{Gate, Setup, Shop, cluster, fresh_name, repository};

/// Whom the gateways, and those who come past them, log in as.
pub(crate) const STRONG: &str = "attacked";

/// The personal data of the one, which have canaries in them, and of the other. What masks leave of a value, its kind, and how much room
/// a row takes are the same in both.
const VALUES: [&str; 2] = [
    "UPDATE customers SET
         email = 'zqxcanary.mail' || lpad(id::text, 3, '0') || '@leak.example', phone = '+4799' || lpad(id::text, 6, '7') || '8811',
         ssn = 'CNRY' || lpad(id::text, 4, '0') || 'XWVU7391', birth_date = '1961-11-23',
         notes = 'NOTECANARYQJ' || lpad(id::text, 3, '0');
     INSERT INTO people SELECT n, 'CNRY00P' || lpad(n::text, 2, '0') || 'WVU7391', CASE WHEN n > 1 THEN 'CNRY00P01WVU7391' END, 'x'
         FROM generate_series(1, 9) n;
     INSERT INTO badges SELECT n, 'CNRY00B' || lpad(n::text, 2, '0') || 'WVU7391', n FROM generate_series(1, 9) n;
     INSERT INTO history SELECT n, 'CNRY00H' || lpad(n::text, 2, '0') || 'WVU7391', 1990 + n FROM generate_series(1, 20) n;
     INSERT INTO copies (id, ssn) SELECT n, 'CNRY00C' || lpad(n::text, 2, '0') || 'WVU7391' FROM generate_series(1, 9) n;
     INSERT INTO vips (id, name, email, ssn, city, since) VALUES (500, 'v', 'zqxcanary.vip@leak.example', 'CNRY00V01WVU7391', 'x', 1)",
    "UPDATE customers SET
         email = 'z' || lpad((1000 - id)::text, 12 + id % 7, '5') || '@leak.example', phone = '+2388' || lpad((id * 7 % 1000)::text, 6, '1') || '9911',
         ssn = (40 - id / 2)::text || '7391', birth_date = date '1961-01-01' + id % 40,
         notes = repeat('y', 32 + 15 - 13 - (13 + id % 7) + 16 - length((40 - id / 2)::text || '7391'));
     INSERT INTO people SELECT n, '9' || lpad(n::text, 3, '0') || lpad('7391', 12, '0'), CASE WHEN n > 1 THEN '9' || '001' || lpad('7391', 12, '0') END, 'x'
         FROM generate_series(1, 9) n;
     INSERT INTO badges SELECT n, '8' || lpad(n::text, 3, '0') || lpad('7391', 12, '0'), n FROM generate_series(1, 9) n;
     INSERT INTO history SELECT n, '7' || lpad(n::text, 3, '0') || lpad('7391', 12, '0'), 1990 + n FROM generate_series(1, 20) n;
     INSERT INTO copies (id, ssn) SELECT n, '6' || lpad(n::text, 3, '0') || lpad('7391', 12, '0') FROM generate_series(1, 9) n;
     INSERT INTO vips (id, name, email, ssn, city, since) VALUES (500, 'v', 'zyyyyyyyyyyyy@leak.example', '0000000000007391', 'x', 1)",
];

/// Shows what can change in a database; what belongs to a session alone is left out.
const STATE: &str = "
    SELECT (SELECT md5(string_agg(concat(oid, relname, relfilenode, relnatts, relacl), '' ORDER BY oid))
            FROM pg_class WHERE relpersistence <> 't'),
           (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_namespace
            WHERE nspname !~ '^pg_'), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_rewrite),
           (SELECT count(*) FROM pg_operator), (SELECT count(*) FROM pg_constraint),
           (SELECT md5(string_agg(concat(c::text, ctid), '' ORDER BY id)) FROM customers c),
           (SELECT md5(string_agg(concat(t::text, ctid), '' ORDER BY id)) FROM tickets t),
           (SELECT md5(string_agg(concat(t::text, ctid), '' ORDER BY id)) FROM drafts t),
           (SELECT md5(string_agg(concat(t::text, ctid), '' ORDER BY id)) FROM people t),
           (SELECT md5(string_agg(concat(t::text, ctid), '' ORDER BY id)) FROM copies t),
           (SELECT md5(string_agg(concat(t::text, ctid), '' ORDER BY id)) FROM alt.customers t),
           (SELECT count(*) FROM products), (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items),
           (SELECT count(*) FROM history), (SELECT count(*) FROM badges),
           (SELECT last_value FROM tickets_id_seq)";

struct Side {
    /// Never connected to: what the others are copies of.
    template: String,
    gate: Gate,
    sessions: BTreeMap<&'static str, Raw>,
    watcher: Option<Raw>,
    bare: Shop,
    bare_watcher: Option<Raw>,
}

pub(crate) struct Twins {
    sides: [Side; 2],
}

impl Twins {
    pub(crate) fn new(version: Version) -> Self {
        let origin = Shop::new(version);
        strong_role(&origin);
        origin
            .sql(&std::fs::read_to_string(repository("crates/gatepost/tests/it/proof/schema.sql")).unwrap());
        origin.sql(&format!("GRANT CREATE, TEMPORARY ON DATABASE \"{}\" TO {STRONG}", origin.database));
        let sides = VALUES.map(|values| {
            let template = fresh_name();
            let copied = copy(version, &origin.database, template);
            copied.sql(values);
            copied.sql("VACUUM FULL");
            copied.sql("ANALYZE");
            let shop = copy(version, &copied.database, fresh_name());
            let bare = copy(version, &copied.database, fresh_name());
            let setup = Setup {
                environment: vec![("SHOP_USER".into(), STRONG.into())],
                policy: repository("crates/gatepost/tests/it/proof/policy"),
                ..Setup::default()
            };
            Side {
                template: copied.database,
                gate: setup.start(shop),
                sessions: BTreeMap::new(),
                watcher: None,
                bare,
                bare_watcher: None,
            }
        });
        let twins = Self { sides };
        // What this proves would be nothing if rows lay elsewhere.
        let [one, other] = [0, 1].map(|side| {
            twins.sides[side].bare.sql(
                "SELECT string_agg(ctid::text, '' ORDER BY id), pg_relation_size('customers') FROM customers",
            )
        });
        assert_eq!(one, other);
        twins
    }

    /// Returns an agent's session on a side, until it is kept.
    pub(crate) fn open(&mut self, side: usize, agent: &'static str) -> Raw {
        let side = &mut self.sides[side];
        side.sessions.remove(agent).unwrap_or_else(|| side.gate.open(agent))
    }

    /// Takes a session back, if nothing of what ran in it can have stayed there.
    pub(crate) fn keep(&mut self, side: usize, agent: &'static str, raw: Raw, statements: &[String]) {
        let leaves_nothing = ["SELECT", "VALUES", "WITH", "COPY", "EXPLAIN", "TABLE"];
        if let [one] = statements
            && leaves_nothing.iter().any(|word| one.starts_with(word))
            && !["INTO", "set_config", "setseed", "lock", "; "].iter().any(|word| one.contains(word))
        {
            self.sides[side].sessions.insert(agent, raw);
        }
    }

    /// Returns a session past the gateway.
    pub(crate) fn bare(&self, side: usize) -> Raw {
        self.sides[side].bare.bare_as(STRONG).open()
    }

    pub(crate) fn state(&mut self, side: usize) -> String {
        let Side { gate, watcher, .. } = &mut self.sides[side];
        watcher.get_or_insert_with(|| gate.shop.cluster.connect(&gate.shop.database)).rows(STATE)
    }

    pub(crate) fn bare_state(&mut self, side: usize) -> String {
        let Side { bare, bare_watcher, .. } = &mut self.sides[side];
        bare_watcher.get_or_insert_with(|| bare.cluster.connect(&bare.database)).rows(STATE)
    }

    /// Makes what lies behind the gateways as it was.
    pub(crate) fn renew(&mut self) {
        for side in &mut self.sides {
            (side.sessions, side.watcher) = (BTreeMap::new(), None);
            again(&side.gate.shop, &side.template);
        }
    }

    /// Makes what lies past the gateways as it was.
    pub(crate) fn renew_bare(&mut self) {
        for side in &mut self.sides {
            side.bare_watcher = None;
            again(&side.bare, &side.template);
        }
    }
}

fn copy(version: Version, from: &str, name: String) -> Shop {
    let cluster = cluster(version);
    cluster.psql(&format!("CREATE DATABASE \"{name}\" TEMPLATE \"{from}\""));
    let shop = Shop { cluster, database: name };
    shop.sql(&format!("GRANT CREATE, TEMPORARY ON DATABASE \"{}\" TO {STRONG}", shop.database));
    shop
}

fn again(shop: &Shop, template: &str) {
    let name = &shop.database;
    shop.cluster.psql(&format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
    shop.cluster.psql(&format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\""));
    shop.sql(&format!("GRANT CREATE, TEMPORARY ON DATABASE \"{name}\" TO {STRONG}"));
}

/// Returns what must not depend on personal data of what a client got: all of it but process ids and temporary tables' OIDs.
pub(crate) fn answer(messages: &[Message]) -> Vec<(u8, Vec<u8>)> {
    messages
        .iter()
        .map(|message| match message.tag {
            tag::NOTIFICATION_RESPONSE => (message.tag, message.body.get(4..).unwrap_or_default().to_vec()),
            tag::ROW_DESCRIPTION => (message.tag, without_relations(&message.body)),
            _ => (message.tag, message.body.clone()),
        })
        .collect()
}

/// A RowDescription without the OIDs of relations: of two temporary tables they differ.
fn without_relations(body: &[u8]) -> Vec<u8> {
    let fields = RowDescription::parse(body).unwrap();
    let shown = |field: wire::backend::Field<'_>| {
        format!("{:?} {} {} {} {}", field.name, field.attnum, field.type_oid.0, field.typmod, field.format)
    };
    fields.iter().map(shown).collect::<Vec<_>>().join("\n").into_bytes()
}
