//! `policy explain` from outside: what it tells of each kind of statement, and that nothing in a batch stops the run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};
use testkit::postgres::{Cluster, Version};

use crate::stage::{LOGIN, LOGIN_PASSWORD, cluster, fresh_name, repository};
use crate::support::{Place, Ran};

const ARGUMENTS: [&str; 4] = ["policy", "explain", "--groups", "readers"];

/// A folder with a configuration and a policy, and a database with the schema of these tests.
struct Desk {
    place: Place,
    cluster: &'static Cluster,
    database: String,
}

impl Desk {
    fn new(version: Version) -> Self {
        let desk = Self { place: Place::new(), cluster: cluster(version), database: fresh_name() };
        let Self { place, cluster, database } = &desk;
        cluster.psql(&format!("CREATE DATABASE \"{database}\""));
        cluster.psql_in(database, include_str!("explain/schema.sql"));
        cluster.psql(&format!("ALTER DATABASE \"{database}\" SET search_path TO shop"));
        place.write("ca.crt", cluster.authority());
        let port = cluster.port();
        place.write(
            "gatepost.toml",
            &format!(
                "[listen]\npostgres = \"127.0.0.1:0\"\n\
                 [[issuer]]\nname = \"corp\"\nurl = \"http://127.0.0.1:9/\"\naudience = \"gatepost\"\n\
                 [[database]]\nname = \"shop\"\npolicy = \"policy\"\n\
                 upstream = \"postgres://127.0.0.1:{port}/{database}?sslmode=verify-full&sslrootcert=ca.crt\"\n\
                 login = {{ kind = \"static\", user = \"env:SHOP_USER\", password = \"env:SHOP_PASSWORD\" }}\n\
                 [journal]\npath = \"journal\"\n"
            ),
        );
        place.write(
            "policy/bundle.toml",
            "name = \"desk\"\nversion = \"7\"\n[tags]\n\"shop.people.email\" = [\"pii\"]\n\
             \"shop.people.ssn\" = [\"pii\"]\n[masks]\npii = \"redact\"\n\
             [approvers]\nleads = { group = \"leads\", quorum = 2, hold = \"5m\" }\n",
        );
        place.write(
            "policy/rules.cedar",
            "@id(\"reads\")\npermit (principal in Group::\"readers\", action in Action::\"Read\", \
             resource in Schema::\"shop.shop\")\n\
             unless { resource has tags && resource.tags.contains(\"pii\") };\n\
             @id(\"reads-masked\")\npermit (principal in Group::\"readers\", action == Action::\"select\", \
             resource in Schema::\"shop.shop\") when { context.masked };\n\
             @id(\"writes\")\npermit (principal in Group::\"readers\", action in [Action::\"insert\", \
             Action::\"update\"], resource in Schema::\"shop.shop\");\n\
             @id(\"deletes\")\npermit (principal in Group::\"readers\", action == Action::\"delete\", \
             resource in Schema::\"shop.shop\") when { context.statement.has_where };\n\
             @id(\"sweeps\") @hold(\"2m\")\npermit (principal in Group::\"readers\", action == Action::\"delete\", \
             resource in Schema::\"shop.shop\") when { context.approved_by.contains(\"leads\") };\n",
        );
        desk
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut all = ARGUMENTS.to_vec();
        all.extend(arguments);
        let mut command = self.place.command(&all);
        command.env("SHOP_USER", LOGIN).env("SHOP_PASSWORD", LOGIN_PASSWORD);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a batch of such lines.
    fn batch(&self, lines: &[String]) -> Ran {
        self.place.write("batch.jsonl", &(lines.join("\n") + "\n"));
        self.run(&["--batch", "batch.jsonl"])
    }
}

fn line(id: impl Into<Value>, sql: &str) -> String {
    json!({"id": id.into(), "sql": sql}).to_string()
}

fn answers(ran: &Ran) -> Vec<Value> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

fn statements() -> impl Iterator<Item = &'static str> {
    include_str!("explain/statements.sql").lines()
}

/// Explains every statement of the list, holds the answers against the reference page, and tells them in short.
fn told(version: Version) -> String {
    let desk = Desk::new(version);
    let lines: Vec<_> = statements().enumerate().map(|(number, sql)| line(number, sql)).collect();
    let ran = desk.batch(&lines);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let answers = answers(&ran);
    assert_eq!(answers.len(), lines.len());
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    for ((number, sql), answer) in statements().enumerate().zip(&answers) {
        assert_eq!((&answer["id"], &answer["line"]), (&json!(number), &json!(number + 1)));
        members_are_documented(answer, "", &mut seen);
        writeln!(text, "=== {sql}").unwrap();
        short(answer, &mut text);
    }
    let invalid = desk.batch(&["{}".into()]);
    members_are_documented(&serde_json::from_str(&invalid.stdout).unwrap(), "", &mut seen);
    let documented: BTreeSet<String> = reference().into_iter().map(|(path, _)| path).collect();
    // Sorting by an operator that somebody made takes an operator class, and holds are not in the list's bundle.
    let rare = |path: &&String| path.starts_with("operators[]");
    let unseen: Vec<_> = documented.difference(&seen).filter(|path| !rare(path)).collect();
    assert!(unseen.is_empty(), "documented, and in no answer: {unseen:?}");
    text
}

/// Returns the members that the reference page has, with their types.
fn reference() -> Vec<(String, String)> {
    let page = fs::read_to_string(repository("docs/reference/explain.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?.to_owned(), cells.next()?.to_owned()))
    };
    let (_, members) = page.split_once("## Members").unwrap();
    members.lines().filter_map(row).collect()
}

/// Holds each member of an answer against the reference page.
#[track_caller]
fn members_are_documented(value: &Value, path: &str, seen: &mut BTreeSet<String>) {
    let object = value.as_object().unwrap();
    for (name, value) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let types = reference_of(&path);
        let fits = match value {
            Value::Null => types.contains("null"),
            Value::Bool(_) => types.contains("boolean"),
            Value::Number(_) => types.contains("number"),
            Value::String(_) => types.starts_with("string"),
            Value::Array(items) if types == "array of string" => items.iter().all(Value::is_string),
            Value::Array(_) => types == "array of object",
            Value::Object(_) => types.starts_with("object"),
        };
        assert!(fits || types == "any", "{path} is {value}, and documented as {types}");
        seen.insert(path.clone());
        match value {
            _ if types == "any" => {}
            Value::Object(_) => members_are_documented(value, &path, seen),
            Value::Array(items) if types == "array of object" => {
                // Statements have the members of the whole.
                let below = if path == "statements" { String::new() } else { format!("{path}[]") };
                items.iter().for_each(|item| members_are_documented(item, &below, seen));
            }
            _ => {}
        }
    }
}

#[track_caller]
fn reference_of(path: &str) -> &'static str {
    static REFERENCE: std::sync::OnceLock<std::collections::BTreeMap<String, String>> =
        std::sync::OnceLock::new();
    let known = REFERENCE.get_or_init(|| reference().into_iter().collect());
    known.get(path).unwrap_or_else(|| panic!("{path} is not in docs/reference/explain.md"))
}

fn words(value: &Value) -> String {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("+")
}

fn sources(value: &Value) -> String {
    let mut text = String::new();
    for source in value.as_array().unwrap() {
        let bare = if source["bare"] == true { "" } else { "~" };
        let role = if source["role"] == LOGIN { "" } else { "*" };
        let (relation, column) = (source["relation"].as_str().unwrap(), source["column"].as_str().unwrap());
        write!(text, " <- {bare}{relation}.{column}{role}").unwrap();
    }
    text
}

/// Tells an answer in short; `*` stands for the rights of another role, `~` for a computed value.
fn short(answer: &Value, text: &mut String) {
    let status = answer["status"].as_str().unwrap();
    let why = match status {
        "error" => format!(" {}", answer["error"]["sqlstate"].as_str().unwrap()),
        "unknown" => format!(" {}", answer["unknown"]["code"].as_str().unwrap()),
        _ => String::new(),
    };
    let set = |(name, value): (&String, &Value)| (*value == true).then(|| name.clone());
    let flags: Vec<_> = answer["flags"].as_object().unwrap().iter().filter_map(set).collect();
    let verdict = answer["decision"]["verdict"].as_str().unwrap_or("no decision");
    let (kinds, commands) = (words(&answer["kinds"]), words(&answer["commands"]));
    let commands = if kinds == commands { String::new() } else { format!(" ({commands})") };
    writeln!(text, "{status}{why} {kinds}{commands}; {}; {verdict}", flags.join(" ")).unwrap();
    for relation in answer["relations"].as_array().unwrap() {
        short_relation(relation, text);
    }
    for function in answer["functions"].as_array().unwrap() {
        let definer = if function["security_definer"] == true { " definer" } else { "" };
        let dynamic = match function["dynamic"].as_str().unwrap() {
            "no" => String::new(),
            dynamic => format!(" dynamic:{dynamic}"),
        };
        let (name, arguments) = (function["name"].as_str().unwrap(), function["arguments"].as_str().unwrap());
        let class = function["class"].as_str().unwrap();
        let within = words(&function["named_in"]);
        writeln!(text, "  function {name}({arguments}) {class}{definer}{dynamic} in {within}").unwrap();
    }
    for it in answer["types"].as_array().unwrap() {
        writeln!(
            text,
            "  {} {} {}",
            it["kind"].as_str().unwrap(),
            it["name"].as_str().unwrap(),
            words(&it["uses"])
        )
        .unwrap();
    }
    for it in answer["sequences"].as_array().unwrap() {
        writeln!(text, "  sequence {}", it["name"].as_str().unwrap()).unwrap();
    }
    for it in answer["objects"].as_array().unwrap() {
        let name = it["name"].as_str().unwrap_or("-");
        writeln!(text, "  {} {} {name}", it["does"].as_str().unwrap(), it["kind"].as_str().unwrap()).unwrap();
    }
    for it in answer["output"].as_array().unwrap() {
        let mask = it["mask"].as_str().map(|mask| format!(" masked: {mask}")).unwrap_or_default();
        let name = it["name"].as_str().unwrap();
        let to = answer["output_to"].as_str().unwrap();
        writeln!(
            text,
            "  {to} {name} {}{}{mask}",
            it["type"].as_str().unwrap_or("?"),
            sources(&it["sources"])
        )
        .unwrap();
    }
    for statement in answer["statements"].as_array().into_iter().flatten() {
        text.push_str("  -- ");
        short(statement, text);
    }
}

fn short_relation(relation: &Value, text: &mut String) {
    let name = relation["name"].as_str().unwrap();
    let kind = relation["kind"].as_str().unwrap_or("missing");
    let role = if relation["role"] == LOGIN { "" } else { "*" };
    write!(text, "  {kind} {name}{role} {}", words(&relation["privileges"])).unwrap();
    for (member, word) in [
        ("checked", "unchecked"),
        ("whole_row", "whole-row"),
        ("row_locks", "locked"),
        ("row_security", "secured"),
    ] {
        if relation[member] == (member != "checked") {
            write!(text, " {word}").unwrap();
        }
    }
    for (member, word) in [
        ("any_column", "any"),
        ("views", "in"),
        ("named_for", "for"),
        ("children", "with"),
        ("named_in", "by"),
    ] {
        let words = words(&relation[member]);
        if !words.is_empty() && words != "statement" && words != "view" {
            write!(text, " {word} {words}").unwrap();
        }
    }
    for column in relation["columns"].as_array().unwrap() {
        let (name, privileges) = (column["name"].as_str().unwrap(), words(&column["privileges"]));
        write!(text, "; {name} {}={privileges}{}", words(&column["ways"]), sources(&column["sources"]))
            .unwrap();
    }
    text.push('\n');
}

#[test]
fn every_kind_of_statement_is_told_as_postgresql_checks_it() {
    let newer = include_str!("explain/expected.txt");
    // From 16 on OLD of a rule has an entry of its own that is checked without a column.
    let older = newer.replace("ruled* SELECT any SELECT", "ruled* SELECT");
    for (version, expected) in [(Version::V15, older.as_str()), (Version::V18, newer)] {
        let told = told(version);
        let different = told.lines().zip(expected.lines()).find(|(told, expected)| told != expected);
        assert!(
            told == expected,
            "PostgreSQL {version:?}: {different:#?}\nif it is right, it goes into explain/expected.txt:\n{told}"
        );
    }
}

#[test]
fn nothing_in_a_batch_stops_the_run() {
    let desk = Desk::new(Version::V15);
    let many = vec!["SELECT 1"; 300].join(";");
    let lines = [
        line("syntax", "SELEC 1"),
        line("function", "SELECT nofunction(1)"),
        line("several", "SELECT 1; SELECT nothing FROM people"),
        line("zero", "SELECT '\0'"),
        line("long", &format!("SELECT '{}' FROM people", "x".repeat(1_000_000))),
        line("too long", &format!("SELECT '{}'", "x".repeat(1_100_000))),
        line("deep", &format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))),
        line("deep too", &format!("SELECT 1{}", "+1".repeat(50_000))),
        line("many", &many),
        line("session", "EXECUTE nothing"),
        line("nothing", ""),
        "SELECT 1".to_owned(),
        "[1]".to_owned(),
        r#"{"id": 1, "sql": "SELECT 1", "Sql": 1, "schema": 2}"#.to_owned(),
        r#"{"sql": "SELECT 1"}"#.to_owned(),
        r#"{"id": [], "sql": "SELECT 1"}"#.to_owned(),
        r#"{"id": 1, "sql": 1}"#.to_owned(),
        r#"{"id": 1, "sql": "SELECT 1", "search_path": "a; DROP TABLE people"}"#.to_owned(),
        String::new(),
        r#"{"id": 1.5, "sql": "SELECT secret FROM people", "search_path": "\"other\", shop"}"#.to_owned(),
        line("after", "SELECT ssn FROM people"),
    ];
    let ran = desk.batch(&lines);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    let answers = answers(&ran);
    let told = |id: &str| {
        let answer = answers.iter().find(|answer| answer["id"] == id).unwrap();
        let why = [&answer["error"]["sqlstate"], &answer["unknown"]["code"]];
        let why = why.into_iter().find_map(Value::as_str).unwrap_or_default();
        format!("{} {why}", answer["status"].as_str().unwrap())
    };
    for (id, expected) in [
        ("syntax", "error 42601"),
        ("function", "error 42883"),
        ("several", "error 42703"),
        ("zero", "unknown encoding"),
        ("long", "understood "),
        ("too long", "unknown too_large"),
        ("deep", "error 42601"),
        ("deep too", "error 54001"),
        ("many", "understood "),
        ("session", "unknown session"),
        ("nothing", "understood "),
        ("after", "understood "),
    ] {
        assert_eq!(told(id), expected, "{id}");
    }
    assert_eq!(answers.len(), lines.len() - 1, "a blank line has no answer");
    let bad: Vec<_> = answers
        .iter()
        .filter(|answer| answer["status"] == "invalid")
        .map(|answer| (answer["line"].clone(), answer["id"].clone(), answer["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        (12, Value::Null, "is not JSON"),
        (13, Value::Null, "not a JSON object"),
        (14, json!(1), r#"unknown members: ["Sql", "schema"]"#),
        (15, Value::Null, "\"id\" is missing"),
        (16, Value::Null, "\"id\" must be"),
        (17, json!(1), "\"sql\" must be"),
        (18, json!(1), "can't follow SET search_path"),
    ];
    assert_eq!(bad.len(), expected.len(), "{bad:#?}");
    for ((line, id, reason), (at, of, part)) in bad.iter().zip(&expected) {
        assert!((line, id) == (&json!(at), of) && reason.contains(part), "{line} {id} {reason}, not {part}");
    }
    let elsewhere = answers.iter().find(|answer| answer["id"] == json!(1.5)).unwrap();
    assert_eq!(elsewhere["relations"][0]["schema"], "other");
    let after = answers.last().unwrap();
    assert_eq!(after["relations"][0]["schema"], "shop", "search_path is of one line only");
    assert_eq!(
        answers.iter().find(|it| it["id"] == "many").unwrap()["statements"].as_array().unwrap().len(),
        300
    );
    assert!(ran.stderr.contains("20 lines"), "{}", ran.stderr);
}

/// A batch that is being fed.
struct Feed {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Feed {
    fn new(desk: &Desk) -> Self {
        let mut command = desk.command(&["--batch", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Gives a line and waits for its answer, which must come before another line does.
    fn ask(&mut self, sql: &str) -> Value {
        writeln!(self.input, "{}", line("it", sql)).unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn end(mut self) -> Option<i32> {
        drop(self.input);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    let desk = Desk::new(Version::V18);
    let kill = || {
        desk.cluster.psql(&format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'",
            desk.database
        ))
    };
    let allow = |allowed: bool| {
        desk.cluster.psql(&format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS {allowed}", desk.database))
    };
    let mut feed = Feed::new(&desk);
    assert_eq!(feed.ask("SELECT id FROM people")["status"], "understood");
    kill();
    assert_eq!(feed.ask("SELECT id FROM people")["status"], "understood");
    // A healed connection is no failure.
    assert_eq!(feed.end(), Some(0));

    let mut feed = Feed::new(&desk);
    assert_eq!(feed.ask("SELECT id FROM people")["status"], "understood");
    allow(false);
    kill();
    let lost = feed.ask("SELECT id FROM people");
    assert_eq!(
        (&lost["status"], &lost["unknown"]["code"]),
        (&json!("unknown"), &json!("connection")),
        "{lost}"
    );
    allow(true);
    assert_eq!(feed.ask("SELECT id FROM people")["status"], "understood");
    assert_eq!(feed.end(), Some(1), "a line was not answered for want of a connection");
}

#[test]
fn a_question_that_waits_for_a_lock_is_given_up() {
    let desk = Desk::new(Version::V15);
    let mut holder = desk.cluster.connect(&desk.database);
    holder.query("BEGIN; LOCK TABLE shop.people IN ACCESS EXCLUSIVE MODE");
    let mut feed = Feed::new(&desk);
    let waited = feed.ask("SELECT id FROM people");
    assert_eq!(waited["unknown"]["code"], "timeout", "{waited}");
    assert_eq!(feed.ask("SELECT id FROM orders")["status"], "understood");
    assert_eq!(feed.end(), Some(0), "not knowing is an answer");
}

#[test]
fn what_is_read_by_people_has_all_of_it() {
    let desk = Desk::new(Version::V18);
    let ran = desk.run(&["--sql", "SELECT name, mail, runs('x') FROM names"]);
    assert_eq!(ran.status, Some(0), "{ran:#?}");
    for part in [
        "explain:anybody (readers) on database shop",
        "policy desk version 7",
        "shop.names",
        "with the rights of",
        "in view shop.names",
        "shop.runs(text)",
        "SECURITY DEFINER",
        "dynamic: runs SQL text",
        "from shop.people.email (computed)",
        "redact",
        "verdict: deny",
        "reads-masked",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} in\n{}", ran.stdout);
    }
    let path =
        desk.run(&["--sql", "SELECT secret FROM people", "--search-path", "other", "--format", "json"]);
    let told: Value = serde_json::from_str(&path.stdout).unwrap();
    assert_eq!((&told["relations"][0]["schema"], &told["id"]), (&json!("other"), &Value::Null));
    let held = desk.run(&["--sql", "DELETE FROM people"]);
    assert!(held.stdout.contains("verdict: hold, needs 2 of leads (leads)"), "{}", held.stdout);
    let refused = desk.run(&["--sql", "SELECT nothing FROM people"]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stdout.contains("column \"nothing\" does not exist (42703)"), "{}", refused.stdout);
    for (arguments, complaint) in [
        (&["--sql", "SELECT 1", "--batch", "-"][..], "cannot be used with"),
        (&["--batch", "nowhere.jsonl"], "can't read \"nowhere.jsonl\""),
        (&["--sql", "SELECT 1", "--search-path", "a; b"], "can't follow SET search_path"),
    ] {
        let wrong = desk.run(arguments);
        assert!(wrong.status != Some(0) && wrong.stderr.contains(complaint), "{complaint}: {wrong:#?}");
    }
    let nobody = desk.place.run(&["policy", "explain", "--sql", "SELECT 1"]);
    assert!(nobody.stderr.contains("--as ISSUER:SUBJECT, --groups"), "{nobody:#?}");
}
