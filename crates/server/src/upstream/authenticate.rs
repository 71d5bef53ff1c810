//! Proves to a server that we know the password, and by SCRAM that it does. Refuses whatever would give the password away.

use model::Secret;
use wire::EncodeError;
use wire::backend::{Authentication, Mechanisms, tag};
use wire::error::ErrorFields;
use wire::frontend::encode;
use wire::md5;
use wire::scram::{self, ChannelBinding, Requirement, SCRAM_SHA_256_PLUS, ScramError};
use wire::startup::ProtocolVersion;
use zeroize::Zeroizing;

use super::fault::LoginFault;
use super::{Channel, Proof, negotiated};
use crate::memory;

/// Everything that an authentication depends on.
pub(super) struct Exchange<'a> {
    pub(super) user: &'a str,
    pub(super) proof: Proof<'a>,
    pub(super) binding: ChannelBinding,
    pub(super) requirement: Requirement,
    /// Whether nobody on the way can listen: TLS, or a server on this host.
    pub(super) private: bool,
}

/// How far it is.
enum Stage {
    /// Nothing was asked yet.
    Begun,
    /// A password was sent, in clear text or as MD5.
    PasswordSent,
    /// The first message of SCRAM was sent.
    ScramFirst(Box<scram::Client>),
    /// The final one was sent.
    ScramFinal(Box<scram::Client>),
    /// The server has proved that it knows the password, over a channel bound to its certificate or not.
    Proved(scram::Verified, &'static str),
}

impl Exchange<'_> {
    /// Reads up to AuthenticationOk and returns the version to speak.
    pub(super) async fn run(self, channel: &mut Channel) -> Result<ProtocolVersion, LoginFault> {
        let mut version = ProtocolVersion::V3_2;
        let mut stage = Stage::Begun;
        let mut first = true;
        loop {
            let message = channel.inbox.next(&mut channel.stream).await?;
            let request = match message.tag {
                tag::AUTHENTICATION => Authentication::parse(message.body)?,
                tag::NEGOTIATE_PROTOCOL_VERSION if first => {
                    version = negotiated(message.body)?;
                    first = false;
                    continue;
                }
                tag::ERROR_RESPONSE => return Err(LoginFault::refused(ErrorFields::parse(message.body)?)),
                tag => return Err(LoginFault::Unexpected { tag, when: "during authentication" }),
            };
            first = false;
            let mut answer = Answer::default();
            stage = match (request, stage) {
                (Authentication::Ok, stage) => {
                    self.accept(&stage)?;
                    return Ok(version);
                }
                (Authentication::CleartextPassword, Stage::Begun) => {
                    answer.clear_text(&self)?;
                    Stage::PasswordSent
                }
                (Authentication::Md5 { salt }, Stage::Begun) => {
                    answer.md5(&self, salt)?;
                    Stage::PasswordSent
                }
                (Authentication::Sasl { mechanisms }, Stage::Begun) => {
                    let client = self.begin_scram(mechanisms)?;
                    answer.write(client.initial_response().len(), |out| {
                        let (mechanism, first) = (client.mechanism().as_bytes(), client.initial_response());
                        encode::sasl_initial_response(out, mechanism, Some(first))
                    })?;
                    Stage::ScramFirst(Box::new(client))
                }
                (Authentication::SaslContinue(data), Stage::ScramFirst(client)) => {
                    let (client, last) = respond(client, data.to_vec()).await?;
                    answer.write(last.len(), |out| encode::sasl_response(out, &last))?;
                    Stage::ScramFinal(client)
                }
                (Authentication::SaslFinal(data), Stage::ScramFinal(mut client)) => {
                    let proof = client.verify(data).map_err(LoginFault::Scram)?;
                    Stage::Proved(proof, client.mechanism())
                }
                (Authentication::Other(code), _) => return Err(LoginFault::Method(method_name(code))),
                _ => return Err(LoginFault::Downgrade("asks for authentication out of order")),
            };
            if !answer.0.is_empty() {
                channel.send(&answer.0).await?;
            }
        }
    }

    /// Decides whether AuthenticationOk may be believed at this stage.
    fn accept(&self, stage: &Stage) -> Result<(), LoginFault> {
        match (stage, self.requirement) {
            // SECURITY: whoever skips the proof does not know the password.
            (Stage::ScramFirst(_) | Stage::ScramFinal(_), _) => Err(LoginFault::Downgrade(
                "ended SCRAM authentication without showing that it knows the password",
            )),
            (Stage::Proved(scram::Verified { .. }, mechanism), Requirement::Require)
                if *mechanism == SCRAM_SHA_256_PLUS =>
            {
                Ok(())
            }
            (_, Requirement::Require) => Err(LoginFault::Downgrade(WITHOUT_BINDING)),
            (Stage::Begun | Stage::PasswordSent | Stage::Proved(..), Requirement::Prefer) => Ok(()),
        }
    }

    fn begin_scram(&self, mechanisms: Mechanisms<'_>) -> Result<scram::Client, LoginFault> {
        let choice = scram::choose_mechanism(mechanisms.iter(), self.binding.clone(), self.requirement)
            .map_err(LoginFault::Mechanism)?;
        match self.proof {
            Proof::Password(password) => Ok(scram::Client::new(password, choice)),
            Proof::Keys(keys) => Ok(scram::Client::with_keys(keys, choice, &nonce()?)),
            Proof::Nothing => Err(LoginFault::NoPassword("SCRAM")),
        }
    }

    /// Returns the password for a method that proves nothing of the server.
    fn password_without_proof(&self, method: &'static str) -> Result<&Secret<String>, LoginFault> {
        if self.requirement == Requirement::Require {
            return Err(LoginFault::Downgrade(WITHOUT_BINDING));
        }
        match self.proof {
            Proof::Password(password) => Ok(password),
            Proof::Nothing => Err(LoginFault::NoPassword(method)),
            // SECURITY: whoever asks so is not who checked the verifier, or is told to ask in a weaker way.
            Proof::Keys(_) => Err(LoginFault::OnlyKeys(method)),
        }
    }
}

/// Returns a nonce for SCRAM of 24 random bytes.
fn nonce() -> Result<String, LoginFault> {
    crate::cancel::random::<24>().map(hex::encode).map_err(|_| LoginFault::NoRandomness)
}

const WITHOUT_BINDING: &str = "authenticates without channel binding, which is required";

/// Runs the costly step, up to 100 000 rounds of HMAC as the server likes, where it holds up no other session.
async fn respond(
    mut client: Box<scram::Client>,
    data: Vec<u8>,
) -> Result<(Box<scram::Client>, Vec<u8>), LoginFault> {
    let step = tokio::task::spawn_blocking(move || {
        let answer = client.respond(&data).map(|answer| (client, answer));
        // The thread lives on; keys were on its stack.
        memory::scrub_stack();
        answer
    });
    step.await.unwrap_or(Err(ScramError::Unexpected)).map_err(LoginFault::Scram)
}

/// What is sent next. It may hold the password, so it is wiped, and never grows: that would leave a copy behind.
#[derive(Default)]
struct Answer(Zeroizing<Vec<u8>>);

impl Answer {
    fn clear_text(&mut self, exchange: &Exchange<'_>) -> Result<(), LoginFault> {
        // SECURITY: a server that never asks for it could be played by anyone who can listen and answer.
        if !exchange.private {
            return Err(LoginFault::ClearText);
        }
        let password = exchange.password_without_proof("clear text")?.expose().as_bytes();
        self.write(password.len(), |out| encode::password(out, password))
    }

    fn md5(&mut self, exchange: &Exchange<'_>, salt: [u8; 4]) -> Result<(), LoginFault> {
        let password = exchange.password_without_proof("md5")?;
        let hashed = md5::password(exchange.user, password, salt);
        let hashed = hashed.expose().as_bytes();
        self.write(hashed.len(), |out| encode::password(out, hashed))
    }

    fn write(
        &mut self,
        bytes: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), LoginFault> {
        self.0 = Zeroizing::new(Vec::with_capacity(bytes + 64));
        Ok(encode(&mut self.0)?)
    }
}

/// Returns what a request is called (`AUTH_REQ_*`, libpq/protocol.h).
fn method_name(code: i32) -> String {
    match code {
        1 => "Kerberos V4".to_owned(),
        2 => "Kerberos V5".to_owned(),
        4 => "crypt".to_owned(),
        6 => "SCM credential".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        other => format!("unknown ({other})"),
    }
}
