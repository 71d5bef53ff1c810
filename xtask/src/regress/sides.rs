//! Where the suite's files run: a fresh cluster each, reached directly or through a gateway that allows everything.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::gatepost::Gateway;
use testkit::postgres::{Cluster, Options, SUPERUSER, Version};
use testkit::process::{Process, free_port, guarded, poll};
use testkit::scratch::Scratch;

/// As `pg_regress` calls it.
const DATABASE: &str = "regression";

/// See the module.
pub(crate) struct Side {
    _cluster: Cluster,
    address: SocketAddr,
    password: String,
    /// What the files write goes here. The server writes, too.
    written: Scratch,
    _gateway: Option<(Gateway, Process)>,
    psql: PathBuf,
}

impl Side {
    /// A server by itself.
    pub(crate) fn direct(version: Version) -> Self {
        let cluster = cluster(version);
        let address = cluster.address();
        Self::new(cluster, address, "none".to_owned(), None)
    }

    /// A server behind a gateway that logs in as the superuser and allows everything.
    pub(crate) fn gateway(version: Version) -> Self {
        let cluster = cluster(version);
        let (gateway, issuer, token) = serve(&cluster);
        let address = gateway.postgres();
        Self::new(cluster, address, token, Some((gateway, issuer)))
    }

    fn new(
        cluster: Cluster,
        address: SocketAddr,
        password: String,
        gateway: Option<(Gateway, Process)>,
    ) -> Self {
        let written = Scratch::new("regress");
        for folder in ["results", "testtablespace", "sql"] {
            fs::create_dir(written.path().join(folder)).expect("own directory");
        }
        for folder in ["", "results", "testtablespace"] {
            fs::set_permissions(written.path().join(folder), fs::Permissions::from_mode(0o777))
                .expect("own directory");
        }
        let psql = psql_of(cluster.version());
        Self { _cluster: cluster, address, password, written, _gateway: gateway, psql }
    }

    /// Runs one file as `pg_regress` does; returns all that psql printed.
    pub(crate) fn psql(&self, suite: &Path, file: &str) -> Vec<u8> {
        let input = fs::File::open(suite.join(format!("sql/{file}.sql"))).expect("a file of the schedule");
        let output = self.written.path().join("output");
        let into = fs::File::create(&output).expect("own directory");
        let mut command = Command::new(&self.psql);
        command.args([
            "-X",
            "-a",
            "-q",
            "-d",
            DATABASE,
            "-v",
            "HIDE_TABLEAM=on",
            "-v",
            "HIDE_TOAST_COMPRESSION=on",
        ]);
        command.stdin(input).stdout(into.try_clone().expect("a file")).stderr(into);
        self.environment(&mut command, suite);
        let _ = command.status().expect("psql");
        let text = fs::read(&output).expect("own file");
        replace(&text, self.written.path().as_os_str().as_encoded_bytes(), b"BUILDDIR")
    }

    /// `initialize_environment` (src/test/regress/pg_regress.c).
    fn environment(&self, command: &mut Command, suite: &Path) {
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        for name in ["LC_ALL", "LANGUAGE"] {
            command.env_remove(name);
        }
        command.current_dir(self.written.path());
        command.env("LANG", "C").env("LC_MESSAGES", "C");
        command
            .env("PGAPPNAME", "pg_regress")
            .env("PGTZ", "America/Los_Angeles")
            .env("PGDATESTYLE", "Postgres, MDY");
        command.env("PGOPTIONS", "-c intervalstyle=postgres_verbose");
        command.env("PGHOST", self.address.ip().to_string()).env("PGPORT", self.address.port().to_string());
        command.env("PGUSER", SUPERUSER).env("PGPASSWORD", &self.password).env("PGSSLMODE", "disable");
        command.env("PG_ABS_SRCDIR", suite).env("PG_ABS_BUILDDIR", self.written.path());
        command.env("PG_LIBDIR", suite).env("PG_DLSUFFIX", ".so");
    }
}

/// The version's own, or the newest that is here.
fn psql_of(version: Version) -> PathBuf {
    let own = version.bin().join("psql");
    if own.exists() { own } else { Version::V17.bin().join("psql") }
}

fn replace(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

fn cluster(version: Version) -> Cluster {
    let settings =
        Options::default().setting("max_prepared_transactions", "2").setting("shared_buffers", "128MB");
    let cluster = Cluster::start(version, settings);
    cluster.psql(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0"));
    // `create_database` (src/test/regress/pg_regress.c).
    for setting in [
        "lc_messages TO 'C'",
        "lc_monetary TO 'C'",
        "lc_numeric TO 'C'",
        "lc_time TO 'C'",
        "bytea_output TO 'hex'",
        "timezone_abbreviations TO 'Default'",
    ] {
        cluster.psql(&format!("ALTER DATABASE {DATABASE} SET {setting}"));
    }
    cluster
}

/// A gateway with the policy that allows everything, its issuer, and a token.
fn serve(cluster: &Cluster) -> (Gateway, Process, String) {
    let binary = crate::bench::binary();
    let home = Scratch::new("regress-gatepost");
    home.write("policy/bundle.toml", "name = \"everything\"\nversion = \"1\"\n");
    home.write("policy/everything.cedar", "permit (principal in Group::\"everyone\", action, resource);\n");
    let keys = home.path().join("keys");
    let issuer_address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = guarded(&binary, "KILL", None);
    command.args(["dev-issuer", "--listen", &issuer_address.to_string(), "--key-dir"]).arg(&keys);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let issuer = Process::spawn(command).expect("gatepost dev-issuer");
    let up = poll(Duration::from_secs(20), || std::net::TcpStream::connect(issuer_address).ok());
    assert!(up.is_some(), "the development issuer does not listen on {issuer_address}");
    let token = Command::new(&binary)
        .args(["dev-token", "regress", "--groups", "everyone", "--lifetime", "1d", "--listen"])
        .arg(issuer_address.to_string())
        .arg("--key-dir")
        .arg(&keys)
        .output()
        .expect("gatepost dev-token");
    assert!(token.status.success(), "dev-token: {}", String::from_utf8_lossy(&token.stderr));
    let mut config = format!(
        "[listen]\npostgres = \"127.0.0.1:0\"\n[[issuer]]\nname = \"dev\"\nurl = \"http://{issuer_address}/dev\"\n\
         audience = \"gatepost\"\nsubject = \"sub\"\ngroups = \"groups\"\n[journal]\npath = \"journal\"\n"
    );
    // The suite connects to these by name.
    for database in [DATABASE, "postgres", "template1"] {
        config += &format!(
            "[[database]]\nname = \"{database}\"\npolicy = \"policy\"\n\
             upstream = \"postgres://127.0.0.1:{}/{database}?sslmode=disable\"\n\
             login = {{ kind = \"static\", user = \"env:REGRESS_USER\", password = \"env:REGRESS_USER\" }}\n",
            cluster.port()
        );
    }
    let gateway = Gateway::start_in(home, &binary, &config, &[("REGRESS_USER", SUPERUSER)]);
    (gateway, issuer, String::from_utf8(token.stdout).expect("a token").trim().to_owned())
}
