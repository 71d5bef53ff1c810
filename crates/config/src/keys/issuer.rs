//! Who is believed. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

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
