//! The arguments of `gatepost policy suggest` and `gatepost policy replay`.

use std::path::PathBuf;

use clap::Args;

use super::Journal;
use crate::output::Format;

/// What was recorded, and when.
#[derive(Debug, Args)]
pub(crate) struct Recorded {
    #[command(flatten)]
    pub(crate) journal: Journal,
    /// The database as clients name it [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Not before this: a time (2026-11-23T10:00:00Z), or how long ago (15m, 2h, 7d)
    #[arg(long, visible_alias = "from", value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this: a time, or how long ago
    #[arg(long, visible_alias = "to", value_name = "TIME")]
    pub(crate) until: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whom").required(true).args(["identity", "group"])))]
pub(crate) struct Suggest {
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    /// What this identity did
    #[arg(long, value_name = "ISSUER:SUBJECT")]
    pub(crate) identity: Option<String>,
    /// What everybody did whose token names this group
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// A bundle whose tags, masks, approvers and limits are kept [default: that of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(crate) like: Option<PathBuf>,
    /// Write the bundle into this folder, which must be empty or not be there, instead of printing its rules
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    /// The bundle to decide by
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// Only what this identity did
    #[arg(long, value_name = "ISSUER:SUBJECT", conflicts_with = "group")]
    pub(crate) identity: Option<String>,
    /// Only what those did whose token names this group
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// The differences that make the exit status 1, with commas between
    #[arg(long, value_name = "DIFFERENCES", value_delimiter = ',', value_parser = CHANGES, default_values = CHANGES)]
    pub(crate) fail_on: Vec<String>,
    /// How the differences are printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// `traffic::Change::as_str` of each.
const CHANGES: [&str; 6] =
    ["newly-refused", "newly-held", "newly-masked", "newly-allowed", "no-longer-held", "newly-clear"];

#[cfg(test)]
mod tests {
    #[test]
    fn the_differences_are_those_that_there_are() {
        assert_eq!(traffic::Change::all().map(traffic::Change::as_str), super::CHANGES);
    }
}
