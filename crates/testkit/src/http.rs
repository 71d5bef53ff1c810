//! A small HTTP server on loopback that answers as a test says, plain or with TLS, and keys that sign whatever they are given.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{PublicKeyData as _, SigningKey as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::tls::Certified;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// As it was sent.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as text.
    pub body: String,
    /// The body, as it came.
    pub bytes: Vec<u8>,
}

impl Request {
    /// Returns a header's value; empty if it isn't there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Further lines of the head.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait before answering.
    pub delay: Duration,
}

impl Answer {
    /// Returns a document with status 200.
    pub fn json(document: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: document.to_string().into(), delay: Duration::ZERO }
    }

    /// Returns an empty answer.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO }
    }
}

/// A server; ends on drop.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server without TLS.
    ///
    /// # Panics
    /// No port is free.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, answer)
    }

    /// Starts a server with TLS.
    ///
    /// # Panics
    /// No port is free, or the certificate is no good.
    pub fn start_tls(
        certified: &Certified,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let chain = CertificateDer::pem_slice_iter(certified.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's versions")
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>().expect("PEM"), key)
            .expect("a certificate");
        Self::listen(Some(Arc::new(config)), answer)
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let over = Arc::new(AtomicBool::new(false));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (ends, answer) = (Arc::clone(&over), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (tls, answer) = (tls.clone(), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                    match tls {
                        Some(config) => {
                            let connection = ServerConnection::new(config).expect("a connection");
                            serve(StreamOwned::new(connection, stream), &*answer);
                        }
                        None => serve(stream, &*answer),
                    }
                });
            }
        });
        Self { address, scheme, over, thread: Some(thread) }
    }

    /// Returns its URL, with 127.0.0.1, without a slash at its end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request and closes; a client that goes away is nobody's concern.
fn serve(stream: impl Read + Write, answer: &dyn Fn(&Request) -> Answer) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream) else { return };
    let Answer { status, headers, body, delay } = answer(&request);
    std::thread::sleep(delay);
    let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let stream = stream.get_mut();
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(&body));
    let _ = stream.flush();
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let line = |stream: &mut dyn BufRead| {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_owned())
    };
    let mut reader: &mut dyn BufRead = &mut *stream;
    let first = line(&mut reader)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let text = line(&mut reader)?;
        match text.split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut request = Request { method, path, headers, body: String::new(), bytes: Vec::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    request.bytes = body;
    Some(request)
}

/// An Ed25519 key that signs tokens.
pub struct Signer {
    id: String,
    pair: rcgen::KeyPair,
}

impl Signer {
    /// Makes a key with that id.
    ///
    /// # Panics
    /// The system gives no random bytes.
    pub fn new(id: &str) -> Self {
        Self { id: id.into(), pair: rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key") }
    }

    /// Returns the public key as a JWK with that `use`.
    pub fn jwk(&self, used_for: &str) -> Value {
        let x = base64url(self.pair.der_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": used_for, "x": x})
    }

    /// Signs claims, with a header that names algorithm and key.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "EdDSA", "typ": "JWT", "kid": self.id}), claims)
    }

    /// Signs claims under any header.
    ///
    /// # Panics
    /// The key can't sign.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", base64url(&signature))
    }
}

/// Starts an issuer: discovery, and one key at `/jwks`. Its URL is the server's.
pub fn issuer(signer: &Signer) -> Server {
    let keys = json!({"keys": [signer.jwk("sig")]});
    Server::start(move |request| match request.path.as_str() {
        "/.well-known/openid-configuration" => {
            let issuer = format!("http://{}", request.header("host"));
            Answer::json(&json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}))
        }
        "/jwks" => Answer::json(&keys),
        _ => Answer::status(404),
    })
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}
