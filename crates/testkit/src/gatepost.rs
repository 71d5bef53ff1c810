//! The built binary, run as a user would.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

use serde_json::Value;

use crate::process::{Process, guarded};
use crate::scratch::Scratch;

const START_LIMIT: Duration = Duration::from_secs(30);

/// In the environment of a gateway: what `--log-format` is.
pub const LOG_FORMAT: &str = "TESTKIT_LOG_FORMAT";

/// A running `gatepost serve`; killed on drop.
pub struct Gateway {
    process: Process,
    ready: Value,
    home: Scratch,
}

impl Gateway {
    /// Writes `config` to `gatepost.toml` in a directory of its own, starts `binary serve` there and waits until it says
    /// on its standard output that it is ready: `{"event":"ready","postgres":"ADDRESS",...}`.
    ///
    /// # Panics
    /// It ends or says nothing; the panic quotes its standard error.
    pub fn start(binary: &Path, config: &str) -> Self {
        Self::start_in(Scratch::new("gatepost"), binary, config, &[])
    }

    /// Starts in a directory that was prepared before, with further environment variables.
    ///
    /// # Panics
    /// As [`Gateway::start`].
    pub fn start_in(home: Scratch, binary: &Path, config: &str, environment: &[(&str, &str)]) -> Self {
        home.write("gatepost.toml", config);
        let (process, ready) = serve(&home, binary, environment);
        Self { process, ready, home }
    }

    /// Starts again in the same directory, after [`Gateway::stop`] or [`Gateway::kill`].
    ///
    /// # Panics
    /// As [`Gateway::start`].
    pub fn restart(&mut self, binary: &Path, environment: &[(&str, &str)]) {
        self.process.kill();
        (self.process, self.ready) = serve(&self.home, binary, environment);
    }

    /// Returns where it listens for clients.
    pub fn postgres(&self) -> SocketAddr {
        self.address("postgres").expect("an address for PostgreSQL")
    }

    /// Returns an address that the ready line names, such as `http`.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.ready[name].as_str().and_then(|text| text.parse().ok())
    }

    /// Returns its directory, which holds `gatepost.toml`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns its process ID.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns what it wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("stderr.log")).unwrap_or_default()
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Asks it to end (SIGTERM) and waits; `None` if it is still there after `limit`.
    pub fn stop(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.signal("TERM");
        self.process.wait(limit)
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            let text = format!("gatepost's standard error:\n{}\n", self.log());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

fn serve(home: &Scratch, binary: &Path, environment: &[(&str, &str)]) -> (Process, Value) {
    let log = home.path().join("stderr.log");
    let mut command = guarded(absolute(binary), "KILL", None);
    command.args(["serve", "-c", "gatepost.toml"]).current_dir(home.path());
    if let Some((_, format)) = environment.iter().find(|(name, _)| *name == LOG_FORMAT) {
        command.args(["--log-format", format]);
    }
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).expect("own directory"));
    let mut process = Process::spawn(command).expect("setpriv");
    let output = BufReader::new(process.child().stdout.take().expect("piped"));
    let (lines, ready) = mpsc::channel();
    thread::spawn(move || {
        // Reads to the end, so that the gateway never writes to a closed pipe.
        for line in output.lines().map_while(Result::ok) {
            let _ = serde_json::from_str(&line).map(|line: Value| lines.send(line));
        }
    });
    let said = || fs::read_to_string(&log).unwrap_or_default();
    loop {
        match ready.recv_timeout(START_LIMIT) {
            Ok(line) if line["event"] == "ready" => return (process, line),
            Ok(_) => {}
            Err(error) => panic!("gatepost is not ready ({error}):\n{}", said()),
        }
    }
}

/// Returns the path from anywhere: the child starts in another directory.
fn absolute(path: &Path) -> PathBuf {
    env::current_dir().expect("a directory").join(path)
}
