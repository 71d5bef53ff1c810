//! SCRAM against a server of our own, which RFC 7677's example proves right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use model::Secret;
use sha2::{Digest, Sha256};
use wire::scram::{ChannelBinding, Client, Requirement, ScramError, choose_mechanism};

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
