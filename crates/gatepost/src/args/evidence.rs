//! The arguments of `gatepost audit report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Journal;
use crate::output::Format;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["migration", "framework", "identity"])))]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) journal: Journal,
    /// Who still uses legacy accounts, from where, how much, and what another policy would refuse them
    #[arg(long)]
    pub(crate) migration: bool,
    /// Evidence of a period, with references to this framework's controls, as a page and CSV files
    #[arg(long, value_enum, value_name = "FRAMEWORK")]
    pub(crate) framework: Option<Framework>,
    /// One identity's whole story, as a page and CSV files
    #[arg(long, value_name = "ISSUER:SUBJECT")]
    pub(crate) identity: Option<String>,
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Not before this: a time (2026-11-23T10:00:00Z), or how long ago (15m, 2h, 7d)
    #[arg(long, visible_alias = "from", value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this: a time, or how long ago
    #[arg(long, visible_alias = "to", value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Write page and CSV files into this folder, which must be empty or not be there
    #[arg(long, value_name = "DIR", default_value = "evidence", conflicts_with = "migration")]
    pub(crate) out: PathBuf,
    /// The oldest segments were moved away: the journal need not begin at record 1
    #[arg(long, conflicts_with = "migration")]
    pub(crate) retained: bool,
    /// With --migration: a bundle to decide again by what the accounts' statements touched, as if they had come with tokens. Else: the
    /// bundle of --database, for the tags of columns [default then: those of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: Option<PathBuf>,
    /// The groups of these tokens, with commas between [default: those that each account has]
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', requires_all = ["migration", "bundle"])]
    pub(crate) as_groups: Vec<String>,
    /// The groups of one account's token; may be repeated
    #[arg(long = "account-groups", value_name = "ACCOUNT=GROUPS", requires_all = ["migration", "bundle"])]
    pub(crate) account_groups: Vec<String>,
    /// How the report, or the list of what was written, is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// Whose controls are referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framework {
    /// SOC 2, Trust Services Criteria
    Soc2,
    /// ISO/IEC 27001:2022
    Iso27001,
    /// PCI DSS 4.0
    Pci,
    /// HIPAA Security Rule
    Hipaa,
    /// GDPR
    Gdpr,
}
