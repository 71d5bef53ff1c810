//! From a StartupMessage to a verified identity: the token as password, by SASL OAUTHBEARER (RFC 7628), SCRAM-SHA-256 of a
//! legacy account, or the certificate of the TLS handshake, for which nothing is asked.
//!
//! The client learns only that it failed; why is for the log and the audit.

use identity::{Proven, ScramRejection};
use model::{Identity, Method, Secret};
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};
use wire::frame;
use wire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse, tag};
use wire::oauthbearer;
use wire::scram::{self, ChannelBinding, ServerError};
use wire::sqlstate;

use crate::effect::{Effect, Outbox};
use crate::input::{Candidate, CredentialFailure, Now};
use crate::refuse::protocol_violation;

/// What an OAUTHBEARER client is told of the issuer (RFC 7628, section 3.2.2).
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// URL of the issuer's discovery document.
    pub openid_configuration: String,
    /// Scopes to ask for, separated by spaces.
    pub scope: String,
}

/// Where an authentication stands.
pub(crate) struct Authenticating {
    method: Method,
    discovery: Discovery,
    user: String,
    scram: scram::Server,
    candidate: Option<Box<Candidate>>,
    step: Step,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The client's token, or its SASLInitialResponse, is awaited.
    Credential,
    /// The shell checks the token.
    Checking,
    /// The shell looks for the verifier of the account.
    Searching,
    /// The client's proof is awaited.
    Proof,
    /// The client has been told that its SASL exchange failed, and must say that it has understood.
    Dummy { discovery: bool },
}

/// What the client's bytes came to.
pub(crate) enum Progress {
    /// More is awaited, from the client or the shell.
    Waits,
    /// A legacy account has proved that it knows its password.
    Proven(Box<Proven>, Box<Candidate>),
    /// It has, and may no longer come.
    Over(Box<Identity>),
}

/// How an authentication ended without an identity.
pub(crate) struct Failed {
    /// What the client gets.
    pub(crate) error: ErrorFields,
    /// For log and audit. `None`: the client only asked where to get a token.
    pub(crate) reason: Option<String>,
}

/// The one thing that every client whose credential isn't accepted is told.
pub(crate) fn neutral() -> ErrorFields {
    ErrorFields::new(
        Severity::Fatal,
        sqlstate::INVALID_AUTHORIZATION_SPECIFICATION,
        "authentication failed",
    )
    .hint("The gateway accepts a token of one of its issuers, for its audience, that has not expired, or such a certificate. The reason is in its log.")
}

/// The one thing that every client is told whose proof is wrong, whether the account exists or not; as PostgreSQL has it
/// (`auth_failed`, libpq/auth.c).
fn wrong_password(user: &str) -> ErrorFields {
    let text = format!("password authentication failed for user \"{user}\"");
    ErrorFields::new(Severity::Fatal, sqlstate::INVALID_PASSWORD, text)
}

/// What a legacy account is told after its deadline; it has proved who it is.
pub(crate) fn over(identity: &Identity) -> ErrorFields {
    let until = identity.attributes.get(UNTIL).map(String::as_str).unwrap_or_default();
    let text = format!("legacy account \"{}\" could be used until {until}", identity.subject);
    ErrorFields::new(Severity::Fatal, sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, text).hint(
        "Connect with a token of the application's own in place of the password, or ask the operator of the gateway for a later date.",
    )
}

/// What a legacy account is told while its deadline comes near.
pub(crate) fn nearly_over(identity: &Identity) -> ErrorFields {
    let until = identity.attributes.get(UNTIL).map(String::as_str).unwrap_or_default();
    let text = format!("legacy account \"{}\" can be used until {until}", identity.subject);
    ErrorFields::new(Severity::Warning, sqlstate::WARNING, text).hint(
        "After that day the gateway takes only a token of the application's own in place of the password.",
    )
}

/// The attribute of a legacy identity that holds its last day.
pub(crate) const UNTIL: &str = "until";

fn violated(what: &str) -> Failed {
    Failed { error: protocol_violation(what), reason: Some(what.to_owned()) }
}

/// A broken exchange: as PostgreSQL, by protocol violation, or where the channel's other end is in doubt, by 28000.
fn broken(error: ServerError) -> Failed {
    let text = error.to_string();
    let state = if error.is_binding() {
        sqlstate::INVALID_AUTHORIZATION_SPECIFICATION
    } else {
        sqlstate::PROTOCOL_VIOLATION
    };
    Failed { error: ErrorFields::new(Severity::Fatal, state, &text), reason: Some(text) }
}

impl Authenticating {
    /// Asks the client for its credential.
    pub(crate) fn begin(
        method: Method,
        discovery: Discovery,
        user: String,
        binding: ChannelBinding,
        out: &mut Outbox,
    ) -> Self {
        let scram = scram::Server::new(binding);
        let mut step = Step::Credential;
        match method {
            Method::Token => encode::authentication_cleartext_password(&mut out.client),
            Method::Certificate => {
                out.effects.push(Effect::VerifyCertificate);
                step = Step::Checking;
            }
            Method::OAuthBearer => {
                // A constant name that can be encoded.
                let _ = encode::authentication_sasl(&mut out.client, [oauthbearer::OAUTHBEARER]);
            }
            Method::Passthrough => {
                let _ = encode::authentication_sasl(&mut out.client, scram.mechanisms().iter().copied());
            }
        }
        Self { method, discovery, user, scram, candidate: None, step, buffer: Vec::new() }
    }

    pub(crate) fn client_bytes(
        &mut self,
        now: Now,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<Progress, Failed> {
        if matches!(self.step, Step::Checking | Step::Searching) {
            return Err(violated("message before authentication was complete"));
        }
        self.buffer.extend_from_slice(bytes);
        // PQ_LARGE_MESSAGE_LIMIT doesn't hold here: PG_MAX_AUTH_TOKEN_LENGTH does (libpq/auth.h).
        let max = wire::frontend::bytes_max(tag::PASSWORD).unwrap_or(1 << 16);
        let buffer = std::mem::take(&mut self.buffer);
        let frame = match frame::next(&buffer, max) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                if buffer.first().is_some_and(|first| *first != tag::PASSWORD) {
                    return Err(violated("expected a password or SASL response"));
                }
                self.buffer = buffer;
                return Ok(Progress::Waits);
            }
            Err(error) => return Err(violated(&error.to_string())),
        };
        if frame.tag != tag::PASSWORD {
            return Err(violated("expected a password or SASL response"));
        }
        if frame.raw.len() != buffer.len() {
            // SECURITY: nothing a client says before it is somebody is kept for later.
            return Err(violated("message before authentication was complete"));
        }
        match self.step {
            Step::Credential => self.credential(frame.body, out).map(|()| Progress::Waits),
            Step::Proof => self.proof(now, frame.body, out),
            Step::Dummy { discovery } => {
                if !oauthbearer::is_dummy_response(SaslResponse::parse(frame.body).data) {
                    return Err(violated("expected the one-byte answer to a failed OAUTHBEARER exchange"));
                }
                Err(Failed { error: neutral(), reason: (!discovery).then(String::new) })
            }
            Step::Checking | Step::Searching => Ok(Progress::Waits),
        }
    }

    fn credential(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Failed> {
        let token = match self.method {
            Method::Certificate => return Err(violated("expected no password")),
            Method::Token => {
                let message = PasswordMessage::parse(body).map_err(|error| violated(&error.to_string()))?;
                let text = std::str::from_utf8(message.password).map_err(|_| Failed {
                    error: neutral(),
                    reason: Some("the token is not UTF-8".to_owned()),
                })?;
                if text.is_empty() {
                    return Err(Failed { error: neutral(), reason: Some("no token was given".to_owned()) });
                }
                Secret::new(text.to_owned())
            }
            Method::OAuthBearer => {
                let message =
                    SaslInitialResponse::parse(body).map_err(|error| violated(&error.to_string()))?;
                if message.mechanism != oauthbearer::OAUTHBEARER.as_bytes() {
                    return Err(violated("SASL mechanism is not OAUTHBEARER"));
                }
                let Some(response) = message.response else {
                    return Err(violated("OAUTHBEARER needs an initial response"));
                };
                let initial = match oauthbearer::parse_initial(response) {
                    Ok(initial) => initial,
                    Err(oauthbearer::OAuthBearerError::Token) => {
                        self.fail_exchange(false, out);
                        return Ok(());
                    }
                    Err(error) => return Err(violated(&error.to_string())),
                };
                if initial.is_discovery() {
                    self.fail_exchange(true, out);
                    return Ok(());
                }
                if initial.authzid.as_ref().is_some_and(|id| !id.is_empty()) {
                    return Err(violated("OAUTHBEARER with an authorization identity is not supported"));
                }
                initial.token
            }
            Method::Passthrough => return self.begin_scram(body, out),
        };
        self.step = Step::Checking;
        out.effects.push(Effect::VerifyCredential { token, method: self.method });
        Ok(())
    }

    /// Takes the first message of SCRAM; the verifier is looked for, whoever it is.
    fn begin_scram(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Failed> {
        let message = SaslInitialResponse::parse(body).map_err(|error| violated(&error.to_string()))?;
        let Some(response) = message.response else {
            return Err(violated("SCRAM-SHA-256 needs an initial response"));
        };
        self.scram.first(message.mechanism, response).map_err(broken)?;
        self.step = Step::Searching;
        out.effects.push(Effect::FindVerifier);
        Ok(())
    }

    /// Takes the shell's answer, and sends the challenge.
    pub(crate) fn found(&mut self, candidate: Box<Candidate>, out: &mut Outbox) -> Result<(), Failed> {
        let verifier = &candidate.verifier;
        let challenge = self.scram.challenge(&candidate.nonce, &verifier.salt, verifier.iterations);
        let challenge = challenge.map_err(broken)?;
        // Only over a gigabyte could fail.
        let _ = encode::authentication_sasl_continue(&mut out.client, &challenge);
        self.candidate = Some(candidate);
        self.step = Step::Proof;
        Ok(())
    }

    fn proof(&mut self, now: Now, body: &[u8], out: &mut Outbox) -> Result<Progress, Failed> {
        // SECURITY: form before truth, so that what is told of a malformed message says nothing of the account.
        let exchange = self.scram.last(SaslResponse::parse(body).data).map_err(broken)?;
        let Some(mut candidate) = self.candidate.take() else {
            return Err(violated("expected a password or SASL response"));
        };
        let account = candidate.account.take();
        let known = account.is_some();
        let verifier = &candidate.verifier;
        match identity::verify_scram(&exchange.auth_message, &exchange.proof, verifier, account, now.wall) {
            Ok(proven) => {
                let last = scram::server_final(&proven.server_signature);
                let _ = encode::authentication_sasl_final(&mut out.client, &last);
                Ok(Progress::Proven(Box::new(proven), candidate))
            }
            Err(ScramRejection::Over(identity)) => Ok(Progress::Over(identity)),
            Err(ScramRejection::Proof) => {
                out.effects.push(Effect::ForgetVerifier);
                let reason = if known { "the password is wrong" } else { candidate.reason.as_str() };
                Err(Failed { error: wrong_password(&self.user), reason: Some(reason.to_owned()) })
            }
        }
    }

    /// Tells an OAUTHBEARER client where to get a token, which is also how it is told that its token is no good.
    fn fail_exchange(&mut self, discovery: bool, out: &mut Outbox) {
        let payload = oauthbearer::failure(
            oauthbearer::INVALID_TOKEN,
            Some(self.discovery.scope.as_str()).filter(|scope| !scope.is_empty()),
            Some(self.discovery.openid_configuration.as_str()).filter(|url| !url.is_empty()),
        );
        // Only over a gigabyte could fail.
        let _ = encode::authentication_sasl_continue(&mut out.client, &payload);
        self.step = Step::Dummy { discovery };
    }

    /// Takes the shell's answer that the credential is no good.
    pub(crate) fn refused(&mut self, failure: &CredentialFailure, out: &mut Outbox) -> Result<(), Failed> {
        match self.method {
            Method::Token | Method::Certificate => {
                Err(Failed { error: neutral(), reason: Some(failure.reason.clone()) })
            }
            Method::OAuthBearer => {
                self.fail_exchange(false, out);
                Ok(())
            }
            // Nothing of it is asked of the shell.
            Method::Passthrough => Err(violated("unexpected answer")),
        }
    }

    pub(crate) fn is_checking(&self) -> bool {
        self.step == Step::Checking
    }

    pub(crate) fn is_searching(&self) -> bool {
        self.step == Step::Searching
    }
}
