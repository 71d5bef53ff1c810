//! Over https: who vouches for the server decides.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use oidc::dev::{DevKey, Grant, mint};
use oidc::{BadIssuer, Issuers};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{AUDIENCE, config, unavailable, verify};

/// Serves discovery and keys over TLS at `https://localhost:PORT`, with a certificate of its own making.
async fn serve(name: &str) -> (String, String, DevKey) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let dev_key = DevKey::generate().unwrap();
    let (discovery, keys) = (json!({"issuer": url, "jwks_uri": format!("{url}/jwks")}), dev_key.key_set());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = vec![0; 4096];
            let Ok(read) = stream.read(&mut request).await else { continue };
            let body =
                if request[..read].starts_with(b"GET /jwks ") { &keys } else { &discovery }.to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, made.cert.pem(), dev_key)
}

#[tokio::test]
async fn a_private_ca_is_trusted_only_by_the_issuer_that_names_it() {
    let (url, pem, key) = serve("127.0.0.1").await;
    let token = mint(&key, &url, &Grant::new("agent", AUDIENCE), SystemTime::now()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();

    let mut trusting = config("corp", &url);
    trusting.ca_file = Some(file.path().to_owned());
    let verified = verify(&Issuers::new(vec![trusting]).unwrap(), token.expose()).await.unwrap();
    assert_eq!(verified.identity().subject, "agent");

    let wary = Issuers::new(vec![config("corp", &url)]).unwrap();
    assert_eq!(unavailable(verify(&wary, token.expose()).await), "Http");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (url, pem, key) = serve("other.example.com").await;
    let token = mint(&key, &url, &Grant::new("agent", AUDIENCE), SystemTime::now()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    let mut config = config("corp", &url);
    config.ca_file = Some(file.path().to_owned());
    assert_eq!(unavailable(verify(&Issuers::new(vec![config]).unwrap(), token.expose()).await), "Http");
}

#[test]
fn a_ca_file_that_is_none_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let mut config = config("corp", "https://idp.example.com");
    config.ca_file = Some(path.clone());
    assert!(matches!(Issuers::new(vec![config.clone()]), Err(BadIssuer::CaFile { .. })));
    for text in ["", "not PEM"] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Issuers::new(vec![config.clone()]), Err(BadIssuer::CaPem { .. })), "{text:?}");
    }
}
