//! Stock clients, run as anybody would run them: psql, psycopg (libpq 18 inside) and node-postgres.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::postgres::Version;
use testkit::process::tools;

use crate::support::Ran;

/// What libpq reads from the environment.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// Prepares a program with nothing but this of libpq's environment.
pub(crate) fn command(program: &Path, environment: &Environment) -> Command {
    assert!(program.exists(), "{program:?} is not there: run `make setup`");
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Returns psql of a version (there is none of 18 here) as `psql -XAt`, stopping at the first error.
pub(crate) fn psql(version: Version, environment: &Environment) -> Command {
    let mut command = command(&version.bin().join("psql"), environment);
    command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
    command
}

/// Runs SQL with psql 15.
pub(crate) fn run_psql(environment: &Environment, sql: &str) -> Ran {
    psql(Version::V15, environment).args(["-c", sql]).output().unwrap().into()
}

/// Returns psycopg's program, `clients/psycopg_client.py`, with arguments.
pub(crate) fn psycopg(environment: &Environment, arguments: &[&str]) -> Command {
    let mut command = command(&tools().join("venv/bin/python"), environment);
    command.arg(client("psycopg_client.py")).args(arguments);
    command
}

/// Returns node-postgres' program, `clients/node_client.mjs`, with arguments.
pub(crate) fn node(environment: &Environment, arguments: &[&str]) -> Command {
    let modules = tools().join("node/node_modules/pg");
    assert!(modules.exists(), "{modules:?} is not there: run `make setup`");
    let mut command = command(Path::new("/usr/bin/env"), environment);
    command.arg("node").arg(client("node_client.mjs")).args(arguments).env("GATEPOST_TOOLS", tools());
    command
}

/// Runs a client and returns the JSON that it prints.
#[track_caller]
pub(crate) fn answer(mut command: Command) -> Value {
    let ran: Ran = command.output().unwrap().into();
    assert_eq!(ran.status, Some(0), "{command:?}: {ran:#?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

/// Returns where a client's program is.
pub(crate) fn client(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}
