//! The gateway's numbers. Knows no Rust type of a setting.

use super::Default::Toml;
use super::{Section, key};

pub(crate) const TELEMETRY: Section = Section {
    name: "telemetry",
    header: "[telemetry]",
    about: "The gateway's numbers; see [monitoring](../guide/monitoring.md).",
    keys: &[key(
        "metrics",
        "string",
        Toml("\"viewer\""),
        "Who may read `/metrics`, beside whoever may use the local socket. `local`: nobody. `viewer`: whoever has the role viewer or more, at `http` of `[listen]`.",
    )],
    later: &[],
};
