//! What is written down. Knows no Rust type of a setting.

use super::Default::{Absent, Toml};
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

pub(crate) const INDEX: Section = Section {
    name: "index",
    header: "[index]",
    about: "A file that says which records of the journal have what, so that searches over months are answered at once. It is made of the journal, and made again where it is lost, damaged or of another version. See [searching](../guide/search.md).",
    keys: &[
        key(
            "path",
            "path",
            Absent("`index.db` in `state.path`"),
            "A file for this gateway alone; made where it is missing, with mode 0600. About a fifth of the journal's size.",
        ),
        key(
            "enabled",
            "boolean",
            Toml("true"),
            "Whether the gateway makes it and keeps it up to date. Without it, searches read the journal.",
        ),
    ],
    later: &[],
};
