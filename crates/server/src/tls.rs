//! TLS on both sides: the gateway's certificate for clients, and what is asked of an upstream's.
//!
//! Knows certificates, not messages. TLS 1.2 and 1.3; no session is ever resumed, as with PostgreSQL.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Host, Roots, UpstreamTls};
use model::Secret;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, ProtocolVersion,
    RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;
use wire::scram::{ChannelBinding, tls_server_end_point};
use wire::startup::ALPN_PROTOCOL;

/// Why TLS can't be set up: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of root certificates is not there or not ours to read.
    #[error("certificates {0:?} can't be read")]
    Read(PathBuf, #[source] io::Error),
    /// What should be PEM isn't.
    #[error("{0} can't be read as PEM")]
    Pem(String, #[source] pem::Error),
    /// PEM, but nothing of the kind.
    #[error("{0} holds no certificate; it should have a \"-----BEGIN CERTIFICATE-----\"")]
    NoCertificate(String),
    /// A root certificate makes no sense.
    #[error("certificate {number} in {path:?} is no root certificate")]
    Root {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// PEM, but no private key.
    #[error("the TLS key holds no private key; it should have a \"-----BEGIN PRIVATE KEY-----\"")]
    NoKey,
    /// The key needs a password, which nobody could give.
    #[error("the TLS key is encrypted; decrypt it with \"openssl pkey\" and protect the file instead")]
    EncryptedKey,
    /// Certificate and key are not of the same pair.
    #[error("the TLS key does not belong to the certificate")]
    KeyOfAnother,
    /// The certificate or key is of a kind that can't be used.
    #[error("the TLS certificate or its key can't be used")]
    Unusable(#[source] rustls::Error),
    /// The machine trusts nobody.
    #[error("the system has no root certificates; install ca-certificates, or name a file with sslrootcert")]
    NoSystemRoots,
    /// The host's name can't be in a certificate.
    #[error("\"{0}\" is no name that a certificate could be for")]
    HostName(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    NotAsked,
    /// They are, and need not have one.
    Asked,
}

/// Makes what answers clients' handshakes: a certificate with its intermediates, and its key, both PEM. Clients are not asked for
/// one.
///
/// # Errors
/// [`TlsError`]: operator.
pub fn acceptor(certificates: &[u8], key: &Secret<String>) -> Result<TlsAcceptor, TlsError> {
    acceptor_asking(ClientCertificates::NotAsked, certificates, key)
}

/// As [`acceptor`], and says whether clients are asked for a certificate.
///
/// # Errors
/// [`TlsError`]: operator.
pub fn acceptor_asking(
    clients: ClientCertificates,
    certificates: &[u8],
    key: &Secret<String>,
) -> Result<TlsAcceptor, TlsError> {
    Ok(TlsAcceptor::from(Arc::new(server(clients, certificates, key, ALPN_PROTOCOL)?)))
}

/// The same for a protocol by its ALPN name.
///
/// # Errors
/// [`TlsError`]: operator.
pub(crate) fn server(
    clients: ClientCertificates,
    certificates: &[u8],
    key: &Secret<String>,
    protocol: &[u8],
) -> Result<ServerConfig, TlsError> {
    let chain = certificates_of(certificates, || "the TLS certificate".to_owned())?;
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match clients {
        ClientCertificates::NotAsked => builder.with_no_client_auth(),
        ClientCertificates::Asked => builder.with_client_cert_verifier(Arc::new(Holder { algorithms })),
    };
    let mut config = builder.with_single_cert(chain, private_key(key)?).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::KeyOfAnother,
        error => TlsError::Unusable(error),
    })?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates_of(pem: &[u8], what: impl Fn() -> String) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem(what(), error))?;
    if certificates.is_empty() { Err(TlsError::NoCertificate(what())) } else { Ok(certificates) }
}

fn private_key(key: &Secret<String>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = key.expose().as_bytes();
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound if key.expose().contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            TlsError::EncryptedKey
        }
        pem::Error::NoItemsFound => TlsError::NoKey,
        // SECURITY: without its cause, which may quote a line of the key.
        _ => TlsError::NoKey,
    })
}

/// Makes what is asked of an upstream's certificate; `None` where TLS is not wanted. Reads the root certificates.
///
/// # Errors
/// [`TlsError`]: operator.
pub fn client_config(tls: &UpstreamTls) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = match tls {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::Require => Arc::new(Anybody { algorithms }),
        UpstreamTls::VerifyCa(roots) => Arc::new(AnyName { roots: read_roots(roots)?, algorithms }),
        UpstreamTls::VerifyFull(roots) => {
            WebPkiServerVerifier::builder_with_provider(Arc::new(read_roots(roots)?), provider.clone())
                .build()
                .map_err(|_| TlsError::NoSystemRoots)?
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
    // A resumed session shows no certificate, so one that was meanwhile withdrawn or replaced would go on.
    config.resumption = Resumption::disabled();
    Ok(Some(Arc::new(config)))
}

fn read_roots(roots: &Roots) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(TlsError::NoSystemRoots);
            }
        }
        Roots::File(path) => {
            let pem = std::fs::read(path).map_err(|error| TlsError::Read(path.clone(), error))?;
            for (index, certificate) in certificates_of(&pem, || named(path))?.into_iter().enumerate() {
                store.add(certificate).map_err(|source| TlsError::Root {
                    path: path.clone(),
                    number: index + 1,
                    source,
                })?;
            }
        }
    }
    Ok(store)
}

fn named(path: &Path) -> String {
    format!("{path:?}")
}

/// Returns the name that a host's certificate must be for.
///
/// # Errors
/// [`TlsError::HostName`]: operator; also a Unix socket's folder, which has no certificate.
pub fn server_name(host: &Host) -> Result<ServerName<'static>, TlsError> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| TlsError::HostName(name.clone())),
        Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Socket(folder) => Err(TlsError::HostName(folder.display().to_string())),
    }
}

/// Returns version and cipher as PostgreSQL's logs have them, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`.
pub(crate) fn describe(connection: &CommonState) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // rustls' own spelling of the names that IANA begins with TLS_
    let suite = suite.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1);
    format!("{version} {suite}")
}

/// Returns what SCRAM can bind to: a hash of the certificate that the server showed.
pub(crate) fn channel_binding(connection: &CommonState) -> ChannelBinding {
    let end = connection.peer_certificates().and_then(|chain| chain.first());
    end.and_then(|certificate| tls_server_end_point(certificate))
        .map_or(ChannelBinding::Undefined, ChannelBinding::TlsServerEndPoint)
}

/// Returns what clients' SCRAM can bind to: a hash of the certificate that they are shown, the first of the PEM.
///
/// # Errors
/// [`TlsError`]: operator.
pub fn own_channel_binding(certificates: &[u8]) -> Result<ChannelBinding, TlsError> {
    let chain = certificates_of(certificates, || "the TLS certificate".to_owned())?;
    let hash = chain.first().and_then(|certificate| tls_server_end_point(certificate));
    Ok(hash.map_or(ChannelBinding::Undefined, ChannelBinding::TlsServerEndPoint))
}

/// Returns until when the first certificate of a PEM file holds.
pub(crate) fn ends(certificates: &[u8]) -> Option<std::time::SystemTime> {
    let chain = certificates_of(certificates, String::new).ok()?;
    chain.first().and_then(|certificate| identity::certificate_ends(certificate))
}

/// Says how to mend a failed handshake with an upstream, where that is known.
pub(crate) fn advice(error: &io::Error) -> Option<&'static str> {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())?;
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    match error {
        UnknownIssuer => {
            Some("the certificate's authority is not trusted: name its certificate with sslrootcert")
        }
        NotValidForName | NotValidForNameContext { .. } => {
            Some("the certificate is for another host: connect by a name in its subjectAltName")
        }
        Expired | ExpiredContext { .. } => Some("the certificate has expired"),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Some(
            "the server shows an authority's certificate: give it one of its own, signed by that authority",
        ),
        _ => None,
    }
}

/// Checks that a client holds the key of the certificate that it shows, and nothing more: whose it is and whether it is believed is
/// judged with the identity (`identity::verify_certificate`), where it is recorded, and by the authorities of that moment. A client that has
/// a certificate of somebody else's, which libpq shows unasked where it finds one, can still come with a token.
#[derive(Debug)]
struct Holder {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Holder {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Any: authorities come and go while the gateway runs.
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    // SECURITY: these are the proof of possession, which all that is made of the certificate rests on.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Returns the certificates that a client showed in its handshake, its own first; none if it showed none.
pub(crate) fn shown(connection: &CommonState) -> Vec<CertificateDer<'static>> {
    let chain = connection.peer_certificates().unwrap_or_default();
    chain.iter().map(|certificate| certificate.clone().into_owned()).collect()
}

/// `sslmode=require`: TLS WITH WHOEVER ANSWERS. No certificate is looked at: an attacker on the way is not noticed, and
/// can read and change everything, the login included unless SCRAM-SHA-256-PLUS is used. Protects from listeners only.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
}

/// `sslmode=verify-ca`: the certificate must lead to a root, but may be anybody's. An attacker with any certificate of
/// that authority is not noticed.
#[derive(Debug)]
struct AnyName {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // SECURITY: that whoever answers holds the certificate's key is still checked: channel binding rests on it.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let end = ParsedCertificate::try_from(end)?;
        verify_server_cert_signed_by_trust_anchor(
            &end,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
