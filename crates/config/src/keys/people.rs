//! Who administers the gateway, and how they log in. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

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
