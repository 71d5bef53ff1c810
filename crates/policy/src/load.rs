//! Reads the folder of a bundle: the only place in this crate that touches files.
//!
//! SECURITY: a file that is neither rule, test nor manifest is an error, since a `forbid` in `rules.ceder` would not be missed otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::bundle::{Bundle, Files, MANIFEST};
use crate::problem::{LoadError, Problem};

/// The largest file of a bundle.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most files in a bundle.
const FILES_MAX: usize = 1000;

/// Loads a bundle: read, checked against its schema, its own tests run. Whole, or not at all.
///
/// `database` is the name that clients give as dbname, and the root of all names in the rules. Files and folders whose
/// names begin with a dot or end with `~` or `.md` are not part of the bundle.
///
/// # Errors
/// Everything that is wrong with the bundle, all at once; its authors' to mend.
pub fn load(dir: &Path, database: &str) -> Result<Bundle, LoadError> {
    let mut files = Files::new();
    let mut problems = Vec::new();
    read_folder(dir, "", &mut files, &mut problems);
    if !problems.is_empty() {
        return Err(LoadError::new(dir, problems));
    }
    Bundle::from_files(&files, database).map_err(|problems| LoadError::new(dir, problems))
}

/// Makes a bundle of its files' texts by their paths in the folder: `bundle.toml`, `rules.cedar`, `tests/some.toml`.
///
/// # Errors
/// As [`load`].
pub fn parse(files: &BTreeMap<String, String>, database: &str) -> Result<Bundle, LoadError> {
    Bundle::from_files(files, database).map_err(|problems| LoadError::new(Path::new(""), problems))
}

fn read_folder(dir: &Path, prefix: &str, files: &mut Files, problems: &mut Vec<Problem>) {
    let shown = if prefix.is_empty() { dir.display().to_string() } else { prefix.to_owned() };
    let entries = match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Problem::of(&shown, format!("can't be read: {error}")));
            return;
        }
    };
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            problems.push(Problem::of(&shown, format!("{:?} is not UTF-8", entry.file_name())));
            continue;
        };
        if name.starts_with('.') || name.ends_with('~') || name.ends_with(".md") {
            continue;
        }
        let path = format!("{prefix}{name}");
        // follows links: mounted configuration is made of them; what is no file (a pipe) might never end
        let kind = match fs::metadata(entry.path()) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => {
                problems.push(Problem::of(&path, format!("can't be read: {error}")));
                continue;
            }
        };
        if kind.is_dir() && path == "tests" {
            read_folder(&entry.path(), "tests/", files, problems);
        } else if !kind.is_file() || !belongs(&path) {
            let help = "a bundle has bundle.toml, *.cedar and tests/*.toml; *.md and names that begin with a dot are left alone";
            problems.push(Problem::of(&path, "is no part of a bundle").help(help));
        } else if files.len() >= FILES_MAX {
            problems.push(Problem::of(&path, format!("is over the limit of {FILES_MAX} files")));
            return;
        } else {
            match read_file(&entry.path()) {
                Ok(text) => {
                    files.insert(path, text);
                }
                Err(problem) => problems.push(Problem::of(&path, problem)),
            }
        }
    }
}

fn belongs(path: &str) -> bool {
    match path.strip_prefix("tests/") {
        Some(test) => test.ends_with(".toml"),
        None => path == MANIFEST || path.ends_with(".cedar"),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read;

    let file = fs::File::open(path).map_err(|error| format!("can't be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("can't be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is over the limit of {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8: {error}"))
}
