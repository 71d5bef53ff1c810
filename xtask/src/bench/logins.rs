//! What a login costs: directly, with one login for all, and with a role made for each session.

use std::fmt::Write as _;
use std::time::Instant;

use testkit::postgres::{Cluster, Options, Version};

use super::contestant::{Contestant, gatepost_as};
use super::scene::NAME;

/// As its section in the report is called.
pub(crate) const HEADING: &str = "A login";

/// Logins of each, in turns.
const ROUNDS: usize = 100;
/// Tables that the scope's role has grants on.
const TABLES: usize = 100;

/// Measures, and returns the section.
pub(crate) fn section() -> String {
    let options = Options { hba: Some("host all all all scram-sha-256".to_owned()), ..Options::default() };
    let options = options.setting("fsync", "on").setting("synchronous_commit", "on");
    let cluster = Cluster::start(Version::V15, options);
    fill(&cluster);
    let direct = || cluster.address();
    let one = "kind = \"static\", user = \"env:BENCH_USER\", password = \"env:BENCH_USER\"";
    let each = |pool: u32| format!("kind = \"ephemeral\", admin = \"env:BENCH_ADMIN\", pool = {pool}");
    let admin = format!("postgres://bench_admin:bench_admin@127.0.0.1:{}/{NAME}", cluster.port());
    let environment = [("BENCH_USER", NAME), ("BENCH_ADMIN", admin.as_str())];
    let gateways = [
        gatepost_as("one login for all", &cluster, one, &environment),
        gatepost_as("a role for each session", &cluster, &each(0), &environment),
        gatepost_as("the same, 20 kept prepared", &cluster, &each(20), &environment),
    ];
    let past = testkit::client::Connect::tcp(direct()).user(NAME).database(NAME).password(NAME);
    let mut firsts = vec![milliseconds(&past)];
    let mut times = vec![Vec::new(); gateways.len() + 1];
    firsts.extend(gateways.iter().map(|gateway| milliseconds(&gateway.connect())));
    for _ in 0..ROUNDS {
        times[0].push(milliseconds(&past));
        for (gateway, times) in gateways.iter().zip(&mut times[1..]) {
            times.push(milliseconds(&gateway.connect()));
        }
    }
    table(&gateways, &firsts, &mut times)
}

fn fill(cluster: &Cluster) {
    cluster.psql(&format!("CREATE ROLE {NAME} LOGIN PASSWORD '{NAME}'"));
    cluster.psql(&format!(
        "CREATE ROLE bench_admin LOGIN CREATEROLE PASSWORD 'bench_admin'; GRANT {NAME} TO bench_admin"
    ));
    cluster.fresh_database(NAME, NAME);
    cluster.psql_in(NAME, &format!("ALTER SCHEMA public OWNER TO {NAME}"));
    // What the bundle tags must be there.
    for table in ["wide_masked (a int, h text)", "pgbench_accounts (aid int, filler text)"] {
        cluster.psql_in(NAME, &format!("SET ROLE {NAME}; CREATE TABLE {table}"));
    }
    for n in 0..TABLES {
        cluster.psql_in(NAME, &format!("CREATE TABLE t_{n} (a int, b text, c timestamptz, d numeric, e text); ALTER TABLE t_{n} OWNER TO {NAME}"));
    }
}

/// Connects, asks one question, and says good-bye; returns how long it took to be ready for the question.
fn milliseconds(connect: &testkit::client::Connect) -> f64 {
    let begun = Instant::now();
    let mut session = connect.open();
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    assert_eq!(session.rows("SELECT 1"), "1");
    session.hang_up();
    took
}

fn table(gateways: &[Contestant], firsts: &[f64], times: &mut [Vec<f64>]) -> String {
    let build = if cfg!(debug_assertions) {
        " Built without optimisation, client and gateway: the 4,096 rounds of SCRAM weigh most then, and a made role's verifier has one."
    } else {
        ""
    };
    let mut text = format!(
        "`cargo xtask bench logins`: from connecting to ReadyForQuery, {ROUNDS} times each in turns, on a machine that does other things too. PostgreSQL 15 on the same \
         machine, no TLS, SCRAM; tokens as passwords. The scope has grants on {TABLES} tables. The first login reads the catalog, and makes the scope's role.{build}\n\n\
         | | first, ms | median, ms | 95 %, ms | median to direct |\n|---|---|---|---|---|\n"
    );
    let names = std::iter::once("direct").chain(gateways.iter().map(|gateway| gateway.name));
    let mut base = None;
    for ((name, first), times) in names.zip(firsts).zip(times) {
        times.sort_by(f64::total_cmp);
        let (median, most) = (times[times.len() / 2], times[times.len() * 95 / 100]);
        let ratio = median / *base.get_or_insert(median);
        let _ = writeln!(text, "| {name} | {first:.1} | {median:.1} | {most:.1} | {ratio:.1} |");
    }
    text.push('\n');
    text
}
