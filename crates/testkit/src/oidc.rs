//! A certified OpenID provider on loopback: npm's `oidc-provider`, driven by `oidc-provider/provider.mjs`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, guarded, node, tools};

/// Whose tokens the provider signs if no audience is asked for.
pub const AUDIENCE: &str = "gatepost";

/// A running provider; ends on drop.
pub struct Provider {
    process: Process,
    port: u16,
}

impl Provider {
    /// Starts a provider with the clients that `provider.mjs` has by default: `support-agent` in group
    /// `support-agents`, `analyst` in `analysts` and `readers`, and `nobody`.
    ///
    /// # Panics
    /// Node or the provider isn't installed.
    pub fn start() -> Self {
        Self::with_clients(&[])
    }

    /// Starts a provider with clients given as `ID=GROUP,GROUP`; with the default ones if there are none.
    ///
    /// # Panics
    /// Node or the provider isn't installed.
    pub fn with_clients(clients: &[&str]) -> Self {
        Self::listen(0, clients)
    }

    /// Starts a provider with clients, where people, given as `NAME=GROUP,GROUP`, may log in with a browser, as the client
    /// `console`, and come back to `redirect`.
    ///
    /// # Panics
    /// Node or the provider isn't installed.
    pub fn with_people(clients: &[&str], people: &[&str], redirect: &str) -> Self {
        let mut more = vec!["--redirect", redirect];
        more.extend(people.iter().flat_map(|person| ["--person", person]));
        Self::run(0, clients, &more)
    }

    /// Likewise with `console` as a confidential client, which shows this secret by that method of OpenID Connect, and by no other.
    ///
    /// # Panics
    /// Node or the provider isn't installed.
    pub fn with_secret(people: &[&str], redirect: &str, (secret, method): (&str, &str)) -> Self {
        let mut more = vec!["--redirect", redirect, "--secret", secret, "--auth", method];
        more.extend(people.iter().flat_map(|person| ["--person", person]));
        Self::run(0, &[], &more)
    }

    /// Starts a provider on that port, as one that comes back after an outage; its keys are new.
    ///
    /// # Panics
    /// Node or the provider isn't installed, or the port is taken.
    pub fn listen(port: u16, clients: &[&str]) -> Self {
        Self::run(port, clients, &[])
    }

    fn run(port: u16, clients: &[&str], more: &[&str]) -> Self {
        let modules = tools().join("oidc-provider/node_modules");
        assert!(modules.exists(), "{modules:?} is not there: run `make setup`");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc-provider/provider.mjs");
        let mut command = guarded(node(), "KILL", None);
        command.arg(script).args(["--port", &port.to_string()]).env("GATEPOST_TOOLS", tools());
        for client in clients {
            command.args(["--client", client]);
        }
        command.args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::spawn(command).expect("setpriv");
        let mut line = String::new();
        let output = process.child().stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("the provider's output");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("provider said {line:?}"));
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Self { process, port }
    }

    /// Returns the issuer's URL, without a slash at its end.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the port it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns an access token of a client for [`AUDIENCE`], signed with ES256.
    pub fn token(&self, client: &str) -> String {
        self.token_for(client, "https://gatepost.test/es256")
    }

    /// Returns an access token for a resource; `provider.mjs` says which there are.
    pub fn token_for(&self, client: &str, resource: &str) -> String {
        let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret=secret&scope=query&resource={}",
            escape(client),
            escape(resource)
        );
        let answer = self.request("POST /token", "application/x-www-form-urlencoded", &body);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).into()
    }

    /// Revokes an opaque token of a client.
    ///
    /// # Panics
    /// The provider doesn't.
    pub fn revoke(&self, client: &str, token: &str) {
        let body = format!("client_id={client}&client_secret=secret&token={token}");
        let answer = self.send("POST /token/revocation", "application/x-www-form-urlencoded", &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Replaces the provider's keys, at once.
    pub fn rotate(&self) {
        self.request("POST /admin/rotate", "text/plain", "");
    }

    /// Returns how often discovery and keys were fetched.
    pub fn fetches(&self) -> (u64, u64) {
        let counts = self.request("GET /admin/counts", "text/plain", "");
        (counts["discovery"].as_u64().expect("a count"), counts["jwks"].as_u64().expect("a count"))
    }

    /// Ends the provider, as an outage would.
    pub fn stop(mut self) {
        self.process.kill();
    }

    /// Sends a request and returns the JSON of its answer.
    fn request(&self, line: &str, content: &str, body: &str) -> Value {
        let answer = self.send(line, content, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {answer:?}"));
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{line}: {error}: {head}\n{body}"))
    }

    /// Sends an HTTP/1.0 request, whose answer is therefore not chunked.
    fn send(&self, line: &str, content: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the provider");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        let (host, length) = (format!("127.0.0.1:{}", self.port), body.len());
        let request = format!(
            "{line} HTTP/1.0\r\nHost: {host}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the provider");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the provider's answer");
        answer
    }
}
