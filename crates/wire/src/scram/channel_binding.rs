//! The `tls-server-end-point` channel binding (RFC 5929, section 4): a hash of the server's certificate.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

/// Signature algorithms and the hash that each uses, by the names of RFC 3279, 4055, 5758 and 8017. MD5 and SHA-1 are
/// replaced by SHA-256, as RFC 5929 says.
const ALGORITHMS: &[(ObjectIdentifier, Hash)] = &[
    (oid("1.2.840.113549.1.1.4"), Hash::Sha256), // md5WithRSAEncryption
    (oid("1.2.840.113549.1.1.5"), Hash::Sha256), // sha1WithRSAEncryption
    (oid("1.2.840.113549.1.1.14"), Hash::Sha224), // sha224WithRSAEncryption
    (oid("1.2.840.113549.1.1.11"), Hash::Sha256), // sha256WithRSAEncryption
    (oid("1.2.840.113549.1.1.12"), Hash::Sha384), // sha384WithRSAEncryption
    (oid("1.2.840.113549.1.1.13"), Hash::Sha512), // sha512WithRSAEncryption
    (oid("1.2.840.10045.4.1"), Hash::Sha256),    // ecdsa-with-SHA1
    (oid("1.2.840.10045.4.3.1"), Hash::Sha224),  // ecdsa-with-SHA224
    (oid("1.2.840.10045.4.3.2"), Hash::Sha256),  // ecdsa-with-SHA256
    (oid("1.2.840.10045.4.3.3"), Hash::Sha384),  // ecdsa-with-SHA384
    (oid("1.2.840.10045.4.3.4"), Hash::Sha512),  // ecdsa-with-SHA512
    (oid("1.2.840.10040.4.3"), Hash::Sha256),    // id-dsa-with-sha1
    (oid("2.16.840.1.101.3.4.3.1"), Hash::Sha224), // id-dsa-with-sha224
    (oid("2.16.840.1.101.3.4.3.2"), Hash::Sha256), // id-dsa-with-sha256
];

const fn oid(dotted: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(dotted)
}

#[derive(Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Returns the hash of a certificate, given as DER, that the server computes too (`be_tls_get_certificate_hash`,
/// be-secure-openssl.c).
///
/// `None` where RFC 5929 leaves it undefined, because the signature algorithm uses no single hash (Ed25519, Ed448,
/// RSASSA-PSS), or where the certificate or its algorithm can't be read.
pub fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = Certificate::from_der(certificate).ok()?.signature_algorithm.oid;
    let (_, hash) = ALGORITHMS.iter().find(|(known, _)| *known == algorithm)?;
    Some(match hash {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}
