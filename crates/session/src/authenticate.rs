//! From a StartupMessage to a verified identity: the token as password, or SASL OAUTHBEARER (RFC 7628).
//!
//! The client learns only that it failed; why is for the log and the audit.

use model::{Method, Secret};
use wire::backend::encode;
use wire::error::{ErrorFields, Severity};
use wire::frame;
use wire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse, tag};
use wire::oauthbearer;
use wire::sqlstate;

use crate::effect::{Effect, Outbox};
use crate::input::CredentialFailure;
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
    step: Step,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The client's token, or its SASLInitialResponse, is awaited.
    Credential,
    /// The shell checks the token.
    Checking,
    /// The client has been told that its SASL exchange failed, and must say that it has understood.
    Dummy { discovery: bool },
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
    .hint("The gateway accepts a token of one of its issuers, for its audience, that has not expired. The reason is in its log.")
}

fn violated(what: &str) -> Failed {
    Failed { error: protocol_violation(what), reason: Some(what.to_owned()) }
}

impl Authenticating {
    /// Asks the client for its credential.
    pub(crate) fn begin(method: Method, discovery: Discovery, out: &mut Outbox) -> Self {
        match method {
            Method::Token => encode::authentication_cleartext_password(&mut out.client),
            Method::OAuthBearer => {
                // A constant name that can be encoded.
                let _ = encode::authentication_sasl(&mut out.client, [oauthbearer::OAUTHBEARER]);
            }
        }
        Self { method, discovery, step: Step::Credential, buffer: Vec::new() }
    }

    pub(crate) fn client_bytes(&mut self, bytes: &[u8], out: &mut Outbox) -> Result<(), Failed> {
        if self.step == Step::Checking {
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
                return Ok(());
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
            Step::Credential => self.credential(frame.body, out),
            Step::Dummy { discovery } => {
                if !oauthbearer::is_dummy_response(SaslResponse::parse(frame.body).data) {
                    return Err(violated("expected the one-byte answer to a failed OAUTHBEARER exchange"));
                }
                Err(Failed { error: neutral(), reason: (!discovery).then(String::new) })
            }
            Step::Checking => Ok(()),
        }
    }

    fn credential(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Failed> {
        let token = match self.method {
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
        };
        self.step = Step::Checking;
        out.effects.push(Effect::VerifyCredential { token, method: self.method });
        Ok(())
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
            Method::Token => Err(Failed { error: neutral(), reason: Some(failure.reason.clone()) }),
            Method::OAuthBearer => {
                self.fail_exchange(false, out);
                Ok(())
            }
        }
    }

    pub(crate) fn is_checking(&self) -> bool {
        self.step == Step::Checking
    }
}
