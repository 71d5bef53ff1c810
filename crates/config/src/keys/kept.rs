//! What outlives the gateway beside the journal. Knows no Rust type of a setting.

use super::Default::{Absent, Toml};
use super::{Section, key};

pub(crate) const STATE: Section = Section {
    name: "state",
    header: "[state]",
    about: "What must outlive the gateway beside the journal.",
    keys: &[key(
        "path",
        "path",
        Toml("\"data/state\""),
        "A folder for the gateway alone; made where it is missing, with mode 0700. Blocks are in it, and the local operator's socket, `operator.sock`.",
    )],
    later: &[],
};

pub(crate) const STORE: Section = Section {
    name: "store",
    header: "[store]",
    about: "What gateways share and must not forget: requests for approval, delegations, people, browsers that are logged in, messages to be sent. See [the store](../guide/store.md).",
    keys: &[
        key(
            "url",
            "URL",
            Absent("`sqlite:store.db` in `state.path`"),
            "`sqlite:PATH`: a file for this gateway alone, made where it is missing, with mode 0600. `postgres://HOST:PORT/DBNAME?sslmode=…&sslrootcert=…`, without user and password: a database for all gateways, in which they make the schema `gatepost`; as `upstream` of `[[database]]`, but `sslmode` must be `verify-full`, or `disable` on this host. DBNAME is `gatepost` where it is left out.",
        ),
        key("user", "secret reference", Absent("required for `postgres:`"), "The role to log in as."),
        key(
            "password",
            "secret reference",
            Absent("no password is sent"),
            "Its password; fetched anew after each loss of the connection.",
        ),
        key(
            "keep",
            "time",
            Toml("\"90d\""),
            "How long requests are kept that are over; the journal has them all the same. Never forgotten is a break-glass that nobody has reviewed. From 1d to 3650d.",
        ),
    ],
    later: &[],
};
