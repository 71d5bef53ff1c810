//! Whom a session's judgements hold for: identity, session facts, meaning of names, bundle. Digested, so that a judgement names its scope.
//!
//! Decides nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use identity::Verified;
use model::{ClientAddr, Identity, Method};
use policy::{Bundle, SessionFacts};
use sha2::{Digest, Sha256};

use crate::shared::Settings;

/// Whom and what a judgement holds for.
#[derive(Clone)]
pub(crate) struct Scope {
    identity: Arc<Identity>,
    application_name: Arc<str>,
    client_address: IpAddr,
    tls: bool,
    method: Method,
    holder: u128,
    names: u128,
    id: u128,
}

impl Scope {
    pub(crate) fn new(
        verified: &Verified,
        application_name: &str,
        client: ClientAddr,
        tls: bool,
        name_scope: &str,
        bundle: &Bundle,
    ) -> Self {
        let identity = verified.identity();
        Self {
            holder: holder(&identity.issuer, &identity.subject),
            identity: Arc::new(identity.clone()),
            application_name: application_name.into(),
            client_address: client.0.ip().to_canonical(),
            tls,
            method: verified.method(),
            names: digest(&[name_scope.as_bytes()]),
            id: 0,
        }
        .with_bundle(bundle)
    }

    /// How the session's credential came.
    pub(crate) const fn method(&self) -> Method {
        self.method
    }

    pub(crate) fn facts(&self) -> SessionFacts<'_> {
        SessionFacts {
            application_name: &self.application_name,
            client_address: self.client_address,
            tls: self.tls,
            method: self.method,
        }
    }

    /// Who asks, as policy sees it.
    pub(crate) fn asker<'a>(&'a self, settings: &'a Settings, now: SystemTime) -> Asker<'a> {
        Asker { identity: &self.identity, database: &settings.name, session: self.facts(), now }
    }

    /// The same scope under another bundle.
    pub(crate) fn with_bundle(&self, bundle: &Bundle) -> Self {
        // Everything that a rule can ask about who is asking; `Debug` of these types shows every field.
        let who = format!("{:?} {:?}", self.identity, self.facts());
        let id = digest(&[who.as_bytes(), &self.names.to_le_bytes(), &bundle.hash()]);
        Self { id, ..self.clone() }
    }

    /// Names all of it.
    pub(crate) fn id(&self) -> u128 {
        self.id
    }

    /// Returns who asks.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Names only who asks: whose share of what is remembered it counts for.
    pub(crate) fn holder(&self) -> u128 {
        self.holder
    }

    /// Names only what decides which object a name means.
    pub(crate) fn names(&self) -> u128 {
        self.names
    }
}

/// Names somebody: whoever an agent acts for, it is the agent who takes.
pub(crate) fn holder(issuer: &str, subject: &str) -> u128 {
    digest(&[issuer.as_bytes(), subject.as_bytes()])
}

fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    u128::from_le_bytes(half)
}

/// Who asks, as policy sees it.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Verified for a session; only supposed for an explanation, which allows nothing.
    pub identity: &'a Identity,
    /// The database's configured name.
    pub database: &'a str,
    /// Facts about the session.
    pub session: SessionFacts<'a>,
    /// The time of the decision.
    pub now: SystemTime,
}
