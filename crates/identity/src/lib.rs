//! Judges what somebody shows, and yields whose it is: a token (JWT, RFC 7519) or what its issuer says of it (RFC 7662), a client
//! certificate, a SCRAM proof. No I/O, no clock.
//!
//! Knows tokens, certificates, keys and claims. Must not know where keys come from (`oidc`), how a token travelled (`wire`), or
//! what an identity may do (`policy`). Time is an argument.
//!
//! The order in which a token meets the files: [`peek`] and the compact form, the key set, the rules, the claims,
//! and at the end the proof, [`Verified`].

mod actor;
mod algorithm;
mod anchors;
mod certificate;
mod claims;
mod compact;
mod event;
mod introspection;
mod json;
mod keys;
mod login;
mod origin;
mod rejection;
mod rules;
mod scram;
mod spiffe;
mod userlist;
mod verified;

pub use actor::Actor;
pub use algorithm::{Algorithm, UnsupportedAlgorithm};
pub use anchors::{Anchors, BadBundle, RevocationLists, TrustBundle};
pub use certificate::{
    CertificateKind, CertificateRejection, CertificateRules, GroupedBy, NamedBy, certificate_ends,
    peek_certificate, thumbprint, thumbprint_of, verify_certificate,
};
pub use compact::{TOKEN_BYTES_MAX, Unverified, is_self_contained, peek};
pub use event::{Told, Withdrawal, peek_event, peek_logout, verify_event, verify_logout};
pub use introspection::{check_introspection, verify_introspection};
pub use json::{JsonError, parse_json};
pub use keys::{KeySet, KeySetError, KeySetLimits};
pub use login::{Expected, peek_id_token, verify_id_token};
pub use origin::Origin;
pub use rejection::{Excerpt, Rejection};
pub use rules::{BadClaimPath, ClaimPath, IssuerRules};
pub use scram::{
    Account, Proven, ScramRejection, VerifierError, mock_verifier, parse_verifier, render_verifier,
    verify_scram,
};
pub use spiffe::{BadSpiffeId, SPIFFE_ID_BYTES_MAX, SpiffeId, TrustDomain};
pub use userlist::{Userlist, UserlistError};
pub use verified::{Presented, Verified, verify};

/// Installs the process's JWT cryptography (aws-lc-rs, as `jsonwebtoken` asks); safe to call any number of times.
///
/// [`verify`] calls it itself; call it early only to fix the choice before another user of `jsonwebtoken` does.
pub fn init() {
    // An error means that a provider is already installed, which is what was wanted.
    let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
