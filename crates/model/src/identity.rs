//! Who is at the other end of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Who a session belongs to: the claims of a credential, mapped. Says nothing about whether they were checked:
/// that is `identity::Verified`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name of the `[[issuer]]` in the configuration, not its URL.
    pub issuer: String,
    /// The mapped subject claim; unique within the issuer.
    pub subject: String,
    /// A display name, if the issuer gives one.
    pub name: Option<String>,
    /// The groups that policy sees.
    pub groups: BTreeSet<String>,
    /// Further mapped claims, by the name that policy sees.
    pub attributes: BTreeMap<String, String>,
    /// `jti`, where the token has one.
    pub token_id: Option<String>,
    /// For whom it acts, where the credential says so (RFC 8693, section 4.1): this identity is then the actor.
    pub on_behalf_of: Option<Party>,
}

impl Identity {
    /// The issuer of legacy accounts: no `[[issuer]]` may be called so.
    pub const LEGACY: &str = "legacy";
}

/// Somebody named by a credential beside the one who presents it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party {
    /// The name of the `[[issuer]]` in the configuration.
    pub issuer: String,
    /// Unique within the issuer.
    pub subject: String,
}

impl fmt::Display for Party {
    /// Writes `issuer:subject`, as for an [`Identity`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.subject)
    }
}

impl fmt::Display for Identity {
    /// Writes `issuer:subject`, the form that audit and `--as` use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.subject)
    }
}

/// How a credential reached the gateway; the `method` of an `[[auth]]` rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The token was sent as the password.
    Token,
    /// The token was sent by SASL OAUTHBEARER (RFC 7628).
    OAuthBearer,
    /// No token: a legacy account proved by SCRAM-SHA-256 that it knows its password, and is itself upstream.
    Passthrough,
    /// A certificate was shown in the TLS handshake; nothing else is asked for.
    Certificate,
}

impl Method {
    /// All of them: what configuration, policy and its tests may say.
    pub const ALL: [Self; 4] = [Self::Token, Self::OAuthBearer, Self::Passthrough, Self::Certificate];

    /// Returns the word that the configuration and the audit use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::OAuthBearer => "oauthbearer",
            Self::Passthrough => "passthrough",
            Self::Certificate => "certificate",
        }
    }
}
