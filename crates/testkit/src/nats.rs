//! A NATS server with JetStream on loopback.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::process::{Process, free_port, guarded, poll, tools};

/// A running server; ends on drop. What it keeps is in the folder given.
pub struct Nats {
    process: Process,
    port: u16,
}

impl Nats {
    /// Starts a server that keeps its streams in `folder`.
    ///
    /// # Panics
    /// `nats-server` isn't installed.
    pub fn start(folder: &Path) -> Self {
        for _ in 0..3 {
            if let Some(server) = Self::listen(folder, free_port()) {
                return server;
            }
        }
        panic!("nats-server does not listen");
    }

    /// Starts a server on that port, as one that comes back; `None`: the port is taken.
    ///
    /// # Panics
    /// `nats-server` isn't installed.
    pub fn listen(folder: &Path, port: u16) -> Option<Self> {
        let program = tools().join("streams/bin/nats-server");
        assert!(program.exists(), "{program:?} is not there: run `make setup`");
        let mut command = guarded(&program, "KILL", None);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::spawn(command).expect("setpriv");
        let up = poll(Duration::from_secs(30), || match process.ended() {
            Some(_) => Some(false),
            None => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(true),
        });
        (up == Some(true)).then_some(Self { process, port })
    }

    /// Returns where it is asked.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.process.kill();
    }
}
