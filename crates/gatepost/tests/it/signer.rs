//! An issuer that signs whatever a test wants.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Value, json};
use testkit::process::{Process, guarded};

pub(crate) struct Signer {
    _process: Process,
    pub(crate) issuer: String,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Signer {
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients/signer.mjs");
        let mut command = guarded("node", "KILL", None);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(command).unwrap();
        let mut output = BufReader::new(process.child().stdout.take().unwrap());
        let input = process.child().stdin.take().unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let issuer = said["issuer"].as_str().unwrap().into();
        Self { _process: process, issuer, pipes: Mutex::new((input, output)) }
    }

    /// Signs claims, under a header with these members, by its own key or by `stranger`'s.
    pub(crate) fn sign(&self, header: Value, claims: Value, key: &str) -> String {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{}", json!({ "header": header, "claims": claims, "key": key })).unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        said["token"].as_str().unwrap().into()
    }

    /// Sets what the token endpoint answers, and returns the form that was sent there before.
    pub(crate) fn answer(&self, answer: Value) -> Value {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{}", json!({ "answer": answer })).unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        let mut said: Value = serde_json::from_str(&line).unwrap();
        said["form"].take()
    }

    /// Signs an access token that lives for five minutes.
    pub(crate) fn access(&self, subject: &str, groups: &[&str], further: Value) -> String {
        let mut claims = json!({ "aud": "gatepost", "sub": subject, "groups": groups, "exp": now() + 300 });
        let members = claims.as_object_mut().unwrap();
        members.extend(further.as_object().cloned().unwrap_or_default());
        self.sign(json!({ "typ": "at+jwt" }), claims, "own")
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
