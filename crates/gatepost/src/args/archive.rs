//! The arguments of `gatepost archive`.

use clap::Subcommand;

use crate::output::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Archive {
    /// Write, read, find and delete an object in an object store, or in each, and say what came of it
    Test {
        /// The name of an [[object_store]] [default: all]
        #[arg(value_name = "STORE")]
        store: Option<String>,
        /// How the outcomes are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
}
