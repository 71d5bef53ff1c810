//! Every attack of `attacks.txt`, on PostgreSQL alone, where it works, and through the gateway, where it must not.
//!
//! The customers' personal data are canaries: no byte of one may reach the client, in whatever disguise.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::{LOGIN, LOGIN_PASSWORD, Setup, Shop};

/// Pieces of the personal data that no mask of the example policy leaves: of a masked address the first letter may be
/// seen, of a number the last digits, of a birth date the year.
const CANARIES: [&str; 5] = ["zqxcanary", "+4799", "CNRY00", "1961-11-23", "NOTECANARYQJ"];

const PREPARE: &str = "
    UPDATE customers SET
        email = 'zqxcanary.mail' || id || '@leak.example', phone = '+4799' || lpad(id::text, 6, '7') || '8811',
        ssn = 'CNRY' || lpad(id::text, 4, '0') || 'XWVU7391', birth_date = '1961-11-23', notes = 'NOTECANARYQJ ' || id;
    CREATE SCHEMA alt;
    CREATE TABLE alt.customers AS
        SELECT 1 AS id, 'alt' AS name, 'alt@alt' AS email, 'alt' AS ssn, 'alt' AS phone, date '2000-01-01' AS birth_date,
               'alt' AS city, 'alt' AS notes;
    GRANT USAGE ON SCHEMA alt TO shop_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON alt.customers TO shop_app;
    CREATE TABLE drafts (id int);
    ANALYZE";

/// A login with far more rights than anyone should give a gateway, so that it is the gateway that stops an attack and not
/// the server. One in a cluster, for all tests of this file.
const STRONG: &str = "attacked";

/// What it may do in a database.
const RIGHTS: &str = "
    GRANT CREATE ON SCHEMA public TO attacked;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO attacked;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO attacked;
    GRANT SELECT ON ALL TABLES IN SCHEMA pg_catalog TO attacked;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO attacked;
    ALTER TABLE drafts OWNER TO attacked";

struct Attack {
    line: usize,
    name: String,
    agent: &'static str,
    /// A SQLSTATE; empty if the statements pass, with masks or without.
    expected: String,
    /// What PostgreSQL says where no gateway is between; empty if it just does what it is told.
    alone: String,
    statements: Vec<String>,
}

/// Reads the file: `# NAME | as GROUP | expect OUTCOME`, perhaps with `| alone SQLSTATE`, then statements, each to a line
/// that ends with `;`, up to an empty line. The outcome is `masked`, `ok` or a SQLSTATE. Lines that start with `##` are
/// comments.
fn attacks() -> Vec<Attack> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/attacks.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut attacks: Vec<Attack> = Vec::new();
    let mut whole = true;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with("##")) {
        if let Some(heading) = line.strip_prefix("# ") {
            let parts: Vec<&str> = heading.split(" | ").collect();
            let (name, group, expected, alone) = match parts.as_slice() {
                [name, group, expected] => (name, group, expected, ""),
                [name, group, expected, alone] => {
                    (name, group, expected, alone.strip_prefix("alone ").unwrap())
                }
                _ => panic!("line {}: {line}", number + 1),
            };
            let agent = match *group {
                "as support-agents" => "support-agent",
                "as analysts" => "analyst",
                "as dba" => "admin",
                other => panic!("line {}: {other}", number + 1),
            };
            let expected = match expected.strip_prefix("expect ").unwrap_or_default() {
                "masked" | "ok" => String::new(),
                state if state.len() == 5 => state.to_owned(),
                other => panic!("line {}: {other}", number + 1),
            };
            let (name, alone, statements) = ((*name).into(), alone.into(), Vec::new());
            attacks.push(Attack { line: number + 1, name, agent, expected, alone, statements });
            whole = true;
        } else if !line.is_empty() {
            let statements =
                &mut attacks.last_mut().unwrap_or_else(|| panic!("line {}", number + 1)).statements;
            match statements.last_mut() {
                Some(last) if !whole => *last += &format!("\n{line}"),
                _ => statements.push(line.to_owned()),
            }
            whole = line.ends_with(';');
        }
    }
    attacks
}

/// Sends what is to be sent and returns what comes up to ReadyForQuery; COPY data are refused to be given.
pub(crate) fn run(raw: &mut Raw, flight: Flight) -> Vec<Message> {
    flight.to(raw);
    let mut messages = Vec::new();
    while let Some(message) = raw.receive() {
        if message.tag == tag::COPY_IN_RESPONSE {
            let mut fail = Vec::new();
            encode::copy_fail(&mut fail, b"an attack has no data").unwrap();
            encode::sync(&mut fail);
            raw.send(&fail);
        }
        let last = message.tag == tag::READY_FOR_QUERY;
        messages.push(message);
        if last {
            break;
        }
    }
    messages
}

/// Returns the canary, in whichever disguise, that stands in what a client got.
pub(crate) fn leak(messages: &[Message]) -> Option<String> {
    let bytes: Vec<u8> = messages.iter().flat_map(|message| [&message.body[..], b"\0"].concat()).collect();
    let lower = String::from_utf8_lossy(&bytes).to_lowercase();
    let clear = String::from_utf8_lossy(&bytes);
    for canary in CANARIES {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let reversed: String = canary.chars().rev().collect();
        for disguise in
            [canary.to_lowercase(), reversed.to_lowercase(), hex(canary), hex(&canary.to_lowercase())]
        {
            if lower.contains(&disguise) {
                return Some(disguise);
            }
        }
        // The middle of what base64 makes of it, wherever it begins.
        for shift in 0..3 {
            let text = format!("{}{canary}", " ".repeat(shift));
            let whole = base64::engine::general_purpose::STANDARD_NO_PAD.encode(text);
            let middle = whole.get(4..whole.len() - 2).unwrap_or_default();
            if middle.len() >= 6 && clear.contains(middle) {
                return Some(format!("{canary} as {middle}"));
            }
        }
    }
    None
}

/// Sessions that are used again, since opening one is most of the work.
struct Sessions<'a> {
    open: Box<dyn Fn(&'static str) -> Raw + 'a>,
    kept: BTreeMap<&'static str, Raw>,
}

impl<'a> Sessions<'a> {
    fn new(open: impl Fn(&'static str) -> Raw + 'a) -> Self {
        Self { open: Box::new(open), kept: BTreeMap::new() }
    }

    /// Returns a session of an agent's own, until it is given back.
    fn take(&mut self, agent: &'static str) -> Raw {
        self.kept.remove(agent).unwrap_or_else(|| (self.open)(agent))
    }

    /// Takes a session back in which an attack was made, if nothing of it can have stayed there.
    fn give_back(&mut self, agent: &'static str, raw: Raw, attack: &Attack) {
        let leaves_nothing =
            ["SELECT", "VALUES", "WITH", "COPY", "EXPLAIN", "INSERT", "UPDATE", "DELETE", "MERGE"];
        if let [one] = attack.statements.as_slice()
            && leaves_nothing.iter().any(|word| one.starts_with(word))
            && !["INTO", "set_config", "setseed", "lock"].iter().any(|word| one.contains(word))
        {
            self.kept.insert(agent, raw);
        }
    }
}

/// Shows what can change in a shop; what belongs to a session alone is left out.
fn state(raw: &mut Raw) -> String {
    raw.rows(
        "SELECT (SELECT md5(string_agg(concat(oid, relname, relfilenode, relnatts, relacl), '' ORDER BY oid))
                 FROM pg_class WHERE relpersistence <> 't'),
                (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_namespace
                 WHERE nspname !~ '^pg_'),
                (SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM customers c),
                (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM tickets t),
                (SELECT count(*) FROM products), (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items),
                (SELECT last_value FROM tickets_id_seq)",
    )
}

/// Returns a shop whose customers' personal data are canaries, and the rights of [`STRONG`] in it.
pub(crate) fn prepared(version: Version) -> Shop {
    let shop = Shop::new(version);
    strong_role(&shop);
    shop.sql(PREPARE);
    shop.sql(RIGHTS);
    shop.sql(&format!("GRANT CREATE, TEMPORARY ON DATABASE \"{}\" TO {STRONG}", shop.database));
    shop
}

/// Makes the role [`STRONG`] if the cluster hasn't got it.
pub(crate) fn strong_role(shop: &Shop) {
    let role = format!(
        "DO $$ BEGIN IF to_regrole('{STRONG}') IS NULL THEN
             CREATE ROLE {STRONG} LOGIN PASSWORD '{LOGIN_PASSWORD}';
             GRANT {LOGIN}, pg_monitor, pg_read_server_files, pg_write_server_files, pg_execute_server_program TO {STRONG};
             ALTER ROLE {STRONG} SET log_min_messages = fatal;
         END IF; END $$"
    );
    shop.sql(&role);
}

/// Runs an attack on PostgreSQL alone, as the gateway's own role, and says if it is not what it pretends to be.
fn pointless(bare: &mut Sessions<'_>, attack: &Attack) -> Option<String> {
    let mut raw = bare.take("");
    let (mut first, mut leaked) = (String::new(), false);
    for statement in &attack.statements {
        let messages = run(&mut raw, Flight::default().query(statement));
        leaked |= leak(&messages).is_some();
        if first.is_empty() {
            first = sqlstate(&messages);
        }
    }
    bare.give_back("", raw, attack);
    // Where a canary shows in an error, that is what the attack is for.
    let as_said = first == attack.alone || (leaked && attack.alone.is_empty());
    (!as_said).then(|| format!("alone: {first:?}, not {:?}", attack.alone))
}

/// Runs an attack through the gateway and says what is wrong with what comes of it.
fn wrong(agents: &mut Sessions<'_>, attack: &Attack) -> Option<String> {
    let mut problem = None;
    for extended in [false, true] {
        let mut raw = agents.take(attack.agent);
        let mut first = String::new();
        for statement in &attack.statements {
            let flight = if extended {
                Flight::default().parse("", statement).bind("", &[], 0).describe_portal().execute().sync()
            } else {
                Flight::default().query(statement)
            };
            let messages = run(&mut raw, flight);
            if let Some(leak) = leak(&messages) {
                return Some(format!("LEAK of {leak} by {statement}: {messages:?}"));
            }
            if first.is_empty() {
                first = sqlstate(&messages);
            }
        }
        agents.give_back(attack.agent, raw, attack);
        // The extended protocol takes one statement at a time, which is another error.
        let as_expected =
            if extended { first.is_empty() == attack.expected.is_empty() } else { first == attack.expected };
        if !as_expected && problem.is_none() {
            let way = if extended { "extended: " } else { "" };
            problem = Some(format!("{way}{:?}, not {:?}", first, attack.expected));
        }
    }
    problem
}

fn check(version: Version) {
    let environment = vec![("SHOP_USER".into(), STRONG.into())];
    let gate = Setup { environment, ..Setup::default() }.start(prepared(version));
    let mut agents = Sessions::new(|agent| {
        // What needs approval is refused at once.
        gate.connect(agent).parameter("options", "-c gatepost.approval=async").open()
    });
    let mut watcher = gate.shop.cluster.connect(&gate.shop.database);
    let mut before = state(&mut watcher);
    let attacks = attacks();
    assert!(attacks.len() > 200, "only {} attacks", attacks.len());
    let mut problems = Vec::new();
    let mut problem = |attack: &Attack, what: String| {
        problems.push(format!(
            "attacks.txt:{} {} ({}): {what}",
            attack.line,
            attack.name,
            attack.statements.concat()
        ));
    };
    for attack in &attacks {
        let found = wrong(&mut agents, attack);
        let after = state(&mut watcher);
        match found {
            Some(found) => problem(attack, found),
            None if !attack.expected.is_empty() && after != before => {
                problem(attack, format!("it has changed something: {before} is now {after}"));
            }
            None => {}
        }
        before = after;
    }
    let mut rest = attacks.as_slice();
    while !rest.is_empty() {
        let shop = prepared(version);
        let mut bare = Sessions::new(|_| shop.bare_as(STRONG).open());
        let mut watcher = shop.cluster.connect(&shop.database);
        let untouched = state(&mut watcher);
        // Up to one that really changed the shop: the next needs another.
        while let Some((attack, after)) = rest.split_first() {
            rest = after;
            if let Some(why) = pointless(&mut bare, attack) {
                problem(attack, why);
            }
            if state(&mut watcher) != untouched {
                break;
            }
        }
    }
    let verified = gate.run(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:#?}");
    assert!(
        problems.is_empty(),
        "{version}: {} of {}:\n{}",
        problems.len(),
        attacks.len(),
        problems.join("\n")
    );
}

#[test]
fn attacks_that_work_on_postgresql_15_alone_fail_through_the_gateway() {
    check(Version::V15);
}

#[test]
fn attacks_that_work_on_postgresql_18_alone_fail_through_the_gateway() {
    check(Version::V18);
}

#[test]
fn a_canary_is_found_in_every_disguise() {
    let message = |text: &str| [Message { tag: tag::DATA_ROW, body: text.as_bytes().to_vec() }];
    let encoded = base64::engine::general_purpose::STANDARD.encode("a zqxcanary.mail1@leak.example");
    for text in ["x CNRY0001XWVU7391", "cnry0001", "ZQXCANARY", "yranacxqz", "\\x434e525930303031", &encoded]
    {
        assert!(leak(&message(text)).is_some(), "{text}");
    }
    for text in ["z***@l***.example", "***7391", "1961-01-01", "[redacted]"] {
        assert!(leak(&message(text)).is_none(), "{text}");
    }
}
