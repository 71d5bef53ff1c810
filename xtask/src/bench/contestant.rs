//! Who competes: nothing, a plain relay, PgBouncer in session mode, and Gatepost with policy, mask and audit.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::client::Connect;
use testkit::gatepost::Gateway;
use testkit::postgres::Cluster;
use testkit::process::{Process, free_port, guarded, poll};
use testkit::scratch::Scratch;

use super::scene::{NAME, Scene};

/// Something to run the load through.
pub(crate) struct Contestant {
    /// As the report calls it.
    pub(crate) name: &'static str,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// What clients give as their password; empty for none.
    pub(crate) password: String,
    /// The process between; `None` for the direct connection.
    pub(crate) pid: Option<u32>,
    _processes: Vec<Process>,
    _gateway: Option<Gateway>,
}

impl Contestant {
    /// Prepares a connection as the load's role.
    pub(crate) fn connect(&self) -> Connect {
        Connect::tcp(self.address).user(NAME).database(NAME).password(&self.password)
    }

    /// Returns the CPU time that the process has used, user's and system's; 0 for the direct connection.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let Some(pid) = self.pid else { return 0.0 };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
        // Fields 14 and 15 (proc(5)), counted after the name in parentheses; in ticks of 1/100 s on every Linux.
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn resident_bytes(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid?)).expect("a living process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        Some(line.split_whitespace().nth(1).expect("kB").parse::<f64>().expect("a number") * 1024.0)
    }
}

/// Starts all, in the order of the report.
pub(crate) fn all(scene: &Scene) -> Vec<Contestant> {
    vec![direct(scene), relay(scene), pgbouncer(scene), gatepost(scene)]
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn direct(scene: &Scene) -> Contestant {
    let address = scene.cluster.address();
    Contestant {
        name: "direct",
        address,
        password: String::new(),
        pid: None,
        _processes: vec![],
        _gateway: None,
    }
}

fn started(name: &'static str, port: u16, process: Process) -> Contestant {
    let address = loopback(port);
    let up = poll(Duration::from_secs(20), || TcpStream::connect(address).ok());
    assert!(up.is_some(), "{name} does not listen on {address}");
    let pid = Some(process.id());
    Contestant { name, address, password: String::new(), pid, _processes: vec![process], _gateway: None }
}

fn relay(scene: &Scene) -> Contestant {
    let port = free_port();
    let mut command = guarded(env::current_exe().expect("our own path"), "KILL", None);
    command.arg("relay").arg(loopback(port).to_string()).arg(scene.cluster.address().to_string());
    started("plain relay", port, Process::spawn(command).expect("the relay"))
}

fn pgbouncer(scene: &Scene) -> Contestant {
    let port = free_port();
    let users = scene.scratch.write("users.txt", format!("\"{NAME}\" \"{NAME}\"\n"));
    let config = format!(
        "[databases]\n{NAME} = host=127.0.0.1 port={} dbname={NAME} user={NAME}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
         auth_file = {}\npool_mode = session\nmax_client_conn = 1000\ndefault_pool_size = 300\n\
         ignore_startup_parameters = extra_float_digits\nlog_connections = 0\nlog_disconnections = 0\n",
        scene.cluster.port(),
        users.display()
    );
    let config = scene.scratch.write("pgbouncer.ini", config);
    for file in [&users, &config] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("own file");
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let mut command = guarded("pgbouncer", "KILL", root.then_some("postgres"));
    command.arg("-q").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    started("PgBouncer", port, Process::spawn(command).expect("pgbouncer"))
}

const POLICY: &str = r#"// The load reads and writes; one column comes masked.
permit (principal in Group::"bench", action, resource) unless { resource has tags && resource.tags.contains("pii") };
permit (principal in Group::"bench", action == Action::"select", resource) when { context.masked };
"#;

const BUNDLE: &str = r#"name = "bench"
version = "1"
[tags]
"public.wide_masked.h" = ["pii"]
"public.pgbench_accounts.filler" = ["pii"]
[masks]
pii = "redact"
"#;

fn gatepost(scene: &Scene) -> Contestant {
    let login = "kind = \"static\", user = \"env:BENCH_USER\", password = \"env:BENCH_USER\"";
    gatepost_as("Gatepost", &scene.cluster, login, &[("BENCH_USER", NAME)])
}

/// Starts a gateway that logs in so: `login` is what stands in the table of that name.
pub(super) fn gatepost_as(
    name: &'static str,
    cluster: &Cluster,
    login: &str,
    environment: &[(&str, &str)],
) -> Contestant {
    let binary = binary();
    let home = Scratch::new("bench-gatepost");
    home.write("policy/bundle.toml", BUNDLE);
    home.write("policy/bench.cedar", POLICY);
    let keys = home.path().join("keys");
    let issuer_port = free_port();
    let issuer_address = loopback(issuer_port).to_string();

    let mut command = guarded(&binary, "KILL", None);
    command.args(["dev-issuer", "--listen", &issuer_address, "--key-dir"]).arg(&keys);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let issuer =
        started("development issuer", issuer_port, Process::spawn(command).expect("gatepost dev-issuer"));

    let token = Command::new(&binary)
        .args([
            "dev-token",
            NAME,
            "--groups",
            NAME,
            "--lifetime",
            "1d",
            "--listen",
            &issuer_address,
            "--key-dir",
        ])
        .arg(&keys)
        .output()
        .expect("gatepost dev-token");
    assert!(token.status.success(), "dev-token: {}", String::from_utf8_lossy(&token.stderr));

    let config = format!(
        "[listen]\npostgres = \"127.0.0.1:0\"\n\
         [[issuer]]\nname = \"dev\"\nurl = \"http://{issuer_address}/dev\"\naudience = \"gatepost\"\n\
         subject = \"sub\"\ngroups = \"groups\"\n\
         [[database]]\nname = \"{NAME}\"\nupstream = \"postgres://127.0.0.1:{}/{NAME}?sslmode=disable\"\n\
         login = {{ {login} }}\npolicy = \"policy\"\n\
         [journal]\npath = \"journal\"\n",
        cluster.port()
    );
    let gateway = Gateway::start_in(home, &binary, &config, environment);
    Contestant {
        name,
        address: gateway.postgres(),
        password: String::from_utf8(token.stdout).expect("a token").trim().into(),
        pid: Some(gateway.pid()),
        _processes: issuer._processes,
        _gateway: Some(gateway),
    }
}

/// Returns the gateway's binary: `GATEPOST_BIN`, or the one built beside us.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = env::var_os("GATEPOST_BIN") {
        return fs::canonicalize(path).expect("GATEPOST_BIN");
    }
    let path = env::current_exe()
        .expect("our own path")
        .parent()
        .map(Path::to_owned)
        .expect("a folder")
        .join("gatepost");
    assert!(path.exists(), "{path:?} is not there: the Makefile's targets build it");
    path
}
