//! Under an ordinary policy of least privilege nobody is refused for nothing: what clients ask to find their way is answered as
//! by PostgreSQL itself, but for what the policy hides.
//!
//! Each client runs twice as the same role, past the gateway and through it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::postgres::{Cluster, Version};
use testkit::process::tools;

use crate::clients::{Environment, client, command};
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, Setup, Shop, cluster_with_shop};
use crate::support::Ran;

/// A server with a bit of everything in database `shop`, and a gateway in front of it.
///
/// The server is the test's own: what it lists must not change from outside between two looks.
pub(crate) struct Pair {
    gate: Gate,
}

impl Pair {
    pub(crate) fn new(version: Version) -> Self {
        let cluster: &'static Cluster = Box::leak(Box::new(cluster_with_shop(version, "shop")));
        cluster.psql_in("shop", include_str!("introspection/schema.sql"));
        let policy = folder("policy");
        let gate = Setup { policy, ..Setup::default() }.start(Shop { cluster, database: "shop".to_owned() });
        Self { gate }
    }

    /// What libpq needs to connect past the gateway, as the role that the gateway logs in as.
    pub(crate) fn direct(&self) -> Environment {
        let cluster = self.gate.shop.cluster;
        let authority = self.gate.gateway.home().join("upstream-ca.crt");
        let mut environment = self.through();
        for (name, value) in &mut environment {
            match *name {
                "PGPORT" => *value = cluster.port().to_string(),
                "PGUSER" => LOGIN.clone_into(value),
                "PGPASSWORD" => LOGIN_PASSWORD.clone_into(value),
                "PGSSLROOTCERT" => *value = authority.display().to_string(),
                _ => {}
            }
        }
        environment
    }

    /// What libpq needs to connect through it, as an agent of the group clerks.
    pub(crate) fn through(&self) -> Environment {
        let mut environment = self.gate.libpq("clerk");
        environment.push(("PGCLIENTENCODING", "UTF8".to_owned()));
        environment
    }
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/introspection").join(name)
}

/// Commands whose answer the policy changes, and what is in it then.
const HIDDEN: [(&str, &str); 2] = [
    // Passwords of other servers; PostgreSQL shows a role those of its own mappings.
    ("\\deu+", "permission denied: filter on column pg_catalog.pg_user_mappings.umoptions"),
    // Connection strings: PostgreSQL refuses this to all but superusers.
    ("\\dRs+", "insufficient_privilege"),
];

/// Returns what psql says to each command of a script, errors included, all in one session.
fn say(version: Version, environment: &Environment, script: &Path) -> Vec<String> {
    let said = tempfile::NamedTempFile::new().unwrap();
    let (out, errors) = (said.reopen().unwrap(), said.as_file().try_clone().unwrap());
    let mut psql = command(&version.bin().join("psql"), environment);
    // One file, opened once, so that errors stand where they happened.
    psql.arg("-X").arg("-f").arg(script).stdout(errors.try_clone().unwrap()).stderr(errors);
    assert!(psql.status().unwrap().success(), "{psql:?}");
    let mut text = String::new();
    { out }.read_to_string(&mut text).unwrap();
    text.split("#####\n").skip(1).map(str::to_owned).collect()
}

/// Has psql run each command past the gateway and through it.
fn both(client: Version, pair: &Pair, commands: &[&str]) -> (Vec<String>, Vec<String>) {
    let script = script(commands);
    let run = |environment| say(client, environment, script.path());
    // The server is told who it is before what psql calls itself.
    let mut past = pair.direct();
    past.push(("PGAPPNAME", "corp:clerk psql".to_owned()));
    let (direct, through) = (run(&past), run(&pair.through()));
    assert_eq!((direct.len(), through.len()), (commands.len(), commands.len()));
    (direct, through)
}

fn say_all(client: Version, environment: &Environment, commands: &[&str]) -> Vec<String> {
    say(client, environment, script(commands).path())
}

fn script(commands: &[&str]) -> tempfile::NamedTempFile {
    let mut script = tempfile::NamedTempFile::new().unwrap();
    for command in commands {
        writeln!(script, "\\echo '#####'\n{command}").unwrap();
    }
    script
}

/// psql's commands, or every so many of them.
#[track_caller]
fn check_psql(client: Version, server: Version, every: usize) {
    let pair = Pair::new(server);
    let commands: Vec<&str> =
        include_str!("introspection/psql.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert!(commands.len() > 250, "only {} commands", commands.len());
    let commands: Vec<&str> = commands.into_iter().step_by(every).collect();
    let (direct, through) = both(client, &pair, &commands);
    let mut wrong = String::new();
    for (command, (direct, through)) in commands.iter().zip(direct.iter().zip(&through)) {
        match HIDDEN.iter().find(|(hidden, _)| command.split(' ').next() == Some(hidden)) {
            Some((_, what)) if direct != through && through.contains(what) => {}
            None if direct == through => {}
            _ => wrong += &format!("{command}\n--- direct\n{direct}\n--- through the gateway\n{through}\n"),
        }
    }
    assert!(wrong.is_empty(), "psql {client}, server {server}:\n{wrong}");
}

#[test]
fn psql_15_looks_around_as_on_postgresql_15() {
    check_psql(Version::V15, Version::V15, 1);
}

#[test]
fn psql_17_looks_around_as_on_postgresql_15() {
    check_psql(Version::V17, Version::V15, 3);
}

#[test]
fn psql_15_looks_around_as_on_postgresql_18() {
    check_psql(Version::V15, Version::V18, 3);
}

#[test]
fn psql_17_looks_around_as_on_postgresql_18() {
    check_psql(Version::V17, Version::V18, 1);
}

#[track_caller]
fn check_queries(server: Version) {
    let text = include_str!("introspection/queries.txt");
    let queries: Vec<String> = text.trim().split("\n\n").skip(1).map(|query| format!("{query}\n;")).collect();
    assert!(queries.len() > 100, "only {} queries", queries.len());
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let (direct, through) = both(Version::V15, &Pair::new(server), &queries);
    let mut wrong = String::new();
    for (query, (direct, through)) in queries.iter().zip(direct.iter().zip(&through)) {
        assert!(!direct.contains("ERROR"), "{query}\n{direct}");
        if direct != through {
            wrong += &format!("{query}\n--- direct\n{direct}\n--- through the gateway\n{through}\n");
        }
    }
    assert!(wrong.is_empty(), "{server}:\n{wrong}");
}

#[test]
fn what_drivers_mappers_and_analysts_ask_is_answered_as_by_postgresql_15() {
    check_queries(Version::V15);
}

#[test]
fn what_drivers_mappers_and_analysts_ask_is_answered_as_by_postgresql_18() {
    check_queries(Version::V18);
}

/// Runs a client past the gateway and through it: it must say the same.
#[track_caller]
fn check_client(server: Version, client: impl Fn(&Environment) -> Command) {
    let pair = Pair::new(server);
    let run = |environment: &Environment| -> Ran { client(environment).output().unwrap().into() };
    let direct = run(&pair.direct());
    assert_eq!(direct.status, Some(0), "past the gateway: {direct:#?}");
    assert!(direct.stdout.lines().count() > 20, "{direct:#?}");
    let through = run(&pair.through());
    assert_eq!(through.status, Some(0), "through the gateway: {}\n{}", through.stderr, through.stdout);
    let (direct, through): (Vec<_>, Vec<_>) =
        (direct.stdout.lines().collect(), through.stdout.lines().collect());
    let first = direct.iter().zip(&through).position(|(direct, through)| direct != through);
    assert_eq!(first.map(|at| (at, direct[at], through[at])), None);
    assert_eq!(direct.len(), through.len());
}

fn python<'a>(case: &'a str) -> impl Fn(&Environment) -> Command + use<'a> {
    move |environment| {
        let mut command = command(&tools().join("venv/bin/python"), environment);
        command.arg(client("look_around.py")).arg(case);
        command
    }
}

#[test]
fn psycopg_learns_types_and_works_as_on_postgresql_18() {
    check_client(Version::V18, python("psycopg"));
}

#[test]
fn asyncpg_and_its_pool_learn_types_and_work_as_on_postgresql_15() {
    check_client(Version::V15, python("asyncpg"));
}

#[test]
fn sqlalchemy_inspects_reflects_and_works_as_on_postgresql_15() {
    check_client(Version::V15, python("sqlalchemy"));
}

#[test]
fn sqlalchemy_inspects_reflects_and_works_as_on_postgresql_18() {
    check_client(Version::V18, python("sqlalchemy"));
}

#[test]
fn django_inspects_and_works_as_on_postgresql_18() {
    check_client(Version::V18, python("django"));
}

/// Debian's libpostgresql-jdbc-java.
const PGJDBC: &str = "/usr/share/java/postgresql.jar";

fn java(environment: &Environment) -> Command {
    assert!(Path::new(PGJDBC).exists(), "{PGJDBC} is not there: run `make setup`");
    let mut command = command(Path::new("/usr/bin/env"), environment);
    command.args(["java", "-XX:TieredStopAtLevel=1", "-cp", PGJDBC]).arg(client("LookAround.java"));
    command
}

#[test]
fn pgjdbc_reads_metadata_and_works_as_on_postgresql_15() {
    check_client(Version::V15, java);
}

#[test]
fn pgjdbc_reads_metadata_and_works_as_on_postgresql_18() {
    check_client(Version::V18, java);
}

/// Dumps a table past the gateway and through it; without the marks of newer versions that are different each time.
fn dumps(client: Version, pair: &Pair, table: &str) -> [Vec<String>; 2] {
    [pair.direct(), pair.through()].map(|environment| {
        let mut dump = command(&client.bin().join("pg_dump"), &environment);
        let ran: Ran = dump.args(["-t", table]).output().unwrap().into();
        assert_eq!(ran.status, Some(0), "{dump:?}: {}", ran.stderr);
        ran.stdout.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect()
    })
}

#[track_caller]
fn check_dump(client: Version, server: Version) {
    let pair = Pair::new(server);
    for table in ["public.products", "public.order_items"] {
        let [direct, through] = dumps(client, &pair, table);
        assert!(direct.len() > 30);
        assert_eq!(direct, through, "{table}");
    }
    // Personal data comes masked, and all else as it is: six columns of eight are the same in each row.
    let [direct, through] = dumps(client, &pair, "public.customers");
    assert_eq!(direct.len(), through.len());
    let different: Vec<_> =
        direct.iter().zip(&through).filter(|(direct, through)| direct != through).collect();
    assert!(different.len() > 50, "{different:?}");
    for (direct, through) in different {
        let (direct, through): (Vec<_>, Vec<_>) =
            (direct.split('\t').collect(), through.split('\t').collect());
        assert_eq!((direct.len(), through.len()), (8, 8));
        for at in 0..8 {
            // email, phone, ssn, notes
            let masked = [2, 3, 4, 7].contains(&at) && direct[at] != "\\N";
            assert_eq!(direct[at] == through[at], !masked, "{direct:?} {through:?}");
        }
    }
}

#[test]
fn pg_dump_15_dumps_permitted_tables_of_postgresql_15() {
    check_dump(Version::V15, Version::V15);
}

#[test]
fn pg_dump_17_dumps_permitted_tables_of_postgresql_15() {
    check_dump(Version::V17, Version::V15);
}

/// What is readable of PostgreSQL's own relations is what the policy's guide says.
#[track_caller]
fn check_catalog(server: Version) {
    let pair = Pair::new(server);
    let relations = "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                     WHERE nspname IN ('pg_catalog', 'information_schema') AND relkind IN ('r', 'v') ORDER BY 1";
    let relations = pair.gate.shop.sql(relations);
    let queries: Vec<String> =
        relations.lines().map(|name| format!("SELECT * FROM {name} LIMIT 0 \\g /dev/null")).collect();
    assert!(queries.len() > 180, "{}", queries.len());
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let said = say_all(Version::V15, &pair.through(), &queries);
    let closed = relations.lines().zip(said).filter(|(_, said)| said.contains("permission denied: "));
    let closed: Vec<&str> = closed.map(|(name, _)| name).collect();
    let only =
        |line: &'static str| line.split_once(' ').map_or((line, None), |(name, only)| (name, Some(only)));
    let expected = include_str!("introspection/closed.txt").lines().map(only);
    let expected = expected.filter(|(_, only)| only.is_none_or(|only| only == server.major().to_string()));
    let expected: Vec<&str> = expected.map(|(name, _)| name).collect();
    assert_eq!(closed, expected, "{}", closed.join("\n"));
}

#[test]
fn what_is_closed_in_the_catalog_of_postgresql_15() {
    check_catalog(Version::V15);
}

#[test]
fn what_is_closed_in_the_catalog_of_postgresql_18() {
    check_catalog(Version::V18);
}

#[test]
fn set_config_is_set_for_settings_that_are_written_out_and_ordinary() {
    let queries = [
        "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'geqo';",
        // The same shape, another setting.
        "SELECT set_config(name, 'none', false) FROM pg_settings WHERE name = 'role';",
        "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name <> 'role';",
        "SELECT set_config('geqo', 'on', false);",
        "SELECT set_config('ROLE', 'none', false);",
        "SELECT set_config('client_encoding', 'LATIN1', false);",
        "SELECT set_config('app.x', ssn, false) FROM customers;",
        "SELECT set_config('app.x', (SELECT city FROM customers LIMIT 1), false);",
        "SELECT set_config('work_mem', '1MB', false), pg_sleep(0);",
    ];
    let said = say_all(Version::V15, &Pair::new(Version::V15).through(), &queries);
    let allowed: Vec<bool> = said.iter().map(|said| !said.contains("ERROR:")).collect();
    assert_eq!(allowed, [true, false, false, true, false, false, false, false, false], "{said:#?}");
}
