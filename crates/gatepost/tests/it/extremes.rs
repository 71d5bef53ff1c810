//! Statements made to exhaust a parser: an answer, or an error that says why; bounded memory; and others go on meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use wire::backend::tag;
use wire::frontend::encode;

use crate::flight::{Flight, sqlstate};
use crate::stage::Gate;

/// What is repeated to get there: name, before, opening, middle, closing, after.
const NESTED: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("parentheses", "SELECT ", "(", "1", ")", ""),
    ("sub-selects", "SELECT ", "(SELECT ", "1", ")", ""),
    ("sub-selects in FROM", "SELECT * FROM ", "(SELECT * FROM ", "(VALUES (1)) v", ") x", ""),
    ("EXISTS", "SELECT ", "EXISTS (SELECT 1 WHERE ", "true", ")", ""),
    ("CASE", "SELECT ", "CASE WHEN true THEN ", "1", " END", ""),
    ("arrays", "SELECT ", "ARRAY[", "1", "]", ""),
    ("functions", "SELECT ", "abs(", "1", ")", ""),
    ("coalesce", "SELECT ", "coalesce(", "1", ")", ""),
    ("minus signs", "SELECT ", "- ", "1", "", ""),
    ("NOT", "SELECT ", "NOT ", "true", "", ""),
    ("casts", "SELECT 1", "::int", "", "", ""),
    ("plus", "SELECT 1", " + 1", "", "", ""),
    ("concatenation", "SELECT 'a'", " || 'a'", "", "", ""),
    ("AND", "SELECT true", " AND true", "", "", ""),
    ("OR", "SELECT 1 WHERE 1 = 1", " OR 1 = 2", "", "", ""),
    ("UNION", "SELECT 1", " UNION SELECT 1", "", "", ""),
    ("WITH", "", "WITH x AS (", "SELECT 1", ") SELECT * FROM x", ""),
    ("joins", "SELECT 1 FROM (VALUES (1)) a", " CROSS JOIN (VALUES (1)) b", "", "", ""),
    ("IN lists in IN lists", "SELECT 1 WHERE true", " IN (true, true", "", ")", ""),
    ("comments", "SELECT ", "/* ", "", " */", " 1"),
    ("EXPLAIN", "EXPLAIN SELECT ", "(", "1", ")", ""),
    ("COPY", "COPY (SELECT ", "(", "1", ")", ") TO STDOUT"),
    ("indirection", "SELECT a", "[1]", "", "", " FROM (SELECT ARRAY[1] AS a) x"),
    ("JSON in text", "SELECT '", "[", "1", "]", "'::json"),
];

/// Wide rather than deep.
fn wide() -> Vec<(&'static str, String)> {
    let list = |item: &str, count: usize| vec![item; count].join(",");
    vec![
        ("IN list", format!("SELECT 1 WHERE 1 IN ({})", list("1", 100_000))),
        ("IN list of mixed types", format!("SELECT 1 WHERE 1 IN ({})", list("1,2.5", 10_000))),
        ("VALUES", format!("VALUES {}", list("(1)", 20_000))),
        ("select list", format!("SELECT {}", list("1", 1_600))),
        ("array", format!("SELECT array_length(ARRAY[{}], 1)", list("1", 20_000))),
        ("arguments", format!("SELECT concat({})", list("'a'", 100))),
        ("too many arguments", format!("SELECT concat({})", list("'a'", 100_000))),
        ("too many columns", format!("SELECT {}", list("1", 100_000))),
        ("semicolons", ";".repeat(100_000)),
        ("identifier", format!("SELECT 1 AS {}", "a".repeat(1_000_000))),
        ("quoted identifier", format!("SELECT 1 AS \"{}\"", "a".repeat(1_000_000))),
        ("unknown relation", format!("SELECT 1 FROM {}", "a".repeat(1_000_000))),
        ("literal", format!("SELECT length('{}')", "a".repeat(1_000_000))),
        ("dollar quotes", format!("SELECT length($tag${}$tag$)", "$tag ".repeat(200_000))),
        ("continued literal", format!("SELECT length('a'{})", "\n'a'".repeat(200_000))),
        ("white space", format!("SELECT{}1", " ".repeat(1_000_000))),
        ("line comments", format!("SELECT {} 1", "--\n".repeat(300_000))),
        ("comments", format!("SELECT {} 1", "/**/ ".repeat(200_000))),
        ("JSON", format!("SELECT '{}'::json -> 'a'", format_args!("{{\"a\":[{}]}}", list("1", 400_000)))),
        ("a number", format!("SELECT length({}::text)", "9".repeat(100_000))),
        ("over the limit", format!("SELECT '{}'", "a".repeat(2_000_000))),
    ]
}

fn deep(depth: usize) -> impl Iterator<Item = (&'static str, String)> {
    NESTED.iter().map(move |(name, before, open, middle, close, after)| {
        (*name, format!("{before}{}{middle}{}{after}", open.repeat(depth), close.repeat(depth)))
    })
}

fn answers(raw: &mut Raw, text: &str) -> [String; 2] {
    let simple = raw.query(text);
    let extended = Flight::default().run("", text).sync().answered(raw);
    [sqlstate(&simple), sqlstate(&extended)]
}

/// The most that the process has ever had in memory, in MiB (proc(5), `VmHWM`).
fn most_resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn nesting_is_answered_as_postgresql_does_or_refused_as_too_deep() {
    let gate = Gate::new(Version::V15);
    let (mut bare, mut raw) = (gate.shop.bare().open(), gate.open("analyst"));
    for (name, text) in deep(100) {
        assert_eq!(answers(&mut raw, &text), answers(&mut bare, &text), "{name}");
    }
    for (name, text) in deep(10_000) {
        let direct = answers(&mut bare, &text);
        for (state, direct) in answers(&mut raw, &text).into_iter().zip(direct) {
            assert!(state == direct || state == "54001", "{name}: {state:?}, directly {direct:?}");
        }
    }
    assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
    let most = most_resident_mib(gate.gateway.pid());
    assert!(most < 512, "{most} MiB");
}

#[test]
fn a_megabyte_of_anything_is_answered_as_postgresql_does_or_refused_by_name() {
    let gate = Gate::new(Version::V15);
    let (mut bare, mut raw) = (gate.shop.bare().open(), gate.open("analyst"));
    for (name, text) in wide() {
        let expected = match name {
            "over the limit" => ["54000".to_owned(), "54000".to_owned()],
            _ => answers(&mut bare, &text),
        };
        assert_eq!(answers(&mut raw, &text), expected, "{name}");
    }
    let statements = "SELECT 1;".repeat(100_000);
    assert_eq!(sqlstate(&raw.query(&statements)), "54000");
    assert_eq!(sqlstate(&Flight::default().run("", &statements).sync().answered(&mut raw)), "42601");
    assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
    let most = most_resident_mib(gate.gateway.pid());
    assert!(most < 1024, "{most} MiB");
}

#[test]
fn as_many_parameters_as_the_protocol_has_pass() {
    let gate = Gate::new(Version::V15);
    let (mut bare, mut raw) = (gate.shop.bare().open(), gate.open("analyst"));
    let count = 65_535;
    let numbers: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    let text = format!("SELECT count(*) FROM (VALUES (1)) v (a) WHERE a IN ({})", numbers.join(","));
    let flight = |types: usize, values: usize| {
        let mut bytes = Vec::new();
        encode::parse(&mut bytes, b"", text.as_bytes(), vec![model::Oid(23); types]).unwrap();
        let values = vec![Some(&b"1"[..]); values];
        encode::bind(&mut bytes, b"", b"", [], values, []).unwrap();
        bytes.extend(Flight::default().describe_portal().execute().sync().bytes());
        bytes
    };
    for (types, values) in [(count, count), (0, count), (count, 1), (1, count)] {
        let [passed, direct] = [&mut raw, &mut bare].map(|raw| {
            raw.send(&flight(types, values));
            let messages = raw.until(tag::READY_FOR_QUERY);
            let rows: Vec<_> =
                messages.iter().filter(|m| m.tag == tag::DATA_ROW).map(Message::values).collect();
            (sqlstate(&messages), rows)
        });
        assert_eq!(passed, direct, "{types} types, {values} values");
    }
    assert_eq!(raw.rows("SELECT 'goes on'"), "goes on");
}

/// A statement that takes seconds to read leaves the gateway to others.
#[test]
fn others_go_on_while_large_statements_are_read() {
    let gate = Gate::new(Version::V15);
    let done = AtomicBool::new(false);
    // More at once than a small machine has processors, and of shapes that nobody has seen.
    let large = |n: usize| format!("SELECT {n} AS a{n} WHERE 1 IN ({})", vec!["1,2.5"; 20_000].join(","));
    let mut quick = gate.open("support-agent");
    quick.rows("SELECT 1");
    let (slowest, count) = std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..4)
            .map(|n| {
                let mut raw = gate.open("analyst");
                scope.spawn(move || assert_eq!(sqlstate(&raw.query(&large(n))), ""))
            })
            .collect();
        let other = scope.spawn(|| {
            let (mut slowest, mut count) = (Duration::ZERO, 0);
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                assert_eq!(quick.rows("SELECT 1"), "1");
                slowest = slowest.max(began.elapsed());
                count += 1;
            }
            (slowest, count)
        });
        for session in sessions {
            session.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        other.join().unwrap()
    });
    assert!(count > 1 && slowest < Duration::from_secs(5), "{count} answers, the slowest after {slowest:?}");
}
