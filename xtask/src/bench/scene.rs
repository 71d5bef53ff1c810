//! What all contestants share: one PostgreSQL with pgbench's tables and two wide ones.

use std::path::PathBuf;
use std::process::Command;

use testkit::postgres::{Cluster, Options, Version};
use testkit::scratch::Scratch;

/// The database and the role that runs the load, which is no superuser.
pub(crate) const NAME: &str = "bench";
/// pgbench's scale: 100,000 accounts each. Fits into memory.
pub(crate) const SCALE: &str = "10";
/// Bytes of the answer to a query of a whole wide table, about.
pub(crate) const WIDE_BYTES: u64 = 200_000_000;
/// Of about 1,070 bytes on the wire.
const WIDE_ROWS: u64 = WIDE_BYTES / 1_070;

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    /// Its directory is open to the user that PostgreSQL and PgBouncer run as.
    pub(crate) scratch: Scratch,
    /// The machine's load before we add ours: processes that want to run, averaged over a minute.
    pub(crate) load_before: String,
}

impl Scene {
    /// Starts PostgreSQL and fills it.
    pub(crate) fn set() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load_before = load.split(' ').next().unwrap_or_default().to_owned();
        eprintln!("bench: preparing PostgreSQL");
        let options = Options::default().setting("max_connections", "900").setting("shared_buffers", "1GB");
        // Writes are compared too.
        let options = options.setting("fsync", "on").setting("synchronous_commit", "on");
        let cluster = Cluster::start(Version::V15, options);
        cluster.psql(&format!("CREATE ROLE {NAME} LOGIN PASSWORD '{NAME}'"));
        // What the gateway's guide asks for: no query trees in the server's log.
        cluster.psql(&format!("ALTER ROLE {NAME} SET log_min_messages = fatal"));
        cluster.fresh_database(NAME, NAME);
        cluster.psql_in(NAME, "ALTER SCHEMA public OWNER TO bench");
        let filled = Command::new(program("pgbench"))
            .args(["-q", "-i", "-s", SCALE, "-U", NAME, "-h"])
            .arg(cluster.socket_dir())
            .args(["-p", &cluster.port().to_string(), NAME])
            .output()
            .expect("pgbench");
        assert!(filled.status.success(), "pgbench -i: {}", String::from_utf8_lossy(&filled.stderr));

        // Eight columns each; the policy masks the last one of `wide_masked`.
        let mut fill = cluster.socket(NAME, NAME).open();
        for table in ["wide", "wide_masked"] {
            fill.rows(&format!(
                "CREATE TABLE {table} AS SELECT n::int AS a, n * 7 AS b, now() AS c, n / 3.0 AS d, \
                 md5(n::text) AS e, repeat(md5(n::text), 14) AS f, repeat(md5((n + 1)::text), 14) AS g, \
                 'customer' || n || '@example.com' AS h FROM generate_series(1, {WIDE_ROWS}) n"
            ));
        }
        cluster.psql_in(NAME, "VACUUM ANALYZE");
        cluster.psql_in(NAME, "CHECKPOINT");
        Self { cluster, scratch: Scratch::new("bench"), load_before }
    }

    /// Returns the server's version, as `SHOW server_version` does.
    pub(crate) fn server_version(&self) -> String {
        self.cluster.psql("SHOW server_version")
    }
}

/// Returns a client program of the version that serves.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Version::V15.bin().join(name);
    assert!(path.exists(), "{path:?} is not there: run `make setup`");
    path
}
