//! HashiCorp Vault and OpenBao, by their HTTP API: reading a path, and the gateway's own token. Knows no login.
//!
//! Source of paths, members and statuses: Vault's API documentation, "KV secrets engine", "Database secrets engine", "/sys/leases",
//! "Token", "AppRole", "Kubernetes" and "JWT" auth methods; OpenBao has the same.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use config::{VaultMethod, VaultRef};
use model::Secret;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::{Http, HttpFault, Known};
use super::lease::{self, Lease};
use super::local::Mode;
use super::{SECRET_BYTES_MAX, SecretFault, fetch_here};

/// How much of what the server says goes into an error, in characters.
const TOLD_CHARS_MAX: usize = 300;

/// A token whose use is over is kept no shorter than this, lest each session of a quiet gateway log in to Vault.
const KEPT_MIN: Duration = Duration::from_secs(1);

/// How long the end of the gateway waits for revocations.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Why Vault gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultFault {
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("the gateway's own credential for Vault can't be fetched: {0}")]
    Own(#[source] Box<SecretFault>),
    #[error(
        "{server} refuses the gateway's login at \"{path}\" (status {status}){told}; check method, mount and role in [vault]"
    )]
    Login { server: String, path: String, status: u16, told: String },
    #[error(
        "{server} denies \"{path}\" (status 403){told}; the token is not valid any more, or its policies lack \"read\" there"
    )]
    Denied { server: String, path: String, told: String },
    #[error(
        "{server} has nothing at \"{path}\" (status 404){told}; for KV version 2, \"data/\" follows the mount: secret/data/app"
    )]
    Nothing { server: String, path: String, told: String },
    #[error("{server} is sealed or not ready (status {status}){told}")]
    NotReady { server: String, status: u16, told: String },
    #[error("{server} answered \"{path}\" with status {status}{told}")]
    Status { server: String, path: String, status: u16, told: String },
    #[error("{server} answered \"{path}\" with something else than Vault does; is it a Vault server?")]
    NoVault { server: String, path: String },
    #[error("what {server} has at \"{path}\" has no text \"{field}\"; there are {there}")]
    NoField { server: String, path: String, field: String, there: String },
    #[error("the request was abandoned")]
    Abandoned,
}

/// What Vault has at a path.
pub(super) struct Answer {
    server: String,
    path: String,
    fields: HashMap<String, Secret<String>>,
    /// Names of all members of what was found.
    there: String,
    lease: Option<Lease>,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Result<Secret<String>, SecretFault> {
        match self.fields.get(name) {
            Some(value) if value.expose().is_empty() => Err(SecretFault::Empty),
            Some(value) if value.expose().len() > SECRET_BYTES_MAX => Err(SecretFault::TooLong),
            Some(value) if value.expose().contains('\0') => Err(SecretFault::NotText),
            Some(value) => Ok(value.clone()),
            None => Err(SecretFault::Vault(Box::new(VaultFault::NoField {
                server: self.server.clone(),
                path: self.path.clone(),
                field: name.to_owned(),
                there: self.there.clone(),
            }))),
        }
    }

    pub(super) fn into_lease(self) -> Option<Lease> {
        self.lease
    }
}

static CLIENTS: Known<Arc<config::Vault>, Client> = LazyLock::new(Mutex::default);

fn client(server: &Arc<config::Vault>) -> Arc<Client> {
    let mut clients = CLIENTS.lock();
    clients.entry(server.clone()).or_insert_with(|| Arc::new(Client::new(server.clone()))).clone()
}

/// Reads a path. What has a lease is renewed from now on, until the answer or its lease is dropped.
pub(super) async fn read(reference: &VaultRef) -> Result<Answer, SecretFault> {
    let (client, path) = (client(reference.server()), reference.path().to_owned());
    // A task of its own: whoever gives up waiting must not leave a lease that nobody knows of.
    let read = tokio::spawn(async move { client.read(&path).await });
    read.await.unwrap_or(Err(VaultFault::Abandoned)).map_err(|fault| SecretFault::Vault(Box::new(fault)))
}

/// See [`super::close`].
pub(super) async fn close() {
    let clients: Vec<_> = CLIENTS.lock().drain().map(|(_, client)| client).collect();
    for client in clients {
        let mut leases = client.leases.subscribe();
        let none_left = leases.wait_for(|open| *open == 0);
        if !matches!(tokio::time::timeout(CLOSE_LIMIT, none_left).await, Ok(Ok(_))) {
            tracing::warn!(server = client.http.server(), "leases are left to end by themselves");
        }
        client.sign_off().await;
    }
}

/// The gateway's token, as long as anybody uses it.
pub(super) struct Held {
    token: Secret<String>,
    /// By a login of the gateway's own, so that it is the gateway's to revoke.
    own: bool,
    got: Instant,
}

/// One `[vault]` section at work.
pub(super) struct Client {
    config: Arc<config::Vault>,
    http: Http,
    held: tokio::sync::Mutex<Option<Arc<Held>>>,
    /// How many leases are being kept.
    pub(super) leases: watch::Sender<usize>,
}

/// What was answered with a status of success.
pub(super) struct Reply(Value);

impl Reply {
    fn seconds(value: Option<&Value>) -> Duration {
        Duration::from_secs(value.and_then(Value::as_u64).unwrap_or(0))
    }

    /// Returns how long what was asked for lasts.
    pub(super) fn lease_duration(&self) -> Duration {
        Self::seconds(self.0.get("lease_duration"))
    }

    pub(super) fn is_renewable(&self) -> bool {
        self.0.get("renewable").and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Wipes every text, for programs whose allocator does not.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Client {
    fn new(config: Arc<config::Vault>) -> Self {
        let http = Http::new(&config.address, config.ca.as_deref(), config.timeout);
        Self { config, http, held: tokio::sync::Mutex::default(), leases: watch::Sender::new(0) }
    }

    pub(super) fn server(&self) -> &str {
        self.http.server()
    }

    async fn read(self: &Arc<Self>, path: &str) -> Result<Answer, VaultFault> {
        let held = self.token().await?;
        match self.call(Method::GET, path, Some(&held.token), None).await {
            // It may have been revoked: once more with another one.
            Err(VaultFault::Denied { .. }) if held.got.elapsed() > KEPT_MIN => {
                self.forget(&held).await;
                let held = self.token().await?;
                let reply = self.call(Method::GET, path, Some(&held.token), None).await?;
                self.answer(path, reply, held)
            }
            reply => self.answer(path, reply?, held),
        }
    }

    fn answer(self: &Arc<Self>, path: &str, reply: Reply, held: Arc<Held>) -> Result<Answer, VaultFault> {
        let server = || self.server().to_owned();
        let no_vault = || VaultFault::NoVault { server: server(), path: path.to_owned() };
        let lease_id = reply.0.get("lease_id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let lease = lease_id.map(|id| lease::keep(self.clone(), held, id.to_owned(), &reply));
        let data = reply.0.get("data").and_then(Value::as_object).ok_or_else(no_vault)?;
        // KV version 2 wraps the secret, and says which version it is.
        let version = data.get("metadata").and_then(|metadata| metadata.get("version"));
        let fields = match (version.and_then(Value::as_u64), data.get("data")) {
            (Some(_), Some(inner)) if lease.is_none() => inner.as_object().ok_or_else(no_vault)?,
            _ => data,
        };
        let mut there: Vec<_> = fields.keys().map(|name| format!("\"{}\"", name.escape_debug())).collect();
        there.sort_unstable();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let texts = fields.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?)));
        let fields = texts.map(|(name, text)| (name, Secret::new(text.to_owned()))).collect();
        let there = there.chars().take(TOLD_CHARS_MAX).collect();
        Ok(Answer { server: server(), path: path.to_owned(), fields, there, lease })
    }

    /// Returns the gateway's token, by logging in if there is none.
    async fn token(self: &Arc<Self>) -> Result<Arc<Held>, VaultFault> {
        let mut known = self.held.lock().await;
        let held = match &self.config.method {
            VaultMethod::Token { token } => {
                let token = own(token, Mode::Private).await?;
                if let Some(held) = &*known
                    && held.token.expose() == token.expose()
                {
                    return Ok(held.clone());
                }
                let held = Arc::new(Held { token, own: false, got: Instant::now() });
                // Not every token may look itself up; then it is used as it is.
                if let Ok(about) =
                    self.call(Method::GET, "auth/token/lookup-self", Some(&held.token), None).await
                {
                    let data = about.0.get("data").unwrap_or(&Value::Null);
                    let renewable = data.get("renewable").and_then(Value::as_bool).unwrap_or(false);
                    self.keep_up(&held, Reply::seconds(data.get("ttl")), renewable);
                }
                held
            }
            method => {
                if let Some(held) = &*known {
                    return Ok(held.clone());
                }
                self.log_in(method).await?
            }
        };
        *known = Some(held.clone());
        Ok(held)
    }

    async fn log_in(self: &Arc<Self>, method: &VaultMethod) -> Result<Arc<Held>, VaultFault> {
        let (mount, body) = match method {
            VaultMethod::AppRole { mount, role_id, secret_id } => {
                let role_id = own(role_id, Mode::Private).await?;
                let mut body = json!({ "role_id": role_id.expose() });
                if let (Some(secret_id), Some(members)) = (secret_id, body.as_object_mut()) {
                    let secret_id = own(secret_id, Mode::Private).await?;
                    members.insert("secret_id".to_owned(), Value::from(secret_id.expose().as_str()));
                }
                (mount, body)
            }
            VaultMethod::Jwt { mount, role, jwt } => {
                let jwt = own(jwt, Mode::Mounted).await?;
                (mount, json!({ "role": role, "jwt": jwt.expose() }))
            }
            // It is never logged in with.
            VaultMethod::Token { .. } => return Err(VaultFault::Abandoned),
        };
        let path = format!("auth/{mount}/login");
        let reply = self.call(Method::POST, &path, None, Some(body)).await.map_err(|fault| match fault {
            VaultFault::Status { server, path, status, told } => {
                VaultFault::Login { server, path, status, told }
            }
            VaultFault::Denied { server, path, told } => {
                VaultFault::Login { server, path, status: 403, told }
            }
            VaultFault::Nothing { server, path, told } => {
                VaultFault::Login { server, path, status: 404, told }
            }
            other => other,
        })?;
        let auth = reply.0.get("auth").unwrap_or(&Value::Null);
        let token = auth.get("client_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| VaultFault::NoVault { server: self.server().to_owned(), path })?;
        let held = Arc::new(Held { token: Secret::new(token.to_owned()), own: true, got: Instant::now() });
        let renewable = auth.get("renewable").and_then(Value::as_bool).unwrap_or(false);
        self.keep_up(&held, Reply::seconds(auth.get("lease_duration")), renewable);
        tracing::info!(server = self.server(), "logged in to Vault");
        Ok(held)
    }

    /// Renews a token while it is in use; forgets it when it isn't, or is about to end. One without end is not renewed.
    fn keep_up(self: &Arc<Self>, held: &Arc<Held>, ttl: Duration, renewable: bool) {
        if !ttl.is_zero() {
            tokio::spawn(keep_up(Arc::downgrade(self), Arc::downgrade(held), ttl, renewable));
        }
    }

    async fn renew(&self, held: &Held) -> Result<(Duration, bool), VaultFault> {
        let reply =
            self.call(Method::POST, "auth/token/renew-self", Some(&held.token), Some(json!({}))).await?;
        let auth = reply.0.get("auth").unwrap_or(&Value::Null);
        let renewable = auth.get("renewable").and_then(Value::as_bool).unwrap_or(false);
        Ok((Reply::seconds(auth.get("lease_duration")), renewable))
    }

    async fn forget(&self, held: &Arc<Held>) {
        let mut known = self.held.lock().await;
        if known.as_ref().is_some_and(|other| Arc::ptr_eq(other, held)) {
            *known = None;
        }
    }

    async fn sign_off(&self) {
        if let Some(held) = self.held.lock().await.take()
            && held.own
        {
            self.revoke_token(&held).await;
        }
    }

    async fn revoke_token(&self, held: &Held) {
        let revoked =
            self.call(Method::POST, "auth/token/revoke-self", Some(&held.token), Some(json!({}))).await;
        if let Err(error) = revoked {
            tracing::warn!(reason = oidc::chain(&error), "the gateway's token of Vault could not be revoked");
        }
    }

    /// Extends a lease by as long as it had at first.
    pub(super) async fn renew_lease(
        &self,
        held: &Held,
        id: &str,
        increment: Duration,
    ) -> Result<Reply, VaultFault> {
        let body = json!({ "lease_id": id, "increment": increment.as_secs() });
        self.call(Method::PUT, "sys/leases/renew", Some(&held.token), Some(body)).await
    }

    /// Ends a lease; returns when the credential is gone.
    pub(super) async fn revoke_lease(&self, held: &Held, id: &str) -> Result<(), VaultFault> {
        let body = json!({ "lease_id": id, "sync": true });
        self.call(Method::PUT, "sys/leases/revoke", Some(&held.token), Some(body)).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret<String>>,
        body: Option<Value>,
    ) -> Result<Reply, VaultFault> {
        // INVARIANT: a path holds no secret; lease ids and tokens go into bodies and headers.
        let url = format!("{}/v1/{path}", self.server());
        let body = body.map(Reply);
        let answer = self
            .http
            .send(|client| {
                // OpenBao and Vault refuse requests without it where they are told to guard against forgery.
                let mut request = client.request(method, url).header("X-Vault-Request", "true");
                if let Some(namespace) = &self.config.namespace {
                    request = request.header("X-Vault-Namespace", namespace);
                }
                if let Some(token) = token {
                    request = request.header("X-Vault-Token", sensitive(token));
                }
                match &body {
                    Some(body) => request.json(&body.0),
                    None => request,
                }
            })
            .await?;
        let (server, path) = (self.server().to_owned(), path.to_owned());
        let read =
            if answer.body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&answer.body) };
        let reply = Reply(read.unwrap_or(Value::Null));
        let told = || told(&reply.0, token, body.as_ref());
        match answer.status {
            200 if reply.0.is_object() => Ok(reply),
            204 => Ok(reply),
            200 => Err(VaultFault::NoVault { server, path }),
            403 => Err(VaultFault::Denied { server, path, told: told() }),
            404 => Err(VaultFault::Nothing { server, path, told: told() }),
            // Standby, performance standby, uninitialized, sealed ("/sys/health").
            status @ (429 | 472 | 473 | 501 | 503) => {
                Err(VaultFault::NotReady { server, status, told: told() })
            }
            status => Err(VaultFault::Status { server, path, status, told: told() }),
        }
    }
}

fn sensitive(token: &Secret<String>) -> reqwest::header::HeaderValue {
    // A token that can't be in a header is none, and is answered with 403.
    let mut value = reqwest::header::HeaderValue::from_str(token.expose().trim())
        .unwrap_or_else(|_| reqwest::header::HeaderValue::from_static("-"));
    value.set_sensitive(true);
    value
}

async fn own(reference: &config::SecretRef, mode: Mode) -> Result<Secret<String>, VaultFault> {
    // It is never one to Vault or AWS: `config` refuses that.
    fetch_here(reference, mode).await.map_err(|fault| VaultFault::Own(Box::new(fault)))
}

/// Returns what the server says went wrong, without what it was sent.
fn told(reply: &Value, token: Option<&Secret<String>>, sent: Option<&Reply>) -> String {
    let said = ["errors", "warnings"].into_iter().filter_map(|member| reply.get(member)?.as_array());
    let said: Vec<&str> = said.flatten().filter_map(Value::as_str).collect();
    if said.is_empty() {
        return String::new();
    }
    let mut text = said.join("; ");
    let sent = sent.and_then(|sent| sent.0.as_object()).into_iter().flat_map(|members| members.values());
    let secrets =
        token.map(|token| token.expose().as_str()).into_iter().chain(sent.filter_map(Value::as_str));
    for secret in secrets.filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let text: String = text.chars().take(TOLD_CHARS_MAX).collect();
    format!(": {}", text.escape_debug())
}

async fn keep_up(client: Weak<Client>, held: Weak<Held>, ttl: Duration, mut renewable: bool) {
    let mut until = Instant::now() + ttl;
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        tokio::time::sleep((rest * 2 / 3).max(KEPT_MIN)).await;
        let (Some(client), Some(held)) = (client.upgrade(), held.upgrade()) else { return };
        // One is ours, one the client's; more belong to leases and requests.
        if Arc::strong_count(&held) <= 2 {
            client.forget(&held).await;
            if held.own {
                client.revoke_token(&held).await;
            }
            return;
        }
        if !renewable {
            // Whatever comes gets another one; what this one was used for ends with it.
            return client.forget(&held).await;
        }
        match client.renew(&held).await {
            Ok((longer, again)) => {
                // Its largest TTL is near: new leases would end with it.
                (renewable, until) = (again, Instant::now() + longer);
                if longer < ttl / 2 {
                    client.forget(&held).await;
                }
            }
            Err(error) => {
                tracing::warn!(
                    reason = oidc::chain(&error),
                    "the gateway's token of Vault could not be renewed"
                );
                if Instant::now() + KEPT_MIN >= until {
                    return client.forget(&held).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
