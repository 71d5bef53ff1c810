//! Children that end with us. Knows nothing of what they are.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};
use std::{env, io, thread};

/// Returns the folder that `scripts/setup.sh` fills: `GATEPOST_TOOLS`, or its default.
pub fn tools() -> PathBuf {
    env::var_os("GATEPOST_TOOLS").map_or_else(|| PathBuf::from("/opt/gatepost-tools"), PathBuf::from)
}

/// Returns the Node.js that `scripts/setup.sh` installed, which is new enough for the OpenID provider.
///
/// # Panics
/// It isn't there.
pub fn node() -> PathBuf {
    let path = tools().join("bin/node");
    assert!(path.exists(), "{path:?} is not there: run `make setup`");
    path
}

/// A running child, killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command that [`guarded`] made.
    ///
    /// # Errors
    /// The command can't be started.
    pub fn spawn(command: Command) -> io::Result<Self> {
        Ok(Self { child: spawn_on_lasting_thread(command)? })
    }

    /// Returns the process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lends the child, as for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the exit status if the child has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&mut self, name: &str) {
        if self.ended().is_none() {
            let script = format!("kill -{name} {}", self.child.id());
            let _ = Command::new("sh").args(["-c", &script]).status();
        }
    }

    /// Waits until the child has ended; `None` if it hasn't within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, || self.ended())
    }

    /// Kills the child with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes a command that the kernel sends `signal` when we die, however that happens; run as `user` if we are root.
///
/// `setpriv` does it (util-linux, in every Debian), so that no unsafe code has to.
pub fn guarded(program: impl Into<PathBuf>, signal: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if let Some(user) = user {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--init-groups");
    }
    command.arg("--").arg(program.into());
    command
}

/// Spawns on a thread that lives as long as the process: the kernel's "parent" of a parent-death signal is the thread
/// that spawned (prctl(2), PR_SET_PDEATHSIG), and a test's thread may end before others are done with the child.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Mutex<Sender<Job>>> = LazyLock::new(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("testkit-spawner".into())
            .spawn(move || {
                for (mut command, answer) in queue {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread");
        Mutex::new(jobs)
    });
    let (answer, child) = mpsc::channel();
    SPAWNER.lock().expect("never panics").send((command, answer)).expect("the spawner lives on");
    child.recv().expect("the spawner answers")
}

/// Asks `probe` every few milliseconds until it answers, for at most `limit`.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a loopback port that nobody listened on a moment ago. Somebody may by the time it is used: try again then.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    listener.local_addr().expect("a bound socket").port()
}
