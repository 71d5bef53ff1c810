//! SCRAM against a server of our own, which RFC 7677's example proves right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use model::{ScramKeys, Secret};
use sha2::{Digest, Sha256};
use wire::scram::{ChannelBinding, Client, Requirement, ScramError, ServerError, choose_mechanism};

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn xor(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// What a server stores (RFC 5802, section 3), and what it says.
struct Server {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Server {
    fn new(password: &str, salt: &[u8], iterations: u32) -> Self {
        let mut block = hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
        let mut salted = block;
        for _ in 1..iterations {
            block = hmac(password.as_bytes(), &block);
            salted = xor(salted, block);
        }
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: Sha256::digest(hmac(&salted, b"Client Key")).into(),
            server_key: hmac(&salted, b"Server Key"),
        }
    }

    fn first(&self, client_first: &str, server_nonce: &str) -> String {
        let (_, nonce) = client_first.rsplit_once("r=").unwrap();
        format!("r={nonce}{server_nonce},s={},i={}", STANDARD.encode(&self.salt), self.iterations)
    }

    /// Checks the proof and what is bound, and returns the server's final message.
    fn last(
        &self,
        client_first: &str,
        server_first: &str,
        client_final: &str,
        bound: &[u8],
    ) -> Result<String, &'static str> {
        let (without_proof, proof) = client_final.rsplit_once(",p=").unwrap();
        let header_end = client_first.find(",,").unwrap() + 2;
        let (header, bare) = client_first.split_at(header_end);
        let nonce = server_first.split(',').next().unwrap();
        let expected = format!("c={},{nonce}", STANDARD.encode([header.as_bytes(), bound].concat()));
        if without_proof != expected {
            return Err("channel-bindings-dont-match");
        }
        let authentication = format!("{bare},{server_first},{without_proof}");
        let signature = hmac(&self.stored_key, authentication.as_bytes());
        let proof: [u8; 32] = STANDARD.decode(proof).unwrap().try_into().unwrap();
        let stored: [u8; 32] = Sha256::digest(xor(proof, signature)).into();
        if stored != self.stored_key {
            return Err("invalid-proof");
        }
        Ok(format!("v={}", STANDARD.encode(hmac(&self.server_key, authentication.as_bytes()))))
    }
}

#[test]
fn server_agrees_with_rfc_7677() {
    let server = Server::new("pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
    let client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let server_first = server.first(client_first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(
        server_first,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let client_final = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(
        server.last(client_first, &server_first, client_final, b"").unwrap(),
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
}

struct Exchange {
    client: Client,
    server_final: Result<String, &'static str>,
}

/// Runs an exchange up to the server's final message.
fn exchange(
    password: &str,
    server: &Server,
    offered: &[&[u8]],
    binding: ChannelBinding,
    bound: &[u8],
) -> Exchange {
    let choice = choose_mechanism(offered.iter().copied(), binding, Requirement::Prefer).unwrap();
    let mut client = Client::new(&Secret::new(password.to_owned()), choice);
    let client_first = String::from_utf8(client.initial_response().to_vec()).unwrap();
    let server_first = server.first(&client_first, "server-nonce");
    let client_final = String::from_utf8(client.respond(server_first.as_bytes()).unwrap()).unwrap();
    Exchange { client, server_final: server.last(&client_first, &server_first, &client_final, bound) }
}

const PLAIN: &[&[u8]] = &[b"SCRAM-SHA-256"];
const BOTH: &[&[u8]] = &[b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"];

#[test]
fn both_sides_are_convinced() {
    // the last password is what SASLprep makes of U+2168, ROMAN NUMERAL NINE (RFC 4013, section 3)
    for (password, stored) in [("pencil", "pencil"), ("", ""), ("pâté €", "pâté €"), ("\u{2168}", "IX")]
    {
        let server = Server::new(stored, b"sixteen bytes...", 4096);
        let mut exchange = exchange(password, &server, PLAIN, ChannelBinding::Plaintext, b"");
        exchange.client.verify(exchange.server_final.unwrap().as_bytes()).unwrap();
    }
}

#[test]
fn plus_binds_the_certificate() {
    let server = Server::new("pencil", b"salt", 2);
    let hash = vec![0xab; 32];
    let mut exchange =
        exchange("pencil", &server, BOTH, ChannelBinding::TlsServerEndPoint(hash.clone()), &hash);
    assert_eq!(exchange.client.mechanism(), "SCRAM-SHA-256-PLUS");
    exchange.client.verify(exchange.server_final.unwrap().as_bytes()).unwrap();
}

#[test]
fn plus_with_the_certificate_of_a_man_in_the_middle_fails() {
    let server = Server::new("pencil", b"salt", 2);
    let seen = ChannelBinding::TlsServerEndPoint(vec![0xab; 32]);
    let exchange = exchange("pencil", &server, BOTH, seen, &[0xcd; 32]);
    assert_eq!(exchange.server_final, Err("channel-bindings-dont-match"));
}

#[test]
fn wrong_password_gives_a_wrong_proof() {
    let server = Server::new("pencil", b"salt", 2);
    let exchange = exchange("pen", &server, PLAIN, ChannelBinding::Plaintext, b"");
    assert_eq!(exchange.server_final, Err("invalid-proof"));
}

#[test]
fn server_that_does_not_know_the_password_is_found_out() {
    let server = Server::new("pencil", b"salt", 2);
    let mut exchange = exchange("pencil", &server, PLAIN, ChannelBinding::Plaintext, b"");
    let mut signature = exchange.server_final.unwrap().into_bytes();
    signature[10] = if signature[10] == b'A' { b'B' } else { b'A' };
    assert_eq!(exchange.client.verify(&signature).err(), Some(ScramError::Signature));
}

#[test]
fn shortened_signature_is_no_signature() {
    let server = Server::new("pencil", b"salt", 2);
    let mut exchange = exchange("pencil", &server, PLAIN, ChannelBinding::Plaintext, b"");
    let signature = STANDARD.decode(&exchange.server_final.unwrap()[2..]).unwrap();
    let short = format!("v={}", STANDARD.encode(&signature[..16]));
    assert_eq!(exchange.client.verify(short.as_bytes()).err(), Some(ScramError::Signature));
}

/// Runs our client by password against our own server's side.
fn against_own_server(
    password: &str,
    binding: ChannelBinding,
    seen: ChannelBinding,
) -> Result<(wire::scram::Exchange, Client), ServerError> {
    let server = Server::new("pencil", b"sixteen bytes...", 4096);
    let mut own = wire::scram::Server::new(binding);
    let offered: Vec<&[u8]> = own.mechanisms().iter().map(|name| name.as_bytes()).collect();
    let choice = choose_mechanism(offered, seen, Requirement::Prefer).unwrap();
    let mut client = Client::new(&Secret::new(password.to_owned()), choice);
    own.first(client.mechanism().as_bytes(), client.initial_response())?;
    let challenge = own.challenge("our+nonce", &server.salt, server.iterations)?;
    let last = client.respond(&challenge).unwrap();
    Ok((own.last(&last)?, client))
}

/// Checks a proof as `identity` does, and returns the ClientKey and the server's final message.
fn check_proof(exchange: &wire::scram::Exchange, server: &Server) -> Option<([u8; 32], Vec<u8>)> {
    let signature = hmac(&server.stored_key, &exchange.auth_message);
    let client_key = xor(*exchange.proof.expose(), signature);
    (Sha256::digest(client_key)[..] == server.stored_key)
        .then(|| (client_key, wire::scram::server_final(&hmac(&server.server_key, &exchange.auth_message))))
}

#[test]
fn keys_of_one_exchange_log_in_to_another_server_with_the_same_verifier() {
    let hash = ChannelBinding::TlsServerEndPoint(vec![9; 32]);
    for (binding, seen) in [
        (ChannelBinding::Plaintext, ChannelBinding::Plaintext),
        (hash.clone(), hash.clone()),
        (ChannelBinding::Undefined, hash.clone()),
    ] {
        let server = Server::new("pencil", b"sixteen bytes...", 4096);
        let (exchange, mut client) = against_own_server("pencil", binding, seen).unwrap();
        let (client_key, last) = check_proof(&exchange, &server).unwrap();
        client.verify(&last).unwrap();
        let (wrong, _) =
            against_own_server("pen", ChannelBinding::Plaintext, ChannelBinding::Plaintext).unwrap();
        assert!(check_proof(&wrong, &server).is_none());
        // With the keys only, over a channel bound to the other server's certificate.
        let keys = ScramKeys {
            iterations: 4096,
            salt: server.salt.clone(),
            client_key: Secret::new(client_key),
            server_key: Secret::new(server.server_key),
        };
        let bound = ChannelBinding::TlsServerEndPoint(vec![0xab; 32]);
        let begin = || {
            let choice = choose_mechanism(BOTH.iter().copied(), bound.clone(), Requirement::Require).unwrap();
            Client::with_keys(&keys, choice, "a/nonce")
        };
        let mut keyed = begin();
        let first = String::from_utf8(keyed.initial_response().to_vec()).unwrap();
        let challenge = server.first(&first, "server-nonce");
        let answer = String::from_utf8(keyed.respond(challenge.as_bytes()).unwrap()).unwrap();
        let last = server.last(&first, &challenge, &answer, &[0xab; 32]).unwrap();
        keyed.verify(last.as_bytes()).unwrap();
        // A false server, and one where the password was set again.
        let mut keyed = begin();
        keyed.respond(challenge.as_bytes()).unwrap();
        let forged = format!("v={}", STANDARD.encode([7; 32]));
        assert_eq!(keyed.verify(forged.as_bytes()).err(), Some(ScramError::Signature));
        for other in [
            Server::new("pencil", b"another salt....", 4096),
            Server::new("pencil", b"sixteen bytes...", 4097),
        ] {
            let challenge = other.first(&first, "server-nonce");
            assert_eq!(begin().respond(challenge.as_bytes()).err(), Some(ScramError::OtherVerifier));
        }
    }
}

#[test]
fn who_sees_another_certificate_than_ours_is_refused() {
    let ours = ChannelBinding::TlsServerEndPoint(vec![1; 32]);
    let theirs = ChannelBinding::TlsServerEndPoint(vec![2; 32]);
    assert_eq!(against_own_server("pencil", ours, theirs).err(), Some(ServerError::Binding));
}

#[track_caller]
fn check_first(binding: ChannelBinding, mechanism: &str, message: &[u8], expected: ServerError) {
    let mut server = wire::scram::Server::new(binding);
    assert_eq!(server.first(mechanism.as_bytes(), message), Err(expected));
    // And it is over.
    assert_eq!(server.first(b"SCRAM-SHA-256", b"n,,n=,r=abc"), Err(ServerError::Unexpected));
}

#[test]
fn a_hostile_clients_first_message_is_refused() {
    use ServerError::{BindingType, Downgraded, Malformed, Mechanism, TooLong};
    let bound = || ChannelBinding::TlsServerEndPoint(vec![1; 32]);
    let (plain, plus) = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS");
    check_first(ChannelBinding::Plaintext, plus, b"p=tls-server-end-point,,n=,r=abc", Mechanism);
    check_first(ChannelBinding::Plaintext, "SCRAM-SHA-1", b"n,,n=,r=abc", Mechanism);
    check_first(bound(), plain, b"y,,n=,r=abc", Downgraded);
    check_first(bound(), plus, b"p=tls-unique,,n=,r=abc", BindingType);
    check_first(bound(), plus, b"n,,n=,r=abc", Malformed("SCRAM-SHA-256-PLUS without channel binding data"));
    for (message, why) in [
        (&b""[..], "no GS2 header"),
        (b"n,", "no GS2 header"),
        (b"x,,n=,r=abc", "unexpected channel-binding flag"),
        (b"n,a=root,n=,r=abc", "an authorization identity is not supported"),
        (b"n,,m=x,n=,r=abc", "no user name; extensions are not supported"),
        (b"n,,r=abc", "no user name; extensions are not supported"),
        (b"n,,n=,r=", "no printable nonce"),
        (b"n,,n=,r=a b", "no printable nonce"),
        (b"n,,n=", "no printable nonce"),
        (b"n,,n=,r=abc,x=y", "extensions are not supported"),
        (b"n,,n=,r=abc\0", "a zero byte"),
        (b"n,,n=,r=\xff", "not UTF-8"),
    ] {
        check_first(ChannelBinding::Plaintext, plain, message, Malformed(why));
    }
    check_first(ChannelBinding::Plaintext, plain, &[b'n'; 1025], TooLong(1025));
    let long = [b"n,,n=,r=", &[b'x'; 257][..]].concat();
    check_first(ChannelBinding::Plaintext, plain, &long, TooLong(257));
}

#[test]
fn a_hostile_clients_final_message_is_refused() {
    use ServerError::{Binding, Malformed, Nonce, TooLong};
    let proof = STANDARD.encode([0; 32]);
    for (message, expected) in [
        (String::new(), Malformed("no channel binding data")),
        (format!("c=eSws,r=abcdef,p={proof}"), Binding),
        (format!("c=biws,r=abcde,p={proof}"), Nonce),
        (format!("c=biws,r=abcdefg,p={proof}"), Nonce),
        (format!("c=biws,p={proof}"), Malformed("no nonce")),
        ("c=biws,r=abcdef".to_owned(), Malformed("no proof; extensions are not supported")),
        (format!("c=biws,r=abcdef,x=y,p={proof}"), Malformed("no proof; extensions are not supported")),
        (format!("c=biws,r=abcdef,p={proof},x=y"), Malformed("something follows the proof")),
        (format!("c=biws,r=abcdef,p={proof}junk"), Malformed("the proof is not 32 bytes in base64")),
        (format!("c=biws,r=abcdef,p={proof}{proof}"), Malformed("the proof is not 32 bytes in base64")),
        ("c=biws,r=abcdef,p=AAAA".to_owned(), Malformed("the proof is not 32 bytes in base64")),
        (format!("c=biws,r=abcdef,p={}", "A".repeat(1100)), TooLong(1118)),
    ] {
        let mut server = wire::scram::Server::new(ChannelBinding::Plaintext);
        server.first(b"SCRAM-SHA-256", b"n,,n=,r=abc").unwrap();
        assert_eq!(server.challenge("def", b"salt", 4096).unwrap(), b"r=abcdef,s=c2FsdA==,i=4096");
        assert_eq!(server.last(message.as_bytes()).err(), Some(expected), "{message}");
        assert_eq!(server.last(message.as_bytes()).err(), Some(ServerError::Unexpected));
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_from_a_client_are_answered(first: Vec<u8>, last: Vec<u8>, words in "[ny],,n=[a-z]{0,3},r=[!-~]{0,9}") {
        for first in [&first[..], words.as_bytes()] {
            let mut server = wire::scram::Server::new(ChannelBinding::Plaintext);
            if server.first(b"SCRAM-SHA-256", first).is_ok() {
                let challenge = server.challenge("nonce", b"salt", 1).unwrap();
                proptest::prop_assert!(challenge.len() <= 1024);
                proptest::prop_assert!(server.last(&last).is_err());
            }
        }
    }
}
