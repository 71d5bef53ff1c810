//! What is required of one issuer's tokens, and which claims become what. Knows no token.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::Pattern;
use serde_json::Value;

use crate::{Actor, Algorithm, TrustDomain};

/// What one `[[issuer]]` of the configuration says about its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// The issuer's name in the configuration; becomes `model::Identity::issuer`.
    pub name: String,
    /// What `iss` must equal, byte for byte.
    pub issuer_url: String,
    /// `aud` must have one of these. Empty refuses every token.
    pub audiences: Vec<String>,
    /// `aud` of a logout token or security event must have one of these; empty: one of `audiences`.
    pub events_audiences: Vec<String>,
    /// `azp` (without it, `client_id`, RFC 9068) must be there and be one of these; empty asks for nothing.
    pub authorized_parties: Vec<String>,
    /// The allow-list. Empty refuses every token.
    pub algorithms: Vec<Algorithm>,
    /// The claim that becomes the subject: a non-empty string.
    pub subject_claim: ClaimPath,
    /// The claim that becomes the display name, if the token has it.
    pub name_claim: ClaimPath,
    /// The claim that becomes the groups, if the token has it: an array of strings, or a string.
    ///
    /// A string is *one* group, whatever it contains, except where the last segment of the path is `scope` or `scp`:
    /// those are lists separated by spaces (RFC 8693 4.2).
    pub groups_claim: ClaimPath,
    /// Further claims, by the name that policy sees: strings, booleans and integers, as text.
    pub attributes: BTreeMap<String, ClaimPath>,
    /// Further groups, and the subjects that are in each.
    pub members: BTreeMap<String, Vec<Pattern>>,
    /// Where its tokens are JWT-SVIDs: their subjects are SPIFFE IDs of this trust domain, and `iss` is not looked at.
    pub trust_domain: Option<TrustDomain>,
    /// What the issuer means by `act`.
    pub actor: Actor,
    /// By how much the issuer's clock and ours may differ; applied to `exp`, `nbf`, `iat`.
    pub leeway: Duration,
    /// The longest that a token may have existed (`now - iat`); makes `iat` required.
    pub age_max: Option<Duration>,
    /// The longest that a token may live in all (`exp - iat`); makes `iat` required.
    pub lifetime_max: Option<Duration>,
    /// The longest token looked at; at most [`TOKEN_BYTES_MAX`](crate::TOKEN_BYTES_MAX).
    pub token_bytes_max: usize,
    /// The most groups accepted.
    pub groups_max: usize,
}

impl IssuerRules {
    /// The default of [`leeway`](Self::leeway).
    pub const LEEWAY: Duration = Duration::from_secs(30);
    /// The default of [`token_bytes_max`](Self::token_bytes_max).
    pub const TOKEN_BYTES: usize = 16 * 1024;
    /// The default of [`groups_max`](Self::groups_max). (Entra ID stops listing groups at 200.)
    pub const GROUPS: usize = 256;

    /// Returns the rules with `sub`, `name`, `groups`, every algorithm, and the default limits.
    pub fn new(name: impl Into<String>, issuer_url: impl Into<String>, audiences: Vec<String>) -> Self {
        Self {
            name: name.into(),
            issuer_url: issuer_url.into(),
            audiences,
            events_audiences: Vec::new(),
            authorized_parties: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            subject_claim: ClaimPath::top("sub"),
            name_claim: ClaimPath::top("name"),
            groups_claim: ClaimPath::top("groups"),
            attributes: BTreeMap::new(),
            members: BTreeMap::new(),
            trust_domain: None,
            actor: Actor::Act,
            leeway: Self::LEEWAY,
            age_max: None,
            lifetime_max: None,
            token_bytes_max: Self::TOKEN_BYTES,
            groups_max: Self::GROUPS,
        }
    }
}

/// Where in the claims a value is.
///
/// Written as a JSON pointer (RFC 6901) if it begins with `/`; as a single name if it contains `:`, as namespaced
/// claims do (`https://example.com/groups`, `cognito:groups`); otherwise as names separated by dots
/// (`realm_access.roles`). A name that itself has a dot needs the pointer: `/kubernetes.io/namespace`.
///
/// SECURITY: the text alone decides the path, never which members a token happens to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    text: String,
    segments: Vec<String>,
}

/// A claim path that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("claim path {text:?} {problem}")]
pub struct BadClaimPath {
    text: String,
    problem: &'static str,
}

impl ClaimPath {
    /// The most segments of a path.
    const SEGMENTS_MAX: usize = 8;

    /// Returns the path of a top-level claim, whatever characters its name has.
    pub fn top(name: impl Into<String>) -> Self {
        let text = name.into();
        Self { segments: vec![text.clone()], text }
    }

    /// Returns the value, where there is one other than null.
    pub(crate) fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        let mut value = claims;
        for segment in &self.segments {
            value = value.as_object()?.get(segment)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// Returns whether a string here is a list separated by spaces.
    pub(crate) fn is_scope(&self) -> bool {
        self.segments.last().is_some_and(|last| last == "scope" || last == "scp")
    }
}

impl FromStr for ClaimPath {
    type Err = BadClaimPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |problem| BadClaimPath { text: text.to_owned(), problem };
        let segments: Vec<String> = if let Some(pointer) = text.strip_prefix('/') {
            pointer.split('/').map(unescape).collect::<Option<_>>().ok_or_else(|| {
                bad("has a ~ that is neither ~0 nor ~1; a JSON pointer writes ~ as ~0 and / as ~1")
            })?
        } else if text.contains(':') {
            vec![text.to_owned()]
        } else {
            text.split('.').map(str::to_owned).collect()
        };
        if segments.iter().any(String::is_empty) {
            return Err(bad(
                "has an empty name; write it as in \"groups\", \"realm_access.roles\" or \"/a.b/c\"",
            ));
        }
        if segments.len() > Self::SEGMENTS_MAX {
            return Err(bad("is deeper than 8 names"));
        }
        Ok(Self { text: text.to_owned(), segments })
    }
}

/// Undoes RFC 6901's escapes; `None` for a `~` that escapes nothing.
fn unescape(segment: &str) -> Option<String> {
    let mut out = String::with_capacity(segment.len());
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        match c {
            '~' => match chars.next()? {
                '0' => out.push('~'),
                '1' => out.push('/'),
                _ => return None,
            },
            other => out.push(other),
        }
    }
    Some(out)
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(path: &str, expected: Option<&str>) {
        let claims = json!({
            "groups": "top", "realm_access": {"roles": "nested"}, "a.b": "dotted", "realm_access.roles": "decoy",
            "https://example.com/groups": "url", "cognito:groups": "cognito",
            "kubernetes.io": {"namespace": "ns"}, "m~/n": "escaped", "none": null, "list": ["x"],
        });
        let path: ClaimPath = path.parse().unwrap();
        assert_eq!(path.find(&claims).and_then(Value::as_str), expected, "{path}");
    }

    #[test]
    fn the_text_of_a_path_alone_decides_where_it_leads() {
        check("groups", Some("top"));
        check("realm_access.roles", Some("nested"));
        check("/realm_access/roles", Some("nested"));
        check("/realm_access.roles", Some("decoy"));
        check("a.b", None);
        check("/a.b", Some("dotted"));
        check("https://example.com/groups", Some("url"));
        check("cognito:groups", Some("cognito"));
        check("/kubernetes.io/namespace", Some("ns"));
        check("/m~0~1n", Some("escaped"));
        check("none", None);
        check("list.0", None);
        check("groups.deeper", None);
    }

    #[test]
    fn a_path_that_leads_nowhere_sure_is_an_error() {
        for text in ["", ".", "a.", ".a", "a..b", "/", "/a//b", "/a~2", "/a~", "a.b.c.d.e.f.g.h.i"] {
            assert!(text.parse::<ClaimPath>().is_err(), "{text:?}");
        }
    }
}
