//! Secrets of this machine: environment variables, files, commands.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use config::ExecCommand;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use super::{SECRET_BYTES_MAX, SecretFault};

/// What others may do with a file, of `st_mode`: read, write (sys/stat.h `S_IROTH`, `S_IWOTH`).
const OTHERS_READ_OR_WRITE: u32 = 0o006;

/// Whether a file's mode matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Others may neither read nor write it.
    Private,
    /// Whoever mounted it chose: Kubernetes gives a service account's token mode 0644.
    Mounted,
}

pub(super) fn variable(name: &str) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
    let value = std::env::var_os(name).ok_or(SecretFault::NotSet)?;
    Ok(Zeroizing::new(value.into_encoded_bytes()))
}

pub(super) async fn file(path: &Path, mode: Mode) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_file(&path, mode));
    read.await.unwrap_or_else(|error| Err(SecretFault::Read(io::Error::other(error))))
}

fn read_file(path: &Path, wanted: Mode) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
    // Asked before opening too: to open a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(SecretFault::Read)?.is_file() {
        return Err(SecretFault::NotAFile);
    }
    let file = File::open(path).map_err(SecretFault::Read)?;
    // SECURITY: of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(SecretFault::Read)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if wanted == Mode::Private && mode & OTHERS_READ_OR_WRITE != 0 {
        return Err(SecretFault::OpenToOthers { mode, path: path.to_owned() });
    }
    let mut bytes = buffer();
    file.take(limit()).read_to_end(&mut bytes).map_err(SecretFault::Read)?;
    Ok(bytes)
}

pub(super) async fn run(command: &ExecCommand) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
    let mut program = PathBuf::from(command.program());
    if command.program().contains('/') {
        // std leaves open what a relative program means beside another working folder: say it.
        program = std::path::absolute(command.folder().join(program)).map_err(SecretFault::NotRun)?;
    }
    let mut child = Command::new(program)
        .args(command.arguments())
        .current_dir(command.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // SECURITY: a failing command may print what it was working with.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(SecretFault::NotRun)?;
    let mut bytes = buffer();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(limit()).read_to_end(&mut bytes).await.map_err(SecretFault::Read)?;
    }
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretFault::TooLong);
    }
    let status = child.wait().await.map_err(SecretFault::NotRun)?;
    if status.success() { Ok(bytes) } else { Err(SecretFault::Failed(status)) }
}

/// Returns a buffer that never grows, since growing leaves an unwiped copy behind; `read_to_end` wants some room to
/// find the end in.
fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 64))
}

/// One byte more than allowed, to tell "too long" from "just fits".
fn limit() -> u64 {
    SECRET_BYTES_MAX as u64 + 1
}
