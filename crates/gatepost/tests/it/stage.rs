//! What tests of the whole stand on: PostgreSQL clusters, an OpenID provider and a certificate authority, made when first
//! asked for and shared by the tests of this process; and for each test a shop database, a gateway and a journal of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use testkit::client::{Connect, Raw};
use testkit::gatepost::Gateway;
use testkit::oidc::Provider;
use testkit::postgres::{Cluster, Options, Version};
use testkit::process::poll;
use testkit::scratch::Scratch;
use testkit::tls::Authority;

use crate::support::Ran;

/// The role that the gateway logs in as, and its password: what no client may ever see.
pub(crate) const LOGIN: &str = "shop_app";
pub(crate) const LOGIN_PASSWORD: &str = "Up5tream-0nly-s3cret";

/// How long something may take that has no reason to take long.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gatepost"))
}

/// Returns a folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Returns the cluster of a version: TLS and SCRAM for those who come by TCP.
pub(crate) fn cluster(version: Version) -> &'static Cluster {
    static CLUSTERS: [OnceLock<Cluster>; Version::SUPPORTED.len()] =
        [const { OnceLock::new() }; Version::SUPPORTED.len()];
    CLUSTERS[version as usize].get_or_init(|| cluster_with_shop(version, "shop_template"))
}

/// Starts a cluster with the gateway's login, and the example shop in a database of that name.
pub(crate) fn cluster_with_shop(version: Version, database: &str) -> Cluster {
    let hba = "hostssl all all all scram-sha-256".to_owned();
    let options = Options { ssl: true, hba: Some(hba), ..Options::default() };
    let cluster = Cluster::start(version, options.setting("max_connections", "200"));
    cluster.psql(&format!("CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN_PASSWORD}'"));
    // Trees in the server's log would make it huge.
    cluster.psql(&format!("ALTER ROLE {LOGIN} SET log_min_messages = fatal"));
    cluster.psql(&format!("CREATE DATABASE {database}"));
    for file in ["schema.sql", "data.sql"] {
        let path = repository("examples/shop").join(file);
        let sql = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        cluster.psql_in(database, &sql);
    }
    cluster
}

/// The OpenID provider, with an agent in each group that the shop's policy knows.
pub(crate) fn provider() -> &'static Provider {
    static PROVIDER: OnceLock<Provider> = OnceLock::new();
    PROVIDER.get_or_init(|| Provider::with_clients(&CLIENTS))
}

/// Agents and their groups.
pub(crate) const CLIENTS: [&str; 6] = [
    "support-agent=support-agents",
    "analyst=analysts",
    "admin=dba",
    "anybody=everyone",
    "nobody=",
    "clerk=clerks",
];

/// Returns a token of an agent; the same for some minutes, since a provider takes its time.
pub(crate) fn token(agent: &str) -> String {
    static TOKENS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut tokens = TOKENS.lock().unwrap();
    let new = || provider().token_for(agent, "https://gatepost.test/es256?ttl=3600");
    tokens.entry(agent.to_owned()).or_insert_with(new).clone()
}

/// The authority whose certificate the gateways show.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("gatepost tests"))
}

/// A database of the test's own.
pub(crate) struct Shop {
    pub(crate) cluster: &'static Cluster,
    pub(crate) database: String,
}

impl Shop {
    /// Makes a copy of the example shop.
    pub(crate) fn new(version: Version) -> Self {
        let cluster = cluster(version);
        let shop = Self { cluster, database: fresh_name() };
        // A copy needs the original to itself for a moment.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cluster.psql(&format!("CREATE DATABASE \"{}\" TEMPLATE shop_template", shop.database));
        shop
    }

    /// Runs SQL as the superuser, past the gateway.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.psql_in(&self.database, sql)
    }

    /// Connects as the gateway does, past the gateway.
    pub(crate) fn bare(&self) -> Connect {
        self.bare_as(LOGIN)
    }

    /// Connects past the gateway as a role with [`LOGIN_PASSWORD`].
    pub(crate) fn bare_as(&self, role: &str) -> Connect {
        let connect = Connect::tcp(self.cluster.address()).tls(self.cluster.authority());
        connect.user(role).password(LOGIN_PASSWORD).database(&self.database)
    }
}

/// Returns a name that no other database of this process has.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("it_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a gateway is started with. The defaults: TLS on loopback, the shared provider, the shop enforced by its example
/// policy.
pub(crate) struct Setup {
    pub(crate) listen: String,
    pub(crate) tls: bool,
    /// Lines that go into `[listen]`.
    pub(crate) listen_keys: String,
    pub(crate) issuers: Vec<(String, String)>,
    /// Lines that go into each `[[issuer]]`.
    pub(crate) issuer_keys: String,
    /// Lines that go into `[[database]]`.
    pub(crate) database_keys: String,
    /// What `login` is, in place of a static one from the environment.
    pub(crate) login: Option<String>,
    /// Lines that go into `[journal]`, in place of its path.
    pub(crate) journal_keys: String,
    /// Further sections.
    pub(crate) sections: String,
    /// The folder that is copied to `policy/`.
    pub(crate) policy: PathBuf,
    /// Where the database is, in place of the shop's own place.
    pub(crate) upstream: Option<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            tls: true,
            listen_keys: String::new(),
            issuers: vec![("corp".into(), provider().issuer())],
            issuer_keys: String::new(),
            database_keys: String::new(),
            login: None,
            journal_keys: "path = \"journal\"".into(),
            sections: String::new(),
            policy: repository("examples/shop/policy/shop"),
            upstream: None,
            environment: Vec::new(),
        }
    }
}

impl Setup {
    /// Writes configuration, policy and certificate to a folder.
    pub(crate) fn write(&self, home: &Scratch, cluster: &Cluster, database: &str) -> String {
        use std::fmt::Write as _;
        copy_folder(&self.policy, &home.path().join("policy"));
        home.write("upstream-ca.crt", cluster.authority());
        home.write("ca.crt", authority().certificate());
        let mut text = format!("[listen]\npostgres = \"{}\"\n", self.listen);
        if self.tls {
            let server = authority().issue(&["localhost", "127.0.0.1"]);
            home.write("server.crt", server.certificate);
            let key = home.write("server.key", server.key);
            fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            text += "tls = { certificate = \"server.crt\", key = \"file:server.key\" }\n";
        }
        let _ = writeln!(text, "{}", self.listen_keys);
        for (name, url) in &self.issuers {
            let keys = &self.issuer_keys;
            let _ = write!(
                text,
                "[[issuer]]\nname = \"{name}\"\nurl = \"{url}\"\naudience = \"gatepost\"\n{keys}\n"
            );
        }
        let upstream = self.upstream.clone().unwrap_or_else(|| {
            let port = cluster.port();
            format!("postgres://127.0.0.1:{port}/{database}?sslmode=verify-full&sslrootcert=upstream-ca.crt")
        });
        let from_environment = r#"kind = "static", user = "env:SHOP_USER", password = "env:SHOP_PASSWORD""#;
        let login = self.login.as_deref().unwrap_or(from_environment);
        let _ = write!(
            text,
            "[[database]]\nname = \"shop\"\nupstream = \"{upstream}\"\npolicy = \"policy\"\n\
             login = {{ {login} }}\n{}\n\
             [journal]\n{}\n{}\n",
            self.database_keys, self.journal_keys, self.sections
        );
        text
    }

    /// Starts a gateway in front of a shop.
    pub(crate) fn start(self, shop: Shop) -> Gate {
        self.start_in(Scratch::new("gatepost"), shop)
    }

    /// Starts a gateway in a folder that was prepared before.
    pub(crate) fn start_in(self, home: Scratch, shop: Shop) -> Gate {
        let config = self.write(&home, shop.cluster, &shop.database);
        let mut environment: Vec<(&str, &str)> =
            vec![("SHOP_USER", LOGIN), ("SHOP_PASSWORD", LOGIN_PASSWORD)];
        environment.extend(self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let gateway = Gateway::start_in(home, binary(), &config, &environment);
        Gate { gateway, shop, tls: self.tls }
    }
}

/// A gateway in front of a shop.
pub(crate) struct Gate {
    pub(crate) gateway: Gateway,
    pub(crate) shop: Shop,
    tls: bool,
}

impl Gate {
    /// Starts a gateway as [`Setup::default`] says in front of a new shop.
    pub(crate) fn new(version: Version) -> Self {
        Self::new_in(Shop::new(version))
    }

    /// Starts a gateway as [`Setup::default`] says in front of that shop.
    pub(crate) fn new_in(shop: Shop) -> Self {
        Setup::default().start(shop)
    }

    /// Takes a gateway that was started in another way, with TLS.
    pub(crate) const fn of(gateway: Gateway, shop: Shop) -> Self {
        Self { gateway, shop, tls: true }
    }

    /// Starts it again after it has ended.
    pub(crate) fn restart(&mut self) {
        self.gateway.restart(binary(), &[("SHOP_USER", LOGIN), ("SHOP_PASSWORD", LOGIN_PASSWORD)]);
    }

    /// Prepares an agent's connection, with TLS if the gateway has it.
    pub(crate) fn connect(&self, agent: &str) -> Connect {
        self.connect_to(agent, "shop")
    }

    /// Prepares a connection with that token, without a user.
    pub(crate) fn connect_with(&self, token: &str) -> Connect {
        self.prepare("shop", token)
    }

    /// Prepares an agent's connection to a database by its name in the configuration.
    pub(crate) fn connect_to(&self, agent: &str, database: &str) -> Connect {
        self.prepare(database, &token(agent)).user(agent)
    }

    fn prepare(&self, database: &str, token: &str) -> Connect {
        let connect = Connect::tcp(self.gateway.postgres()).database(database).password(token);
        if self.tls { connect.tls(authority().certificate()) } else { connect }
    }

    /// Connects an agent.
    pub(crate) fn open(&self, agent: &str) -> Raw {
        self.connect(agent).open()
    }

    /// Returns the file of the authority that clients need to trust.
    pub(crate) fn authority_file(&self) -> PathBuf {
        self.gateway.home().join("ca.crt")
    }

    /// Returns what libpq needs in the environment for stock clients to connect as an agent, TLS checked in full.
    pub(crate) fn libpq(&self, agent: &str) -> Vec<(&'static str, String)> {
        vec![
            ("PGHOST", "localhost".into()),
            ("PGHOSTADDR", "127.0.0.1".into()),
            ("PGPORT", self.gateway.postgres().port().to_string()),
            ("PGDATABASE", "shop".into()),
            ("PGUSER", agent.into()),
            ("PGPASSWORD", token(agent)),
            ("PGSSLMODE", "verify-full".into()),
            ("PGSSLROOTCERT", self.authority_file().display().to_string()),
            ("PGCONNECT_TIMEOUT", "20".into()),
        ]
    }

    /// Runs the binary in the gateway's folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.gateway.home());
        command.env("SHOP_USER", LOGIN).env("SHOP_PASSWORD", LOGIN_PASSWORD);
        command.env_remove("GATEPOST_CONFIG").env_remove("RUST_LOG");
        command.output().unwrap().into()
    }

    /// Returns the records that `audit query` gives for further arguments.
    #[track_caller]
    pub(crate) fn audit(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["audit", "query", "--format", "jsonl"];
        all.extend(arguments);
        let ran = self.run(&all);
        assert_eq!(ran.status, Some(0), "{ran:#?}");
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the records of the statements with that text, once there are `count` and each has its outcome, if it is one
    /// that ran.
    #[track_caller]
    pub(crate) fn statements(&self, text: &str, count: usize) -> Vec<Value> {
        let whole = || {
            let found = self.audit(&["--event", "statement", "--text", text]);
            let settled =
                found.iter().all(|record| !record["outcome"].is_null() || !record["sqlstate"].is_null());
            (found.len() >= count && settled).then_some(found)
        };
        match poll(SOON, whole) {
            Some(found) => {
                assert_eq!(found.len(), count, "{text}: {found:#?}");
                found
            }
            None => panic!("{text}: {:#?}", self.audit(&["--event", "statement", "--text", text])),
        }
    }

    /// Returns the record of the one statement with that text.
    #[track_caller]
    pub(crate) fn statement(&self, text: &str) -> Value {
        self.statements(text, 1).remove(0)
    }

    /// Returns the folder of the policy in force.
    pub(crate) fn policy(&self) -> PathBuf {
        self.gateway.home().join("policy")
    }

    /// Waits until there are `count` records of an event, and returns them.
    #[track_caller]
    pub(crate) fn events(&self, event: &str, count: usize) -> Vec<Value> {
        let found = poll(SOON, || Some(self.audit(&["--event", event])).filter(|found| found.len() >= count));
        found.unwrap_or_else(|| panic!("fewer than {count} {event}: {:#?}", self.audit(&["--event", event])))
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let entries = fs::read_dir(from).unwrap_or_else(|error| panic!("{from:?}: {error}"));
    for entry in entries.map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
