//! `[index]`: the file by which records are found. Opens nothing.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::read::Table;

/// The file by which records are found; made of the journal, and made again where it is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Where it is; may not exist yet.
    pub path: PathBuf,
    /// Whether the gateway makes it and keeps it up to date.
    pub enabled: bool,
}

/// The file in `state.path`, where `path` says nothing.
const FILE: &str = "index.db";

pub(crate) fn read(table: &Table<'_>, state: Option<&Path>, context: &mut Context<'_>) -> Option<Index> {
    let enabled = table.value("enabled", context).and_then(|value| value.boolean(context));
    let path = match table.value("path", context) {
        None => state.map(|state| state.join(FILE)),
        Some(value) => value.string(context).map(|path| context.resolve(&path)),
    };
    Some(Index { path: path?, enabled: enabled? })
}
