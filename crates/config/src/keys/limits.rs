//! How much at once and how long; how masks are made. Knows no Rust type of a setting.

use super::Default::{Absent, Toml};
use super::{Section, key};

pub(crate) const LIMITS: Section = Section {
    name: "limits",
    header: "[limits]",
    about: "What one client may cost. What is over a limit is refused, never passed unseen.",
    keys: &[
        key(
            "statement_bytes_max",
            "size",
            Toml("\"1 MiB\""),
            "The text of a statement. From 1 KiB to 64 MiB.",
        ),
        key(
            "message_bytes_max",
            "size",
            Toml("\"16 MiB\""),
            "One message from a client; COPY data, which is streamed, is not counted. From 1 KiB to 1 GiB; no smaller than `statement_bytes_max`.",
        ),
        key(
            "recorded_bytes_max",
            "size",
            Toml("\"64 KiB\""),
            "How much of a statement's text the audit keeps; of the rest it keeps length and digest. Of each parameter it keeps 1 KiB. From 1 KiB to 16 MiB.",
        ),
        key("statements_max", "number", Toml("10000"), "Statements in one simple Query. From 1 to 1000000."),
        key(
            "prepared_statements_max",
            "number",
            Toml("10000"),
            "Prepared statements, and likewise portals, of one session. From 1 to 100000.",
        ),
        key(
            "connections_max",
            "number",
            Toml("1000"),
            "Clients at one time, those that are still authenticating included. From 1 to 1000000.",
        ),
        key(
            "authentication_timeout",
            "time",
            Toml("\"10s\""),
            "From accept to the end of authentication. From 1s to 10m.",
        ),
        key(
            "connect_timeout",
            "time",
            Toml("\"10s\""),
            "To connect and log in to the upstream. From 1s to 10m.",
        ),
        key(
            "drain_timeout",
            "time",
            Toml("\"30s\""),
            "After SIGTERM, how long sessions may finish what they are doing. From 1s to 1h.",
        ),
        key(
            "approvals_max",
            "number",
            Toml("2000"),
            "Requests for approval that are open at one time, those of other gateways with the same `[store]` included. What would need one more is refused. From 1 to 100000.",
        ),
        key(
            "approvals_per_identity_max",
            "number",
            Toml("100"),
            "Likewise those of one identity. From 1 to 100000.",
        ),
    ],
    later: &[],
};

pub(crate) const MASK: Section = Section {
    name: "mask",
    header: "[mask]",
    about: "What mask functions need.",
    keys: &[
        key(
            "hash_key",
            "secret reference",
            Absent("a policy with such a mask is refused"),
            "The key of masks that make pseudonyms and name no key: at least 32 characters. Who has it can try guesses; who changes it changes every pseudonym.",
        ),
        key(
            "keys",
            "table of secret references",
            Toml("{}"),
            "Keys by the name that masks give: `keys = { partners = \"env:PARTNERS_KEY\" }`.",
        ),
    ],
    later: &[],
};
