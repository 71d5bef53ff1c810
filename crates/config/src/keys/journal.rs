//! What is written down. Knows no Rust type of a setting.

use super::Default::Toml;
use super::{Section, key, later};

pub(crate) const JOURNAL: Section = Section {
    name: "journal",
    header: "[journal]",
    about: "Where the audit trail is kept. One folder belongs to one gateway.",
    keys: &[
        key("path", "path", Toml("\"data/journal\""), "A folder; made where it is missing."),
        key(
            "durability",
            "string",
            Toml("\"written\""),
            "When the result of a read may leave: `written`: its record has left the process (a crash of the gateway loses nothing); `sync`: it is on disk (a power failure loses nothing). A write always waits for the disk.",
        ),
        key(
            "segment_bytes_max",
            "size",
            Toml("\"64 MiB\""),
            "The size at which a new file is begun. From 1 MiB to 4 GiB.",
        ),
    ],
    later: &[later("retention", "deletion of old records")],
};
