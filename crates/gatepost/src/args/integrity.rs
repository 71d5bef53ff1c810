//! The arguments of `gatepost audit verify`, `prove` and `keygen`.

use std::path::PathBuf;

use clap::Args;

use super::Journal;
use crate::output::Format;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The journal's folder; may be repeated, for several gateways [default: that of the configuration]
    #[arg(long = "journal", value_name = "DIR")]
    pub(crate) journals: Vec<PathBuf>,
    /// A public key that signs checkpoints, as NAME+ID+KEY, or a file of such lines; may be repeated [default: the file beside the configured key]
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// A file with checkpoints that were kept elsewhere, which the journal must fit; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// A record's number and hash, noted earlier, that must still be there; may be repeated
    #[arg(long = "anchor", value_name = "SEQ:HASH")]
    pub(crate) anchors: Vec<String>,
    /// The oldest segments were moved away: the journal need not begin at record 1
    #[arg(long)]
    pub(crate) retained: bool,
    /// Verify a proof that `gatepost audit prove` made, in place of a journal; needs nothing but --key
    #[arg(long, value_name = "FILE", requires = "keys", conflicts_with_all = ["journals", "checkpoints", "anchors", "retained"])]
    pub(crate) proof: Option<PathBuf>,
    /// How the report is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["id", "from"])))]
pub(crate) struct Prove {
    #[command(flatten)]
    pub(crate) journal: Journal,
    /// The number of the record to prove
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,
    /// Prove instead that the journal of the checkpoint of so many records is the beginning of that of a later checkpoint
    #[arg(long, value_name = "SIZE")]
    pub(crate) from: Option<u64>,
    /// The later checkpoint, by how many records it covers [default: the last]
    #[arg(long, value_name = "SIZE", requires = "from")]
    pub(crate) to: Option<u64>,
    /// The file to write, which must not be there [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["out", "public_key"])))]
pub(crate) struct Keygen {
    /// What the key is called in signatures; has neither white space nor "+"
    #[arg(long, value_name = "NAME", default_value = "gatepost")]
    pub(crate) name: String,
    /// The file for the private key, which must not be there; the public key is printed, and written to FILE.pub
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Make no key: print the line of a public key that is elsewhere, of which this is the PEM file (SubjectPublicKeyInfo)
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
}
