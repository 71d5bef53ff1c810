//! The server's side of SCRAM-SHA-256 and -PLUS (RFC 5802, section 5): what a client may say, and in which order.
//!
//! Reads and writes the messages of one exchange; whether the proof is right is `identity`'s to say. As strict as
//! `auth-scram.c` and stricter: no extensions, no authorization identity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Secret;
use thiserror::Error;

use super::{ChannelBinding, ITERATIONS_MAX, MESSAGE_BYTES_MAX, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};

/// Bytes of the longest nonce taken from a client. Clients send 24 and some more.
const CLIENT_NONCE_BYTES_MAX: usize = 256;

/// Bytes of the longest salt that is sent. PostgreSQL's has 16 (`SCRAM_DEFAULT_SALT_LEN`, common/scram-common.h).
const SALT_BYTES_MAX: usize = 64;

/// What a client did wrong. The exchange is over, and nothing of it says anything of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ServerError {
    /// A message that the exchange doesn't wait for.
    #[error("unexpected SCRAM message")]
    Unexpected,
    /// A message over [`MESSAGE_BYTES_MAX`], or a nonce over 256 bytes.
    #[error("SCRAM message or nonce of {0} bytes is too long")]
    TooLong(usize),
    /// Not what RFC 5802 has.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// A mechanism that was not offered.
    #[error("client selected a SASL mechanism that was not offered")]
    Mechanism,
    /// The client could bind the channel and thinks that we can't, though we offered it: somebody edited the offer.
    #[error(
        "SCRAM channel binding negotiation error: the client supports channel binding but thinks the server does not, and this server does"
    )]
    Downgraded,
    /// A binding that is not `tls-server-end-point`.
    #[error("unsupported SCRAM channel binding type")]
    BindingType,
    /// The client sees another certificate than ours, or contradicts what it said before: somebody is in between.
    #[error("SCRAM channel binding check failed")]
    Binding,
    /// The nonce is not the one that was given.
    #[error("SCRAM nonce does not match")]
    Nonce,
}

impl ServerError {
    /// Whether it is about who is at the other end, rather than about how it talks.
    pub const fn is_binding(&self) -> bool {
        matches!(self, Self::Downgraded | Self::Binding)
    }
}

/// What a client has said to prove that it knows its password; nothing of it is checked.
pub struct Exchange {
    /// AuthMessage (RFC 5802, section 3): what both sides sign.
    pub auth_message: Vec<u8>,
    /// ClientProof.
    pub proof: Secret<[u8; 32]>,
}

enum State {
    /// Waits for the client's first message.
    First,
    /// Waits for salt and iterations.
    Challenge {
        gs2: String,
        first_bare: String,
        nonce: String,
    },
    /// Waits for the client's final message.
    Final {
        channel: String,
        nonce: String,
        signed: String,
    },
    Done,
}

/// The server of one exchange.
pub struct Server {
    binding: ChannelBinding,
    state: State,
}

impl Server {
    /// Begins an exchange; `binding` is the connection's, with the hash of our own certificate.
    pub const fn new(binding: ChannelBinding) -> Self {
        Self { binding, state: State::First }
    }

    /// Returns what is offered, the strongest first.
    pub const fn mechanisms(&self) -> &'static [&'static str] {
        match self.binding {
            ChannelBinding::TlsServerEndPoint(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
            ChannelBinding::Plaintext | ChannelBinding::Undefined => &[SCRAM_SHA_256],
        }
    }

    /// Takes the client's first message.
    ///
    /// # Errors
    /// [`ServerError`]: client.
    pub fn first(&mut self, mechanism: &[u8], message: &[u8]) -> Result<(), ServerError> {
        let State::First = self.take() else { return Err(ServerError::Unexpected) };
        let Some(mechanism) = self.mechanisms().iter().find(|name| name.as_bytes() == mechanism) else {
            return Err(ServerError::Mechanism);
        };
        let text = text(message)?;
        // gs2-cbind-flag "," [authzid] "," [mext ","] username "," nonce
        let mut parts = text.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next(), parts.next(), parts.next());
        let (Some(flag), Some(authzid), Some(bare)) = (flag, authzid, bare) else {
            return Err(ServerError::Malformed("no GS2 header"));
        };
        self.flag(flag, *mechanism == SCRAM_SHA_256_PLUS)?;
        if !authzid.is_empty() {
            return Err(ServerError::Malformed("an authorization identity is not supported"));
        }
        let mut attributes = bare.split(',');
        // The user is the one of the StartupMessage, as with PostgreSQL; what is written here counts only as signed text.
        attributes
            .next()
            .and_then(|user| user.strip_prefix("n="))
            .ok_or(ServerError::Malformed("no user name; extensions are not supported"))?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let nonce =
            nonce.filter(|nonce| is_printable(nonce)).ok_or(ServerError::Malformed("no printable nonce"))?;
        if nonce.len() > CLIENT_NONCE_BYTES_MAX {
            return Err(ServerError::TooLong(nonce.len()));
        }
        if attributes.next().is_some() {
            return Err(ServerError::Malformed("extensions are not supported"));
        }
        self.state = State::Challenge {
            gs2: format!("{flag},,"),
            first_bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        };
        Ok(())
    }

    /// Checks the GS2 header's flag against mechanism and offer (`read_client_first_message`, libpq/auth-scram.c).
    fn flag(&self, flag: &str, plus: bool) -> Result<(), ServerError> {
        match (flag, plus) {
            ("n", false) => Ok(()),
            // SECURITY: the client believes that binding was not offered.
            ("y", false) if matches!(self.binding, ChannelBinding::TlsServerEndPoint(_)) => {
                Err(ServerError::Downgraded)
            }
            ("y", false) | ("p=tls-server-end-point", true) => Ok(()),
            ("n" | "y", true) => {
                Err(ServerError::Malformed("SCRAM-SHA-256-PLUS without channel binding data"))
            }
            (flag, false) if flag.starts_with("p=") => {
                Err(ServerError::Malformed("channel binding with SCRAM-SHA-256; choose SCRAM-SHA-256-PLUS"))
            }
            (flag, true) if flag.starts_with("p=") => Err(ServerError::BindingType),
            _ => Err(ServerError::Malformed("unexpected channel-binding flag")),
        }
    }

    /// Returns the server's first message. `nonce` is random, in characters of base64.
    ///
    /// # Errors
    /// [`ServerError`]: our caller; out of order, or a verifier that no client would take.
    pub fn challenge(&mut self, nonce: &str, salt: &[u8], iterations: u32) -> Result<Vec<u8>, ServerError> {
        let State::Challenge { gs2, first_bare, nonce: theirs } = self.take() else {
            return Err(ServerError::Unexpected);
        };
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX || !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ServerError::Malformed("a verifier whose salt or iteration count makes no sense"));
        }
        let nonce = format!("{theirs}{nonce}");
        let challenge = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        let bound = match &self.binding {
            ChannelBinding::TlsServerEndPoint(hash) if gs2.starts_with('p') => hash.as_slice(),
            _ => &[],
        };
        self.state = State::Final {
            channel: STANDARD.encode([gs2.as_bytes(), bound].concat()),
            nonce,
            signed: format!("{first_bare},{challenge}"),
        };
        Ok(challenge.into_bytes())
    }

    /// Takes the client's final message.
    ///
    /// # Errors
    /// [`ServerError`]: client.
    pub fn last(&mut self, message: &[u8]) -> Result<Exchange, ServerError> {
        let State::Final { channel, nonce, signed } = self.take() else {
            return Err(ServerError::Unexpected);
        };
        let text = text(message)?;
        let mut attributes = text.split(',');
        let given = attributes.next().and_then(|channel| channel.strip_prefix("c="));
        let given = given.ok_or(ServerError::Malformed("no channel binding data"))?;
        // SECURITY: as text, as PostgreSQL does: what is signed is the text.
        if given != channel {
            return Err(ServerError::Binding);
        }
        let given = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        if given.ok_or(ServerError::Malformed("no nonce"))? != nonce {
            return Err(ServerError::Nonce);
        }
        let proof = attributes.next().and_then(|proof| proof.strip_prefix("p="));
        let proof = proof.ok_or(ServerError::Malformed("no proof; extensions are not supported"))?;
        if attributes.next().is_some() {
            return Err(ServerError::Malformed("something follows the proof"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let proof = proof.ok_or(ServerError::Malformed("the proof is not 32 bytes in base64"))?;
        let auth_message = format!("{signed},c={channel},r={nonce}").into_bytes();
        Ok(Exchange { auth_message, proof: Secret::new(proof) })
    }

    /// Takes the exchange out of its state; whatever goes wrong from here on, it is over.
    const fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Done)
    }
}

/// Returns the server's final message, with which it proves that it knows the password too.
pub fn server_final(signature: &[u8; 32]) -> Vec<u8> {
    format!("v={}", STANDARD.encode(signature)).into_bytes()
}

fn text(message: &[u8]) -> Result<&str, ServerError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ServerError::TooLong(message.len()));
    }
    let text = std::str::from_utf8(message).map_err(|_| ServerError::Malformed("not UTF-8"))?;
    if text.contains('\0') { Err(ServerError::Malformed("a zero byte")) } else { Ok(text) }
}

/// RFC 5802, section 7: `printable`, any printable ASCII but the comma.
fn is_printable(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}
