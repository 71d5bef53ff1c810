//! Every key of the configuration file: its type, its default, its meaning. The reader takes defaults from here and
//! refuses what is not here; the reference page is printed from here. Knows no Rust type of a setting.

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// The key that holds it.
    pub(crate) name: &'static str,
    /// How it is written.
    pub(crate) header: &'static str,
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys of later versions: refused by name rather than as unknown.
    pub(crate) later: &'static [Later],
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) default: Default,
    pub(crate) about: &'static str,
}

/// What holds where a key is not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    /// It must be written.
    Required,
    /// Nothing; the text says what that means.
    Absent(&'static str),
    /// This value, as TOML.
    Toml(&'static str),
}

/// A key that a later version brings.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

use self::Default::{Absent, Required, Toml};

const fn key(name: &'static str, kind: &'static str, default: Default, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

const fn later(name: &'static str, what: &'static str) -> Later {
    Later { name, what }
}

/// Nobody can log in as a role that may not, or not any more.
const VERIFIER_QUERY: &str = "\"SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())\"";

/// The top of the file.
pub(crate) const ROOT: Section = Section {
    name: "",
    header: "the top level",
    about: "",
    keys: &[
        key("listen", "table", Toml("{}"), "see [listen]"),
        key("issuer", "tables", Toml("[]"), "see [[issuer]]"),
        key("database", "tables", Required, "see [[database]]"),
        key("auth", "tables", Toml("[]"), "see [[auth]]"),
        key("legacy", "tables", Toml("[]"), "see [[legacy]]"),
        key("passthrough", "table", Toml("{}"), "see [passthrough]"),
        key("journal", "table", Toml("{}"), "see [journal]"),
        key("limits", "table", Toml("{}"), "see [limits]"),
        key("mask", "table", Toml("{}"), "see [mask]"),
        key("vault", "table", Absent("no `vault:` reference can be used"), "see [vault]"),
        key("aws", "table", Absent("no `aws:` reference can be used"), "see [aws]"),
        key("operators", "table", Toml("{}"), "see [operators]"),
        key("notify", "tables", Toml("[]"), "see [[notify]]"),
        key("state", "table", Toml("{}"), "see [state]"),
        key("store", "table", Toml("{}"), "see [store]"),
        key("telemetry", "table", Toml("{}"), "see [telemetry]"),
        key(
            "console",
            "table",
            Absent("nobody logs in with a browser; tokens are taken all the same"),
            "see [console]",
        ),
    ],
    later: &[],
};

pub(crate) const LISTEN: Section = Section {
    name: "listen",
    header: "[listen]",
    about: "Where clients connect.",
    keys: &[
        key(
            "postgres",
            "address or list of addresses",
            Toml("\"127.0.0.1:6432\""),
            "An IP address and a port, as `0.0.0.0:6432` or `[::1]:6432`. An address that other hosts can reach needs `tls`: clients that are not on this host are refused without TLS.",
        ),
        key(
            "tls",
            "table",
            Absent("no TLS: only clients on this host can connect"),
            "The certificate that clients are shown; see `listen.tls`.",
        ),
        key(
            "http",
            "address or list of addresses",
            Absent("no HTTP; the local socket in `state.path` is there all the same"),
            "Where operators and issuers reach the gateway over HTTP: sessions, blocks, logout, health. An IP address and a port; one that other hosts can reach needs `tls`, and then all of them speak HTTPS.",
        ),
        key(
            "public_url",
            "URL",
            Absent("links are left out of what approvers are sent"),
            "Where people reach `http`, as `https://gatepost.example.com`: a scheme and a host, with a port if it is not the scheme's own; no path. `http:` on loopback only. Links to requests begin with it, and logins come back to it: `PUBLIC_URL/login/callback` must be registered with the issuer, exactly so. A proxy in front that ends TLS must pass on `Host`.",
        ),
    ],
    later: &[],
};

pub(crate) const TLS: Section = Section {
    name: "tls",
    header: "listen.tls",
    about: "The gateway's own certificate.",
    keys: &[
        key("certificate", "path", Required, "PEM file: the certificate, followed by its intermediates."),
        key(
            "key",
            "secret reference",
            Required,
            "The certificate's private key, in PEM (PKCS#8, PKCS#1 or SEC1).",
        ),
        key(
            "client_ca",
            "path",
            Absent("certificates are asked for only if an issuer believes them"),
            "PEM file: authorities of client certificates, for each `[[issuer]]` of kind `certificate` that has no `ca` of its own. Clients are asked for a certificate, and need not have one.",
        ),
    ],
    later: &[],
};

pub(crate) const ISSUER: Section = Section {
    name: "issuer",
    header: "[[issuer]]",
    about: "Whose tokens and certificates are believed. At least one, unless every `[[auth]]` rule is of method `passthrough` or `reject`.",
    keys: &[
        key("name", "string", Required, "How audit, policy tests and `--as` call it. Unique; without `:`."),
        key(
            "kind",
            "string",
            Toml("\"oidc\""),
            "`oidc`: an OpenID Connect provider, or whoever else signs JWTs. `certificate`: an authority of client certificates. `spiffe`: a SPIFFE trust domain, for X.509-SVIDs, and for JWT-SVIDs if it has an `audience`. Keys that mean nothing for a kind are refused.",
        ),
        key(
            "url",
            "URL",
            Absent("kind `oidc` needs it, the others have none"),
            "Exactly the `iss` of its tokens; keys are found below it by discovery. `http:` only on loopback.",
        ),
        key(
            "audience",
            "string or list of strings",
            Absent("kind `oidc` needs it; a `spiffe` trust domain's tokens are then not believed"),
            "A token must name one of these in `aud`.",
        ),
        key(
            "jwks",
            "URL",
            Absent("where discovery says"),
            "Where the keys are, for issuers whose discovery can't be asked.",
        ),
        key(
            "bearer",
            "secret reference",
            Absent("nothing"),
            "A token that the gateway shows where it asks for discovery and keys, at the origin of `url` or at `jwks` only. Read anew each time.",
        ),
        key(
            "trust_domain",
            "string",
            Absent("kind `spiffe` needs it"),
            "The SPIFFE trust domain, as `example.org`.",
        ),
        key(
            "bundle",
            "path or URL",
            Absent("kind `spiffe` needs it"),
            "The trust bundle: SPIFFE's JSON, or PEM for certificates only; `file:…`, which is read again when it changes, or `https://…`.",
        ),
        key(
            "crl",
            "path",
            Absent("no certificate is looked for in any"),
            "PEM file: lists of revoked certificates, read again when it changes. Then every certificate on the way to the authority must be covered by a list that is not out of date.",
        ),
        key(
            "introspection",
            "table",
            Absent("its tokens are not asked about, and count until they expire"),
            "Asks the issuer about its tokens; see `issuer.introspection`.",
        ),
        key(
            "members",
            "table of lists of strings",
            Toml("{}"),
            "Further groups and who is in them, by subject, with `*` for any run of characters: `members = { prod = [\"system:serviceaccount:prod:*\"] }`.",
        ),
        key(
            "authorized_parties",
            "string or list of strings",
            Absent("not looked at"),
            "A token must name one of these in `azp`, or without it in `client_id`.",
        ),
        key(
            "token_lifetime_max",
            "time",
            Absent("as long as the issuer says"),
            "The longest that a token may live from `iat` to `exp`; makes `iat` required. From 1m to 365d.",
        ),
        key(
            "subject",
            "claim",
            Absent("`sub`; of certificates `uri`"),
            "The claim that names the agent; unique within the issuer. Of kind `certificate`: which name in it, of which there must be exactly one: `uri`, `dns`, `email` or `cn`.",
        ),
        key(
            "groups",
            "claim",
            Absent("`groups`; of certificates none"),
            "The claim with the groups that policy sees: a list or one string. Of kind `certificate`: `ou` or `o` of its subject.",
        ),
        key("display_name", "claim", Toml("\"name\""), "The claim with a name for people to read."),
        key(
            "attributes",
            "table of claims",
            Toml("{}"),
            "Further claims that policy sees: `attributes = { team = \"department\" }` shows the claim `department` as `team`.",
        ),
        key(
            "algorithms",
            "list of strings",
            Toml(
                "[\"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\", \"ES256\", \"ES384\", \"EdDSA\"]",
            ),
            "The signature algorithms that are believed. Never HS256 and its kin, nor `none`.",
        ),
        key(
            "actor",
            "string",
            Toml("\"act\""),
            "What the claim `act` means (RFC 8693). `act`: whoever is in it acts, on behalf of the token's subject. `ignore`: nothing; the subject acts for itself. `refuse`: such tokens are refused.",
        ),
        key(
            "leeway",
            "time",
            Toml("\"30s\""),
            "How far the issuer's clock may be off, for `exp`, `nbf` and `iat`. At most 5m.",
        ),
        key(
            "ca",
            "path",
            Absent("only the system's; of kind `certificate`, `client_ca` of `listen.tls`"),
            "PEM file: certificates of authorities that are trusted for this issuer in addition to the system's. Of kind `certificate`: the authorities of its certificates, and no others.",
        ),
        key(
            "events_audience",
            "string or list of strings",
            Absent("those of `audience`"),
            "A logout token or security event must name one of these in `aud`: what the issuer calls the gateway as its client or receiver.",
        ),
        key(
            "scope",
            "string",
            Toml("\"openid\""),
            "The scopes that OAUTHBEARER clients are told to ask for, with spaces between.",
        ),
    ],
    later: &[],
};

pub(crate) const INTROSPECTION: Section = Section {
    name: "introspection",
    header: "issuer.introspection",
    about: "Where the issuer is asked about tokens (RFC 7662): of tokens that only it can read, and of others whether they were revoked. Tokens of its own are then not believed while it can't be asked.",
    keys: &[
        key("url", "URL", Required, "Its introspection endpoint. `http:` only on loopback."),
        key(
            "client_id",
            "string",
            Absent("`bearer` is needed"),
            "How the gateway is known there, by HTTP Basic authentication.",
        ),
        key(
            "client_secret",
            "secret reference",
            Absent("none"),
            "The secret of `client_id`. Fetched for each question.",
        ),
        key(
            "bearer",
            "secret reference",
            Absent("`client_id` is needed"),
            "A token of the gateway's own, in place of `client_id`. Fetched for each question.",
        ),
        key(
            "every",
            "time",
            Toml("\"30s\""),
            "How often it is asked again about a token while its session lives. From 1s to 1h.",
        ),
        key(
            "grace",
            "time",
            Toml("\"0s\""),
            "For how long sessions live on while it can't be asked. At most 1h.",
        ),
    ],
    later: &[],
};

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

pub(crate) const VAULT: Section = Section {
    name: "vault",
    header: "[vault]",
    about: "A HashiCorp Vault or OpenBao server, for `vault:PATH#FIELD`; see [secrets](../guide/secrets.md). Which keys belong to which `method` is said with each.",
    keys: &[
        key(
            "address",
            "URL",
            Required,
            "`https://HOST:PORT`; `http:` only on loopback. Redirects are not followed.",
        ),
        key("namespace", "string", Absent("none"), "The namespace that all paths are in."),
        key(
            "ca",
            "path",
            Absent("only the system's"),
            "PEM file: certificates of authorities that are trusted for this server in addition to the system's.",
        ),
        key("timeout", "time", Toml("\"5s\""), "For one request. From 1s to 10s."),
        key(
            "method",
            "string",
            Required,
            "How the gateway gets its token: `token`, `approle`, `kubernetes` or `jwt`.",
        ),
        key(
            "mount",
            "string",
            Absent("the method's name"),
            "`approle`, `kubernetes`, `jwt`: where the auth method is enabled, below `auth/`.",
        ),
        key("token", "secret reference", Absent("not for this method"), "`token`: the token itself."),
        key("role_id", "secret reference", Absent("not for this method"), "`approle`: the role's ID."),
        key(
            "secret_id",
            "secret reference",
            Absent("none is sent, for roles that bind none"),
            "`approle`: the secret ID.",
        ),
        key("role", "string", Absent("not for this method"), "`kubernetes`, `jwt`: the role to log in as."),
        key(
            "jwt",
            "secret reference",
            Absent("`kubernetes`: the file where pods have the token of their service account"),
            "`kubernetes`, `jwt`: the token to show. Its file may be readable by everybody.",
        ),
    ],
    later: &[],
};

pub(crate) const AWS: Section = Section {
    name: "aws",
    header: "[aws]",
    about: "For `aws:rds-iam`, a database password that is signed anew for each login; see [secrets](../guide/secrets.md).",
    keys: &[
        key(
            "region",
            "string",
            Absent("that of the upstream's host name"),
            "The database's region, as `eu-central-1`.",
        ),
        key(
            "credentials",
            "string",
            Required,
            "Where AWS credentials come from; nothing else is asked. `environment`: `AWS_ACCESS_KEY_ID` and its kin. `profile`: the shared credentials file. `web-identity`: a role of STS, by `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE` (IRSA). `container`: ECS, or EKS Pod Identity. `instance`: the metadata service of EC2, version 2.",
        ),
        key("profile", "string", Absent("`default`"), "The profile in the shared credentials file."),
        key(
            "endpoint",
            "URL",
            Absent("AWS's own"),
            "Asked in place of STS (`web-identity`) or the metadata service (`instance`). `https:`, or `http:` on loopback.",
        ),
    ],
    later: &[],
};

pub(crate) const OPERATORS: Section = Section {
    name: "operators",
    header: "[operators]",
    about: "Who may do what over HTTP, by the groups of their tokens. Each is written with its issuer, as `corp:oncall`: what a group is called in one issuer says nothing in another. Whoever runs as root or as the gateway's own user may do everything over the local socket.",
    keys: &[
        key(
            "operator",
            "string or list of strings",
            Absent("nobody"),
            "Groups that may end sessions, and make and remove blocks.",
        ),
        key(
            "auditor",
            "string or list of strings",
            Absent("nobody"),
            "Groups that may see all that is to be seen, and change nothing.",
        ),
        key(
            "viewer",
            "string or list of strings",
            Absent("nobody"),
            "Groups that may see sessions and blocks.",
        ),
        key(
            "approver",
            "string or list of strings",
            Absent("nobody"),
            "Groups that may decide about requests for approval. Whoever decides must be in one of these, and in a group that the bundle's `[approvers]` names; see [approvals](../guide/approvals.md).",
        ),
        key(
            "audience",
            "string or list of strings",
            Absent("those of the issuer"),
            "What their tokens must name in `aud`. With one of its own, a token for a database can't be used here.",
        ),
    ],
    later: &[],
};

pub(crate) const CONSOLE: Section = Section {
    name: "console",
    header: "[console]",
    about: "How people log in with a browser: by OpenID Connect's authorization code flow with PKCE. Needs `listen.http` and `listen.public_url`. What they may do then, `[operators]` says, by the groups of their ID token, read as the issuer's tokens are.",
    keys: &[
        key(
            "issuer",
            "string",
            Required,
            "The name of the `[[issuer]]` that people log in at. It must be of kind `oidc`, and its discovery document is asked for.",
        ),
        key(
            "client_id",
            "string",
            Required,
            "By what name the issuer knows the console. ID tokens must be for it alone.",
        ),
        key(
            "client_secret",
            "secret reference",
            Absent("a public client: PKCE alone"),
            "The client's secret. Sent by HTTP Basic authentication, or in the form where the issuer takes it only there.",
        ),
        key(
            "scopes",
            "string or list of strings",
            Toml("[\"openid\", \"profile\", \"email\"]"),
            "What is asked for. `openid` must be among them; add the one by which the issuer puts groups into ID tokens, if it needs one.",
        ),
        key("session", "duration", Toml("\"8h\""), "How long somebody stays logged in, at most."),
        key("idle", "duration", Toml("\"1h\""), "How long somebody stays logged in who does nothing."),
    ],
    later: &[],
};

pub(crate) const NOTIFY: Section = Section {
    name: "notify",
    header: "[[notify]]",
    about: "Where approvers are told of requests; see [notifications](../guide/notifications.md). Keys that mean nothing for a kind are refused. `gatepost notify test` sends a message by each.",
    keys: &[
        key(
            "name",
            "string",
            Required,
            "Unique; lower-case letters, digits, `-` and `_`: it is part of the URL that answers come to.",
        ),
        key(
            "kind",
            "string",
            Required,
            "`slack`; `teams`: Microsoft Teams, by a webhook of Workflows; `email`; `webhook`: JSON, signed as Standard Webhooks says.",
        ),
        key(
            "databases",
            "string or list of strings",
            Toml("\"*\""),
            "Of which databases it tells; `*` stands for any characters.",
        ),
        key(
            "groups",
            "string or list of strings",
            Absent("whichever are asked"),
            "Of requests to which approver groups of a bundle it tells.",
        ),
        key(
            "events",
            "string or list of strings",
            Toml("[\"opened\", \"decided\", \"ended\", \"break_glass\", \"undelivered\"]"),
            "Of what it tells. `opened`: a request waits. `decided`: it is approved or denied. `ended`: it is over undecided: expired, cancelled, withdrawn, lost. `break_glass`: it was run without approval. `undelivered`: another channel could not be told.",
        ),
        key(
            "statement",
            "string",
            Toml("\"none\""),
            "What leaves by it of a statement. `full`: its text and its parameters, but for literals that the journal withholds too. `none`: neither. A statement can be approved in Slack only with `full`.",
        ),
        key(
            "ca",
            "path",
            Absent("only the system's"),
            "PEM file: authorities that are believed beside the system's.",
        ),
        key(
            "token",
            "secret reference",
            Absent("`webhook` is used"),
            "Slack: the bot's token, `xoxb-…`, with the scope `chat:write`. Messages are then replaced when the request is decided.",
        ),
        key(
            "channel",
            "string",
            Absent("that of `webhook`"),
            "Slack: the id of the channel for `token`, as `C0123456789`; the bot must be in it.",
        ),
        key(
            "webhook",
            "secret reference",
            Absent("`token` is used; Teams must have it"),
            "The webhook's URL, which is a secret. Slack: of an incoming webhook. Teams: of the workflow that posts to a channel when a webhook request is received.",
        ),
        key(
            "signing_secret",
            "secret reference",
            Absent("messages have a link, and no buttons"),
            "Slack: what Slack signs its calls with. Its interactivity must lead to `/notify/slack/NAME` below `listen.public_url`.",
        ),
        key(
            "workspace",
            "string",
            Absent("needed with `signing_secret`"),
            "Slack: the workspace's id, as `T0123456789`; users of others decide nothing.",
        ),
        key(
            "api",
            "URL",
            Toml("\"https://slack.com/api\""),
            "Slack: where its API is. `http:` only on loopback.",
        ),
        key(
            "people",
            "table",
            Absent("needed with `signing_secret` or `inbound_secret`"),
            "Who is who: from a Slack user's id, or the `person` of a webhook, to issuer and subject, as `{ U0123456789 = \"corp:alice\" }`. Nobody else decides anything there.",
        ),
        key(
            "login_age_max",
            "duration",
            Toml("\"24h\""),
            "Whoever decides by a channel has the groups of their last login at the console. If that is longer ago, they must log in first. From 1m to 90d.",
        ),
        key(
            "host",
            "string",
            Absent("e-mail must have it"),
            "E-mail: the mail server, as HOST or HOST:PORT. The port is 587 where it is left out, and 465 with `implicit`.",
        ),
        key(
            "tls",
            "string",
            Toml("\"starttls\""),
            "E-mail: `starttls`, without which nothing is sent; `implicit`: TLS from the first byte; `none`: on loopback only.",
        ),
        key("user", "secret reference", Absent("it does not log in"), "E-mail: whom to log in as."),
        key("password", "secret reference", Absent("it does not log in"), "E-mail: with what."),
        key(
            "from",
            "string",
            Absent("e-mail must have it"),
            "E-mail: the sender, as `Gatepost <gatepost@example.com>`.",
        ),
        key("to", "string or list of strings", Absent("e-mail must have it"), "E-mail: the recipients."),
        key(
            "url",
            "URL",
            Absent("a webhook must have it"),
            "Webhook: where events are sent. `http:` only on loopback; redirects are not followed.",
        ),
        key(
            "secret",
            "secret reference",
            Absent("a webhook must have it"),
            "Webhook: what events are signed with: `whsec_` and 24 to 64 bytes in base64.",
        ),
        key(
            "inbound_secret",
            "secret reference",
            Absent("nothing is decided by it"),
            "Webhook: what decisions are signed with that are sent to `/notify/webhook/NAME`, likewise; another than `secret`.",
        ),
    ],
    later: &[],
};

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

/// All tables, in the order of the reference page.
pub(crate) const SECTIONS: &[&Section] = &[
    &LISTEN,
    &TLS,
    &ISSUER,
    &INTROSPECTION,
    &DATABASE,
    &LOGIN,
    &AUTH,
    &MATCH,
    &LEGACY,
    &PASSTHROUGH,
    &JOURNAL,
    &LIMITS,
    &MASK,
    &VAULT,
    &AWS,
    &OPERATORS,
    &NOTIFY,
    &STATE,
    &CONSOLE,
    &STORE,
    &TELEMETRY,
];

impl Section {
    pub(crate) fn key(&'static self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Returns whether a word is the name of a key or table, and so no secret.
pub(crate) fn is_known(word: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == word || section.key(word).is_some())
}

/// Returns the name that is nearest to a mistyped one, if any is near: at most half of it is wrong.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_lowercase();
    known
        .map(|candidate| (distance(&name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| distance * 2 <= candidate.chars().count().max(name.chars().count()))
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(from != to);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            let swapped =
                row > 0 && column > 0 && left.get(row - 1) == Some(to) && right.get(column - 1) == Some(from);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{LIMITS, distance, nearest};

    #[test]
    fn distance_counts_single_mistakes_as_one() {
        for (left, right, expected) in
            [("url", "url", 0), ("urk", "url", 1), ("ulr", "url", 1), ("ur", "url", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn nothing_is_near_to_nonsense() {
        let keys = || LIMITS.keys.iter().map(|key| key.name);
        assert_eq!(nearest("conections_max", keys()), Some("connections_max"));
        assert_eq!(nearest("Statement_Bytes_Max", keys()), Some("statement_bytes_max"));
        assert_eq!(nearest("zzz", keys()), None);
    }
}
