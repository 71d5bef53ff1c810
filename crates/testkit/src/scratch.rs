//! Directories under the system's temporary one that name the process they belong to, so that what a killed test left
//! behind is removed by the next one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

const PREFIX: &str = "gatepost-test-";

/// A directory that is removed with its contents on drop, unless the thread is panicking: then it is kept to be read.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty directory that others may enter but not list; `what` becomes part of its name.
    pub fn new(what: &str) -> Self {
        static SWEPT: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("{PREFIX}{}-{number}-{what}", process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("can't make {path:?}: {error}"));
        fs::set_permissions(&path, Permissions::from_mode(0o711)).expect("own directory");
        Self { path }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `text` to a file of that name in the directory and returns its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("own directory");
        }
        fs::write(&path, text).unwrap_or_else(|error| panic!("can't write {path:?}: {error}"));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the directories of processes that are no more. Those that can't be removed belong to somebody else.
fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(owner.to_string()).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_goes_with_its_owner() {
        let scratch = Scratch::new("own");
        let file = scratch.write("a/b", "text");
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        drop(scratch);
        assert!(!file.exists());
    }

    #[test]
    fn leavings_of_the_dead_are_swept_and_of_the_living_kept() {
        // Above kernel.pid_max's ceiling of 2^22, so nobody's.
        let dead = env::temp_dir().join(format!("{PREFIX}99999999-0-dead-{}", process::id()));
        let living = env::temp_dir().join(format!("{PREFIX}1-0-living-{}", process::id()));
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&living).unwrap();
        sweep();
        let found = (dead.exists(), living.exists());
        fs::remove_dir_all(&living).unwrap();
        assert_eq!(found, (false, true));
    }
}
