//! What clients reach, and as whom. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

/// Nobody can log in as a role that may not, or not any more.
const VERIFIER_QUERY: &str = "\"SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())\"";

pub(crate) const DATABASE: Section = Section {
    name: "database",
    header: "[[database]]",
    about: "What a client may name as dbname. At least one.",
    keys: &[
        key("name", "string", Required, "The name that clients use. Unique."),
        key(
            "upstream",
            "URL",
            Required,
            "`postgres://HOST:PORT/DBNAME?sslmode=…&sslrootcert=…`, without user and password. A Unix socket is `postgres:///DBNAME?host=/run/postgresql`. `sslmode` is `disable`, `require`, `verify-ca` or `verify-full`; without it `verify-full`, and `disable` on loopback and Unix sockets. `sslrootcert` is a PEM file, or `system`, which is the default. DBNAME is `name` where it is left out, PORT 5432.",
        ),
        key("login", "table", Required, "How the gateway logs in there; see `database.login`."),
        key("policy", "path", Required, "The folder of the policy bundle."),
        key("enforce", "true or false", Toml("true"), "`false`: decide and record, refuse nothing."),
        key(
            "mask",
            "true or false",
            Toml("true"),
            "`false`, which needs `enforce = false`: send masked columns in the clear, and record what would have been masked.",
        ),
        key(
            "verifiers",
            "secret reference",
            Absent("verifiers of legacy accounts must be imported"),
            "A login that may read verifiers, as `postgres://USER:PASSWORD@HOST:PORT/DBNAME`, at the server of `upstream`: it is asked for those of `[[legacy]]` accounts that have no `verifier`, and `gatepost legacy import` reads with it.",
        ),
        key(
            "verifier_query",
            "string",
            Toml(VERIFIER_QUERY),
            "What `verifiers` is asked: `$1` is the account's name, the answer its `rolpassword`.",
        ),
    ],
    later: &[],
};

pub(crate) const LOGIN: Section = Section {
    name: "login",
    header: "database.login",
    about: "The credential that the gateway holds so that agents need none.",
    keys: &[
        key(
            "kind",
            "string",
            Required,
            "`static`: one login for all sessions. `ephemeral`: a role for each session, made when it begins and dropped when it ends; see [roles](../guide/roles.md). `passthrough`: only legacy accounts come, and each logs in as itself; see [migration](../guide/migration.md).",
        ),
        key(
            "user",
            "secret reference",
            Absent("required for `static`; for `passthrough`, these questions can't be asked"),
            "Of `static`: the role to log in as. Never a superuser. Of `passthrough`: the role that asks the gateway's own questions (tests of the bundle that have SQL, `policy explain`, `check --connect`), which no session ever is.",
        ),
        key(
            "password",
            "secret reference",
            Absent("no password is sent; a server that asks for one refuses the login"),
            "Of `static` and `passthrough`: its password; fetched when a session needs it, wiped after.",
        ),
        key(
            "admin",
            "secret reference",
            Absent("required for `ephemeral`"),
            "Of `ephemeral`: the login that makes roles, as `postgres://USER:PASSWORD@HOST:PORT/DBNAME`. Host and port must be those of `upstream`; what else the URL says counts as `upstream` says it.",
        ),
        key(
            "at_end",
            "string",
            Toml("\"reassign\""),
            "Of `ephemeral`: what becomes of what a session's role owns when it ends. `reassign`: `owner` gets it; `drop`: it is dropped, and what others depend on is reassigned.",
        ),
        key(
            "owner",
            "string",
            Absent("the admin's own role"),
            "Of `ephemeral`: the role that gets what sessions leave.",
        ),
        key(
            "pool",
            "number",
            Toml("0"),
            "Of `ephemeral`: how many roles are kept prepared for each scope in use, so that a session need not wait for its own to be made. From 0 to 100.",
        ),
        key(
            "prefix",
            "string",
            Toml("\"gatepost\""),
            "Of `ephemeral`: what the names of all roles that the gateway makes begin with. Gateways of one server that serve the same database share it. 1 to 16 lower-case letters, digits and `_`.",
        ),
        key(
            "sweep_interval",
            "time",
            Toml("\"60s\""),
            "Of `ephemeral`: how often roles that a crash has left are looked for. From 1s to 1h.",
        ),
    ],
    later: &[],
};
