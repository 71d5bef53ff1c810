//! What is recorded of sessions. Knows no Rust type of a setting.

use super::Default::{Absent, Toml};
use super::{Section, key};

pub(crate) const RECORDING: Section = Section {
    name: "recording",
    header: "[recording]",
    about: "Where sessions are recorded; without it none is. How much of whose sessions, `[recording]` of bundles says. See [recordings](../guide/recording.md).",
    keys: &[
        key(
            "path",
            "path",
            Toml("\"data/recordings\""),
            "A folder for the gateway alone; made where it is missing, with mode 0700. In it are recordings of sessions that run, and of those that are not archived.",
        ),
        key(
            "recipients",
            "list of strings",
            Absent("recordings are not encrypted"),
            "age recipients, `age1…`, for whom recordings are encrypted: whoever has the identity of one of them reads them. One at least.",
        ),
        key(
            "backlog",
            "size",
            Toml("\"64 MiB\""),
            "How much of all sessions may wait to be written. When more would, bundles say whether sessions end or go on unrecorded. From 1 MiB to 64 GiB.",
        ),
        key(
            "archive",
            "string",
            Absent("recordings stay in `path`"),
            "The name of the `[[object_store]]` to which recordings are moved when they are closed.",
        ),
    ],
    later: &[],
};
