//! Under an ordinary policy of least privilege nobody is refused for nothing: what clients ask to find their way is answered as
//! by PostgreSQL itself, but for what the policy hides.
//!
//! Each client runs twice as the same role, past the gateway and through it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use testkit::postgres::{Cluster, Version};

use crate::clients::{Environment, command};
use crate::stage::{Gate, LOGIN, LOGIN_PASSWORD, Setup, Shop, cluster_with_shop};

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

#[track_caller]
fn check_psql(client: Version, server: Version) {
    let pair = Pair::new(server);
    let commands: Vec<&str> =
        include_str!("introspection/psql.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert!(commands.len() > 250, "only {} commands", commands.len());
    let mut script = tempfile::NamedTempFile::new().unwrap();
    for command in &commands {
        writeln!(script, "\\echo '#####'\n{command}").unwrap();
    }
    let run = |environment| say(client, environment, script.path());
    let (direct, through) = (run(&pair.direct()), run(&pair.through()));
    assert_eq!((direct.len(), through.len()), (commands.len(), commands.len()));
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
    check_psql(Version::V15, Version::V15);
}

#[test]
fn psql_17_looks_around_as_on_postgresql_15() {
    check_psql(Version::V17, Version::V15);
}

#[test]
fn psql_15_looks_around_as_on_postgresql_18() {
    check_psql(Version::V15, Version::V18);
}

#[test]
fn psql_17_looks_around_as_on_postgresql_18() {
    check_psql(Version::V17, Version::V18);
}
