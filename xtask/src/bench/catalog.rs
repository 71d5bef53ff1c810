//! What a large catalog costs: to read it whole, to read it again, and what it takes of memory.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use model::Secret;
use server::catalog;
use server::upstream::{Target, Upstream, login};
use session::Catalog;
use testkit::postgres::{Cluster, Version};

/// As its section in the report is called.
pub(crate) const HEADING: &str = "A catalog of 10,000 relations with 200,000 columns";

const RELATIONS: u32 = 10_000;
const COLUMNS: u32 = 20;
const LIMIT: Duration = Duration::from_secs(60);

/// Measures, and returns the section.
pub(crate) fn section() -> String {
    let cluster = Cluster::plain(Version::V18);
    fill(&cluster);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut text = String::from(
        "`cargo xtask bench catalog`: PostgreSQL 18 on the same machine, one thread for everything on our side. What a login reads is not \
         read again by others; a login after 60 s, or after a definition, reads what has changed. The longest pause is how long other sessions of the \
         same thread waited for it at most, in one turn.\n\n\
         | | seconds | longest pause, ms | memory that stays, MiB |\n|---|---|---|---|\n",
    );
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut upstream = open(&cluster).await;
        let before = resident();
        let (whole, cost) = timed(catalog::load(&mut upstream, None)).await;
        let kept = resident().saturating_sub(before);
        assert!(whole.relations().count() >= RELATIONS as usize, "it holds them all");
        let mib = kept as f64 / f64::from(1 << 20);
        row(&mut text, "read whole", &cost, &format!("{mib:.1}"));
        let (again, cost) = timed(catalog::load(&mut upstream, Some(&whole))).await;
        row(&mut text, "read again, nothing has changed", &cost, "-");
        cluster.psql("ALTER TABLE wide.t_17 RENAME COLUMN c_3 TO renamed");
        let (changed, cost) = timed(catalog::load(&mut upstream, Some(&again))).await;
        row(&mut text, "read again after a rename", &cost, "-");
        let renamed = |catalog: &Catalog| {
            catalog.relations().any(|(_, relation)| relation.columns.iter().any(|c| &*c.name == "renamed"))
        };
        assert!(renamed(&changed) && !renamed(&again), "the rename is seen");
        cluster.psql("ALTER TABLE wide.t_1 ADD COLUMN more int; ALTER TABLE wide.t_2 DROP COLUMN c_1; CREATE TABLE wide.new (a int)");
        let (next, cost) = timed(catalog::load(&mut upstream, Some(&changed))).await;
        row(&mut text, "read again after three definitions", &cost, "-");
        assert_eq!(next.relations().count(), changed.relations().count() + 1, "the new table is seen");
    });
    text.push('\n');
    text
}

fn fill(cluster: &Cluster) {
    cluster.psql("CREATE SCHEMA wide");
    let columns: Vec<String> =
        (1..=COLUMNS).map(|n| format!("c_{n} {}", ["int", "text", "timestamptz"][n as usize % 3])).collect();
    let columns = columns.join(", ");
    // Each in a transaction of its own size: one for all takes more locks than there is room for.
    for first in (1..=RELATIONS).step_by(500) {
        let last = first + 499;
        cluster.psql(&format!(
            "DO $$BEGIN FOR n IN {first}..{last} LOOP EXECUTE format('CREATE UNLOGGED TABLE wide.t_%s ({columns})', n); END LOOP; END$$"
        ));
    }
    cluster.psql("ANALYZE pg_class; ANALYZE pg_attribute");
}

async fn open(cluster: &Cluster) -> Upstream {
    let host = config::Host::Socket(cluster.socket_dir().to_owned());
    let (port, tls) = (cluster.port(), config::UpstreamTls::Disable);
    let target = Target::new(&config::Upstream { host, port, database: "postgres".to_owned(), tls })
        .expect("a target");
    login(&target, &Secret::new("postgres".to_owned()), None, &[], LIMIT).await.expect("a login")
}

struct Cost {
    seconds: f64,
    pause: Duration,
}

/// Runs a reading beside a task that only counts how long it is kept from running.
async fn timed(reading: impl Future<Output = Result<Catalog, catalog::LoadError>>) -> (Catalog, Cost) {
    let longest = Rc::new(Cell::new(Duration::ZERO));
    let ticker = tokio::task::spawn_local({
        let longest = longest.clone();
        async move {
            let mut last = Instant::now();
            loop {
                tokio::task::yield_now().await;
                let now = Instant::now();
                longest.set(longest.get().max(now - last));
                last = now;
            }
        }
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let catalog = reading.await.expect("the catalog");
    let seconds = begun.elapsed().as_secs_f64();
    ticker.abort();
    (catalog, Cost { seconds, pause: longest.get() })
}

fn row(text: &mut String, what: &str, cost: &Cost, memory: &str) {
    let pause = cost.pause.as_secs_f64() * 1_000.0;
    let _ = writeln!(text, "| {what} | {:.2} | {pause:.1} | {memory} |", cost.seconds);
}

/// Bytes of resident memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}
