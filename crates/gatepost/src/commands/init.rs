//! `gatepost init`: a commented configuration and a starter policy, from templates in the binary. Overwrites nothing.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::failure::{Failure, Status};
use crate::output::Out;

const FILES: &[(&str, &str)] = &[
    ("gatepost.toml", include_str!("../../templates/gatepost.toml")),
    ("policy/app/bundle.toml", include_str!("../../templates/policy/app/bundle.toml")),
    ("policy/app/readers.cedar", include_str!("../../templates/policy/app/readers.cedar")),
    ("policy/app/tests/readers.toml", include_str!("../../templates/policy/app/tests/readers.toml")),
];

pub(crate) fn run(dir: &Path) -> Result<Status, Failure> {
    // All or nothing: half of a new set beside half of an old one would be neither.
    let there: Vec<_> = FILES
        .iter()
        .map(|(name, _)| dir.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("\"{}\"", path.display()))
        .collect();
    if !there.is_empty() {
        return Err(Failure::new(format!(
            "nothing was written, since there is already {}",
            there.join(", ")
        )));
    }
    let mut out = Out::new();
    for (name, content) in FILES {
        let path = dir.join(name);
        write_new(&path, content)
            .map_err(|error| Failure::caused(&format!("can't write \"{}\"", path.display()), error))?;
        out.line(&format!("wrote {}", path.display()))?;
    }
    let config = dir.join("gatepost.toml");
    out.line(&format!(
        "\nEdit the issuer and the database in {0}, then:\n  gatepost check --connect -c {0}\n  gatepost serve -c {0}",
        config.display()
    ))?;
    out.flush()?;
    Ok(Status::Success)
}

fn write_new(path: &Path, content: &str) -> std::io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
}
