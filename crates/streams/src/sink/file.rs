//! A file on this machine, a line for each event; set aside when it is large. Knows no format.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{Failure, Item};

/// How much is looked at from the end for the last whole line.
const TAIL_BYTES: u64 = 64 << 10;

/// An open file.
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    bytes: u64,
    rotate_bytes: u64,
    keep: u32,
}

impl Lines {
    /// Opens the file, and cuts off the half of a line that a crash may have left.
    pub(crate) fn open(path: &Path, rotate_bytes: u64, keep: u32) -> Result<Self, Failure> {
        let failed = |error| failure(path, &error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = make(path).map_err(failed)?;
        let bytes = whole_lines(&mut file).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, bytes, rotate_bytes, keep })
    }

    /// Writes events, and returns when they are on disk.
    pub(crate) fn take(&mut self, items: &[Item]) -> Result<(), Failure> {
        let written = self.write(items);
        written.map_err(|error| failure(&self.path, &error))
    }

    fn write(&mut self, items: &[Item]) -> io::Result<()> {
        self.follow()?;
        let mut buffer = Vec::new();
        for item in items {
            let more = item.line.len() as u64 + 1;
            let waiting = buffer.len() as u64;
            if self.bytes + waiting + more > self.rotate_bytes && self.bytes + waiting > 0 {
                self.flush(&mut buffer)?;
                self.rotate()?;
            }
            buffer.extend_from_slice(item.line.as_bytes());
            buffer.push(b'\n');
        }
        self.flush(&mut buffer)
    }

    fn flush(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(buffer)?;
        self.file.sync_data()?;
        self.bytes += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// Writes on to the file that has the name now, where another program has set this one aside.
    fn follow(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let same = match fs::metadata(&self.path) {
            Ok(named) => named.ino() == ours.ino() && named.dev() == ours.dev(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !same {
            self.file = make(&self.path)?;
            self.bytes = whole_lines(&mut self.file)?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let aside = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            match fs::rename(aside(number), aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, aside(1))?;
        self.file = make(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// SECURITY: what is in it is as secret as the journal.
fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Returns the length of the whole lines, and cuts off the rest.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let full = end;
    while end > 0 {
        let start = end.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        (&mut *file).take(end - start).read_to_end(&mut tail)?;
        if let Some(at) = tail.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < full {
        file.set_len(end)?;
    }
    Ok(end)
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::of(&format!("\"{}\"", path.display()), error)
}
