//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the client's side, and which of the two to use; the server's
//! is in `server`.
//!
//! The exchange by password is `postgres-protocol`'s; by keys it is our own (`keyed`). This wraps both with limits on what a
//! hostile server may ask, and with a proof that the server knew the password too. Knows nothing of the messages that
//! carry the exchange.

mod channel_binding;
mod keyed;
mod made;
mod server;

use std::fmt;

use model::{ScramKeys, Secret};
use postgres_protocol::authentication::sasl::{self, ScramSha256};
use thiserror::Error;
use zeroize::Zeroize;

pub use self::channel_binding::tls_server_end_point;
use self::keyed::Keyed;
pub use self::made::{password_of_random, verifier_of_random};
pub use self::server::{Exchange, Server, ServerError, server_final};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = sasl::SCRAM_SHA_256;
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = sasl::SCRAM_SHA_256_PLUS;

/// Bytes of the longest message taken from a server: `PG_MAX_SASL_MESSAGE_LENGTH` (libpq/sasl.h).
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// The most iterations that a server may ask for, each an HMAC: a tenth of a second, and what pgjdbc and
/// postgres-protocol allow. PostgreSQL asks for 4096 (`scram_iterations`).
pub const ITERATIONS_MAX: u32 = 100_000;

/// What the connection offers for channel binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// The connection is not encrypted.
    Plaintext,
    /// It is TLS, but [`tls_server_end_point`] has no answer for the server's certificate.
    Undefined,
    /// It is TLS, and this is [`tls_server_end_point`] of the server's certificate.
    TlsServerEndPoint(Vec<u8>),
}

/// Whether to go on without channel binding, as libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Use it where both sides can.
    ///
    /// Where nothing else proves who the server is (`sslmode=require`), a man in the middle can still avoid it, by a
    /// certificate for which it is undefined.
    Prefer,
    /// Fail without it.
    Require,
}

/// A mechanism and how it binds the channel; made by [`choose_mechanism`] only.
pub struct Choice {
    mechanism: &'static str,
    binding: Gs2,
}

/// The GS2 header's flag (RFC 5802, section 5.1), with what is bound.
enum Gs2 {
    /// `p`: bound to this hash of the server's certificate.
    Bound(Vec<u8>),
    /// `y`: we could, and the server doesn't offer it.
    NotOffered,
    /// `n`: we can't.
    Unsupported,
}

impl Choice {
    /// Returns the mechanism's name, for SASLInitialResponse.
    pub const fn mechanism(&self) -> &'static str {
        self.mechanism
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Choice({})", self.mechanism)
    }
}

/// Why none of the mechanisms that a server offers will do; the server's fault, or an attack, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChooseError {
    /// Neither SCRAM mechanism is offered.
    #[error("server offers no SASL mechanism that is supported; it should offer SCRAM-SHA-256")]
    NoneSupported,
    /// -PLUS is offered where there is no TLS: someone between has taken TLS away.
    #[error("server offers SCRAM-SHA-256-PLUS over a connection without TLS")]
    PlusWithoutTls,
    /// Channel binding is required, and the server doesn't offer it.
    #[error("channel binding is required, but the server doesn't offer SCRAM-SHA-256-PLUS")]
    NotOffered,
    /// Channel binding is required, and the connection or the certificate has none: a matter of configuration.
    #[error("channel binding is required, but this connection or the server's certificate doesn't define it")]
    Unavailable,
}

/// Chooses the mechanism, so that an attacker who edits the offer is found out (RFC 5802, section 6; as libpq does,
/// fe-auth.c and fe-auth-scram.c).
///
/// | binding | -PLUS offered | chosen | GS2 flag |
/// |---|---|---|---|
/// | hash known | yes | SCRAM-SHA-256-PLUS | `p=tls-server-end-point` |
/// | hash known | no | SCRAM-SHA-256 | `y`: a server that did offer -PLUS will see that its offer was edited |
/// | undefined | either | SCRAM-SHA-256 | `n` |
/// | plaintext | no | SCRAM-SHA-256 | `n` |
/// | plaintext | yes | none | |
///
/// # Errors
/// See [`ChooseError`]. With [`Requirement::Require`] only the first row is taken.
pub fn choose_mechanism<'a>(
    offered: impl IntoIterator<Item = &'a [u8]>,
    binding: ChannelBinding,
    requirement: Requirement,
) -> Result<Choice, ChooseError> {
    let (mut plain, mut plus) = (false, false);
    for name in offered {
        plain |= name == SCRAM_SHA_256.as_bytes();
        plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
    }
    let choice = match (binding, plus) {
        (ChannelBinding::TlsServerEndPoint(hash), true) => {
            return Ok(Choice { mechanism: SCRAM_SHA_256_PLUS, binding: Gs2::Bound(hash) });
        }
        (ChannelBinding::Plaintext, true) => return Err(ChooseError::PlusWithoutTls),
        (ChannelBinding::TlsServerEndPoint(_), false) => {
            Choice { mechanism: SCRAM_SHA_256, binding: Gs2::NotOffered }
        }
        (ChannelBinding::Undefined | ChannelBinding::Plaintext, _) if requirement == Requirement::Require => {
            return Err(ChooseError::Unavailable);
        }
        (ChannelBinding::Undefined | ChannelBinding::Plaintext, _) => {
            Choice { mechanism: SCRAM_SHA_256, binding: Gs2::Unsupported }
        }
    };
    match requirement {
        Requirement::Require => Err(ChooseError::NotOffered),
        Requirement::Prefer if plain => Ok(choice),
        Requirement::Prefer => Err(ChooseError::NoneSupported),
    }
}

/// Why an exchange failed. Nothing may follow it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A message came that the exchange is not waiting for; the server's fault.
    #[error("unexpected SCRAM message")]
    Unexpected,
    /// The server's message is over [`MESSAGE_BYTES_MAX`].
    #[error("SCRAM message of {0} bytes is longer than the {MESSAGE_BYTES_MAX} allowed")]
    TooLong(usize),
    /// The server's message is not what RFC 5802 has.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The server's nonce is not the client's with something of its own added.
    #[error("SCRAM nonce mismatch")]
    Nonce,
    /// Zero iterations, or more than [`ITERATIONS_MAX`].
    #[error("SCRAM iteration count {0} is not between 1 and {ITERATIONS_MAX}")]
    Iterations(u32),
    /// The server says that it failed, with a value of RFC 5802, section 7.
    #[error("server refused SCRAM authentication: {0}")]
    Refused(&'static str),
    /// The server does not know the password.
    #[error("incorrect SCRAM server signature")]
    Signature,
    /// The server keeps another verifier than the one that the keys are of: the password has been set again since.
    #[error("the server has another salt or iteration count than the verifier that the keys are of")]
    OtherVerifier,
}

/// Proof that the server showed that it knows the password. AuthenticationOk without it is a downgrade.
#[derive(Debug)]
pub struct Verified(());

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for the server's first message.
    First,
    /// Waits for its final one.
    Final,
    Done,
}

/// Who makes the proof.
enum Inner {
    Password(ScramSha256),
    Keys(Keyed),
}

/// The client of one exchange.
///
/// SECURITY: of a password, `postgres-protocol` keeps its own copy of the password until [`Client::respond`], and of the salted one until
/// [`Client::verify`], and does not wipe them.
pub struct Client {
    inner: Inner,
    mechanism: &'static str,
    initial: Vec<u8>,
    state: State,
}

impl Client {
    /// Starts an exchange by password. Its nonce is drawn here.
    pub fn new<T>(password: &Secret<T>, choice: Choice) -> Self
    where
        T: Zeroize + AsRef<[u8]>,
    {
        let Choice { mechanism, binding } = choice;
        let binding = match binding {
            Gs2::Bound(hash) => sasl::ChannelBinding::tls_server_end_point(hash),
            Gs2::NotOffered => sasl::ChannelBinding::unrequested(),
            Gs2::Unsupported => sasl::ChannelBinding::unsupported(),
        };
        let inner = ScramSha256::new(password.expose().as_ref(), binding);
        let initial = inner.message().to_vec();
        Self { inner: Inner::Password(inner), mechanism, initial, state: State::First }
    }

    /// Starts an exchange by the keys that an earlier one yielded; it costs no rounds of PBKDF2. `nonce` is random, as long as
    /// it may be, in characters of base64.
    pub fn with_keys(keys: &ScramKeys, choice: Choice, nonce: &str) -> Self {
        let Choice { mechanism, binding } = choice;
        let inner = Keyed::new(keys.clone(), &binding, nonce);
        let initial = inner.initial();
        Self { inner: Inner::Keys(inner), mechanism, initial, state: State::First }
    }

    /// Returns the mechanism's name, for SASLInitialResponse.
    pub const fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// Returns the client's first message, for SASLInitialResponse.
    pub fn initial_response(&self) -> &[u8] {
        &self.initial
    }

    /// Takes the data of AuthenticationSASLContinue and returns the client's final message, for SASLResponse.
    ///
    /// # Errors
    /// Every variant is the server's fault, and ends the exchange.
    pub fn respond(&mut self, server_first: &[u8]) -> Result<Vec<u8>, ScramError> {
        self.enter(State::First, server_first)?;
        check_server_first(server_first, self.nonce())?;
        let answer = match &mut self.inner {
            Inner::Password(inner) => {
                inner.update(server_first).map_err(|_| ScramError::Malformed("salt is not base64"))?;
                inner.message().to_vec()
            }
            Inner::Keys(inner) => inner.respond(server_first)?,
        };
        self.state = State::Final;
        Ok(answer)
    }

    /// Takes the data of AuthenticationSASLFinal and checks the server's signature.
    ///
    /// # Errors
    /// Every variant is the server's fault, and ends the exchange.
    pub fn verify(&mut self, server_final: &[u8]) -> Result<Verified, ScramError> {
        self.enter(State::Final, server_final)?;
        if let Some(value) = server_final.strip_prefix(b"e=") {
            return Err(ScramError::Refused(server_error(value)));
        }
        if !server_final.starts_with(b"v=") {
            return Err(ScramError::Malformed("no server signature"));
        }
        match &mut self.inner {
            Inner::Password(inner) => inner.finish(server_final).map_err(|_| ScramError::Signature)?,
            Inner::Keys(inner) => inner.check(server_final)?,
        }
        Ok(Verified(()))
    }

    /// Takes the exchange out of `expected`; whatever goes wrong from here on, it is over.
    fn enter(&mut self, expected: State, message: &[u8]) -> Result<(), ScramError> {
        if std::mem::replace(&mut self.state, State::Done) != expected {
            return Err(ScramError::Unexpected);
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(ScramError::TooLong(message.len()));
        }
        Ok(())
    }

    /// What follows `r=`, the last attribute of the client's first message.
    fn nonce(&self) -> &[u8] {
        let at = self.initial.iter().rposition(|byte| *byte == b',').map_or(0, |comma| comma + 1);
        self.initial.get(at..).and_then(|attribute| attribute.strip_prefix(b"r=")).unwrap_or_default()
    }
}

/// Checks `r=nonce,s=salt,i=count` before any work is done for it.
fn check_server_first(message: &[u8], client_nonce: &[u8]) -> Result<(), ScramError> {
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("not UTF-8"))?;
    let mut attributes = text.split(',');
    let mut attribute = |prefix, missing| {
        let found: Option<&str> = attributes.next().and_then(|attribute| attribute.strip_prefix(prefix));
        found.filter(|value: &&str| !value.is_empty()).ok_or(ScramError::Malformed(missing))
    };
    let nonce = attribute("r=", "no nonce")?;
    attribute("s=", "no salt")?;
    let iterations = attribute("i=", "no iteration count")?;
    if attributes.next().is_some() {
        return Err(ScramError::Malformed("extensions are not supported"));
    }
    // a server that adds nothing lets whoever knows the client's nonce replay an exchange
    if !matches!(nonce.as_bytes().strip_prefix(client_nonce), Some([_, ..])) {
        return Err(ScramError::Nonce);
    }
    if !iterations.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ScramError::Malformed("iteration count is not a number"));
    }
    match iterations.parse().unwrap_or(u32::MAX) {
        1..=ITERATIONS_MAX => Ok(()),
        iterations => Err(ScramError::Iterations(iterations)),
    }
}

/// Returns the value as RFC 5802, section 7, has it: text of the server's own making is not repeated.
fn server_error(value: &[u8]) -> &'static str {
    const VALUES: [&str; 12] = [
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
        "other-error",
        "unknown-error",
    ];
    VALUES.into_iter().find(|known| known.as_bytes() == value).unwrap_or("other-error")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [&[u8]; 2] = [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"];
    const PLAIN: [&[u8]; 1] = [b"SCRAM-SHA-256"];
    const PLUS: [&[u8]; 1] = [b"SCRAM-SHA-256-PLUS"];

    fn hash() -> ChannelBinding {
        ChannelBinding::TlsServerEndPoint(vec![7; 32])
    }

    /// Returns mechanism and GS2 header.
    fn choose(
        offered: &[&[u8]],
        binding: ChannelBinding,
        requirement: Requirement,
    ) -> Result<(&'static str, String), ChooseError> {
        let choice = choose_mechanism(offered.iter().copied(), binding, requirement)?;
        let mechanism = choice.mechanism();
        let client = Client::new(&Secret::new("x".to_owned()), choice);
        let first = String::from_utf8(client.initial_response().to_vec()).unwrap();
        Ok((mechanism, first.split_once("n=,").unwrap().0.to_owned()))
    }

    #[test]
    fn mechanism_follows_the_table() {
        use Requirement::{Prefer, Require};
        let plus = Ok((SCRAM_SHA_256_PLUS, "p=tls-server-end-point,,".to_owned()));
        let y = Ok((SCRAM_SHA_256, "y,,".to_owned()));
        let n = Ok((SCRAM_SHA_256, "n,,".to_owned()));
        for requirement in [Prefer, Require] {
            assert_eq!(choose(&BOTH, hash(), requirement), plus);
            assert_eq!(choose(&PLUS, hash(), requirement), plus);
            assert_eq!(
                choose(&BOTH, ChannelBinding::Plaintext, requirement),
                Err(ChooseError::PlusWithoutTls)
            );
        }
        assert_eq!(choose(&PLAIN, hash(), Prefer), y);
        assert_eq!(choose(&PLAIN, hash(), Require), Err(ChooseError::NotOffered));
        assert_eq!(choose(&BOTH, ChannelBinding::Undefined, Prefer), n);
        assert_eq!(choose(&PLAIN, ChannelBinding::Undefined, Prefer), n);
        assert_eq!(choose(&BOTH, ChannelBinding::Undefined, Require), Err(ChooseError::Unavailable));
        assert_eq!(choose(&PLUS, ChannelBinding::Undefined, Prefer), Err(ChooseError::NoneSupported));
        assert_eq!(choose(&PLAIN, ChannelBinding::Plaintext, Prefer), n);
        assert_eq!(choose(&PLAIN, ChannelBinding::Plaintext, Require), Err(ChooseError::Unavailable));
        assert_eq!(choose(&[b"OAUTHBEARER"], hash(), Prefer), Err(ChooseError::NoneSupported));
        assert_eq!(choose(&[], ChannelBinding::Plaintext, Prefer), Err(ChooseError::NoneSupported));
    }

    fn client() -> Client {
        let choice = choose_mechanism(PLAIN, ChannelBinding::Plaintext, Requirement::Prefer).unwrap();
        Client::new(&Secret::new("secret".to_owned()), choice)
    }

    #[track_caller]
    fn check(server_first: impl FnOnce(&str) -> String, expected: ScramError) {
        let mut client = client();
        let nonce = String::from_utf8(client.nonce().to_vec()).unwrap();
        assert_eq!(client.respond(server_first(&nonce).as_bytes()), Err(expected));
        // and it is over
        assert_eq!(client.respond(format!("r={nonce}x,s=YQ==,i=1").as_bytes()), Err(ScramError::Unexpected));
        assert_eq!(client.verify(b"v=YQ==").err(), Some(ScramError::Unexpected));
    }

    #[test]
    fn hostile_server_first_is_refused() {
        check(|_| "r=other,s=YQ==,i=4096".into(), ScramError::Nonce);
        check(|n| format!("r={n},s=YQ==,i=4096"), ScramError::Nonce);
        check(|n| format!("r=x{n},s=YQ==,i=4096"), ScramError::Nonce);
        check(|n| format!("r={n}x,s=YQ==,i=0"), ScramError::Iterations(0));
        check(|n| format!("r={n}x,s=YQ==,i=100001"), ScramError::Iterations(100_001));
        check(|n| format!("r={n}x,s=YQ==,i=99999999999999"), ScramError::Iterations(u32::MAX));
        check(|n| format!("r={n}x,s=YQ==,i=-1"), ScramError::Malformed("iteration count is not a number"));
        check(|n| format!("r={n}x,s=YQ==,i=+1"), ScramError::Malformed("iteration count is not a number"));
        check(|n| format!("r={n}x,s=,i=1"), ScramError::Malformed("no salt"));
        check(|n| format!("r={n}x,s=*,i=1"), ScramError::Malformed("salt is not base64"));
        check(|n| format!("r={n}x,i=1,s=YQ=="), ScramError::Malformed("no salt"));
        check(|n| format!("m=x,r={n}x,s=YQ==,i=1"), ScramError::Malformed("no nonce"));
        check(|n| format!("r={n}x,s=YQ==,i=1,x=y"), ScramError::Malformed("extensions are not supported"));
        check(|_| String::new(), ScramError::Malformed("no nonce"));
        check(|n| format!("r={n}{},s=YQ==,i=1", "x".repeat(1024)), ScramError::TooLong(24 + 1024 + 13));
    }

    #[test]
    fn final_before_first_is_refused() {
        assert_eq!(client().verify(b"v=YQ==").err(), Some(ScramError::Unexpected));
    }

    #[track_caller]
    fn check_final(server_final: &[u8], expected: ScramError) {
        let mut client = client();
        let nonce = String::from_utf8(client.nonce().to_vec()).unwrap();
        client.respond(format!("r={nonce}x,s=YQ==,i=1").as_bytes()).unwrap();
        assert_eq!(client.verify(server_final).err(), Some(expected));
        assert_eq!(client.verify(server_final).err(), Some(ScramError::Unexpected));
    }

    #[test]
    fn hostile_server_final_is_refused() {
        check_final(b"", ScramError::Malformed("no server signature"));
        check_final(b"x=YQ==", ScramError::Malformed("no server signature"));
        check_final(b"v=", ScramError::Signature);
        check_final(b"v=YQ==", ScramError::Signature);
        check_final(&[b"v=", &[b'A'; 43][..], b"="].concat(), ScramError::Signature);
        check_final(b"v=\xff", ScramError::Signature);
        check_final(b"e=invalid-proof", ScramError::Refused("invalid-proof"));
        check_final(b"e=\x1b[31mforged\n", ScramError::Refused("other-error"));
        check_final(&[b'v'; 1025], ScramError::TooLong(1025));
    }
}
