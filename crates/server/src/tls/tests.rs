//! Certificates of every kind, and what each `sslmode` says to them.

use testkit::scratch::Scratch;
use testkit::tls::{Authority, Certified};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

fn error_of(certificate: &str, key: &str) -> String {
    let error = acceptor(certificate.as_bytes(), &Secret::new(key.to_owned())).err().expect("an error");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    error.to_string()
}

#[test]
fn certificate_and_key_must_be_a_pair() {
    let authority = Authority::new("ca");
    let (one, other) = (authority.issue(&["a"]), authority.issue(&["b"]));
    assert!(acceptor(one.certificate.as_bytes(), &Secret::new(one.key.clone())).is_ok());
    assert_eq!(error_of(&one.certificate, &other.key), "the TLS key does not belong to the certificate");
    assert!(error_of("", &one.key).starts_with("the TLS certificate holds no certificate"));
    assert!(error_of(&one.key, &one.key).starts_with("the TLS certificate holds no certificate"));
    assert!(error_of(&one.certificate, "hunter2").contains("no private key"));
    assert!(error_of(&one.certificate, &one.certificate).contains("no private key"));
    let broken = "-----BEGIN PRIVATE KEY-----\nhunter2 hunter2\n";
    assert!(error_of(&one.certificate, broken).contains("no private key"));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(error_of(&one.certificate, encrypted).contains("is encrypted"));
}

/// Shakes hands with a server that shows `server`, as `host`.
async fn handshake(server: &Certified, tls: &UpstreamTls, host: &Host) -> Result<ChannelBinding, String> {
    let acceptor = acceptor(server.certificate.as_bytes(), &Secret::new(server.key.clone())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let connector = TlsConnector::from(client_config(tls).unwrap().expect("TLS is wanted"));
    let name = server_name(host).unwrap();
    let (ours, theirs) = tokio::join!(connector.connect(name, tcp), acceptor.accept(theirs));
    match ours {
        Ok(stream) => {
            let (_, connection) = theirs.unwrap().into_inner();
            assert_eq!(connection.alpn_protocol(), Some(ALPN_PROTOCOL));
            Ok(channel_binding(stream.get_ref().1))
        }
        Err(error) => Err(advice(&error).map_or_else(|| error.to_string(), ToOwned::to_owned)),
    }
}

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    let scratch = Scratch::new("tls");
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let roots = Roots::File(scratch.write("ca.crt", ours.certificate()));
    let (require, ca, full) =
        (UpstreamTls::Require, UpstreamTls::VerifyCa(roots.clone()), UpstreamTls::VerifyFull(roots));
    let db = Host::Name("db.internal".to_owned());
    let address = Host::Address("127.0.0.1".parse().unwrap());
    let right = ours.issue(&["db.internal", "127.0.0.1"]);
    let other_name = ours.issue(&["other.internal"]);
    let other_authority = foreign.issue(&["db.internal", "127.0.0.1"]);

    for host in [&db, &address] {
        for tls in [&require, &ca, &full] {
            let binding = handshake(&right, tls, host).await;
            assert!(matches!(binding, Ok(ChannelBinding::TlsServerEndPoint(hash)) if hash.len() == 32));
        }
        assert!(handshake(&other_name, &require, host).await.is_ok());
        assert!(handshake(&other_name, &ca, host).await.is_ok());
        let refused = handshake(&other_name, &full, host).await.unwrap_err();
        assert!(refused.contains("for another host"), "{refused}");

        assert!(handshake(&other_authority, &require, host).await.is_ok());
        for tls in [&ca, &full] {
            let refused = handshake(&other_authority, tls, host).await.unwrap_err();
            assert!(refused.contains("not trusted"), "{refused}");
        }
    }
}

#[tokio::test]
async fn an_authority_s_own_certificate_is_no_server_s() {
    let scratch = Scratch::new("tls");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["db.internal".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let roots = Roots::File(scratch.write("ca.crt", &certificate));
    let server = Certified { certificate, key: key.serialize_pem() };
    let host = Host::Name("db.internal".to_owned());
    let refused = handshake(&server, &UpstreamTls::VerifyFull(roots), &host).await.unwrap_err();
    assert!(refused.contains("give it one of its own"), "{refused}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_where_certificates_count() {
    let scratch = Scratch::new("tls");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["db.internal".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let mut ca_params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca_params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = ca_params.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca_params, ca_key);
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let server = Certified { certificate, key: key.serialize_pem() };
    let roots = Roots::File(scratch.write("ca.crt", ca));
    let host = Host::Name("db.internal".to_owned());
    for tls in [UpstreamTls::VerifyCa(roots.clone()), UpstreamTls::VerifyFull(roots)] {
        let refused = handshake(&server, &tls, &host).await.unwrap_err();
        assert_eq!(refused, "the certificate has expired");
    }
}

#[tokio::test]
async fn channel_binding_is_undefined_for_ed25519() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = rcgen::CertificateParams::new(vec!["db.internal".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let server = Certified { certificate, key: key.serialize_pem() };
    let host = Host::Name("db.internal".to_owned());
    assert_eq!(handshake(&server, &UpstreamTls::Require, &host).await, Ok(ChannelBinding::Undefined));
}

#[test]
fn roots_must_be_there() {
    let scratch = Scratch::new("tls");
    let config = |path: PathBuf| client_config(&UpstreamTls::VerifyFull(Roots::File(path)));
    assert!(matches!(config(scratch.path().join("missing")), Err(TlsError::Read(..))));
    assert!(matches!(config(scratch.write("empty", "")), Err(TlsError::NoCertificate(_))));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(config(scratch.write("nonsense", nonsense)), Err(TlsError::Root { number: 1, .. })));
    assert!(client_config(&UpstreamTls::Disable).unwrap().is_none());
}
