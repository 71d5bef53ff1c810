//! Finds and loads the configuration. Knows nothing of what is in it.

use std::path::{Path, PathBuf};

use config::Config;

use crate::failure::Failure;

/// The variable that names the file where `-c` does not.
const VARIABLE: &str = "GATEPOST_CONFIG";
/// The file where nothing names one.
const DEFAULT: &str = "gatepost.toml";

/// Returns the configuration's path: `-c`, then `GATEPOST_CONFIG`, then `./gatepost.toml`.
pub(crate) fn path(argument: Option<&Path>) -> PathBuf {
    let from_variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    argument.map(Path::to_owned).or_else(from_variable).unwrap_or_else(|| PathBuf::from(DEFAULT))
}

/// Loads the configuration.
pub(crate) fn load(argument: Option<&Path>) -> Result<Config, Failure> {
    Config::load(&path(argument)).map_err(|error| Failure::of(&error))
}

/// Returns the database of this name, or the only one there is.
pub(crate) fn database<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c config::Database, Failure> {
    let known = || {
        let names: Vec<_> =
            config.databases.iter().map(|database| format!("\"{}\"", database.name)).collect();
        names.join(", ")
    };
    match (name, config.databases.as_slice()) {
        (Some(name), _) => config.database(name).ok_or_else(|| {
            Failure::usage(format!("there is no [[database]] named \"{name}\"; there is {}", known()))
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::usage(format!("say which database, with --database: {}", known()))),
    }
}
