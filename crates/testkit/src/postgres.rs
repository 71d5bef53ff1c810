//! Throwaway PostgreSQL clusters, one directory and one postmaster each.
//!
//! `initdb` runs once per version and machine; clusters are copies of what it made. Durability is off. A cluster
//! listens on a free loopback port and on a socket in its own directory, and runs as user `postgres` if we are root.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fmt};

use crate::client::{Connect, Raw};
use crate::process::{Process, free_port, guarded, poll, tools};
use crate::scratch::Scratch;
use crate::tls::Authority;

/// The user that a cluster runs as when we are root.
const SERVICE_USER: &str = "postgres";
/// The role that owns a cluster, on every machine.
pub const SUPERUSER: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(60);
/// Part of the template's name: changed when `initdb`'s arguments do.
const TEMPLATE_FORMAT: u32 = 1;

const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("shared_buffers", "32MB"),
    ("max_wal_size", "256MB"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_line_prefix", "%m [%p] %u@%d "),
];

/// A major version that the product is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// PostgreSQL 14.
    V14,
    /// PostgreSQL 15, Debian 12's own.
    V15,
    /// PostgreSQL 16.
    V16,
    /// PostgreSQL 17.
    V17,
    /// PostgreSQL 18.
    V18,
}

impl Version {
    /// Those that most tests run on, oldest first.
    pub const ALL: [Self; 3] = [Self::V15, Self::V17, Self::V18];
    /// Every version that the product supports, oldest first. `scripts/setup.sh` installs them all, so a test need not make do
    /// with fewer.
    pub const SUPPORTED: [Self; 5] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18];

    /// Returns those that are installed here, oldest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|version| version.bin().join("postgres").exists()).collect()
    }

    /// Returns the number, such as 15.
    pub const fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// Returns the folder of its programs.
    pub fn bin(self) -> PathBuf {
        match self {
            Self::V14 => tools().join("pg14/bin"),
            Self::V15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
            Self::V16 => tools().join("pg16/bin"),
            Self::V17 => tools().join("pg17/bin"),
            Self::V18 => tools().join("pg18/bin"),
        }
    }

    fn program(self, name: &str) -> PathBuf {
        let path = self.bin().join(name);
        assert!(path.exists(), "{path:?} is not there: run `make setup`");
        path
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {}", self.major())
    }
}

/// How a cluster differs from the plain one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether to accept TLS, with a certificate for `localhost`, `127.0.0.1` and `::1` by an authority of its own.
    pub ssl: bool,
    /// Lines of `pg_hba.conf` for TCP, in place of `host all all all trust`. Sockets are always trusted.
    pub hba: Option<String>,
    /// Further settings, which win over the kit's own.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// Adds a setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }
}

/// A running cluster. Ends, and leaves nothing behind, on drop; when the test fails its directory is kept.
pub struct Cluster {
    version: Version,
    postmaster: Option<Process>,
    port: u16,
    authority: Option<Authority>,
    options: Options,
    scratch: Scratch,
}

impl Cluster {
    /// Starts a cluster and returns when it accepts connections.
    ///
    /// # Panics
    /// The version isn't installed, or the server doesn't start.
    pub fn start(version: Version, options: Options) -> Self {
        let scratch = Scratch::new(&format!("pg{}", version.major()));
        give_to_service(scratch.path());
        copy_template(version, &scratch.path().join("data"));
        let mut cluster = Self { version, postmaster: None, port: 0, authority: None, options, scratch };
        cluster.configure();
        cluster.resume();
        cluster
    }

    /// Starts a plain cluster.
    pub fn plain(version: Version) -> Self {
        Self::start(version, Options::default())
    }

    /// Returns its version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns its TCP port on 127.0.0.1; the same after [`Cluster::resume`].
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Returns the folder of its socket, which takes the place of a host name in libpq.
    pub fn socket_dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns `postgres://postgres@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> String {
        self.url_of(SUPERUSER, "postgres")
    }

    /// Returns the URL of a database for a role, without a password.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the PEM of the authority that signed its certificate.
    ///
    /// # Panics
    /// It was not started with `ssl`.
    pub fn authority(&self) -> &str {
        self.authority.as_ref().expect("started with ssl").certificate()
    }

    /// Returns the file that holds [`Cluster::authority`].
    pub fn authority_file(&self) -> PathBuf {
        self.scratch.path().join("ca.crt")
    }

    /// Returns what it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Returns the process ID of the postmaster; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Process::id)
    }

    /// Connects over the socket as the superuser.
    pub fn connect(&self, database: &str) -> Raw {
        self.socket(SUPERUSER, database).open()
    }

    /// Prepares a connection over the socket.
    pub fn socket(&self, role: &str, database: &str) -> Connect {
        Connect::unix(self.scratch.path().join(format!(".s.PGSQL.{}", self.port)))
            .user(role)
            .database(database)
    }

    /// Runs SQL in the database `postgres` as the superuser and returns its rows as `psql -XAt` would print them.
    ///
    /// # Panics
    /// The server answers with an error.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_in("postgres", sql)
    }

    /// Runs SQL in a database as the superuser; see [`Cluster::psql`].
    pub fn psql_in(&self, database: &str, sql: &str) -> String {
        self.connect(database).rows(sql)
    }

    /// Makes an empty database, dropping one of that name with its sessions.
    pub fn fresh_database(&self, name: &str, owner: &str) {
        let mut raw = self.connect("postgres");
        raw.rows(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        raw.rows(&format!("CREATE DATABASE \"{name}\" OWNER \"{owner}\" TEMPLATE template0"));
    }

    /// Shuts down fast (as `pg_ctl stop -m fast`), and hard if that takes long. Does nothing if it is stopped.
    pub fn stop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            postmaster.signal("INT");
            if postmaster.wait(Duration::from_secs(10)).is_none() {
                postmaster.signal("QUIT");
                let _ = postmaster.wait(Duration::from_secs(5));
            }
        }
    }

    /// Starts again after [`Cluster::stop`], with the same data and port. Does nothing if it runs.
    pub fn resume(&mut self) {
        if self.postmaster.is_some() {
            return;
        }
        let keep_port = self.port != 0;
        for _ in 0..10 {
            if !keep_port {
                self.port = free_port();
            }
            if self.try_start() {
                return;
            }
            let taken =
                self.log().contains("could not bind") || self.log().contains("could not create any TCP");
            assert!(!keep_port && taken, "{} does not start:\n{}", self.version, self.log());
        }
        panic!("{} finds no free port:\n{}", self.version, self.log());
    }

    fn try_start(&mut self) -> bool {
        let log = File::create(self.log_file()).expect("own directory");
        let mut command = guarded(self.version.program("postgres"), "INT", service_user());
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.arg("-k").arg(self.scratch.path()).current_dir(self.scratch.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let mut postmaster = Process::spawn(clean(command)).expect("setpriv");
        let socket = self.socket(SUPERUSER, "postgres");
        let ready = poll(START_LIMIT, || {
            if postmaster.ended().is_some() { Some(false) } else { socket.try_open().ok().map(|_| true) }
        });
        match ready {
            Some(true) => self.postmaster = Some(postmaster),
            Some(false) => return false,
            None => panic!("{} is not ready after {START_LIMIT:?}:\n{}", self.version, self.log()),
        }
        true
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("postgres.log")
    }

    fn configure(&mut self) {
        let data = self.data();
        let mut settings: Vec<(String, String)> =
            SETTINGS.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        settings.push(("listen_addresses".into(), Ipv4Addr::LOCALHOST.to_string()));
        if self.options.ssl {
            self.add_certificate();
            settings.push(("ssl".into(), "on".into()));
        }
        settings.extend(self.options.settings.iter().cloned());
        let lines =
            settings.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")));
        put(&data.join("postgresql.auto.conf"), &lines.collect::<String>(), 0o600);

        let hba = self.options.hba.as_deref().unwrap_or("host all all all trust");
        put(&data.join("pg_hba.conf"), &format!("local all all trust\n{hba}\n"), 0o600);
    }

    fn add_certificate(&mut self) {
        let authority = Authority::new("testkit");
        let server = authority.issue(&["localhost", "127.0.0.1", "::1"]);
        put(&self.authority_file(), authority.certificate(), 0o644);
        put(&self.data().join("server.crt"), &server.certificate, 0o600);
        put(&self.data().join("server.key"), &server.key, 0o600);
        self.authority = Some(authority);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let text = format!("{} kept in {}\n", self.version, self.scratch.path().display());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on port {}", self.version, self.port)
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn service_user() -> Option<&'static str> {
    is_root().then_some(SERVICE_USER)
}

/// Returns user and group of [`SERVICE_USER`] from `/etc/passwd`.
fn service_ids() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = passwd.lines().find(|line| line.split(':').next() == Some(SERVICE_USER));
    let line = line.unwrap_or_else(|| panic!("there is no user {SERVICE_USER:?}: run `make setup`"));
    let id =
        |index| line.split(':').nth(index).and_then(|text| text.parse().ok()).expect("an id in /etc/passwd");
    (id(2), id(3))
}

fn give_to_service(path: &Path) {
    if is_root() {
        let (user, group) = service_ids();
        chown(path, Some(user), Some(group))
            .unwrap_or_else(|error| panic!("can't give away {path:?}: {error}"));
    }
}

fn put(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap_or_else(|error| panic!("can't write {path:?}: {error}"));
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("own file");
    give_to_service(path);
}

/// Removes from a command's environment what would change libpq's or the server's mind.
fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
    command
}

fn run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}

/// Copies the version's template, making it first if it is not there yet.
fn copy_template(version: Version, data: &Path) {
    let template = template(version);
    let mut copy = guarded("cp", "KILL", service_user());
    copy.args(["-a", "--reflink=auto", "--"]).arg(&template).arg(data);
    run(copy);
}

fn template(version: Version) -> PathBuf {
    let initdb = version.program("initdb");
    let output = Command::new(&initdb).arg("--version").output().expect("initdb");
    let release: String = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .expect("a version number")
        .into();
    let user = fs::metadata("/proc/self").expect("/proc").uid();
    let templates = env::temp_dir().join(format!("gatepost-templates-{user}"));
    fs::create_dir_all(&templates).unwrap_or_else(|error| panic!("can't make {templates:?}: {error}"));
    fs::set_permissions(&templates, Permissions::from_mode(0o755))
        .unwrap_or_else(|error| panic!("{templates:?} is not ours: {error}"));

    let lock = File::create(templates.join("lock")).expect("own directory");
    lock.lock().expect("a lock");
    let template = templates.join(format!("{release}-{TEMPLATE_FORMAT}"));
    if !template.exists() {
        let unfinished = templates.join("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir(&unfinished).expect("own directory");
        give_to_service(&unfinished);
        let mut command = guarded(initdb, "KILL", service_user());
        command.arg("-D").arg(&unfinished).current_dir("/").args(["-U", SUPERUSER, "-A", "trust", "-N"]);
        command.args(["--encoding=UTF8", "--locale=C", "--wal-segsize=1"]);
        run(clean(command));
        fs::rename(&unfinished, &template).expect("own directory");
    }
    template
}
