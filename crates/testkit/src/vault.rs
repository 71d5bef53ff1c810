//! A double of HashiCorp Vault (and OpenBao) on loopback: the part of the HTTP API that a client of KV, dynamic database credentials,
//! leases, tokens, AppRole and JWT logins sees. No package with the real one was found.
//!
//! Paths, members, statuses and texts of errors are those of Vault's API documentation ("KV secrets engine" 1 and 2, "Database secrets
//! engine", "/sys/leases", "Token", "AppRole", "Kubernetes", "JWT/OIDC"). Dynamic credentials are real: SQL runs on a real
//! PostgreSQL when one is made, extended, revoked or expires.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Runs SQL as the administrator that the database secrets engine has.
pub type Sql = Box<dyn Fn(&str) + Send + Sync>;

/// A running double; its threads end with the process.
#[derive(Clone)]
pub struct Vault {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    sql: Sql,
}

/// How a dynamic role makes credentials.
#[derive(Clone)]
pub struct Role {
    /// `{{name}}` and `{{password}}` are replaced.
    pub creation: String,
    /// Likewise `{{name}}`.
    pub revocation: String,
    /// The lease's duration, in seconds.
    pub ttl: u64,
    /// The longest that renewal extends it to, in seconds.
    pub max_ttl: u64,
}

#[derive(Clone)]
struct Token {
    until: Option<Instant>,
    ttl: u64,
    renewable: bool,
}

struct Lease {
    id: String,
    name: String,
    role: String,
    until: Instant,
    last: Instant,
}

#[derive(Default)]
struct State {
    tokens: BTreeMap<String, Token>,
    logins: BTreeMap<String, (Value, u64)>,
    kv: BTreeMap<String, Value>,
    roles: BTreeMap<String, Role>,
    leases: Vec<Lease>,
    made: u64,
    namespace: Option<String>,
    answer: Option<(u16, String)>,
    silent: bool,
    requests: Vec<String>,
    credentials: Vec<(String, String)>,
}

impl Vault {
    /// Starts a server that knows one token, [`Vault::ROOT`], without end.
    ///
    /// # Panics
    /// Loopback has no free port.
    pub fn start(sql: Sql) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut state = State::default();
        let root = Token { until: None, ttl: 0, renewable: false };
        state.tokens.insert(Self::ROOT.to_owned(), root);
        let vault = Self { address, inner: Arc::new(Inner { state: Mutex::new(state), sql }) };
        let serving = vault.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        let expiring = vault.inner.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(50));
                expiring.expire();
            }
        });
        vault
    }

    /// A token without end.
    pub const ROOT: &str = "hvs.root-of-the-double-5f1c";

    /// Returns what goes into `address`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a secret where KV version 1 has it: `kv/app`.
    pub fn put_v1(&self, path: &str, data: Value) {
        self.state().kv.insert(path.to_owned(), data);
    }

    /// Puts a new version of a secret where KV version 2 has it: `secret/data/app`.
    pub fn put_v2(&self, path: &str, data: Value) {
        let mut state = self.state();
        let version =
            state.kv.get(path).map_or(0, |old| old["metadata"]["version"].as_u64().unwrap_or(0)) + 1;
        let metadata = json!({
            "created_time": "2026-11-23T18:00:00.000000000Z", "custom_metadata": null, "deletion_time": "",
            "destroyed": false, "version": version,
        });
        state.kv.insert(path.to_owned(), json!({ "data": data, "metadata": metadata }));
    }

    /// Makes `PATH/creds/NAME` give credentials.
    pub fn role(&self, path: &str, role: Role) {
        self.state().roles.insert(path.to_owned(), role);
    }

    /// Accepts a login at `auth/MOUNT/login` with exactly that body, for tokens of that many seconds.
    pub fn login(&self, mount: &str, body: Value, ttl: u64) {
        self.state().logins.insert(format!("auth/{mount}/login"), (body, ttl));
    }

    /// Accepts a further token, renewable if it ends.
    pub fn token(&self, token: &str, ttl: u64) {
        self.state().tokens.insert(token.to_owned(), Token::new(ttl));
    }

    /// Refuses all tokens but the root's from now on, as if somebody had revoked them; their leases stay.
    pub fn revoke_tokens(&self) {
        self.state().tokens.retain(|token, _| token == Self::ROOT);
    }

    /// Answers requests only if they name that namespace.
    pub fn require_namespace(&self, namespace: &str) {
        self.state().namespace = Some(namespace.to_owned());
    }

    /// Answers everything with that status and body, until `None`.
    pub fn answer(&self, with: Option<(u16, &str)>) {
        self.state().answer = with.map(|(status, body)| (status, body.to_owned()));
    }

    /// Takes requests and answers none.
    pub fn fall_silent(&self) {
        self.state().silent = true;
    }

    /// Returns what was asked so far, as `GET secret/data/app`.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Returns how often that was asked.
    pub fn count(&self, request: &str) -> usize {
        self.state().requests.iter().filter(|asked| *asked == request).count()
    }

    /// Returns all users and passwords that it ever made.
    pub fn credentials(&self) -> Vec<(String, String)> {
        self.state().credentials.clone()
    }

    /// Returns the users whose leases are open.
    pub fn open_leases(&self) -> Vec<String> {
        self.state().leases.iter().map(|lease| lease.name.clone()).collect()
    }

    /// Returns the tokens that are good now, but for the root's.
    pub fn tokens(&self) -> Vec<String> {
        let now = Instant::now();
        let state = self.state();
        let live = state.tokens.iter().filter(|(name, token)| *name != Self::ROOT && token.is_good(now));
        live.map(|(name, _)| name.clone()).collect()
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((method, path, headers, body)) = read_request(&stream) else { return };
        if self.state().silent {
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let (status, answer) = self.decide(&method, &path, &headers, &body);
        let text = if answer.is_null() { String::new() } else { answer.to_string() };
        let location = if (300..400).contains(&status) { "Location: http://127.0.0.1:1/\r\n" } else { "" };
        let _ = write!(
            stream,
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
    }

    fn decide(
        &self,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &Value,
    ) -> (u16, Value) {
        let mut state = self.state();
        state.requests.push(format!("{method} {path}"));
        if let Some((status, text)) = &state.answer {
            return (*status, serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())));
        }
        if state.namespace.as_ref() != headers.get("x-vault-namespace") {
            return errors(404, &["no handler for route"]);
        }
        if let Some((expected, ttl)) = state.logins.get(path).cloned() {
            if method != "POST" || *body != expected {
                return errors(400, &["invalid role or secret ID"]);
            }
            state.made += 1;
            let token = format!("hvs.made-{}-{:x}", state.made, random());
            state.tokens.insert(token.clone(), Token::new(ttl));
            return (200, auth(&token, ttl));
        }
        let token = headers.get("x-vault-token").cloned().unwrap_or_default();
        let now = Instant::now();
        let Some(known) = state.tokens.get(&token).filter(|known| known.is_good(now)).cloned() else {
            return errors(403, &["permission denied", "invalid token"]);
        };
        match (method, path) {
            ("GET", "auth/token/lookup-self") => {
                let left = known.until.map_or(0, |until| until.saturating_duration_since(now).as_secs());
                (200, json!({ "data": { "id": token, "ttl": left, "renewable": known.renewable } }))
            }
            ("POST", "auth/token/renew-self") => {
                if !known.renewable {
                    return errors(400, &["lease is not renewable"]);
                }
                state.tokens.insert(token.clone(), Token::new(known.ttl));
                (200, auth(&token, known.ttl))
            }
            ("POST", "auth/token/revoke-self") => {
                state.tokens.remove(&token);
                (204, Value::Null)
            }
            ("PUT", "sys/leases/renew") => state.renew(body, now),
            ("PUT", "sys/leases/revoke") => {
                let at = state
                    .leases
                    .iter()
                    .position(|lease| Some(lease.id.as_str()) == body["lease_id"].as_str());
                let Some(at) = at else { return errors(400, &["invalid lease"]) };
                let lease = state.leases.remove(at);
                let revocation = state.revocation(&lease);
                drop(state);
                (self.inner.sql)(&revocation);
                (204, Value::Null)
            }
            ("GET", path) => match (state.roles.get(path).cloned(), state.kv.get(path)) {
                (Some(role), _) => {
                    let (creation, answer) = state.make(path, &role, now);
                    drop(state);
                    (self.inner.sql)(&creation);
                    (200, answer)
                }
                (None, Some(data)) => (200, envelope("", 2_764_800, false, data)),
                // A version 2 mount that is asked without "data/" says so.
                (None, None) if state.kv.keys().any(|known| known.replacen("/data/", "/", 1) == path) => {
                    let hint = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use.";
                    (404, json!({ "errors": [], "warnings": [hint] }))
                }
                (None, None) => errors(404, &[]),
            },
            _ => errors(405, &["unsupported operation"]),
        }
    }
}

impl Token {
    fn new(ttl: u64) -> Self {
        let until = (ttl > 0).then(|| Instant::now() + Duration::from_secs(ttl));
        Self { until, ttl, renewable: ttl > 0 }
    }

    fn is_good(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl State {
    fn make(&mut self, path: &str, role: &Role, now: Instant) -> (String, Value) {
        self.made += 1;
        let name = format!("v-token-app-{}-{}", self.made, std::process::id());
        let password = format!("{:x}-{:x}", random(), random());
        let id = format!("{path}/{:x}", random());
        let creation = role.creation.replace("{{name}}", &name).replace("{{password}}", &password);
        self.leases.push(Lease {
            id: id.clone(),
            name: name.clone(),
            role: path.to_owned(),
            until: now + Duration::from_secs(role.ttl),
            last: now + Duration::from_secs(role.max_ttl),
        });
        self.credentials.push((name.clone(), password.clone()));
        (creation, envelope(&id, role.ttl, true, &json!({ "username": name, "password": password })))
    }

    fn renew(&mut self, body: &Value, now: Instant) -> (u16, Value) {
        let increment = Duration::from_secs(body["increment"].as_u64().unwrap_or(0));
        let id = body["lease_id"].as_str().unwrap_or_default();
        let Some(lease) = self.leases.iter_mut().find(|lease| lease.id == id) else {
            return errors(400, &["lease not found"]);
        };
        lease.until = (now + increment).min(lease.last);
        let left = lease.until.saturating_duration_since(now).as_secs();
        (200, json!({ "lease_id": id, "renewable": true, "lease_duration": left }))
    }

    fn revocation(&self, lease: &Lease) -> String {
        self.roles[&lease.role].revocation.replace("{{name}}", &lease.name)
    }
}

impl Inner {
    fn expire(&self) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (over, open) =
            std::mem::take(&mut state.leases).into_iter().partition(|lease| lease.until <= now);
        state.leases = open;
        let over: Vec<Lease> = over;
        let statements: Vec<_> = over.iter().map(|lease| state.revocation(lease)).collect();
        drop(state);
        statements.iter().for_each(|statement| (self.sql)(statement));
    }
}

fn envelope(lease_id: &str, duration: u64, renewable: bool, data: &Value) -> Value {
    json!({
        "request_id": "0f2b7c1e-8d0e-4c51-9a55-6f4f5f7f8f90", "lease_id": lease_id, "renewable": renewable,
        "lease_duration": duration, "data": data, "wrap_info": null, "warnings": null, "auth": null,
    })
}

fn auth(token: &str, ttl: u64) -> Value {
    json!({
        "request_id": "0f2b7c1e-8d0e-4c51-9a55-6f4f5f7f8f91", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": null, "warnings": null,
        "auth": { "client_token": token, "accessor": "accessor", "policies": ["default"], "lease_duration": ttl, "renewable": ttl > 0 },
    })
}

fn errors(status: u16, texts: &[&str]) -> (u16, Value) {
    (status, json!({ "errors": texts }))
}

fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

type Request = (String, String, BTreeMap<String, String>, Value);

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.strip_prefix("/v1/")?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, headers, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
