//! SPIFFE IDs and the trust domains that they are in. Knows no certificate and no token.
//!
//! The rules are those of the SPIFFE-ID standard, sections 2 and 3, which leave an ID one spelling only.

use std::fmt;
use std::str::FromStr;

/// The longest SPIFFE ID, in bytes (SPIFFE-ID 2.3).
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// The longest trust domain, in bytes (SPIFFE-ID 2.1: as a host of RFC 3986).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The name of a trust domain, such as `example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

/// A workload's SPIFFE ID, such as `spiffe://example.org/ns/prod/sa/web`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: String,
    trust_domain: TrustDomain,
}

/// What is no SPIFFE ID of a workload, or no name of a trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpiffeId {
    /// Over [`SPIFFE_ID_BYTES_MAX`], or the trust domain over 255 bytes.
    #[error("is too long")]
    TooLong,
    /// It doesn't begin with `spiffe://`.
    #[error("does not begin with spiffe://")]
    Scheme,
    /// The trust domain has something else in it than lower-case letters, digits, `.`, `-` and `_`, or nothing.
    #[error("has a trust domain that is not of lower-case letters, digits, \".\", \"-\" and \"_\"")]
    TrustDomain,
    /// It has no path, and is the trust domain's own.
    #[error("has no path, and so is the trust domain's own and no workload's")]
    NoPath,
    /// A segment of the path is empty, `.` or `..`, or has something else in it than letters, digits, `.`, `-` and `_`.
    #[error("has a path that is not of letters, digits, \".\", \"-\" and \"_\" between single slashes")]
    Path,
}

impl FromStr for TrustDomain {
    type Err = BadSpiffeId;

    fn from_str(text: &str) -> Result<Self, BadSpiffeId> {
        if text.len() > TRUST_DOMAIN_BYTES_MAX {
            return Err(BadSpiffeId::TooLong);
        }
        let fits = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || !text.bytes().all(fits) {
            return Err(BadSpiffeId::TrustDomain);
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for SpiffeId {
    type Err = BadSpiffeId;

    fn from_str(text: &str) -> Result<Self, BadSpiffeId> {
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(BadSpiffeId::TooLong);
        }
        let rest = text.strip_prefix("spiffe://").ok_or(BadSpiffeId::Scheme)?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some((trust_domain, path)) => (trust_domain.parse()?, path),
            None => {
                rest.parse::<TrustDomain>()?;
                return Err(BadSpiffeId::NoPath);
            }
        };
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        let segment = |it: &str| !matches!(it, "" | "." | "..") && it.bytes().all(fits);
        if !path.split('/').all(segment) {
            return Err(BadSpiffeId::Path);
        }
        Ok(Self { text: text.to_owned(), trust_domain })
    }
}

impl SpiffeId {
    /// Returns the trust domain that it is in.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns the whole of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_has_one_spelling() {
        for text in ["spiffe://example.org/web", "spiffe://a-b_c.1/ns/prod/sa/Web-1.0_x", "spiffe://x/..."] {
            assert_eq!(text.parse::<SpiffeId>().unwrap().as_str(), text);
        }
        for (text, expected) in [
            ("", BadSpiffeId::Scheme),
            ("SPIFFE://example.org/web", BadSpiffeId::Scheme),
            ("https://example.org/web", BadSpiffeId::Scheme),
            ("spiffe:/example.org/web", BadSpiffeId::Scheme),
            ("spiffe:///web", BadSpiffeId::TrustDomain),
            ("spiffe://Example.org/web", BadSpiffeId::TrustDomain),
            ("spiffe://example.org:443/web", BadSpiffeId::TrustDomain),
            ("spiffe://user@example.org/web", BadSpiffeId::TrustDomain),
            ("spiffe://exämple.org/web", BadSpiffeId::TrustDomain),
            ("spiffe://example.org?/web", BadSpiffeId::TrustDomain),
            ("spiffe://example.org", BadSpiffeId::NoPath),
            ("spiffe://example.org/", BadSpiffeId::Path),
            ("spiffe://example.org/web/", BadSpiffeId::Path),
            ("spiffe://example.org//web", BadSpiffeId::Path),
            ("spiffe://example.org/./web", BadSpiffeId::Path),
            ("spiffe://example.org/ns/../web", BadSpiffeId::Path),
            ("spiffe://example.org/%77eb", BadSpiffeId::Path),
            ("spiffe://example.org/web?x", BadSpiffeId::Path),
            ("spiffe://example.org/web#x", BadSpiffeId::Path),
            ("spiffe://example.org/web\n", BadSpiffeId::Path),
            ("spiffe://example.org/web\0", BadSpiffeId::Path),
            ("spiffe://example.org/wеb", BadSpiffeId::Path),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(expected), "{text:?}");
        }
        let long = format!("spiffe://example.org/{}", "a".repeat(SPIFFE_ID_BYTES_MAX));
        assert_eq!(long.parse::<SpiffeId>(), Err(BadSpiffeId::TooLong));
        assert_eq!(format!("spiffe://{}/a", "a".repeat(256)).parse::<SpiffeId>(), Err(BadSpiffeId::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "(spiffe://)?[a-zA-Z0-9./%_?#-]{0,40}|\\PC{0,40}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), &text);
                let domain = format!("spiffe://{}/", id.trust_domain());
                prop_assert!(text.starts_with(&domain));
            }
        }
    }
}
