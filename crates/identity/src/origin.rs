//! By what an issuer calls a credential later, when it withdraws it. Knows claims; withdraws nothing.

use std::time::SystemTime;

use serde_json::Value;

use crate::Rejection;
use crate::claims::{self, Rounding};

/// What a token says of where it comes from, as its issuer's logout tokens and security events say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `sub`, and that of `act` (RFC 8693 4.1), whatever claims make the identity.
    pub subjects: Vec<String>,
    /// `sid`: the session at the issuer (OpenID Connect Back-Channel Logout 1.0, 2.1).
    pub session: Option<String>,
    /// `iat`; unknown counts as issued before anything that is withdrawn.
    pub issued_at: Option<SystemTime>,
}

impl Origin {
    /// Reads it from claims whose signature has been checked.
    pub(crate) fn of(claims: &Value) -> Result<Self, Rejection> {
        let mut subjects = Vec::new();
        let mut party = Some(claims);
        // Deeper chains name who acted before, not who acts.
        for _ in 0..2 {
            let Some(claims) = party else { break };
            subjects.extend(claims::string(claims.get("sub"), "sub")?.map(str::to_owned));
            party = claims.get("act").filter(|act| act.is_object());
        }
        Ok(Self {
            subjects,
            session: claims::string(claims.get("sid"), "sid")?.map(str::to_owned),
            issued_at: claims::date(claims, "iat", Rounding::Down)?,
        })
    }
}
