//! How clients show who they are; clients that have only a password. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const AUTH: Section = Section {
    name: "auth",
    header: "[[auth]]",
    about: "How a client presents its token. The first rule that matches decides, as in pg_hba.conf; where there are rules and none matches, the client is refused. Without any rule: `token` for everybody.",
    keys: &[
        key("match", "table", Toml("{}"), "Which clients; see `auth.match`. Without it: all."),
        key(
            "method",
            "string",
            Required,
            "`token`: the token is sent as the password. `oauthbearer`: it is sent by SASL OAUTHBEARER (PostgreSQL 18 clients). `passthrough`: no token but the password of a `[[legacy]]` account, by SCRAM-SHA-256. `reject`: refused.",
        ),
        key(
            "issuer",
            "string or list of strings",
            Absent("all of them"),
            "The names of the `[[issuer]]`s whose tokens this rule accepts. OAUTHBEARER clients are sent to the one that stands first in the file.",
        ),
    ],
    later: &[],
};

pub(crate) const MATCH: Section = Section {
    name: "match",
    header: "auth.match",
    about: "All that is written must match; of a list, one item must.",
    keys: &[
        key(
            "user",
            "pattern or list of patterns",
            Toml("\"*\""),
            "The user name that the client asks for; `*` is any run of characters.",
        ),
        key(
            "database",
            "pattern or list of patterns",
            Toml("\"*\""),
            "The database that the client asks for.",
        ),
        key(
            "address",
            "network or list of networks",
            Absent("everywhere"),
            "Where the client connects from, as `10.0.0.0/8` or `::1`.",
        ),
    ],
    later: &[],
};

pub(crate) const LEGACY: Section = Section {
    name: "legacy",
    header: "[[legacy]]",
    about: "A service account of the database that keeps its password for a while; see [migration](../guide/migration.md). Its sessions are `legacy:NAME`, and log in upstream as the account. An `[[auth]]` rule must let it in by `passthrough`. Of several with one name, the first whose `databases` match counts.",
    keys: &[
        key(
            "name",
            "string",
            Required,
            "The role's name in the database, which its applications connect as.",
        ),
        key(
            "databases",
            "pattern or list of patterns",
            Toml("\"*\""),
            "Which databases it may use through the gateway; `*` is any run of characters.",
        ),
        key(
            "verifier",
            "secret reference",
            Absent("`verifiers` of the database is asked"),
            "What its password is checked by: a file that `gatepost legacy import` wrote, or a secret that is one verifier, `SCRAM-SHA-256$…`. Never the password.",
        ),
        key(
            "groups",
            "list of strings",
            Absent("none"),
            "The groups that policy sees; one string or a list.",
        ),
        key(
            "until",
            "date",
            Absent("no deadline"),
            "The last day (in UTC) on which it is let in, as `2027-03-31`, without quotes. Afterwards it is refused, and its sessions have ended.",
        ),
        key(
            "owner",
            "string",
            Absent("not said"),
            "Whom to ask about it, for audit and report; policy sees it as the attribute `owner`.",
        ),
        key(
            "attributes",
            "table of strings",
            Toml("{}"),
            "What else policy sees: `attributes = { team = \"billing\" }`. `owner` and `until` are there by themselves.",
        ),
    ],
    later: &[],
};

pub(crate) const PASSTHROUGH: Section = Section {
    name: "passthrough",
    header: "[passthrough]",
    about: "How legacy accounts log in.",
    keys: &[
        key(
            "session_max",
            "time",
            Toml("\"24h\""),
            "The longest that one session of a legacy account may last. From 1m to 365d.",
        ),
        key(
            "warn_before",
            "time",
            Toml("\"30d\""),
            "How long before `until` each login warns: the client by a notice, the operator in log and audit. At most 365d.",
        ),
        key(
            "verifier_age_max",
            "time",
            Toml("\"5s\""),
            "How long a verifier is remembered before it is read or asked for again. After a failed login it is read again, at most once a second. At most 10m.",
        ),
        key(
            "mock_key",
            "secret reference",
            Absent("random at each start: who compares before and after can tell which names are accounts"),
            "From this the answers to names that are no accounts are made, so that they look like others' and stay the same: at least 32 characters.",
        ),
    ],
    later: &[],
};
