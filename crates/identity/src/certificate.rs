//! Client certificates: is this one believed, and whose is it. Knows neither TLS nor where authorities come from.
//!
//! SECURITY: that the client holds the certificate's key is shown by the TLS handshake, before this is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use model::{Identity, Method, Pattern};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{self, BasicConstraints, KeyUsages, SubjectAltName};

use crate::claims::is_deceptive;
use crate::rejection::Excerpt;
use crate::spiffe::{BadSpiffeId, SPIFFE_ID_BYTES_MAX, SpiffeId, TrustDomain};
use crate::{Anchors, RevocationLists, Verified};

/// Which of a certificate's names is the agent's. There must be exactly one of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// A URI of the subject's alternative names.
    Uri,
    /// A DNS name of them.
    Dns,
    /// An e-mail address of them.
    Email,
    /// The common name of the subject itself.
    CommonName,
}

/// Which part of a certificate's subject its groups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupedBy {
    /// Organizational units (OU).
    Unit,
    /// Organizations (O).
    Organization,
}

/// What a certificate of an authority means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// Its names as configured.
    Named {
        /// Which of them is the agent's.
        by: NamedBy,
        /// Where its groups are, if they are in it.
        groups: Option<GroupedBy>,
    },
    /// An X.509-SVID of this trust domain.
    Svid(TrustDomain),
}

/// What one `[[issuer]]` of the configuration says about its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRules {
    /// The issuer's name in the configuration; becomes `model::Identity::issuer`.
    pub name: String,
    /// What its certificates mean.
    pub kind: CertificateKind,
    /// Further groups, and the subjects that are in each.
    pub members: BTreeMap<String, Vec<Pattern>>,
}

impl CertificateRules {
    /// Returns the groups of which a subject is a member.
    pub(crate) fn groups_of<'r>(
        members: &'r BTreeMap<String, Vec<Pattern>>,
        subject: &str,
    ) -> impl Iterator<Item = String> + use<'r> {
        let subject = subject.to_owned();
        members
            .iter()
            .filter(move |(_, patterns)| patterns.iter().any(|pattern| pattern.matches(&subject)))
            .map(|(group, _)| group.clone())
    }
}

/// Why a certificate is not believed; for the log and the audit, never for the client.
#[derive(Debug, thiserror::Error)]
pub enum CertificateRejection {
    /// None was shown.
    #[error("the client showed no certificate")]
    Missing,
    /// It can't be read.
    #[error("certificate can't be read")]
    Malformed,
    /// No authority vouches for it now: unknown, expired, revoked, for other use, beyond what the authority may name.
    #[error("certificate is not valid: {0}")]
    Invalid(webpki::Error),
    /// It has no name of the kind that is asked for.
    #[error("certificate has no {0}")]
    NoName(&'static str),
    /// It has more than one, and which is the agent's can't be told.
    #[error("certificate has more than one {0}")]
    SeveralNames(&'static str),
    /// A name or group is empty, too long, or has control or invisible characters.
    #[error("certificate's {0} is empty, too long, or has control or invisible characters")]
    BadText(&'static str),
    /// Its URI is no SPIFFE ID.
    #[error("certificate's URI {0} {1}")]
    NoSpiffeId(Excerpt, BadSpiffeId),
    /// Its SPIFFE ID is of another trust domain.
    #[error("certificate is of trust domain {found}, expected {expected}")]
    WrongTrustDomain {
        /// Its own.
        found: TrustDomain,
        /// That of the rules.
        expected: TrustDomain,
    },
    /// It may sign others, which no workload's may (X509-SVID, 5.2).
    #[error("certificate may sign certificates or revocation lists, which no X.509-SVID of a workload may")]
    MaySign,
    /// It may not sign at all (X509-SVID, 4.3).
    #[error("certificate's key usage does not have digitalSignature, which an X.509-SVID must")]
    MayNotSign,
}

/// The longest name or group, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// The most groups.
const GROUPS_MAX: usize = 64;
/// The most certificates that a client may show (`rustls` bounds their bytes).
const CHAIN_MAX: usize = 10;

/// `id-at-commonName`, `id-at-organizationName`, `id-at-organizationalUnitName` (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

/// Returns the trust domain of a certificate's SPIFFE ID, unverified: fit only for choosing whose it may be.
pub fn peek_certificate(chain: &[CertificateDer<'_>]) -> Option<TrustDomain> {
    let leaf = Certificate::from_der(chain.first()?).ok()?;
    let (_, id) = spiffe_id(&leaf).ok()?;
    Some(id.trust_domain().clone())
}

/// Returns until when a certificate holds, given as DER; `None`: it can't be read.
pub fn certificate_ends(certificate: &[u8]) -> Option<SystemTime> {
    let not_after = Certificate::from_der(certificate).ok()?.tbs_certificate.validity.not_after;
    SystemTime::UNIX_EPOCH.checked_add(not_after.to_unix_duration())
}

/// Returns SHA-256 of a certificate: `x5t#S256` of RFC 8705, and what identifies it in the audit.
pub fn thumbprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    thumbprint_of(certificate)
}

/// Returns SHA-256 of any bytes: what stands for a token where the token itself must not be kept.
pub fn thumbprint_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Checks the certificates that a client showed in the handshake, its own first.
///
/// First that an authority vouches for it, by RFC 5280 (path, times, name constraints, extended key usage, revocation); and only then
/// its names. Where there are revocation lists, each certificate on the way must be covered by one that is not out of date.
///
/// # Errors
/// [`CertificateRejection`]: the client's fault, or of whoever keeps the revocation lists.
pub fn verify_certificate(
    chain: &[CertificateDer<'_>],
    rules: &CertificateRules,
    anchors: &Anchors,
    revoked: Option<&RevocationLists>,
    now: SystemTime,
) -> Result<Verified, CertificateRejection> {
    let (leaf, intermediates) = chain.split_first().ok_or(CertificateRejection::Missing)?;
    if chain.len() > CHAIN_MAX {
        return Err(CertificateRejection::Malformed);
    }
    let until = check_path(leaf, intermediates, anchors, revoked, now)?;
    let parsed = Certificate::from_der(leaf).map_err(|_| CertificateRejection::Malformed)?;
    let subject = match &rules.kind {
        CertificateKind::Named { by, groups: _ } => name(&parsed, *by)?,
        CertificateKind::Svid(expected) => {
            let (text, id) = spiffe_id(&parsed)?;
            if id.trust_domain() != expected {
                let (found, expected) = (id.trust_domain().clone(), expected.clone());
                return Err(CertificateRejection::WrongTrustDomain { found, expected });
            }
            check_svid(&parsed)?;
            text
        }
    };
    let mut groups: BTreeSet<String> = CertificateRules::groups_of(&rules.members, &subject).collect();
    if let CertificateKind::Named { by: _, groups: Some(by) } = &rules.kind {
        let (kind, what) = match by {
            GroupedBy::Unit => (UNIT, "organizational unit"),
            GroupedBy::Organization => (ORGANIZATION, "organization"),
        };
        for group in attributes(&parsed, kind, what)? {
            groups.insert(printable(group, what, TEXT_BYTES_MAX)?);
        }
        if groups.len() > GROUPS_MAX {
            return Err(CertificateRejection::BadText("list of groups"));
        }
    }
    let identity = Identity {
        issuer: rules.name.clone(),
        subject,
        name: None,
        groups,
        attributes: BTreeMap::new(),
        token_id: Some(format!("sha256:{}", hex(&thumbprint(leaf)))),
        on_behalf_of: None,
    };
    Ok(Verified::new(identity, Method::Certificate, until, Vec::new()))
}

/// Returns until when the path to an authority holds.
fn check_path(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &Anchors,
    revoked: Option<&RevocationLists>,
    now: SystemTime,
) -> Result<SystemTime, CertificateRejection> {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let end = EndEntityCert::try_from(leaf).map_err(CertificateRejection::Invalid)?;
    let lists = revoked.map(RevocationLists::each).unwrap_or_default();
    // SECURITY: what no list covers, or only one that is out of date, counts as revoked: whoever can withhold a list could else
    // undo a revocation.
    let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
        options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build()
    });
    let path = end
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            anchors.as_slice(),
            intermediates,
            UnixTime::since_unix_epoch(since_1970),
            KeyUsage::client_auth(),
            revocation,
            None,
        )
        .map_err(CertificateRejection::Invalid)?;
    let mut until = not_after(leaf)?;
    for intermediate in path.intermediate_certificates() {
        until = until.min(not_after(&intermediate.der())?);
    }
    Ok(until)
}

fn not_after(certificate: &CertificateDer<'_>) -> Result<SystemTime, CertificateRejection> {
    let parsed = Certificate::from_der(certificate).map_err(|_| CertificateRejection::Malformed)?;
    let until = parsed.tbs_certificate.validity.not_after.to_unix_duration();
    // RFC 5280 4.1.2.5: valid through notAfter, inclusive.
    Ok(SystemTime::UNIX_EPOCH + until + Duration::from_secs(1))
}

fn alternatives(certificate: &Certificate) -> Result<Vec<GeneralName>, CertificateRejection> {
    let found = certificate.tbs_certificate.get::<SubjectAltName>();
    Ok(found.map_err(|_| CertificateRejection::Malformed)?.map(|(_, names)| names.0).unwrap_or_default())
}

fn name(certificate: &Certificate, by: NamedBy) -> Result<String, CertificateRejection> {
    let names = alternatives(certificate)?;
    let (what, found): (_, Vec<String>) = match by {
        NamedBy::Uri => ("URI", names.iter().filter_map(uri).collect()),
        NamedBy::Dns => (
            "DNS name",
            names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
                    _ => None,
                })
                .collect(),
        ),
        NamedBy::Email => (
            "e-mail address",
            names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::Rfc822Name(name) => Some(name.as_str().to_owned()),
                    _ => None,
                })
                .collect(),
        ),
        NamedBy::CommonName => ("common name", attributes(certificate, COMMON_NAME, "common name")?),
    };
    printable(one(found, what)?, what, TEXT_BYTES_MAX)
}

fn uri(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        _ => None,
    }
}

fn one(found: Vec<String>, what: &'static str) -> Result<String, CertificateRejection> {
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(CertificateRejection::NoName(what)),
        (Some(_), Some(_)) => Err(CertificateRejection::SeveralNames(what)),
    }
}

/// Reads the one URI, which must be a SPIFFE ID (X509-SVID, 2 and 5.2); other alternative names may be beside it.
fn spiffe_id(certificate: &Certificate) -> Result<(String, SpiffeId), CertificateRejection> {
    let names = alternatives(certificate)?;
    let text = one(names.iter().filter_map(uri).collect(), "URI")?;
    let text = printable(text, "URI", SPIFFE_ID_BYTES_MAX)?;
    let id = text.parse().map_err(|why| CertificateRejection::NoSpiffeId(Excerpt::of(&text), why))?;
    Ok((text, id))
}

/// Checks what a leaf may be used for (X509-SVID, 4.1, 4.3 and 5.2).
fn check_svid(certificate: &Certificate) -> Result<(), CertificateRejection> {
    let tbs = &certificate.tbs_certificate;
    let malformed = |_| CertificateRejection::Malformed;
    let authority = tbs.get::<BasicConstraints>().map_err(malformed)?.is_some_and(|(_, it)| it.ca);
    let usage = tbs.get::<pkix::KeyUsage>().map_err(malformed)?.map(|(_, usage)| usage);
    let usage = usage.ok_or(CertificateRejection::MayNotSign)?;
    if authority || usage.0.contains(KeyUsages::KeyCertSign) || usage.0.contains(KeyUsages::CRLSign) {
        return Err(CertificateRejection::MaySign);
    }
    if !usage.0.contains(KeyUsages::DigitalSignature) {
        return Err(CertificateRejection::MayNotSign);
    }
    Ok(())
}

/// Reads every attribute of that kind in the subject.
fn attributes(
    certificate: &Certificate,
    kind: ObjectIdentifier,
    what: &'static str,
) -> Result<Vec<String>, CertificateRejection> {
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
    names
        .filter(|attribute| attribute.oid == kind)
        .map(|attribute| {
            let value = &attribute.value;
            let text = match value.tag() {
                Tag::Utf8String => {
                    value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned())
                }
                Tag::PrintableString => {
                    value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())
                }
                // SECURITY: of the other kinds of string no two readers make the same.
                _ => return Err(CertificateRejection::BadText(what)),
            };
            text.map_err(|_| CertificateRejection::BadText(what))
        })
        .collect()
}

fn printable(text: String, what: &'static str, bytes_max: usize) -> Result<String, CertificateRejection> {
    if text.trim().is_empty() || text.len() > bytes_max || text.chars().any(is_deceptive) {
        return Err(CertificateRejection::BadText(what));
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
