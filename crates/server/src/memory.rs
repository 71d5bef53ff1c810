//! What keeps secrets in the process's memory from getting out of it: no core dumps, no tracing by others, no swapping; and stacks
//! that are written over. Knows no secret. That freed memory is wiped is the binary's doing: its allocator does it.

use std::fmt;
use std::hint::black_box;

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// As deep as calls reach below where a background step of a session was polled, with room: TLS, SCRAM and JSON need some kB each.
const STACK_BYTES: usize = 128 << 10;

/// What was asked of the system, and whether it did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Core dumps are off, and other processes of the same user can't read this one's memory.
    pub dumps: Result<(), String>,
    /// Memory is never written to swap.
    pub locked: Result<(), String>,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dumps {
            Ok(()) => write!(f, "no core dumps")?,
            Err(why) => write!(f, "core dumps are possible: {why}")?,
        }
        match &self.locked {
            Ok(()) => write!(f, "; memory is locked"),
            Err(why) => write!(f, "; memory is not locked: {why}"),
        }
    }
}

/// Protects the memory of this process as far as the system allows, for as long as it lives. To be called before the first secret
/// is fetched.
pub fn protect() -> Protection {
    Protection { dumps: refuse_dumps(), locked: lock() }
}

fn refuse_dumps() -> Result<(), String> {
    // A limit of 0 alone doesn't count where the kernel pipes dumps to a program (core(5)); "not dumpable" does, and gives /proc/PID
    // to root (PR_SET_DUMPABLE, prctl(2)). Commands that fetch secrets inherit the limit, which is as it should be.
    let limit = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    dumpable.and(limit).map_err(|error| error.to_string())
}

fn lock() -> Result<(), String> {
    // SECURITY: under a limit, locking what comes later would make allocations fail, and end the process, at a size that nobody
    // foresees: all or nothing. ONFAULT, since each thread has 64 MiB of stack of which it touches little.
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let privileged = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !unlimited && !privileged {
        return Err(
            "the limit on locked memory is not infinite; set LimitMEMLOCK=infinity, or grant CAP_IPC_LOCK"
                .to_owned(),
        );
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(all).map_err(|error| match error {
        Errno::PERM | Errno::NOMEM => format!("{error}; grant CAP_IPC_LOCK"),
        error => error.to_string(),
    })
}

/// Writes over the stack below the caller's frame, where finished calls may have left parts of a secret.
#[inline(never)]
pub(crate) fn scrub_stack() {
    let below = [0_u8; STACK_BYTES];
    // Seen from here it could be read, so the zeros are really written.
    black_box(&below);
}

#[cfg(test)]
mod tests {
    use super::Protection;

    #[test]
    fn what_was_not_achieved_is_said() {
        let protection = Protection { dumps: Ok(()), locked: Err("no right".to_owned()) };
        assert_eq!(protection.to_string(), "no core dumps; memory is not locked: no right");
    }
}
